import { isIP } from "node:net";
import ipaddr from "ipaddr.js";

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

function sharesPrefix([a]: Range, [b]: Range, bits: number): boolean {
  if (a instanceof ipaddr.IPv4 && b instanceof ipaddr.IPv4) return a.match(b, bits);
  return a instanceof ipaddr.IPv6 && b instanceof ipaddr.IPv6 && a.match(b, bits);
}

/** The parts of a comma-separated list of ranges. */
export function listedRanges(text: string): readonly string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}
