/** Octets of a message's header (RFC 1035 §4.1.1), after which the question's name begins. */
export const HEADER_BYTES = 12;

/** Longest name on the wire, length octets and root label included (RFC 1035 §2.3.4). */
export const MAX_NAME_BYTES = 255;

/** The largest answer over UDP to who says nothing of what it takes (RFC 1035 §2.3.4). */
export const MAX_UDP_BYTES = 512;

/** The UDP payload that we announce (RFC 6891 §6.2.3; 1232 never fragments, see RFC 9715 §3.1). */
export const EDNS_UDP_BYTES = 1232;

/** Octets of an OPT record without options (RFC 6891 §6.1.2). */
export const OPT_BYTES = 11;
