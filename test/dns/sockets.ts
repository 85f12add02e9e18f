import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer, isIPv6, type Socket } from "node:net";
import type { TestContext } from "node:test";
import type { AnswerEvent } from "../../src/dns/observe/hooks.ts";
import type { DnsLog } from "../../src/dns/observe/quiet-log.ts";
import type { DnsServerOptions, ListenAddress } from "../../src/dns/serve/options.ts";
import { dnsServer } from "../../src/dns/serve/server.ts";
import { frame, frameReader } from "../../src/dns/wire/tcp-frame.ts";
import { GENEROUS_MS } from "../until.ts";
import { query, table } from "./wire.ts";

export const silent: DnsLog = { warn() {} };

/** Start a server on a free port with sensible options; it stops with the test. */
export async function startServer(t: TestContext, options: Partial<DnsServerOptions> = {}) {
  const events: AnswerEvent[] = [];
  const server = dnsServer({
    listen: [{ address: "127.0.0.1", port: 0 }],
    ttlSeconds: 30,
    zones: [{ name: "mesh.internal", forward: [] }],
    forward: [],
    allow: ["127.0.0.0/8", "::1/128"],
    table: () => table({ "orders.mesh.internal": { a: ["240.241.0.7"] } }),
    log: silent,
    hooks: { onAnswer: (event) => events.push(event) },
    ...options,
  });
  const bound = await server.start();
  t.after(() => server.stop());
  return { server, bound, at: bound[0] as ListenAddress, events };
}

/** Send packets from one socket and collect the answers until `count` are there or `waitMs` is over. */
export async function askUdp(
  to: ListenAddress,
  packets: readonly Buffer[],
  { count = packets.length, waitMs = GENEROUS_MS, from = undefined as string | undefined } = {},
): Promise<Buffer[]> {
  const socket = createSocket(isIPv6(to.address) ? "udp6" : "udp4");
  if (from !== undefined) socket.bind(0, from);
  const answers: Buffer[] = [];
  const done = Promise.withResolvers<void>();
  socket.on("message", (message) => {
    answers.push(message);
    if (answers.length === count) done.resolve();
  });
  const timer = setTimeout(done.resolve, waitMs).unref();
  for (const packet of packets) socket.send(packet, to.port, to.address);
  await done.promise;
  clearTimeout(timer);
  socket.close();
  return answers;
}

/** One question by UDP. */
export async function ask(to: ListenAddress, packet: Buffer, waitMs = GENEROUS_MS): Promise<Buffer> {
  const [answer] = await askUdp(to, [packet], { waitMs });
  if (answer === undefined) throw new Error("no answer");
  return answer;
}

/** A TCP connection that collects answers. */
export async function openTcp(
  to: ListenAddress,
  options: { readonly allowHalfOpen?: boolean; readonly localAddress?: string } = {},
) {
  const socket = connect({ host: to.address, port: to.port, noDelay: true, ...options });
  const answers: Buffer[] = [];
  const read = frameReader(0xffff);
  let closed = false;
  let wake = () => {};
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    answers.push(...(read(chunk) ?? []));
    wake();
  });
  socket.on("close", () => {
    closed = true;
    wake();
  });
  await once(socket, "connect");

  async function until(condition: () => boolean, waitMs = GENEROUS_MS) {
    const deadline = performance.now() + waitMs;
    while (!condition()) {
      if (performance.now() > deadline)
        throw new Error(`waited ${waitMs} ms; ${answers.length} answers, closed: ${closed}`);
      await new Promise<void>((resolve) => {
        wake = resolve;
        setTimeout(resolve, 20);
      });
    }
  }

  return {
    socket,
    answers,
    isClosed: () => closed,
    send: (...packets: Buffer[]) => socket.write(Buffer.concat(packets.map(frame))),
    /** Wait for answers, then give them. */
    take: async (count: number, waitMs?: number) => {
      await until(() => answers.length >= count || closed, waitMs);
      return answers.splice(0, count);
    },
    closed: (waitMs?: number) => until(() => closed, waitMs),
  };
}

/** What a fake upstream sends for one query: any number of messages, at once or later. */
export type Behaviour = (packet: Buffer, transport: "udp" | "tcp") => Behaved | Promise<Behaved>;

/** The messages; "close" ends a TCP connection instead. */
type Behaved = readonly Buffer[] | "close";

/** A UDP socket and a TCP server on one port. The port that UDP got may be taken for TCP, by anything on this machine: then again. */
async function bindBoth() {
  for (let tries = 1; ; tries++) {
    const udp = createSocket("udp4").bind(0, "127.0.0.1");
    await once(udp, "listening");
    const tcp = createServer().listen(udp.address().port, "127.0.0.1");
    try {
      await once(tcp, "listening");
      return { udp, tcp };
    } catch (error) {
      udp.close();
      if (tries === 20) throw error;
    }
  }
}

/** A DNS server that does what the test says, on a free port for both transports. */
export async function startUpstream(t: TestContext, behave: Behaviour) {
  const seen: { readonly packet: Buffer; readonly transport: "udp" | "tcp"; readonly port: number }[] = [];
  const { udp, tcp } = await bindBoth();
  let isClosed = false;
  const close = () => {
    if (isClosed) return;
    isClosed = true;
    udp.close();
    tcp.close();
  };
  t.after(close);
  const { port } = udp.address();
  udp.on("message", async (packet, from) => {
    seen.push({ packet, transport: "udp", port: from.port });
    const behaved = await behave(packet, "udp");
    if (behaved !== "close") for (const message of behaved) if (!isClosed) udp.send(message, from.port, from.address);
  });
  tcp.on("connection", (socket: Socket) => {
    const read = frameReader(0xffff);
    socket.on("error", () => {});
    socket.on("data", async (chunk) => {
      for (const packet of read(chunk) ?? []) {
        seen.push({ packet, transport: "tcp", port: socket.remotePort ?? 0 });
        const behaved = await behave(packet, "tcp");
        if (behaved === "close") socket.destroy();
        else for (const message of behaved) socket.write(frame(message));
      }
    });
  });
  return { address: "127.0.0.1", port, seen, close };
}

/** An answer of an upstream to `packet`: its bytes with flags, counts and records set. */
export function upstreamAnswer(packet: Buffer, { flags = 0x8580, answers = [] as readonly Buffer[] } = {}): Buffer {
  const end = packet.indexOf(0, 12) + 5;
  const message = Buffer.concat([packet.subarray(0, end), ...answers]);
  for (const [index, value] of [flags, 1, answers.length, 0, 0].entries()) message.writeUInt16BE(value, 2 + index * 2);
  return message;
}

export const orders = (options?: Parameters<typeof query>[1]) => query("orders.mesh.internal", options);
