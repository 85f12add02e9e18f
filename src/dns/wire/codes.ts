/** Record and query types by number (IANA DNS parameters); only those that we answer, refuse, read or count by name. */
export const TYPE = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  HINFO: 13,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  NAPTR: 35,
  DNAME: 39,
  OPT: 41,
  DS: 43,
  SVCB: 64,
  HTTPS: 65,
  TKEY: 249,
  TSIG: 250,
  IXFR: 251,
  AXFR: 252,
  MAILB: 253,
  MAILA: 254,
  ANY: 255,
} as const;

/** EDNS options that are understood (IANA DNS EDNS0 option codes). */
export const OPTION = { NSID: 3, CLIENT_SUBNET: 8, COOKIE: 10 } as const;

/** The Internet class (RFC 1035 §3.2.4), the only one served. */
export const CLASS_IN = 1;

/** Response codes (RFC 1035 §4.1.1; BADVERS: RFC 6891 §9). */
export const RCODE = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  BADVERS: 16,
} as const;

const TYPE_NAMES = namesByNumber(TYPE);
const RCODE_NAMES = namesByNumber(RCODE);

/** Name of a query type, or "other": clients must not choose the values of a label. */
export function typeName(type: number | undefined): string {
  return (type === undefined ? undefined : TYPE_NAMES.get(type)) ?? "other";
}

/** Name of a response code, or "other". */
export function rcodeName(rcode: number): string {
  return RCODE_NAMES.get(rcode) ?? "other";
}

function namesByNumber(codes: Readonly<Record<string, number>>): ReadonlyMap<number, string> {
  return new Map(Object.entries(codes).map(([name, code]) => [code, name]));
}
