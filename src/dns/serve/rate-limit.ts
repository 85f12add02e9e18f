import { randomInt } from "node:crypto";
import ipaddr from "ipaddr.js";
import type { Verdict } from "../respond/options.ts";

/** How many answers the clients of one network get. */
export interface RateLimit {
  /** By each thread. */
  readonly perSecond: number;
  /** Every so manieth answer over the limit is truncated, so that a real client asks again by TCP; the others are dropped. 0: all are. */
  readonly slip: number;
}

const BUCKETS = 1 << 14;
/** What a network may use up at once, in seconds of its rate. */
const BURST_MS = 1000;
/** Adding the cost of an answer to a reading of the clock rounds: by far less than this, however long the machine is up. */
const ROUNDING_MS = 1e-3;

/**
 * Limits what a forger can make this server send to someone (BIND's response rate limiting, in short): by IPv4 /24 and IPv6 /56. Memory is a
 * fixed number of buckets; networks whose seeded hashes meet share one.
 */
export function rateLimiter(
  { perSecond, slip }: RateLimit,
  nowMs: () => number = () => performance.now(),
): (address: string) => Verdict {
  const seed = randomInt(2 ** 31);
  /** When the bucket will have leaked empty. */
  const emptyAtMs = new Float64Array(BUCKETS);
  const over = new Uint32Array(BUCKETS);
  const costMs = 1000 / perSecond;
  return (address) => {
    const bucket = hashOf(networkOf(address), seed) & (BUCKETS - 1);
    const now = nowMs();
    const filled = Math.max(emptyAtMs[bucket] as number, now) + costMs;
    if (filled - now <= BURST_MS + ROUNDING_MS) {
      emptyAtMs[bucket] = filled;
      return "answer";
    }
    const count = (over[bucket] as number) + 1;
    over[bucket] = count;
    return slip > 0 && count % slip === 0 ? "truncate" : "drop";
  };
}

function networkOf(address: string): string {
  if (!address.includes(":")) return address.slice(0, address.lastIndexOf("."));
  return ipaddr.isValid(address) ? ipaddr.parse(address).toByteArray().slice(0, 7).join() : address;
}

/** FNV-1a. */
function hashOf(text: string, seed: number): number {
  let hash = seed;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash ^ (hash >>> 15);
}
