import { BlockList, isIP } from "node:net";
import ipaddr from "ipaddr.js";

/** Out of which Istio's own allocator gives addresses, unless its environment says otherwise (istio/istio pilot/pkg/features/pilot.go). */
export const ISTIO_VIP_RANGES = { v4: "240.240.0.0/16", v6: "2001:2::/48" } as const;

/** Addresses from the first with this prefix. */
export type Range = [ipaddr.IPv4 | ipaddr.IPv6, number];

/** Read a CIDR, whatever its host bits, or a single address; `undefined` when it is neither. */
export function rangeOf(text: string): Range | undefined {
  const [address = "", prefix] = text.trim().split("/");
  const family = isIP(address);
  if (family === 0) return undefined;
  const bits = prefix === undefined ? (family === 4 ? 32 : 128) : /^\d{1,3}$/.test(prefix) ? Number(prefix) : 999;
  if (bits > (family === 4 ? 32 : 128)) return undefined;
  return [ipaddr.parse(address), bits];
}

/** Whether two ranges share an address. What is no range shares none. */
export function overlaps(left: string, right: string): boolean {
  const [a, b] = [rangeOf(left), rangeOf(right)];
  return a !== undefined && b !== undefined && sharesPrefix(a, b, Math.min(a[1], b[1]));
}

/** Whether every address of `inner` is in `outer`. */
export function covers(outer: string, inner: string): boolean {
  const [a, b] = [rangeOf(outer), rangeOf(inner)];
  return a !== undefined && b !== undefined && a[1] <= b[1] && sharesPrefix(a, b, a[1]);
}

/** Whether every address of `inner` is in one of the ranges. */
export function coverTogether(outer: readonly string[], inner: string): boolean {
  const wanted = rangeOf(inner);
  if (wanted === undefined) return false;
  const within = outer.filter((one) => overlaps(one, inner));
  if (within.some((one) => covers(one, inner))) return true;
  // Each half needs ranges of its own, and there are only so many.
  const [low, high] = halvesOf(wanted);
  return within.length > 1 && coverTogether(within, low) && coverTogether(within, high);
}

function halvesOf([first, bits]: Range): readonly [string, string] {
  const low = first.toByteArray();
  const at = Math.min(bits >> 3, low.length - 1);
  const bit = 0x80 >> (bits & 7);
  const high = low.map((byte, index) => (index === at ? byte | bit : byte));
  const text = (bytes: number[]) => `${ipaddr.fromByteArray(bytes).toString()}/${bits + 1}`;
  return [text(low.map((byte, index) => (index === at ? byte & ~bit : byte))), text(high)];
}

function sharesPrefix([a]: Range, [b]: Range, bits: number): boolean {
  if (a instanceof ipaddr.IPv4 && b instanceof ipaddr.IPv4) return a.match(b, bits);
  return a instanceof ipaddr.IPv6 && b instanceof ipaddr.IPv6 && a.match(b, bits);
}

/** Whether an address is in one of the CIDRs: by the platform's own list, as tens of thousands are asked for at once. What is no address is in none. */
export function within(ranges: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const range of ranges) {
    const [network = "", prefix] = range.split("/");
    list.addSubnet(network, Number(prefix), network.includes(":") ? "ipv6" : "ipv4");
  }
  return (address) => list.check(address, address.includes(":") ? "ipv6" : "ipv4");
}

/** Every range that VIPs come from: the shared ones, and those of single registries. */
export function vipRanges({
  vips,
  registries,
}: {
  readonly vips: { readonly ranges: readonly string[] };
  readonly registries: readonly { readonly ranges?: readonly string[] | undefined }[];
}): readonly string[] {
  return [...vips.ranges, ...registries.flatMap(({ ranges = [] }) => ranges)];
}

/** The parts of a comma-separated list of ranges. */
export function listedRanges(text: string): readonly string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

/** Where no VIP can be: a call to an address there never reaches a proxy, or is somebody else's. Reads on from `overlaps`. */
const NEVER: readonly (readonly [range: string, why: string])[] = [
  ["0.0.0.0/8", "which has the unspecified address (RFC 1122): nothing can be sent there"],
  ["127.0.0.0/8", "loopback: calls there stay on the caller's machine"],
  ["169.254.0.0/16", "link-local, where clouds give out credentials"],
  ["224.0.0.0/4", "multicast"],
  ["255.255.255.255/32", "broadcast"],
  ["::/96", "which has the unspecified address, loopback and IPv4 in disguise"],
  ["::ffff:0:0/96", "IPv4 in disguise: write the range of IPv4"],
  ["fe80::/10", "link-local"],
  ["ff00::/8", "multicast"],
  [ISTIO_VIP_RANGES.v4, "from which Istio's own allocator assigns addresses"],
  [ISTIO_VIP_RANGES.v6, "from which Istio's own allocator assigns addresses"],
];

/** For documentation (RFC 5737, 3849, 9637). */
const EXAMPLES = ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"];
const PRIVATE = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"];

/** Why no VIPs can be given out of a range, or `undefined`; reads on from the range. */
export function vipRangeFault(range: string): string | undefined {
  const found = NEVER.find(([other]) => overlaps(range, other));
  return found === undefined ? undefined : `overlaps ${found[0]}, ${found[1]}`;
}

/**
 * Why VIPs should hardly be given out of a range, or `undefined`; reads on from the range.
 *
 * @param isCompared whether it has been compared with what the cluster's own machines have
 */
export function vipRangeDoubt(range: string, isCompared = false): string | undefined {
  const within = (ranges: readonly string[]) => ranges.find((one) => overlaps(range, one));
  const example = within(EXAMPLES);
  if (example !== undefined)
    return `overlaps ${example}, which is for documentation: firewalls and clouds drop it, and examples use it`;
  const shared = within(PRIVATE);
  if (shared !== undefined)
    return isCompared
      ? undefined
      : `overlaps ${shared}, where private networks are, and mostly the cluster's own pods, nodes and Services: x2istio doctor compares them; 240.241.0.0/16 is nobody's`;
  const [address] = rangeOf(range) ?? [];
  if (address === undefined || ipaddr.parse(address.toString()).range() !== "unicast") return undefined;
  return "has addresses of the Internet: callers could not reach whoever has them";
}
