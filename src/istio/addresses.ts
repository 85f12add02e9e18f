import { isIPv4, isIPv6 } from "node:net";
import ipaddr from "ipaddr.js";

/** Addresses that may be handed out, in order. */
export interface AddressRange {
  readonly cidr: string;
  readonly family: "v4" | "v6";
  /** How many addresses; the network and the last address are not among them. */
  readonly size: number;
  /** Canonical text of the address at `index`, 0 ≤ index < size. */
  readonly at: (index: number) => string;
}

/** An IPv6 range hands out addresses of its first /112 only, so that its blocks stay few. */
const V6_CANDIDATE_BITS = 16;

/** @param cidr valid, checked with the configuration */
export function addressRange(cidr: string): AddressRange {
  const [network, prefix] = ipaddr.parseCIDR(cidr);
  const isV4 = network instanceof ipaddr.IPv4;
  const hostBits = (isV4 ? 32 : 128) - prefix;
  const bytes = masked(network.toByteArray(), prefix);
  const size = 2 ** Math.min(hostBits, isV4 ? 32 : V6_CANDIDATE_BITS) - 2;
  return { cidr, family: isV4 ? "v4" : "v6", size, at: (index) => text(plus(bytes, index + 1)) };
}

/** Names of ledger blocks start so. */
export const LEDGER_PREFIX = "x2istio-vips-";

/** Where the ledger keeps an address: 4,096 addresses to a block, /20 in IPv4 and /116 in IPv6. */
export interface LedgerSpot {
  /** {@link LEDGER_PREFIX} and the block's first address in full, `.` and `:` as `-`. */
  readonly block: string;
  /** The address's key in the block's data. */
  readonly key: string;
}

/** @param address canonical text */
export function ledgerSpot(address: string): LedgerSpot {
  const bytes = ipaddr.parse(address).toByteArray();
  const first = masked(bytes, bytes.length * 8 - 12);
  return { block: `${LEDGER_PREFIX}${inFull(first)}`, key: inFull(bytes) };
}

/** The address that a ledger key stands for, canonical text, or `undefined`. */
export function ledgerAddress(key: string): string | undefined {
  const text = /^\d+(-\d+){3}$/.test(key) ? key.replaceAll("-", ".") : key.replaceAll("-", ":");
  return canonical(text);
}

/** Canonical text of an IP address (IPv4 dotted decimal, IPv6 as in RFC 5952), or `undefined` when it is none. */
export function canonical(address: string): string | undefined {
  // Only canonical IPv4 passes here, and quickly: tens of thousands are looked at in each pass.
  if (isIPv4(address)) return address;
  return isIPv6(address) && !address.includes("%") ? ipaddr.parse(address).toString() : undefined;
}

/** The address that a label of DNS stands for, as in `192-0-2-11.host`, the name of one endpoint; canonical text, or `undefined`. */
export function addressOfLabel(label: string): string | undefined {
  if (!label.includes("-")) return undefined;
  return canonical(label.replaceAll("-", /^\d+(-\d+){3}$/.test(label) ? "." : ":"));
}

/**
 * What counts as one client where clients share: an IPv4 address, or the /64 of an IPv6 address, of which a machine has all
 * (RFC 4291 §2.5.1). IPv4-mapped IPv6 addresses are IPv4. Text that is no address is a client of its own.
 */
export function clientNetwork(address: string): string {
  if (!address.includes(":")) return address;
  const plain = address.replace(/%.*$/s, "");
  if (!isIPv6(plain)) return address;
  const parsed = ipaddr.process(plain);
  return parsed.kind() === "ipv4" ? parsed.toString() : `${text(masked(parsed.toByteArray(), 64))}/64`;
}

export function familyOf(address: string): "v4" | "v6" {
  return address.includes(":") ? "v6" : "v4";
}

function text(bytes: number[]): string {
  return ipaddr.fromByteArray(bytes).toString();
}

function inFull(bytes: number[]): string {
  if (bytes.length === 4) return bytes.join("-");
  const groups = bytes.flatMap((byte, at) => (at % 2 === 0 ? [(byte << 8) | (bytes[at + 1] ?? 0)] : []));
  return groups.map((group) => group.toString(16).padStart(4, "0")).join("-");
}

function masked(bytes: number[], prefix: number): number[] {
  return bytes.map((byte, at) => byte & (0xff << Math.min(8, Math.max(0, 8 * (at + 1) - prefix))) & 0xff);
}

function plus(bytes: number[], offset: number): number[] {
  const sum = [...bytes];
  let carry = offset;
  for (let at = sum.length - 1; at >= 0 && carry > 0; at--) {
    const value = (sum[at] ?? 0) + (carry % 256);
    sum[at] = value % 256;
    carry = Math.floor(carry / 256) + Math.floor(value / 256);
  }
  return sum;
}
