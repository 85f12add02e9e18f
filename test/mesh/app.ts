// A program in a pod that makes the calls a test asks it for, over the unix socket named first.
import { lookup, lookupService } from "node:dns/promises";
import { Agent, createServer, request } from "node:http";
import { createRequire } from "node:module";
import { connect, isIP } from "node:net";
import { text } from "node:stream/consumers";
import {
  type Call,
  ECHO_PATH,
  ECHO_RESPONSE,
  type GrpcCall,
  type HttpCall,
  type Load,
  type LoadTally,
  type LookUp,
  type Reply,
  type TcpCall,
  versionIn,
} from "./calls.ts";
import { decode, textOf } from "./protobuf.ts";

const TIMEOUT_MS = 10_000;
/** Of a load's calls: a question to DNS that gets lost is asked again after 5 s, and a busy machine loses two. */
const LOAD_TIMEOUT_MS = 30_000;

const handlers = { http: callHttp, tcp: callTcp, grpc: callGrpc, lookUp };
type Handler = (call: object, agent: Agent, timeoutMs: number) => Promise<Reply>;
const channels = new Map<string, GrpcClient>();

async function callHttp({ url, host, headers = {} }: HttpCall, agent: Agent, timeoutMs: number): Promise<Reply> {
  const response = await new Promise<import("node:http").IncomingMessage>((resolve, reject) => {
    const sent = request(url, {
      agent,
      timeout: timeoutMs,
      headers: { ...headers, ...(host !== undefined && { host }) },
    });
    sent.once("response", resolve).once("error", reject);
    sent.once("timeout", () => sent.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    sent.end();
  });
  const body = await text(response);
  return response.statusCode === 200 ? { who: body } : { failed: `${response.statusCode} ${body}`.trim() };
}

function callTcp({ host, port }: TcpCall, _: Agent, timeoutMs: number): Promise<Reply> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: timeoutMs });
    let said = "";
    socket.setEncoding("utf8").on("data", (more) => {
      said += more;
    });
    socket.once("timeout", () => socket.destroy(new Error(`no answer within ${timeoutMs} ms`)));
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

function callGrpc({ target }: GrpcCall, _: Agent, timeoutMs: number): Promise<Reply> {
  const client = channels.get(target) ?? newChannel(target);
  channels.set(target, client);
  const same = (bytes: Buffer) => bytes;
  return new Promise((resolve) => {
    const options = { deadline: Date.now() + timeoutMs };
    client.makeUnaryRequest(ECHO_PATH, same, same, Buffer.alloc(0), options, (error, answer) =>
      resolve(error === null ? { who: whoOf(answer) } : { failed: error.message }),
    );
  });
}

function whoOf(answer: Buffer | undefined): string {
  return answer === undefined ? "" : versionIn(textOf(decode(answer), ECHO_RESPONSE.message));
}

function newChannel(target: string): GrpcClient {
  const load = createRequire(import.meta.url);
  const grpc: Grpc = load("@grpc/grpc-js");
  if (channels.size === 0) load("@grpc/grpc-js-xds").register();
  return new grpc.Client(target, grpc.credentials.createInsecure());
}

/** As any program of the pod asks: by the C library and /etc/resolv.conf. */
async function lookUp({ name, family }: LookUp): Promise<Reply> {
  if (isIP(name) !== 0) return { who: (await lookupService(name, 0)).hostname };
  const found = await lookup(name, { all: true, ...(family !== undefined && { family }) });
  return { who: found.map(({ address }) => address).join() };
}

async function make({ kind, count = 1, lanes = 1, ...call }: Call): Promise<Reply[]> {
  const replies: Reply[] = [];
  const agent = new Agent({ keepAlive: count > 1 });
  const handle = handlers[kind] as Handler;
  let left = count;
  const lane = async () => {
    while (left-- > 0) {
      const startedMs = performance.now();
      const reply = await handle(call, agent, TIMEOUT_MS).catch((error: Error & { code?: string }) => ({
        failed: error.message || String(error.code),
      }));
      replies.push({ ...reply, ms: Math.round(performance.now() - startedMs) });
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  agent.destroy();
  return replies;
}

/** So many of a load's calls are under way at most. */
const MOST_UNDER_WAY = 64;
const TICK_MS = 5;

/** Make calls on and on; `take` tells what came of them since it was called last. */
function startLoad({ call: { kind, ...call }, perSecond }: Load): { take(): LoadTally } {
  const agent = new Agent({ keepAlive: true });
  const handle = handlers[kind] as Handler;
  let firstMs: Record<string, number> = {};
  let who: Record<string, number> = {};
  let failed: Record<string, { count: number; firstMs: number }> = {};
  let longestPauseMs = 0;
  let answeredMs = performance.now();
  let owed = 0;
  let tickedMs = performance.now();
  let underWay = 0;

  function fail(how: string): void {
    failed[how] ??= { count: 0, firstMs: Date.now() };
    failed[how].count++;
  }

  async function one(): Promise<void> {
    underWay++;
    const reply: Reply = await handle(call, agent, LOAD_TIMEOUT_MS).catch((error: Error & { code?: string }) => ({
      failed: error.message || String(error.code),
    }));
    underWay--;
    if (reply.who === undefined) return fail(reply.failed ?? "");
    const now = performance.now();
    longestPauseMs = Math.max(longestPauseMs, now - answeredMs);
    answeredMs = now;
    who[reply.who] = (who[reply.who] ?? 0) + 1;
    firstMs[reply.who] ??= Date.now();
  }

  setInterval(() => {
    const now = performance.now();
    // What a busy machine did not let it begin is not made up for in a burst.
    owed = Math.min(owed + ((now - tickedMs) * perSecond) / 1000, MOST_UNDER_WAY);
    tickedMs = now;
    for (; owed >= 1 && underWay < MOST_UNDER_WAY; owed--) void one();
  }, TICK_MS);
  return {
    take() {
      const tally = { who, failed, longestPauseMs: Math.round(longestPauseMs), firstMs };
      who = {};
      firstMs = {};
      failed = {};
      longestPauseMs = 0;
      return tally;
    },
  };
}

const loads = new Map<string, { take(): LoadTally }>();

async function answer(path: string, body: string): Promise<unknown> {
  if (path === "/loads") return Object.fromEntries([...loads].map(([name, load]) => [name, load.take()]));
  if (path !== "/load") return make(JSON.parse(body) as Call);
  const load = JSON.parse(body) as Load;
  loads.set(load.name, startLoad(load));
  return {};
}

const [, , socket] = process.argv;
const server = createServer(async (incoming, outgoing) => {
  outgoing.end(JSON.stringify(await answer(incoming.url ?? "/", await text(incoming))));
});
// Whoever asks seldom must not meet a connection that is just being closed.
server.keepAliveTimeout = 0;
server.listen(socket);
