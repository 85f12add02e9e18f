import ipaddr from "ipaddr.js";
import { ISTIO_VIP_RANGES } from "./ranges.ts";
import { SPECIAL_DOMAINS } from "./special-names.ts";

/** Addresses that are not to be endpoints. */
export interface Reserved {
  readonly ranges: readonly string[];
  /** What an address in them is, reads on from it: `must be reachable from the mesh (not link-local)`. */
  readonly why: string;
  /** Whether an operator may admit them all the same, by a range that names nothing else. */
  readonly mayBeAllowed: boolean;
}

/** Why a call to a VIP is none. */
export const LOOPS = "is in a range of VIPs: a call to it would loop back into the mesh";

/**
 * Addresses at which no registry's service can be, or which are the caller's own machine or network; whose owner is in no position to
 * choose them. RFC 1122 §3.2.1.3, RFC 4291, RFC 3927.
 *
 * The services of clouds that give out credentials and configuration are at link-local addresses nearly everywhere; the others
 * are those of AWS (IMDS, ECS, EKS), Google Cloud, Azure (WireServer), Alibaba Cloud, Oracle Cloud, Scaleway, Linode, UCloud and Volcengine.
 */
export const RESERVED: readonly Reserved[] = [
  {
    ranges: ["0.0.0.0/8", "::/128"],
    why: "must be the address of one machine (not the unspecified address)",
    mayBeAllowed: false,
  },
  { ranges: ["255.255.255.255/32"], why: "must be the address of one machine (not broadcast)", mayBeAllowed: false },
  {
    ranges: ["224.0.0.0/4", "ff00::/8"],
    why: "must be the address of one machine (not multicast)",
    mayBeAllowed: false,
  },
  { ranges: Object.values(ISTIO_VIP_RANGES), why: LOOPS, mayBeAllowed: false },
  {
    ranges: ["127.0.0.0/8", "::1/128"],
    why: "must be reachable from the mesh (loopback is the caller's own; endpoints.allow may admit it)",
    mayBeAllowed: true,
  },
  {
    ranges: ["169.254.0.0/16", "fe80::/10"],
    why: "must be reachable from the mesh (not link-local); endpoints.allow may admit it",
    mayBeAllowed: true,
  },
  {
    ranges: [
      ...["169.254.169.254/32", "169.254.170.2/32", "169.254.170.23/32", "fe80::a9fe:a9fe/128"],
      ...["fd00:ec2::/32", "fd20:ce::254/128", "168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32"],
      ...["fd00:42::42/128", "fd00:a9fe:a9fe::/64", "100.80.80.80/32", "100.96.0.96/32"],
    ],
    why: "must not be a cloud's metadata service, which gives out credentials; endpoints.allow may admit it by itself",
    mayBeAllowed: true,
  },
];

/** Domains in which no registry's service can be: `svc` is what search domains make a Service of. */
export const RESERVED_DOMAINS: readonly string[] = [...SPECIAL_DOMAINS, "arpa", "svc"];

/** Names of clouds' metadata services: Google Cloud, AWS, Alibaba Cloud's and others go by address only. */
export const METADATA_DOMAINS: readonly string[] = [
  "metadata.google.internal",
  "metadata.goog",
  "instance-data.ec2.internal",
];

/**
 * The address, and all IPv4 addresses to which an IPv6 one leads by its form: IPv4-mapped, -compatible and -translated (RFC 4291 §2.5.5,
 * RFC 2765), NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056), Teredo (RFC 4380: server and client) and ISATAP (RFC 5214).
 *
 * @param address canonical text
 */
export function addressForms(address: string): readonly string[] {
  if (!address.includes(":")) return [address];
  const bytes = ipaddr.parse(address).toByteArray();
  return [address, ...new Set(embedded(bytes).map((four) => four.join(".")))];
}

function embedded(bytes: readonly number[]): readonly (readonly number[])[] {
  const at = (...places: readonly number[]) => places.map((place) => bytes[place] ?? 0);
  const isZero = (from: number, to: number) => bytes.slice(from, to).every((byte) => byte === 0);
  const begins = (...first: readonly number[]) => first.every((byte, place) => bytes[place] === byte);
  const last = at(12, 13, 14, 15);
  const isPlain = isZero(0, 15) && (bytes[15] ?? 0) < 2; // :: and ::1
  if (isZero(0, 12)) return isPlain ? [] : [last];
  if (isZero(0, 10) && bytes[10] === 0xff && bytes[11] === 0xff) return [last];
  if (isZero(0, 8) && bytes[8] === 0xff && bytes[9] === 0xff && isZero(10, 12)) return [last];
  const found: (readonly number[])[] = [];
  if (begins(0, 0x64, 0xff, 0x9b) && isZero(4, 12)) found.push(last);
  if (begins(0, 0x64, 0xff, 0x9b, 0, 1)) {
    // Where the IPv4 address is goes by the length of the prefix; behind it all is zero.
    if (isZero(11, 16)) found.push(at(6, 7, 9, 10));
    if (isZero(12, 16)) found.push(at(7, 9, 10, 11));
    if (isZero(13, 16)) found.push(at(9, 10, 11, 12));
    found.push(last);
    return found.filter(([first]) => first !== 0); // read with the wrong length, addresses mostly begin with 0
  }
  if (begins(0x20, 0x02)) found.push(at(2, 3, 4, 5));
  if (begins(0x20, 0x01, 0, 0))
    found.push(
      at(4, 5, 6, 7),
      last.map((byte) => byte ^ 0xff),
    );
  if ((bytes[8] === 0 || bytes[8] === 2) && bytes[9] === 0 && bytes[10] === 0x5e && bytes[11] === 0xfe)
    found.push(last);
  return found;
}
