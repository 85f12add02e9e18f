import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { connect, isIPv6 } from "node:net";
import { isTruncated } from "../wire/header.ts";
import { frame, frameReader } from "../wire/tcp-frame.ts";
import type { Upstream } from "./upstream.ts";
import { type Asked, matchAnswer, upstreamQuery } from "./upstream-query.ts";

/** One question to one upstream by UDP or TCP. */
export interface Exchange {
  readonly asked: Asked;
  readonly upstream: Upstream;
  /** Whether to ask in random case. */
  readonly mixCase: boolean;
  readonly signal: AbortSignal;
}

/** What came back. */
export interface Exchanged {
  readonly answer: Buffer;
  /** Whether the answer has the question as it was sent. */
  readonly keepsCase: boolean;
}

/**
 * Ask by UDP, and by TCP what UDP cannot tell: a truncated answer (RFC 7766 §5), and one whose question has letters in another case, which
 * may be forged.
 *
 * Every question gets a random ID and a socket of its own, so a random port (RFC 5452 §9.2), connected, so that the kernel drops what
 * others send; what does not match is ignored (§9.1).
 *
 * @throws The socket's error, or the signal's reason.
 */
export async function exchange(what: Exchange): Promise<Exchanged> {
  const answer = await exchangeByUdp(what);
  if (answer !== undefined && !isTruncated(answer)) return { answer, keepsCase: true };
  return exchangeByTcp(what);
}

/** Undefined when only an answer in another case came. */
function exchangeByUdp({ asked, upstream, mixCase, signal }: Exchange): Promise<Buffer | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer | undefined>();
  const query = upstreamQuery(asked, randomInt(0x10000), mixCase);
  const socket = createSocket(isIPv6(upstream.address) ? "udp6" : "udp4");
  socket.on("error", reject);
  socket.on("message", (message) => {
    const match = matchAnswer(query, message);
    if (match !== "no") resolve(match === "yes" ? message : undefined);
  });
  // Node throws when asked to send on a socket that was closed meanwhile.
  socket.on("connect", () => !signal.aborted && socket.send(query));
  socket.connect(upstream.port, upstream.address);
  return untilAborted(promise, reject, signal).finally(() => socket.close());
}

function exchangeByTcp({ asked, upstream, mixCase, signal }: Exchange): Promise<Exchanged> {
  const { promise, resolve, reject } = Promise.withResolvers<Exchanged>();
  const query = upstreamQuery(asked, randomInt(0x10000), mixCase);
  const socket = connect({ host: upstream.address, port: upstream.port });
  const read = frameReader(0xffff);
  socket.on("error", reject);
  socket.on("close", () => reject(new Error("it closed the connection without an answer")));
  socket.on("data", (chunk) => {
    for (const answer of read(chunk) ?? []) {
      const match = matchAnswer(query, answer);
      if (match !== "no") resolve({ answer, keepsCase: match === "yes" });
    }
  });
  socket.write(frame(query));
  return untilAborted(promise, reject, signal).finally(() => socket.destroy());
}

/** `promise`, or a rejection as soon as `signal` aborts. */
export async function untilAborted<T>(
  promise: Promise<T>,
  reject: (reason: unknown) => void,
  signal: AbortSignal,
): Promise<T> {
  const abort = () => reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort);
  try {
    return await promise;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
