import type { Socket } from "node:net";
import type { Respond } from "../respond/options.ts";
import type { Turns } from "../share/turns.ts";
import { HEADER_BYTES } from "../wire/sizes.ts";
import { frame, frameReader } from "../wire/tcp-frame.ts";
import type { InFlight } from "./in-flight.ts";

/** The largest query taken by TCP; a real one has one name and a few options. */
const MAX_QUERY_BYTES = 4096;
/** Queries of one connection that may wait for their answers; then it is read no further. */
const MAX_PIPELINED = 64;
/** Queries that one connection begins before it is the turn of the next. */
const QUERIES_AT_ONCE = 16;
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
  /** Shared by all connections: what they pipeline must not keep this thread from other clients. */
  readonly turns: Turns;
  /** Called for each whole query and each answer. */
  readonly onActive: () => void;
}

/** A connection that is served. */
export interface Connection {
  /** Take no more queries, and end the connection after the answers to all that was received. */
  drain(): void;
}

interface State extends ConnectionOptions {
  readonly socket: Socket;
  readonly read: ReturnType<typeof frameReader>;
  /** Closes the connection. Not socket.setTimeout: that one starts anew with every octet, so a slow sender could stay for ever. */
  readonly idle: NodeJS.Timeout;
  /** Queries that were received and not yet begun. */
  readonly waiting: Buffer[];
  /** Queries whose answers are under way. */
  pending: number;
  /** Whether further queries are taken. */
  isTaking: boolean;
  isProceeding: boolean;
  /** Whether it waits for its turn. */
  isQueued: boolean;
}

/** Serve one connection until it is closed. */
export function serveConnection(socket: Socket, options: ConnectionOptions): Connection {
  const state: State = {
    ...options,
    socket,
    read: frameReader(MAX_QUERY_BYTES),
    idle: setTimeout(() => onIdle(state), options.idleMs),
    waiting: [],
    pending: 0,
    isTaking: true,
    isProceeding: false,
    isQueued: false,
  };
  const drain = () => {
    state.isTaking = false;
    proceed(state);
  };
  socket.on("data", (chunk) => receive(state, chunk));
  socket.on("drain", () => proceed(state));
  socket.on("end", drain);
  socket.on("close", () => clearTimeout(state.idle));
  return { drain };
}

function onIdle({ socket, idle, pending }: State): void {
  // An upstream may be slower than the time that clients have; its answers are bounded in time by the forwarder.
  if (pending > 0 && socket.writableLength === 0) idle.refresh();
  else socket.destroy();
}

function receive(state: State, chunk: Buffer): void {
  if (!state.isTaking) return;
  const packets = state.read(chunk);
  // Without a header there is no ID to answer to. A client that sends that, or a query this long, does not use DNS.
  if (packets === undefined || packets.some((packet) => packet.length < HEADER_BYTES)) {
    state.socket.destroy();
    return;
  }
  state.waiting.push(...packets);
  proceed(state);
}

/** Begin with what waits as far as the limits allow, and end the connection once all is done. */
function proceed(state: State): void {
  const { socket, waiting, turns } = state;
  if (state.isProceeding || state.isQueued) return;
  state.isProceeding = true;
  for (let begun = 0; waiting.length > 0 && !isBusy(state); begun++) {
    if (begun === QUERIES_AT_ONCE || !turns.take()) {
      proceedLater(state);
      break;
    }
    const packet = waiting.shift();
    if (packet !== undefined) answer(state, packet);
  }
  state.isProceeding = false;
  if ((isBusy(state) || state.isQueued) && state.isTaking) socket.pause();
  else socket.resume();
  if (!state.isTaking && state.pending === 0 && waiting.length === 0) socket.destroySoon();
}

function proceedLater(state: State): void {
  const { turns, inFlight } = state;
  state.isQueued = true;
  inFlight.begin();
  turns.later(() => {
    state.isQueued = false;
    proceed(state);
    inFlight.end();
  });
}

function isBusy({ socket, pending }: State): boolean {
  return socket.destroyed || pending >= MAX_PIPELINED || socket.writableLength > MAX_UNREAD_BYTES;
}

function answer(state: State, packet: Buffer): void {
  const { client, respond, inFlight } = state;
  state.pending++;
  stayOpen(state);
  if (!state.isAllowed(client)) {
    state.isTaking = false;
    state.waiting.length = 0;
  }
  const reply = respond(packet, client, "tcp", { isLogged: state.isLogged?.() ?? false });
  if (reply instanceof Promise) inFlight.track(reply.then((late) => send(state, late)));
  else send(state, reply);
}

function send(state: State, reply: Buffer | undefined): void {
  const { socket, inFlight } = state;
  state.pending--;
  if (reply !== undefined && !socket.destroyed) {
    stayOpen(state);
    inFlight.begin();
    socket.write(frame(reply), () => inFlight.end());
  }
  proceed(state);
}

function stayOpen({ idle, onActive }: State): void {
  idle.refresh();
  onActive();
}
