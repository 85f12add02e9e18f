import ipaddr from "ipaddr.js";

/**
 * Zones in which the reverse names of a range's addresses are (RFC 1035 §3.5, RFC 3596 §2.5): several where the prefix ends within a label.
 *
 * @param cidr valid
 */
export function reverseZones(cidr: string): readonly string[] {
  const [network, prefix] = ipaddr.parseCIDR(cidr);
  const isV4 = network instanceof ipaddr.IPv4;
  const [bits, domain] = isV4 ? ([8, "in-addr.arpa"] as const) : ([4, "ip6.arpa"] as const);
  const labels = isV4 ? network.toByteArray() : network.toByteArray().flatMap((octet) => [octet >> 4, octet & 0xf]);
  const count = Math.ceil(prefix / bits);
  const above = labels.slice(0, Math.max(0, count - 1));
  const free = 2 ** (count * bits - prefix);
  const first = ((labels[count - 1] ?? 0) / free) | 0;
  const text = (label: number) => label.toString(isV4 ? 10 : 16);
  const zone = (last: readonly number[]) => [...[...above, ...last].map(text).reverse(), domain].join(".");
  return count === 0 ? [domain] : Array.from({ length: free }, (_, offset) => zone([first * free + offset]));
}
