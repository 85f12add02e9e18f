import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { connect, isIPv6 } from "node:net";
import type { Upstream } from "./answer.ts";
import { RCODE } from "./codes.ts";
import { isAnswerTo, isTruncated, type Query, rcodeOf, withId } from "./message.ts";
import type { DnsLog } from "./quiet-log.ts";
import { frame, frameReader } from "./tcp-frame.ts";

/** How a question came in. */
export type Transport = "udp" | "tcp";

/** Asks other DNS servers on behalf of our clients. */
export interface Forwarder {
  /**
   * The first upstream's answer as it came, ID and AA still the upstream's; undefined if there is none to give.
   * An upstream that is silent, unreachable, or answers SERVFAIL or REFUSED is followed by the next; if all do, the last answer stands.
   */
  ask(query: Query, upstreams: readonly Upstream[], transport: Transport): Promise<Buffer | undefined>;
  /** Give up on every question under way. */
  close(): void;
}

/** Limits of a forwarder. */
export interface ForwardOptions {
  /** For each upstream, its retry by TCP included. Default 2000. */
  readonly timeoutMs?: number;
  /** Questions under way at a time; beyond, `ask` gives undefined. Default 512. */
  readonly maxInFlight?: number;
  readonly log: DnsLog;
}

interface Exchange {
  readonly query: Query;
  readonly upstream: Upstream;
  readonly signal: AbortSignal;
}

/**
 * A relay without memory. Every question gets a random ID and a socket of its own, so a random port (RFC 5452 §9.2), connected, so
 * that the kernel drops what others send; what does not match the ID and the question, case included, is not seen (§9.1).
 *
 * A truncated answer is asked for again by TCP if our client uses TCP; to a UDP client it goes as it is (RFC 7766 §5).
 * dns2's clients are not used: they cannot carry someone's query as it is, and they do not compare the question.
 */
export function forwarder({ timeoutMs = 2000, maxInFlight = 512, log }: ForwardOptions): Forwarder {
  const attempts = new Set<AbortController>();
  let inFlight = 0;
  let isClosed = false;

  async function askOne(query: Query, upstream: Upstream, transport: Transport): Promise<Buffer> {
    const attempt = new AbortController();
    const timer = setTimeout(() => attempt.abort(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    attempts.add(attempt);
    try {
      const exchange = { query, upstream, signal: attempt.signal };
      const answer = await exchangeByUdp(exchange);
      return transport === "tcp" && isTruncated(answer) ? await exchangeByTcp(exchange) : answer;
    } finally {
      clearTimeout(timer);
      attempts.delete(attempt);
    }
  }

  async function askAll(
    query: Query,
    upstreams: readonly Upstream[],
    transport: Transport,
  ): Promise<Buffer | undefined> {
    let answer: Buffer | undefined;
    for (const upstream of upstreams) {
      try {
        answer = await askOne(query, upstream, transport);
        if (rcodeOf(answer) !== RCODE.SERVFAIL && rcodeOf(answer) !== RCODE.REFUSED) return answer;
      } catch (error) {
        if (isClosed) return undefined;
        log.warn({ upstream: `${upstream.address}:${upstream.port}`, error }, "an upstream does not answer");
      }
    }
    return answer;
  }

  return {
    async ask(query, upstreams, transport) {
      if (isClosed || inFlight >= maxInFlight) return undefined;
      inFlight++;
      try {
        return await askAll(query, upstreams, transport);
      } finally {
        inFlight--;
      }
    },
    close() {
      isClosed = true;
      for (const attempt of attempts) attempt.abort(new Error("the server stops"));
    },
  };
}

function exchangeByUdp({ query, upstream, signal }: Exchange): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const id = randomInt(0x10000);
  const socket = createSocket(isIPv6(upstream.address) ? "udp6" : "udp4");
  socket.on("error", reject);
  socket.on("message", (message) => {
    if (isAnswerTo(query, id, message)) resolve(message);
  });
  // Node throws when asked to send on a socket that was closed meanwhile.
  socket.on("connect", () => !signal.aborted && socket.send(withId(query.packet, id)));
  socket.connect(upstream.port, upstream.address);
  return untilAborted(promise, reject, signal).finally(() => socket.close());
}

function exchangeByTcp({ query, upstream, signal }: Exchange): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const id = randomInt(0x10000);
  const socket = connect({ host: upstream.address, port: upstream.port });
  const read = frameReader(0xffff);
  socket.on("error", reject);
  socket.on("close", () => reject(new Error("it closed the connection without an answer")));
  socket.on("data", (chunk) => {
    for (const message of read(chunk) ?? []) if (isAnswerTo(query, id, message)) resolve(message);
  });
  socket.write(frame(withId(query.packet, id)));
  return untilAborted(promise, reject, signal).finally(() => socket.destroy());
}

async function untilAborted(
  promise: Promise<Buffer>,
  reject: (reason: unknown) => void,
  signal: AbortSignal,
): Promise<Buffer> {
  const abort = () => reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort);
  try {
    return await promise;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
