import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import { isIPv6 } from "node:net";
import type { InFlight } from "./in-flight.ts";
import type { DnsLog } from "./quiet-log.ts";
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
  readonly respond: Respond;
  readonly inFlight: InFlight;
  readonly log: DnsLog;
}

/**
 * Answer on a UDP port (RFC 1035 §4.2.1).
 *
 * @throws The system's error when the port cannot be bound.
 */
export async function listenUdp({ address, port, ipv6Only, respond, inFlight, log }: UdpOptions): Promise<UdpListener> {
  const socket = createSocket(isIPv6(address) ? { type: "udp6", ipv6Only } : { type: "udp4" });
  const onError = (error: unknown) => log.warn({ error }, "a UDP socket reports an error");

  let isClosed = false;

  function send(reply: Buffer, client: RemoteInfo) {
    if (isClosed) return;
    inFlight.begin();
    socket.send(reply, client.port, client.address, (error) => {
      inFlight.end();
      if (error) onError(error);
    });
  }

  function onMessage(packet: Buffer, client: RemoteInfo) {
    // Port 0 is reserved (RFC 768 lets it mean "no reply wanted"); Node throws when asked to send there.
    if (client.port === 0) return;
    const reply = respond(packet, client.address, "udp");
    if (reply instanceof Promise) inFlight.track(reply.then((late) => late !== undefined && send(late, client)));
    else if (reply !== undefined) send(reply, client);
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

async function bind(socket: Socket, address: string, port: number): Promise<void> {
  try {
    socket.bind({ address, port, exclusive: true });
    await once(socket, "listening");
  } catch (error) {
    socket.close();
    throw error;
  }
}
