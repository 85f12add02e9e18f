import { setTimeout as sleep } from "node:timers/promises";
import { ReadError, readFailure } from "../../src/errors.ts";
import type { AdapterContext } from "../context.ts";
import { shorten } from "../text.ts";
import { type Exchange, exchange, type RawAnswer, wasClosed } from "./exchange.ts";
import type { PolarisMetrics } from "./metrics.ts";
import type { PolarisOptions } from "./options.ts";
import { type Name, parseReply, type Reply } from "./reply.ts";
import { watchedFile } from "./secrets.ts";
import { servers as chooseServers } from "./servers.ts";

/** A question to Polaris. With `revision` it is answered only if that is not the newest. */
export type Question =
  | { readonly type: "INSTANCE"; readonly name: Name; readonly revision: string }
  /** An empty namespace means all. */
  | { readonly type: "SERVICES"; readonly namespace: string; readonly revision: string };

/** What Polaris says: something whole, that nothing is new, or that there is no such service. */
export type Answer =
  | { readonly state: "ok"; readonly reply: Reply }
  | { readonly state: "unchanged" }
  | { readonly state: "absent" };

/** The one way to Polaris. */
export interface PolarisClient {
  /** @throws {ReadError} When there is no good answer; or the signal's reason when it aborts. */
  discover(question: Question, signal: AbortSignal): Promise<Answer>;
  /** Whether another server is asked since a moment ago, which may lag behind the one before. */
  isNewServer(): boolean;
  close(): void;
}

const MOST_INSTANCE_BYTES = 8 * 1024 * 1024;
/** A list spells out 25 fields for each service: some 800 bytes. */
const MOST_LIST_BYTES = 128 * 1024 * 1024;
const UNCHANGED = 200001;
const OK = 200000;
const ABSENT = 400202;
const PROBE_MS = 3000;
/** Servers of one Polaris lag behind one another by about a second. */
const LAG_MS = 5000;
/** A request that was refused as one too many is sent again so often, each time twice as long after. */
const BUSY_TRIES = 4;
const BUSY_MS = 100;
const TOO_MANY: ReadonlySet<number> = new Set([403003, 429001, 429002]);

/** A refusal of Polaris as one too many. */
class BusyError extends ReadError {}

/** Talk to the servers of the options. Nothing is opened before the first request. */
export function polarisClient(
  options: PolarisOptions,
  { registry, dir, log }: Pick<AdapterContext, "registry" | "dir" | "log">,
  metrics: PolarisMetrics,
): PolarisClient {
  const { address: addresses, timeout, maxInFlight } = options;
  const tokenFile = options.tokenFile === undefined ? undefined : watchedFile(dir, options.tokenFile);
  const caFile = options.tls?.ca === undefined ? undefined : watchedFile(dir, options.tls.ca);
  let exchanges: { readonly ca: string; readonly all: readonly Exchange[] } | undefined;
  let closed = false;
  const choice = chooseServers({ registry, addresses, probe, log, metrics });

  async function tokenNow(fresh = false): Promise<string> {
    const token = options.token ?? (await tokenFile?.text(fresh))?.trim() ?? "";
    if (/[^\x21-\x7e]/.test(token))
      throw new ReadError("denied", "Cannot use the token as it must be one word of visible ASCII characters");
    return token;
  }

  async function exchangeWith(server: number): Promise<Exchange> {
    const ca = (await caFile?.text()) ?? "";
    if (closed) throw new ReadError("connection", "Cannot ask as the adapter is closed");
    if (exchanges?.ca !== ca) {
      for (const old of exchanges?.all ?? []) old.close();
      const { serverName } = options.tls ?? {};
      const tls = { ...(ca === "" ? {} : { ca }), ...(serverName === undefined ? {} : { servername: serverName }) };
      const all = addresses.map((one) => exchange(one, { connections: maxInFlight, timeoutMs: timeout, tls }));
      exchanges = { ca, all };
    }
    const found = exchanges.all[server];
    if (found === undefined) throw new Error(`Cannot ask server ${server} as there must be one`);
    return found;
  }

  async function probe(server: number, signal: AbortSignal): Promise<void> {
    const question: Question = { type: "SERVICES", namespace: "Polaris", revision: "" };
    await ask(server, question, await tokenNow(), Math.min(timeout, PROBE_MS), signal);
  }

  async function ask(
    server: number,
    question: Question,
    token: string,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<Answer> {
    const maxBytes = question.type === "INSTANCE" ? MOST_INSTANCE_BYTES : MOST_LIST_BYTES;
    const request = { body: bodyOf(question), token, maxBytes, timeoutMs };
    const send = async () => (await exchangeWith(server)).post(request, signal);
    let raw: RawAnswer;
    try {
      raw = await send();
    } catch (error) {
      // A connection that was kept from before may have been closed meanwhile; Discover changes nothing, so it can be sent again.
      if (!wasClosed(error)) throw error;
      raw = await send();
    }
    return judged(raw, question);
  }

  /** Ask the current server, with the newest token if the one before is refused, and again later if it has too much to do. */
  async function askPatiently(server: number, question: Question, signal: AbortSignal): Promise<Answer> {
    let token = await tokenNow();
    for (let tries = 1; ; tries++) {
      try {
        return await ask(server, question, token, timeout, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (readFailure(error) === "denied") {
          const newest = await tokenNow(true);
          if (newest === token) throw error;
          token = newest;
        } else if (!(error instanceof BusyError)) throw error;
        if (tries >= BUSY_TRIES) throw error;
        if (error instanceof BusyError)
          await sleep(BUSY_MS * 2 ** tries * (0.5 + Math.random()), undefined, { signal });
      }
    }
  }

  async function askServers(question: Question, signal: AbortSignal): Promise<Answer> {
    const tried = new Set<number>();
    for (;;) {
      const server = choice.current();
      tried.add(server);
      try {
        return await askPatiently(server, question, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!isOfServer(error)) throw error;
        if (neverConnected(error)) choice.demote(server, error);
        else await choice.suspect(server);
        signal.throwIfAborted();
        if (tried.has(choice.current())) throw error;
      }
    }
  }

  return {
    async discover(question, signal) {
      signal.throwIfAborted();
      try {
        const answer = await askServers(question, signal);
        metrics.requested(answer.state);
        return answer;
      } catch (cause) {
        signal.throwIfAborted();
        const error = asReadError(question, cause);
        metrics.requested(error.failure);
        throw error;
      }
    },
    isNewServer: () => performance.now() - choice.changedAtMs() < LAG_MS,
    close() {
      closed = true;
      choice.close();
      for (const one of exchanges?.all ?? []) one.close();
    },
  };
}

function bodyOf(question: Question): string {
  const { type, revision } = question;
  const asked = question.type === "INSTANCE" ? question.name : { namespace: question.namespace };
  const service = { ...(asked.namespace === "" ? {} : asked), ...(revision === "" ? {} : { revision }) };
  return JSON.stringify({ type, service });
}

/** @throws {ReadError} When the answer is none to the question. */
function judged({ status, headers, body }: RawAnswer, question: Question): Answer {
  // The header saves reading the body, which has nothing else to say.
  if (status === 200 && headers["x-polaris-code"] === `${UNCHANGED}`) return unchanged(question);
  const reply = replyOf(status, body);
  if (reply.code === UNCHANGED) return unchanged(question);
  if (reply.code === ABSENT && question.type === "INSTANCE") return { state: "absent" };
  if (reply.code !== OK || status !== 200) throw refusal(reply, status);
  const { about } = reply;
  const asked = question.type === "INSTANCE" ? question.name : { namespace: question.namespace, name: about.name };
  if (reply.type !== question.type || about.name !== asked.name || about.namespace !== asked.namespace)
    throw new ReadError("answer", `is about ${shorten(`${reply.type} of ${about.namespace}/${about.name}`)}`);
  if (question.type === "SERVICES" && question.namespace !== "") {
    const stray = reply.services.find(({ namespace }) => namespace !== question.namespace);
    if (stray !== undefined) throw new ReadError("answer", `lists a service of namespace ${shorten(stray.namespace)}`);
  }
  return { state: "ok", reply };
}

function unchanged({ revision }: Question): Answer {
  if (revision === "") throw new ReadError("answer", "says that nothing has changed, without being told since when");
  return { state: "unchanged" };
}

/** An error status with a body that is not Polaris's is one of something on the way. */
function replyOf(status: number, body: Uint8Array): Reply {
  try {
    return parseReply(body);
  } catch (cause) {
    if (status === 200) throw cause;
    const message = `has status ${status}`;
    throw status === 429 ? new BusyError("server", message) : new ReadError(failureOf(status), message);
  }
}

function refusal({ code, info }: Reply, status: number): ReadError {
  const message = `has code ${code}${info === "" ? "" : `: ${shorten(info)}`}`;
  if (TOO_MANY.has(code)) return new BusyError("server", message);
  return new ReadError(failureOf(code === OK ? status : Math.floor(code / 1000)), message);
}

function failureOf(status: number): ReadError["failure"] {
  if (status === 401 || status === 403) return "denied";
  return status === 429 || status >= 500 ? "server" : "answer";
}

/** Whether another server may do better. */
function isOfServer(error: unknown): boolean {
  return !(error instanceof BusyError) && ["timeout", "connection", "server", "answer"].includes(readFailure(error));
}

function neverConnected(error: unknown): boolean {
  return readFailure(error) === "connection" && !wasClosed(error);
}

function asReadError(question: Question, cause: unknown): ReadError {
  const subject =
    question.type === "INSTANCE"
      ? `${question.name.namespace}/${question.name.name}`
      : question.namespace === ""
        ? "all namespaces"
        : `namespace ${question.namespace}`;
  const what = `POST /v1/Discover, ${question.type} of ${shorten(subject)}`;
  if (!(cause instanceof ReadError)) return new ReadError("connection", what, { cause });
  if (wasClosed(cause) && question.type === "INSTANCE")
    return new ReadError(
      "connection",
      `${what}: the server closed the connection without an answer, as it does for a name that only another namespace's export_to makes visible`,
      { cause: cause.cause },
    );
  const said = cause.message.startsWith("Cannot") ? cause.message : `the answer ${cause.message}`;
  return new ReadError(cause.failure, `${what}: ${said}`, { cause: cause.cause });
}
