import { setTimeout as sleep } from "node:timers/promises";
import { countDropped } from "../observe/dropped.ts";
import { quietLog } from "../observe/quiet-log.ts";
import { sampler } from "../observe/sampler.ts";
import { turns } from "../share/turns.ts";
import { answering } from "./answering.ts";
import { countInFlight } from "./in-flight.ts";
import { type Listener, listenAll } from "./listen.ts";
import type { DnsLimits, DnsServer, ThreadOptions } from "./options.ts";
import { rateLimiter } from "./rate-limit.ts";
import { connectionShares } from "./tcp.ts";

const DEFAULT_LIMITS: DnsLimits = {
  maxConnections: 256,
  maxConnectionsPerClient: 32,
  idleMs: 10_000,
  maxHeld: 256,
  maxForwarded: 512,
  upstreamTimeoutMs: 2000,
};

/** Queries by TCP in a turn of the event loop: they take some milliseconds, which those by UDP wait. */
const TCP_PER_TURN = 128;

/** How often questions are reported by name. */
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
  const { hooks = {}, tcp, reusePort } = options;
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const log = quietLog(options.log);
  const dropped = countDropped(hooks, log);
  const inFlight = countInFlight();
  const { respond, isAllowed, hold, upstreams, fast, reportQuestions, flush } = answering(options, limits, {
    log,
    dropped,
  });
  const admit = options.rateLimit === undefined ? undefined : rateLimiter(options.rateLimit);
  const isLogged = options.queryLog === undefined ? undefined : sampler(options.queryLog);
  let listeners: readonly Listener[] = [];
  let counting: NodeJS.Timeout | undefined;
  return {
    async start() {
      fast(Buffer.alloc(0), "", Buffer.alloc(0)); // The names are loaded before the first question comes.
      const bound = await listenAll(options.listen, {
        ...{ fast, respond, admit, isLogged, isAllowed, inFlight, log, reusePort, tcp },
        onDuration: hooks.onDuration,
        connections: connectionShares(limits, (client) => dropped("connection", client)),
        idleMs: limits.idleMs,
        turns: turns(TCP_PER_TURN),
      });
      listeners = bound.listeners;
      if (hooks.onQuestions !== undefined) counting = setInterval(reportQuestions, COUNT_MS).unref();
      return bound.addresses;
    },
    async stop() {
      for (const listener of listeners) listener.drain();
      await Promise.race([inFlight.idle(), sleep(STOP_GRACE_MS, undefined, { ref: false })]);
      hold.release();
      upstreams.close();
      await Promise.race([inFlight.idle(), sleep(STOP_FLUSH_MS, undefined, { ref: false })]);
      await Promise.all(listeners.map((listener) => listener.close()));
      listeners = [];
      clearInterval(counting);
      reportQuestions();
      flush();
    },
  };
}
