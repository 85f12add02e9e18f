/** QR: this is an answer (RFC 1035 §4.1.1, as are all of these). */
export const FLAG_QR = 0x8000;
/** AA: the data are the server's own. */
export const FLAG_AA = 0x0400;
/** TC: the answer was cut. */
export const FLAG_TC = 0x0200;
/** RD: the client wants others to be asked. */
export const FLAG_RD = 0x0100;
/** RA: the server can ask others. */
export const FLAG_RA = 0x0080;
/** The four bits of the opcode. */
export const OPCODE_MASK = 0x7800;

/** The bits of a header between its ID and its counts. */
export function flagsOf(message: Buffer): number {
  return message.readUInt16BE(2);
}

/** The opcode of a message; 0 is QUERY. */
export function opcodeOf(message: Buffer): number {
  return (flagsOf(message) & OPCODE_MASK) >> 11;
}

/** The response code in an answer's header, without the upper bits of an OPT record. */
export function rcodeOf(message: Buffer): number {
  return flagsOf(message) & 0xf;
}

/** Whether an answer says that it was cut (TC). */
export function isTruncated(message: Buffer): boolean {
  return (flagsOf(message) & FLAG_TC) !== 0;
}
