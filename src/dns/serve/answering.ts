import type { AnswerTable } from "../answer/table.ts";
import { zonesByName } from "../answer/zones.ts";
import { type Forwarder, forwarder } from "../forward/forward.ts";
import { loopProbe } from "../forward/loop-probe.ts";
import { quickRelay } from "../forward/quick-relay.ts";
import { resolver } from "../forward/resolver.ts";
import { tally } from "../observe/answer-tally.ts";
import type { OnDropped } from "../observe/dropped.ts";
import { questionCounts } from "../observe/question-counts.ts";
import type { DnsLog } from "../observe/quiet-log.ts";
import { reportWanted } from "../observe/report-wanted.ts";
import { OF_OTHERS, readyAnswers } from "../ready/ready-answers.ts";
import { type Hold, holdQuestions } from "../respond/hold.ts";
import type { Respond } from "../respond/options.ts";
import { responder } from "../respond/respond.ts";
import { cookies } from "../wire/cookies.ts";
import { allowList, firstMatch } from "./allow.ts";
import type { DnsLimits, ThreadOptions } from "./options.ts";

/** For each thread. */
const DEFAULT_CACHE_BYTES = 16 * 2 ** 20;

/** What answers packets in one thread, whatever they come by. */
export interface Answering {
  readonly respond: Respond;
  readonly isAllowed: (address: string) => boolean;
  readonly hold: Hold;
  readonly upstreams: Forwarder;
  /** Write an answer by UDP that lies ready to `out` and give its length; 0 leaves the packet to `respond`. */
  fast(packet: Buffer, address: string, out: Buffer): number;
  /** Report to the hooks which names were asked for since the last time. */
  reportQuestions(): void;
  /** Report to the hooks all answers that were counted. */
  flush(): void;
}

/**
 * Put together what answers.
 *
 * @throws {Error} When a range of clients cannot be read.
 */
export function answering(
  options: ThreadOptions,
  limits: DnsLimits,
  { log, dropped }: { readonly log: DnsLog; readonly dropped: OnDropped },
): Answering {
  const { hooks = {}, forward, ttlSeconds, nsid, tellsServices = false, tallyMs = 0 } = options;
  const isAllowed = allowList(options.allow);
  const viewOf = firstMatch(options.views ?? []);
  const isForwarder = allowList(options.clientSubnetFrom ?? []);
  const hold = holdQuestions({ limit: limits.maxHeld, onDropped: (client) => dropped("hold", client) });
  const loops = loopProbe(options.cookieSecret);
  const upstreams = forwarder({
    ...{ timeoutMs: limits.upstreamTimeoutMs, log },
    ...{ probe: loops.beside, isLoop: loops.isOurs },
  });
  const known = resolver({
    ...{ forwarder: upstreams, maxBytes: options.cacheBytes ?? DEFAULT_CACHE_BYTES, maxQuestions: limits.maxForwarded },
    onDropped: (client) => dropped("forward", client),
  });
  const zones = { byName: zonesByName(options.zones) };
  const recursionAvailable = forward.length > 0 || options.zones.some((zone) => zone.forward.length > 0);
  const fromTable = tally(hooks, "table", tallyMs);
  const fromCache = tally(hooks, "cache", tallyMs);
  const relayKnown = quickRelay({ resolver: known, recursionAvailable, onAnswer: fromCache.add });
  const questions = hooks.onQuestions === undefined ? undefined : questionCounts();
  const names = options.names((table) =>
    readyAnswers({
      ...{ zones, ttlSeconds, recursionAvailable, table, onAnswer: fromTable.add },
      ...(questions === undefined ? {} : { questions }),
    }),
  );
  const respond = responder({
    ...{ ttlSeconds, forward, zones, recursionAvailable, nsid, tellsServices },
    ...{ isAllowed, viewOf, isForwarder, cookies: cookies(options.cookieSecret), hooks, log },
    ...{ resolver: known, loops, hold },
    table: (): AnswerTable | undefined => names.current()?.table,
    onAsked: questions?.add,
    onWanted: hooks.onWanted === undefined ? undefined : reportWanted(hooks.onWanted),
  });
  return {
    ...{ respond, isAllowed, hold, upstreams },
    fast(packet, address, out) {
      try {
        const state = names.current();
        if (state === undefined || !isAllowed(address) || (viewOf(address)?.answer ?? "vips") !== "vips") return 0;
        const length = state.ready.answer(packet, out, address);
        return length === OF_OTHERS ? relayKnown(packet, out) : length;
      } catch {
        return 0; // The full path meets the same fault, and reports it.
      }
    },
    reportQuestions() {
      const counted = questions?.flush((name) => names.current()?.ready.takeCount(name) ?? 0) ?? [];
      if (counted.length > 0) hooks.onQuestions?.(counted);
    },
    flush() {
      fromTable.flush();
      fromCache.flush();
    },
  };
}
