import ipaddr from "ipaddr.js";

/** Ranges (ipaddr.js) in which no endpoint of a mesh can live, and what the address must be instead. */
const REFUSED: Readonly<Record<string, string>> = {
  unspecified: "must be the address of one machine (not the unspecified address)",
  broadcast: "must be the address of one machine (not broadcast)",
  multicast: "must be the address of one machine (not multicast)",
  linkLocal: "must be reachable from the mesh (not link-local)",
  loopback: "must be reachable from the mesh (loopback is the caller's own; the registry option loopback allows it)",
};

/** The canonical text of an address that can be an endpoint (IPv4-mapped IPv6 as IPv4, RFC 5952 otherwise), or what it must be. */
export function parseAddress(
  text: string,
  loopback: boolean,
): { readonly address: string } | { readonly address?: never; readonly must: string } {
  if (text.includes("%")) return { must: "must be an IPv4 or IPv6 address without a zone" };
  // ipaddr.js alone would take "10.1" and "0x7f.1" as IPv4.
  if (!ipaddr.IPv4.isValidFourPartDecimal(text) && !ipaddr.IPv6.isValid(text))
    return { must: "must be an IPv4 or IPv6 address" };
  const ip = ipaddr.process(text);
  const refused = ip.range() === "loopback" && loopback ? undefined : REFUSED[ip.range()];
  if (refused !== undefined) return { must: refused };
  return { address: ip instanceof ipaddr.IPv6 ? ip.toRFC5952String() : ip.toString() };
}

/** `192.0.2.1:80`, `[2001:db8::1]:80` */
export function addressAndPort(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
