import { writeForeign } from "../wire/foreign.ts";
import { appendOpt, askedType, isDnssecOk, plainQuestionEnd } from "../wire/plain-query.ts";
import { MAX_UDP_BYTES, OPT_BYTES } from "../wire/sizes.ts";
import type { Resolver } from "./resolver.ts";
import { keyMaker } from "./upstream-query.ts";

/** What passing on from memory needs. */
export interface QuickRelayOptions {
  readonly resolver: Pick<Resolver, "find">;
  readonly recursionAvailable: boolean;
  /** Called for every answer; must be quick. */
  readonly onAnswer: (type: number, rcode: number) => void;
}

/**
 * Writes what upstreams said lately to `out`, as the answer to a plain query by UDP for a name of others, and gives its length.
 * 0 leaves it to the full path: what is not known, not fresh or over 512 octets.
 */
export function quickRelay(options: QuickRelayOptions): (packet: Uint8Array, out: Buffer) => number {
  const { resolver, recursionAvailable, onAnswer } = options;
  const keyOf = keyMaker();
  return (packet, out) => {
    const end = plainQuestionEnd(packet);
    const dnssecOk = isDnssecOk(packet, end);
    const found = resolver.find(keyOf(packet, end, dnssecOk));
    if (found?.answer === undefined || found.staleTtlSeconds !== undefined) return 0;
    const { answer, ageSeconds } = found;
    if (answer.message.length + OPT_BYTES > MAX_UDP_BYTES || answer.rcode > 15) return 0;
    const length = writeForeign(answer, packet, out, { ageSeconds, recursionAvailable, dnssecOk });
    onAnswer(askedType(packet, end), answer.rcode);
    if (packet[11] === 0) return length;
    out[11] = (out[11] as number) + 1;
    return appendOpt(packet, end, out, length);
  };
}
