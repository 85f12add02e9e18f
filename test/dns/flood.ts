import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";
import { parentPort, Worker, workerData } from "node:worker_threads";
import type { ListenAddress } from "../../src/dns/serve/options.ts";
import { frame } from "../../src/dns/wire/tcp-frame.ts";
import { orders, upstreamAnswer } from "./sockets.ts";
import { query, record } from "./wire.ts";

// In threads of their own: a test that floods and measures in one would measure itself.

/** What one thread does. */
type Role =
  | { readonly role: "upstream" }
  | { readonly role: "pipelines"; readonly at: ListenAddress; readonly from: readonly string[] }
  | {
      readonly role: "flood";
      readonly at: ListenAddress;
      readonly from: readonly string[];
      readonly perSecond: number;
    };

/** Twice as many questions as all threads of a server keep under way. */
const MOST_KEPT = 2048;

/** A question that `startDeadUpstream` does not answer. */
export function dead(n: number, id = n & 0xffff): Buffer {
  return query(`n${n}.dead.example.org`, { id });
}

/** An upstream that answers for all names but those of `dead`. */
export async function startDeadUpstream() {
  const worker = start({ role: "upstream" });
  const [port] = (await once(worker, "message")) as [number];
  return { address: "127.0.0.1", port, stop: () => worker.terminate() };
}

/** Questions of `dead` from 32 ports of each address, until it is stopped, which gives their number, or ended, which also a test that fails must do. */
export function startFlood(at: ListenAddress, from: readonly string[], perSecond: number) {
  const worker = start({ role: "flood", at, from, perSecond });
  const end = () => worker.terminate();
  return {
    async stop() {
      worker.postMessage("stop");
      const [sent] = (await once(worker, "message")) as [number];
      await end();
      return sent;
    },
    end,
  };
}

/** A TCP connection from each address that asks for `orders` without a pause, until it is stopped. */
export function startPipelines(at: ListenAddress, from: readonly string[]) {
  const worker = start({ role: "pipelines", at, from });
  return () => worker.terminate();
}

function start(role: Role): Worker {
  return new Worker(new URL(import.meta.url), { workerData: role });
}

function answerAll(): void {
  const socket = createSocket({ type: "udp4", recvBufferSize: 8_000_000 }).bind(0, "127.0.0.1");
  const answers = [record("example.org", 1, 1, 60, Buffer.from([192, 0, 2, 1]))];
  socket.on("listening", () => parentPort?.postMessage(socket.address().port));
  socket.on("message", (packet, { port, address }) => {
    if (packet.toString("latin1").toLowerCase().includes("\u0004dead")) return;
    socket.send(upstreamAnswer(packet, { answers }), port, address);
  });
}

function floodAll({ at, from, perSecond }: Extract<Role, { readonly role: "flood" }>): void {
  const sockets = from.flatMap((address) => Array.from({ length: 32 }, () => createSocket("udp4").bind(0, address)));
  let [sent, answered] = [0, 0];
  for (const socket of sockets) socket.on("message", () => answered++);
  // What a busy machine makes late is left out: it would come all at once. Once there are more than a server keeps, each answer makes room for
  // a few: what it has no time for would only fill the buffer of its socket, from which other clients' questions fall then.
  const timer = setInterval(() => {
    const most = sent < MOST_KEPT ? Number.POSITIVE_INFINITY : 1 + 2 * answered;
    answered = 0;
    for (let n = 0; n < Math.min(most, perSecond / 100); n++)
      sockets[sent % sockets.length]?.send(dead(sent++), at.port, at.address);
  }, 10);
  parentPort?.once("message", () => {
    clearInterval(timer);
    parentPort?.postMessage(sent);
  });
}

function pipelineAll({ at, from }: Extract<Role, { readonly role: "pipelines" }>): void {
  const block = Buffer.concat(Array.from({ length: 1000 }, (_, id) => frame(orders({ id }))));
  for (const localAddress of from) {
    const socket = connect({ host: at.address, port: at.port, localAddress });
    const push = () => {
      while (!socket.destroyed && socket.write(block));
    };
    socket.on("error", () => socket.destroy());
    socket.on("data", () => {});
    socket.on("connect", push);
    socket.on("drain", push);
  }
}

const role = workerData as Role | null;
if (role?.role === "upstream") answerAll();
if (role?.role === "flood") floodAll(role);
if (role?.role === "pipelines") pipelineAll(role);
