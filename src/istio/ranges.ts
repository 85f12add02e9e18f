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
