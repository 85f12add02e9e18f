// A program in a pod that makes the calls a test asks it for, over the unix socket named first.
import { lookup } from "node:dns/promises";
import { Agent, createServer, request } from "node:http";
import { createRequire } from "node:module";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import type { Call, GrpcCall, HttpCall, LookUp, Reply, TcpCall } from "./calls.ts";

const TIMEOUT_MS = 10_000;

const handlers = { http: callHttp, tcp: callTcp, grpc: callGrpc, lookUp };
const channels = new Map<string, GrpcClient>();

async function callHttp({ url, host, headers = {} }: HttpCall, agent: Agent): Promise<Reply> {
  const response = await new Promise<import("node:http").IncomingMessage>((resolve, reject) => {
    const sent = request(url, {
      agent,
      timeout: TIMEOUT_MS,
      headers: { ...headers, ...(host !== undefined && { host }) },
    });
    sent.once("response", resolve).once("error", reject);
    sent.once("timeout", () => sent.destroy(new Error(`no answer within ${TIMEOUT_MS} ms`)));
    sent.end();
  });
  const body = await text(response);
  return response.statusCode === 200 ? { who: body } : { failed: `${response.statusCode} ${body}`.trim() };
}

function callTcp({ host, port }: TcpCall): Promise<Reply> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: TIMEOUT_MS });
    let said = "";
    socket.setEncoding("utf8").on("data", (more) => {
      said += more;
    });
    socket.once("timeout", () => socket.destroy(new Error(`no answer within ${TIMEOUT_MS} ms`)));
    socket.once("error", (error) => resolve({ failed: error.message }));
    socket.once("close", () => resolve(said === "" ? { failed: "closed without a word" } : { who: said.trim() }));
  });
}

/** What is used of @grpc/grpc-js, which sends and takes bytes as they are here. */
interface GrpcClient {
  makeUnaryRequest(
    path: string,
    serialize: (bytes: Buffer) => Buffer,
    deserialize: (bytes: Buffer) => Buffer,
    message: Buffer,
    options: { readonly deadline: number },
    done: (error: Error | null, answer?: Buffer) => void,
  ): void;
}
interface Grpc {
  readonly Client: new (target: string, credentials: unknown) => GrpcClient;
  readonly credentials: { createInsecure(): unknown };
}

function callGrpc({ target }: GrpcCall): Promise<Reply> {
  const client = channels.get(target) ?? newChannel(target);
  channels.set(target, client);
  const same = (bytes: Buffer) => bytes;
  return new Promise((resolve) => {
    const options = { deadline: Date.now() + TIMEOUT_MS };
    client.makeUnaryRequest("/test.Who/Ask", same, same, Buffer.alloc(0), options, (error, answer) =>
      resolve(error === null ? { who: answer?.toString() ?? "" } : { failed: error.message }),
    );
  });
}

function newChannel(target: string): GrpcClient {
  const load = createRequire(import.meta.url);
  const grpc: Grpc = load("@grpc/grpc-js");
  if (channels.size === 0) load("@grpc/grpc-js-xds").register();
  return new grpc.Client(target, grpc.credentials.createInsecure());
}

/** As any program of the pod asks: by the C library and /etc/resolv.conf. */
async function lookUp({ name, family }: LookUp): Promise<Reply> {
  const found = await lookup(name, { all: true, ...(family !== undefined && { family }) });
  return { who: found.map(({ address }) => address).join() };
}

async function make({ kind, count = 1, lanes = 1, ...call }: Call): Promise<Reply[]> {
  const replies: Reply[] = [];
  const agent = new Agent({ keepAlive: count > 1 });
  const handle = handlers[kind] as (call: object, agent: Agent) => Promise<Reply>;
  let left = count;
  const lane = async () => {
    while (left-- > 0) {
      const startedMs = performance.now();
      const reply = await handle(call, agent).catch((error: Error & { code?: string }) => ({
        failed: error.message || String(error.code),
      }));
      replies.push({ ...reply, ms: Math.round(performance.now() - startedMs) });
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  agent.destroy();
  return replies;
}

const [, , socket] = process.argv;
const server = createServer(async (incoming, outgoing) => {
  const replies = await make(JSON.parse(await text(incoming)) as Call);
  outgoing.end(JSON.stringify(replies));
});
server.listen(socket);
