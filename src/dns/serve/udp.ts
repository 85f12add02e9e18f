import { createSocket, type RemoteInfo, type Socket, type SocketOptions } from "node:dgram";
import { once } from "node:events";
import { isIPv6 } from "node:net";
import type { DnsHooks } from "../observe/hooks.ts";
import type { DnsLog } from "../observe/quiet-log.ts";
import type { Respond, Verdict } from "../respond/options.ts";
import { MAX_UDP_BYTES } from "../wire/sizes.ts";
import type { InFlight } from "./in-flight.ts";

/** A bound UDP socket that answers. */
export interface UdpListener {
  readonly port: number;
  /** Take no more queries; answers under way still go out. */
  drain(): void;
  close(): Promise<void>;
}

/** What a UDP listener needs. */
export interface UdpOptions {
  readonly address: string;
  readonly port: number;
  readonly ipv6Only: boolean;
  /** Let other sockets of this process listen here too; the kernel spreads clients over them (SO_REUSEPORT). */
  readonly reusePort: boolean;
  /** Tried first: writes an answer to `out` and gives its length, or 0 to leave the packet to `respond`. */
  readonly fast: (packet: Buffer, address: string, out: Buffer) => number;
  readonly respond: Respond;
  /** Whether a client may have another answer; by default it may. */
  readonly admit?: ((address: string) => Verdict) | undefined;
  /** Whether this question is in the sample of the query log. */
  readonly isLogged?: (() => boolean) | undefined;
  readonly onDuration?: DnsHooks["onDuration"] | undefined;
  readonly inFlight: InFlight;
  readonly log: DnsLog;
}

/** Each 64th answer is timed. */
const TIMED_MASK = 63;

/** Answers between two checks of whether the kernel has taken them. */
const RING = 16;
/** Answers that may wait for the kernel to take them; beyond, they are dropped, as a full network would. */
const MOST_QUEUED = 1024;

/** What may wait in the kernel while this thread does something else; Linux grants at most net.core.rmem_max. */
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;

/** One socket and what is under way on it. */
interface State extends UdpOptions {
  readonly socket: Socket;
  /** Buffers for the next answers, and which is next. */
  ring: readonly AnswerBuffer[];
  next: number;
  /** Answers that waited for the kernel when the ring was last used up. */
  queued: number;
  /** Questions so far, to time some of them. */
  count: number;
  isClosed: boolean;
}

/**
 * Answer on a UDP port (RFC 1035 §4.2.1).
 *
 * @throws The system's error when the port cannot be bound.
 */
export async function listenUdp(options: UdpOptions): Promise<UdpListener> {
  const socket = createSocket(socketOptions(options));
  const state: State = { ...options, socket, ring: answerBuffers(), next: 0, queued: 0, count: 0, isClosed: false };
  const onMessage = (packet: Buffer, client: RemoteInfo) => receive(state, packet, client);
  await bind(socket, options.address, options.port);
  socket.on("error", (error) => reportError(state, error));
  socket.on("message", onMessage);
  return {
    port: socket.address().port,
    drain: () => void socket.off("message", onMessage),
    async close() {
      state.isClosed = true;
      socket.close();
      await once(socket, "close");
    },
  };
}

function receive(state: State, packet: Buffer, client: RemoteInfo): void {
  const { onDuration } = state;
  // Port 0 is reserved (RFC 768 lets it mean "no reply wanted"); Node throws when asked to send there.
  if (client.port === 0) return;
  const isTimed = onDuration !== undefined && (++state.count & TIMED_MASK) === 0;
  const startedMs = isTimed ? performance.now() : 0;
  const verdict = state.admit?.(client.address) ?? "answer";
  const isLogged = state.isLogged?.() ?? false;
  if (verdict === "answer" && !isLogged && sendReady(state, packet, client)) {
    if (isTimed) onDuration("ready", (performance.now() - startedMs) / 1000);
    return;
  }
  const reply = state.respond(packet, client.address, "udp", { verdict, isLogged });
  if (reply instanceof Promise) state.inFlight.track(sendLater(state, reply, client));
  else if (reply !== undefined) send(state, reply, client);
  if (isTimed && !(reply instanceof Promise)) onDuration("made", (performance.now() - startedMs) / 1000);
}

/** Answer at once from what lies ready; false if nothing does. */
function sendReady(state: State, packet: Buffer, client: RemoteInfo): boolean {
  const { socket } = state;
  const buffer = state.ring[state.next] as AnswerBuffer;
  const length = state.fast(packet, client.address, buffer.whole);
  if (length <= 0) return false;
  if (state.queued < MOST_QUEUED) socket.send(buffer.ofLength(length), client.port, client.address);
  if (++state.next === RING) renewRing(state);
  return true;
}

/** Usually the kernel has all answers by now. If not, their buffers are the socket's until they were sent. */
function renewRing(state: State): void {
  state.next = 0;
  state.queued = state.socket.getSendQueueCount();
  if (state.queued > 0) state.ring = answerBuffers();
}

function send(state: State, reply: Buffer, client: RemoteInfo): void {
  const { socket, inFlight } = state;
  if (state.isClosed || socket.getSendQueueCount() >= MOST_QUEUED) return;
  inFlight.begin();
  socket.send(reply, client.port, client.address, (error) => {
    inFlight.end();
    if (error) reportError(state, error);
  });
}

async function sendLater(state: State, reply: Promise<Buffer | undefined>, client: RemoteInfo): Promise<void> {
  const startedMs = performance.now();
  const late = await reply;
  if (late !== undefined) send(state, late, client);
  state.onDuration?.("waited", (performance.now() - startedMs) / 1000);
}

function reportError({ log }: State, error: unknown): void {
  log.warn({ error }, "a UDP socket reports an error");
}

function socketOptions({ address, ipv6Only, reusePort }: UdpOptions): SocketOptions {
  const family = isIPv6(address) ? 6 : 4;
  return {
    ...(family === 6 ? { type: "udp6", ipv6Only } : { type: "udp4" }),
    reusePort,
    recvBufferSize: RECEIVE_BUFFER_BYTES,
    // Clients' addresses are numeric: Node's own lookup would only put every answer off to a later tick.
    lookup: (host, _options, done) => done(null, host, family),
  };
}

/** A buffer for one answer, with its beginnings of every length made only once. */
interface AnswerBuffer {
  readonly whole: Buffer;
  ofLength(length: number): Buffer;
}

/** Buffers for the answers between two checks of what is still to be sent. */
function answerBuffers(): readonly AnswerBuffer[] {
  return Array.from({ length: RING }, () => {
    const whole = Buffer.alloc(MAX_UDP_BYTES);
    const beginnings: Buffer[] = [];
    return {
      whole,
      ofLength(length) {
        beginnings[length] ??= whole.subarray(0, length);
        return beginnings[length];
      },
    };
  });
}

async function bind(socket: Socket, address: string, port: number): Promise<void> {
  try {
    // With a lookup that answers at once, so does bind.
    const listening = once(socket, "listening");
    socket.bind({ address, port, exclusive: true });
    await listening;
  } catch (error) {
    socket.close();
    throw error;
  }
}
