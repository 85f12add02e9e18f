import type { Socket } from "node:net";
import type { InFlight } from "./in-flight.ts";
import type { Respond } from "./respond.ts";
import { frame, frameReader } from "./tcp-frame.ts";
import { HEADER_BYTES } from "./wire-name.ts";

/** The largest query taken by TCP; a real one has one name and a few options. */
const MAX_QUERY_BYTES = 4096;
/** Queries of one connection that may wait for their answers; then it is read no further. */
const MAX_PIPELINED = 64;
/** Octets of answers that a client may leave unread; then it is read no further. */
const MAX_UNREAD_BYTES = 128 * 1024;

/** What serving a connection needs. */
export interface ConnectionOptions {
  /** The client's address, IPv4-mapped ones as IPv4. */
  readonly client: string;
  readonly respond: Respond;
  /** Whether this question is in the sample of the query log. */
  readonly isLogged?: (() => boolean) | undefined;
  readonly isAllowed: (address: string) => boolean;
  readonly inFlight: InFlight;
  /** Time without a whole query or an answer after which the connection is closed (RFC 7766 §6.2.3). */
  readonly idleMs: number;
}

/** Serve one connection until it is closed. `wind` ends it after the answers to all that was received. */
export function serveConnection(socket: Socket, options: ConnectionOptions): { readonly wind: () => void } {
  const { client, respond, isLogged, isAllowed, inFlight, idleMs } = options;
  const read = frameReader(MAX_QUERY_BYTES);
  const waiting: Buffer[] = [];
  let pending = 0;
  let isTaking = true;
  let isProceeding = false;

  // Not socket.setTimeout: that one starts anew with every octet, so a slow sender could stay for ever.
  const idle = setTimeout(onIdle, idleMs);

  function onIdle() {
    // An upstream may be slower than we are patient with clients; its answers are bounded in time by the forwarder.
    if (pending > 0 && socket.writableLength === 0) idle.refresh();
    else socket.destroy();
  }

  function take(packet: Buffer) {
    pending++;
    idle.refresh();
    if (!isAllowed(client)) {
      isTaking = false;
      waiting.length = 0;
    }
    const reply = respond(packet, client, "tcp", { isLogged: isLogged?.() ?? false });
    if (reply instanceof Promise) inFlight.track(reply.then(send));
    else send(reply);
  }

  function send(reply: Buffer | undefined) {
    pending--;
    if (reply !== undefined && !socket.destroyed) {
      idle.refresh();
      inFlight.begin();
      socket.write(frame(reply), () => inFlight.end());
    }
    proceed();
  }

  function isBusy(): boolean {
    return socket.destroyed || pending >= MAX_PIPELINED || socket.writableLength > MAX_UNREAD_BYTES;
  }

  function proceed() {
    if (isProceeding) return;
    isProceeding = true;
    while (!isBusy()) {
      const packet = waiting.shift();
      if (packet === undefined) break;
      take(packet);
    }
    isProceeding = false;
    if (isBusy() && isTaking) socket.pause();
    else socket.resume();
    if (!isTaking && pending === 0 && waiting.length === 0) socket.destroySoon();
  }

  function onData(chunk: Buffer) {
    if (!isTaking) return;
    const packets = read(chunk);
    // Without a header there is no ID to answer to, and whoever sends that, or a query this long, does not speak DNS.
    if (packets === undefined || packets.some((packet) => packet.length < HEADER_BYTES)) {
      socket.destroy();
      return;
    }
    waiting.push(...packets);
    proceed();
  }

  function wind() {
    isTaking = false;
    proceed();
  }

  socket.on("data", onData);
  socket.on("drain", proceed);
  socket.on("end", wind);
  socket.on("close", () => clearTimeout(idle));
  return { wind };
}
