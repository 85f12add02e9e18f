import { setTimeout as sleep } from "node:timers/promises";
import { allowList, firstMatch } from "./allow.ts";
import { type AnswerTable, zonesByName } from "./answer.ts";
import { cookies } from "./cookies.ts";
import { forwarder } from "./forward.ts";
import { holdQuestions } from "./hold.ts";
import { countInFlight } from "./in-flight.ts";
import { type Listener, listenAll } from "./listen.ts";
import { loopProbe } from "./loop-probe.ts";
import type { NamesMaker } from "./names.ts";
import { questionCounts } from "./questions.ts";
import { quickRelay } from "./quick-relay.ts";
import { quietLog } from "./quiet-log.ts";
import { rateLimiter } from "./rate-limit.ts";
import { OF_OTHERS, readyAnswers } from "./ready-answers.ts";
import { resolver } from "./resolver.ts";
import { responder } from "./respond.ts";
import { sampler } from "./sample.ts";
import type { DnsLimits, DnsServer, DnsServerOptions } from "./server.ts";
import { tally } from "./tally.ts";
import { countConnections } from "./tcp.ts";
import { tellWanted } from "./wanted.ts";

/** What one thread needs to answer. */
export interface ThreadOptions extends Omit<DnsServerOptions, "table" | "workers"> {
  readonly names: NamesMaker;
  readonly cookieSecret: Uint8Array;
  /** Whether this thread also takes TCP; of several threads one does, so that its limits hold for all. */
  readonly tcp: boolean;
  /** How long ready-made answers may wait to be counted. Default 0. */
  readonly tallyMs?: number;
  /** Whether other threads listen on the same ports. */
  readonly reusePort: boolean;
}

const DEFAULT_LIMITS: DnsLimits = {
  maxConnections: 256,
  maxConnectionsPerClient: 32,
  idleMs: 10_000,
  maxHeld: 256,
  maxForwarded: 512,
  upstreamTimeoutMs: 2000,
};

/** For each thread. */
const DEFAULT_CACHE_BYTES = 16 * 2 ** 20;

/** How often questions are told of by name. */
const COUNT_MS = 1000;

/** How long a stop waits for answers under way, then for the SERVFAILs that replace them. Together well under 1 s. */
const STOP_GRACE_MS = 600;
const STOP_FLUSH_MS = 100;

/**
 * A DNS server in one thread. Shares nothing with those of other threads.
 *
 * @throws {Error} When a range in `allow` cannot be read.
 */
export function dnsThread(options: ThreadOptions): Pick<DnsServer, "start" | "stop"> {
  const { hooks = {}, tcp, reusePort, forward, ttlSeconds } = options;
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const log = quietLog(options.log);
  const isAllowed = allowList(options.allow);
  const inFlight = countInFlight();
  const hold = holdQuestions({ limit: limits.maxHeld });
  const loops = loopProbe(options.cookieSecret);
  const upstreams = forwarder({
    ...{ timeoutMs: limits.upstreamTimeoutMs, maxInFlight: limits.maxForwarded, log },
    ...{ probe: loops.beside, isLoop: loops.isOurs },
  });
  const known = resolver({ forwarder: upstreams, maxBytes: options.cacheBytes ?? DEFAULT_CACHE_BYTES });
  const zones = { byName: zonesByName(options.zones) };
  const recursionAvailable = forward.length > 0 || options.zones.some((zone) => zone.forward.length > 0);
  const counts = tally(hooks, "table", options.tallyMs ?? 0);
  const cacheCounts = tally(hooks, "cache", options.tallyMs ?? 0);
  const quickly = quickRelay({ resolver: known, recursionAvailable, onAnswer: cacheCounts.add });
  const questions = hooks.onQuestions === undefined ? undefined : questionCounts();
  const names = options.names((table) =>
    readyAnswers({
      ...{ zones, ttlSeconds, recursionAvailable, table, onAnswer: counts.add },
      ...(questions === undefined ? {} : { questions }),
    }),
  );
  const { nsid, tellsServices = false } = options;
  const answering = { ttlSeconds, forward, zones, recursionAvailable, nsid, tellsServices };
  const viewOf = firstMatch(options.views ?? []);
  const isForwarder = allowList(options.clientSubnetFrom ?? []);
  const admit = options.rateLimit === undefined ? undefined : rateLimiter(options.rateLimit);
  const isLogged = options.queryLog === undefined ? undefined : sampler(options.queryLog);
  const common = { ...answering, viewOf, isForwarder, cookies: cookies(options.cookieSecret), isAllowed, hooks, log };
  const table = (): AnswerTable | undefined => names.current()?.table;
  const onAsked = questions?.add;
  const onWanted = hooks.onWanted === undefined ? undefined : tellWanted(hooks.onWanted);
  const respond = responder({ ...common, table, resolver: known, loops, hold, onAsked, onWanted });
  let listeners: readonly Listener[] = [];
  let counting: NodeJS.Timeout | undefined;

  function fast(packet: Buffer, address: string, out: Buffer): number {
    try {
      const state = names.current();
      if (state === undefined || !isAllowed(address) || (viewOf(address)?.answer ?? "vips") !== "vips") return 0;
      const length = state.ready.answer(packet, out, address);
      return length === OF_OTHERS ? quickly(packet, out) : length;
    } catch {
      return 0; // The full path meets the same fault, and tells.
    }
  }

  function tellQuestions(): void {
    const told = questions?.flush((name) => names.current()?.ready.takeCount(name) ?? 0) ?? [];
    if (told.length > 0) hooks.onQuestions?.(told);
  }

  return {
    async start() {
      fast(Buffer.alloc(0), "", Buffer.alloc(0)); // The names are taken over before the first question comes.
      const { idleMs } = limits;
      const connections = countConnections(limits);
      const listen = {
        fast,
        respond,
        admit,
        isLogged,
        onDuration: hooks.onDuration,
        inFlight,
        log,
        reusePort,
        tcp,
        isAllowed,
        connections,
        idleMs,
      };
      const bound = await listenAll(options.listen, listen);
      listeners = bound.listeners;
      if (questions !== undefined) counting = setInterval(tellQuestions, COUNT_MS).unref();
      return bound.addresses;
    },
    async stop() {
      for (const listener of listeners) listener.wind();
      await Promise.race([inFlight.idle(), sleep(STOP_GRACE_MS, undefined, { ref: false })]);
      hold.release();
      upstreams.close();
      await Promise.race([inFlight.idle(), sleep(STOP_FLUSH_MS, undefined, { ref: false })]);
      await Promise.all(listeners.map((listener) => listener.close()));
      listeners = [];
      clearInterval(counting);
      tellQuestions();
      counts.flush();
      cacheCounts.flush();
    },
  };
}
