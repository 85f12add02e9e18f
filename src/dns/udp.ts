import { createSocket, type RemoteInfo, type Socket, type SocketOptions } from "node:dgram";
import { once } from "node:events";
import { isIPv6 } from "node:net";
import type { DnsHooks } from "./events.ts";
import type { InFlight } from "./in-flight.ts";
import { MAX_UDP_BYTES } from "./message.ts";
import type { DnsLog } from "./quiet-log.ts";
import type { Verdict } from "./rate-limit.ts";
import type { Respond } from "./respond.ts";

/** A bound UDP socket that answers. */
export interface UdpListener {
  readonly port: number;
  /** Take no more queries; answers under way still go out. */
  wind(): void;
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

/** Answers between two looks at whether the kernel has taken them. */
const RING = 16;
/** Answers that may wait for the kernel to take them; beyond, they are dropped, as a full network would. */
const MOST_QUEUED = 1024;

/** What may wait in the kernel while this thread does something else; Linux grants at most net.core.rmem_max. */
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;

/**
 * Answer on a UDP port (RFC 1035 §4.2.1).
 *
 * @throws The system's error when the port cannot be bound.
 */
export async function listenUdp(options: UdpOptions): Promise<UdpListener> {
  const { address, port, fast, respond, admit, isLogged, onDuration, inFlight, log } = options;
  const socket = createSocket(socketOptions(options));
  const onError = (error: unknown) => log.warn({ error }, "a UDP socket reports an error");
  let ring = answerBuffers();
  let turn = 0;
  let isClosed = false;
  let count = 0;
  let queued = 0;

  function send(reply: Buffer, client: RemoteInfo) {
    if (isClosed || socket.getSendQueueCount() >= MOST_QUEUED) return;
    inFlight.begin();
    socket.send(reply, client.port, client.address, (error) => {
      inFlight.end();
      if (error) onError(error);
    });
  }

  function onMessage(packet: Buffer, client: RemoteInfo) {
    // Port 0 is reserved (RFC 768 lets it mean "no reply wanted"); Node throws when asked to send there.
    if (client.port === 0) return;
    const isTimed = onDuration !== undefined && (++count & TIMED_MASK) === 0;
    const startedMs = isTimed ? performance.now() : 0;
    const verdict = admit?.(client.address) ?? "answer";
    const logged = isLogged?.() ?? false;
    const buffer = ring[turn] as AnswerBuffer;
    const length = verdict === "answer" && !logged ? fast(packet, client.address, buffer.whole) : 0;
    if (length > 0) {
      if (queued < MOST_QUEUED) socket.send(buffer.ofLength(length), client.port, client.address);
      if (++turn === ring.length) nextRing();
      if (isTimed) onDuration("ready", (performance.now() - startedMs) / 1000);
      return;
    }
    const reply = respond(packet, client.address, "udp", { verdict, isLogged: logged });
    if (reply instanceof Promise) inFlight.track(sendLater(reply, client));
    else if (reply !== undefined) send(reply, client);
    if (isTimed && !(reply instanceof Promise)) onDuration("made", (performance.now() - startedMs) / 1000);
  }

  /** Usually the kernel has all answers by now. If not, their buffers are the socket's until they were sent. */
  function nextRing() {
    turn = 0;
    queued = socket.getSendQueueCount();
    if (queued > 0) ring = answerBuffers();
  }

  async function sendLater(reply: Promise<Buffer | undefined>, client: RemoteInfo): Promise<void> {
    const startedMs = performance.now();
    const late = await reply;
    if (late !== undefined) send(late, client);
    onDuration?.("waited", (performance.now() - startedMs) / 1000);
  }

  await bind(socket, address, port);
  socket.on("error", onError);
  socket.on("message", onMessage);
  return {
    port: socket.address().port,
    wind: () => void socket.off("message", onMessage),
    async close() {
      isClosed = true;
      socket.close();
      await once(socket, "close");
    },
  };
}

function socketOptions({ address, ipv6Only, reusePort }: UdpOptions): SocketOptions {
  const family = isIPv6(address) ? 6 : 4;
  return {
    ...(family === 6 ? { type: "udp6", ipv6Only } : { type: "udp4" }),
    reusePort,
    recvBufferSize: RECEIVE_BUFFER_BYTES,
    // Clients' addresses are numeric: Node's own look-up would only put every answer off to a later tick.
    lookup: (host, _options, done) => done(null, host, family),
  };
}

/** A buffer for one answer, with its beginnings of every length made only once. */
interface AnswerBuffer {
  readonly whole: Buffer;
  ofLength(length: number): Buffer;
}

/** Buffers for the answers between two looks at what is still to be sent. */
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
    // With a look-up that answers at once, so does bind.
    const listening = once(socket, "listening");
    socket.bind({ address, port, exclusive: true });
    await listening;
  } catch (error) {
    socket.close();
    throw error;
  }
}
