import { randomInt } from "node:crypto";
import { connect, type TLSSocket } from "node:tls";
import { frame, frameReader } from "../wire/tcp-frame.ts";
import type { Exchanged } from "./exchange.ts";
import { untilAborted } from "./exchange.ts";
import type { Upstream } from "./upstream.ts";
import { type Asked, matchAnswer, upstreamQuery } from "./upstream-query.ts";

/** A connection that nobody used for this long is ended. */
const IDLE_MS = 10_000;

/** Questions to one upstream by TLS. */
export interface TlsClient {
  /** @throws The connection's error, or the signal's reason. */
  ask(asked: Asked, signal: AbortSignal): Promise<Exchanged>;
  close(): void;
}

interface Waiting {
  readonly query: Buffer;
  resolve(answer: Exchanged): void;
  reject(reason: unknown): void;
}

/**
 * DNS over TLS (RFC 7858) on one connection, which is made when there is something to ask and takes all questions at once (§3.3). The
 * upstream has to prove the name that is configured (RFC 8310 §8.1): there is no fallback to plain text.
 */
export function tlsClient({ address, port, tls }: Upstream): TlsClient {
  const waiting = new Map<number, Waiting>();
  let current: TLSSocket | undefined;

  function connection(): TLSSocket {
    if (current !== undefined && !current.destroyed && current.writable) return current;
    const socket = connect({
      host: address,
      port,
      servername: tls?.name ?? "",
      ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
      minVersion: "TLSv1.2",
    });
    const read = frameReader(0xffff);
    socket.setNoDelay(true);
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    socket.on("data", (chunk) => {
      for (const answer of read(chunk) ?? []) take(answer);
    });
    socket.on("error", (error) => end(socket, error));
    socket.on("close", () => end(socket, new Error("it closed the connection without an answer")));
    current = socket;
    return socket;
  }

  function take(answer: Buffer): void {
    const one = answer.length < 12 ? undefined : waiting.get(answer.readUInt16BE(0));
    const match = one === undefined ? "no" : matchAnswer(one.query, answer);
    if (match !== "no") one?.resolve({ answer, keepsCase: match === "yes" });
  }

  function end(socket: TLSSocket, error: unknown): void {
    if (current !== socket) return;
    current = undefined;
    for (const { reject } of waiting.values()) reject(error);
  }

  function freeId(): number {
    for (;;) {
      const id = randomInt(0x10000);
      if (!waiting.has(id)) return id;
    }
  }

  return {
    ask(asked, signal) {
      const { promise, resolve, reject } = Promise.withResolvers<Exchanged>();
      const id = freeId();
      const query = upstreamQuery(asked, id, false);
      waiting.set(id, { query, resolve, reject });
      connection().write(frame(query));
      return untilAborted(promise, reject, signal).finally(() => waiting.delete(id));
    },
    close() {
      current?.destroy();
    },
  };
}
