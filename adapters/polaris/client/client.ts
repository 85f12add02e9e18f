import { backOff } from "../../../src/async/back-off.ts";
import type { Gate } from "../../../src/async/gate.ts";
import { ReadError, readFailure } from "../../../src/errors.ts";
import type { Secrets } from "../../../src/secrets.ts";
import { type AnswerBody, answerBody, answerBudget, type Budget } from "../../answer-body.ts";
import type { AdapterContext } from "../../context.ts";
import { isHeavy, type Parser, parseApart, parseTurn } from "../../parse.ts";
import { shorten } from "../../text.ts";
import type { PolarisMetrics } from "../metrics.ts";
import type { PolarisOptions } from "../options.ts";
import { type Answer, BusyError, judged, type Question } from "./answer.ts";
import { type Exchange, exchange, type Head, type RawRequest, wasClosed } from "./exchange.ts";
import { INSTANCES_PARSER, LIST_PARSER, type Reply } from "./reply.ts";
import { servers as chooseServers, type Servers } from "./servers.ts";
import { type WatchedFile, watchedFile } from "./watched-file.ts";

/** The one way to Polaris. */
export interface PolarisClient {
  /** @throws {ReadError} When there is no good answer; or the signal's reason when it aborts. */
  discover(question: Question, signal: AbortSignal): Promise<Answer>;
  /** Whether another server is asked since a moment ago, which may lag behind the one before. */
  isNewServer(): boolean;
  close(): void;
}

const PROBE_MS = 3000;
/** Servers of one Polaris lag behind one another by about a second. */
const LAG_MS = 5000;
/** A request that was refused as one too many is sent again so often, each time twice as long after. */
const BUSY_TRIES = 4;
const BUSY_MS = 100;

/** The servers of one Polaris, and the connections to them. */
interface State {
  readonly options: PolarisOptions;
  readonly tokenFile: WatchedFile | undefined;
  readonly caFile: WatchedFile | undefined;
  readonly choice: Servers;
  /** Of the answers under way. */
  readonly budget: Budget;
  /** To parse a heavy body. */
  readonly turn: Gate;
  readonly secrets: Secrets;
  /** One for each server, all made with the same CA file. */
  exchanges: { readonly ca: string; readonly all: readonly Exchange[] } | undefined;
  closed: boolean;
}

/** Talk to the servers of the options. Nothing is opened before the first request. */
export function polarisClient(
  options: PolarisOptions,
  {
    registry,
    dir,
    log,
    metrics: register,
    secrets,
  }: Pick<AdapterContext, "registry" | "dir" | "log" | "metrics" | "secrets">,
  metrics: PolarisMetrics,
): PolarisClient {
  const fileAt = (path: string | undefined) => (path === undefined ? undefined : watchedFile(dir, path));
  const state: State = {
    options,
    tokenFile: fileAt(options.tokenFile),
    caFile: fileAt(options.tls?.ca),
    choice: chooseServers({
      registry,
      addresses: options.address,
      probe: (server, signal) => probe(state, server, signal),
      log,
      metrics,
    }),
    budget: answerBudget(),
    turn: register.once(parseTurn),
    secrets,
    exchanges: undefined,
    closed: false,
  };
  return {
    async discover(question, signal) {
      signal.throwIfAborted();
      try {
        const answer = await askServers(state, question, signal);
        metrics.requested(answer.state);
        return answer;
      } catch (cause) {
        signal.throwIfAborted();
        const error = asReadError(question, cause);
        metrics.requested(error.failure);
        throw error;
      }
    },
    isNewServer: () => performance.now() - state.choice.changedAtMs() < LAG_MS,
    close() {
      state.closed = true;
      state.choice.close();
      for (const one of state.exchanges?.all ?? []) one.close();
    },
  };
}

async function tokenNow({ options, tokenFile, secrets }: State, fresh = false): Promise<string> {
  const token = options.token ?? (await tokenFile?.text(fresh))?.trim() ?? "";
  secrets.add(token);
  if (/[^\x21-\x7e]/.test(token))
    throw new ReadError("denied", "Cannot use the token as it must be one word of visible ASCII characters");
  return token;
}

/** The connections to a server, made anew for all servers when the CA file has changed. */
async function exchangeWith(state: State, server: number): Promise<Exchange> {
  const ca = (await state.caFile?.text()) ?? "";
  if (state.closed) throw new ReadError("connection", "Cannot ask as the adapter is closed");
  if (state.exchanges?.ca !== ca) {
    for (const old of state.exchanges?.all ?? []) old.close();
    state.exchanges = { ca, all: newExchanges(state.options, ca) };
  }
  const found = state.exchanges.all[server];
  if (found === undefined) throw new Error(`Cannot ask server ${server} as there must be one`);
  return found;
}

function newExchanges({ address, maxInFlight, timeout, tls }: PolarisOptions, ca: string): readonly Exchange[] {
  const { serverName } = tls ?? {};
  const ours = { ...(ca === "" ? {} : { ca }), ...(serverName === undefined ? {} : { servername: serverName }) };
  return address.map((one) => exchange(one, { connections: maxInFlight, timeoutMs: timeout, tls: ours }));
}

async function probe(state: State, server: number, signal: AbortSignal): Promise<void> {
  const question: Question = { type: "SERVICES", namespace: "Polaris", revision: "" };
  const timeoutMs = Math.min(state.options.timeout, PROBE_MS);
  await ask(state, server, { question, token: await tokenNow(state), timeoutMs }, signal);
}

/** A question as it is put to one server. */
interface Asked {
  readonly question: Question;
  readonly token: string;
  readonly timeoutMs: number;
}

async function ask(
  state: State,
  server: number,
  { question, token, timeoutMs }: Asked,
  signal: AbortSignal,
): Promise<Answer> {
  const parser = question.type === "INSTANCE" ? INSTANCES_PARSER : LIST_PARSER;
  const into = answerBody(parser.limits, state.budget);
  try {
    const head = await send(state, server, { body: bodyOf(question), token, into, timeoutMs }, signal);
    const reply = () => replyOf(state, parser, into, signal);
    return await judged(head, question, { reply, mask: state.secrets.mask });
  } finally {
    into.drop();
  }
}

async function send(state: State, server: number, request: RawRequest, signal: AbortSignal): Promise<Head> {
  const once = async () => (await exchangeWith(state, server)).post(request, signal);
  try {
    return await once();
  } catch (error) {
    // A connection that was kept from before may have been closed meanwhile; Discover changes nothing, so it can be sent again.
    if (!wasClosed(error)) throw error;
    return once();
  }
}

/** A heavy body is parsed elsewhere. @throws {ReadError} When it is no answer of Polaris. */
async function replyOf({ turn }: State, parser: Parser<Reply>, body: AnswerBody, signal: AbortSignal): Promise<Reply> {
  const octets = body.whole();
  if (!isHeavy(octets, body.values())) return parser.parse(octets);
  return (await turn(() => parseApart(parser, octets, signal), signal)).result;
}

/** Ask one server, with the newest token if the one before is refused, and again later if it has too much to do. */
async function askWithRetries(state: State, server: number, question: Question, signal: AbortSignal): Promise<Answer> {
  const timeoutMs = state.options.timeout;
  let token = await tokenNow(state);
  for (let tries = 1; ; tries++) {
    try {
      return await ask(state, server, { question, token, timeoutMs }, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (readFailure(error) === "denied") {
        const newest = await tokenNow(state, true);
        if (newest === token) throw error;
        token = newest;
      } else if (!(error instanceof BusyError)) throw error;
      if (tries >= BUSY_TRIES) throw error;
      if (error instanceof BusyError) await backOff(tries + 1, signal, { firstMs: BUSY_MS });
    }
  }
}

async function askServers(state: State, question: Question, signal: AbortSignal): Promise<Answer> {
  const { choice } = state;
  const tried = new Set<number>();
  for (;;) {
    const server = choice.current();
    tried.add(server);
    try {
      return await askWithRetries(state, server, question, signal);
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

function bodyOf(question: Question): string {
  const { type, revision } = question;
  const asked = question.type === "INSTANCE" ? question.name : { namespace: question.namespace };
  const service = { ...(asked.namespace === "" ? {} : asked), ...(revision === "" ? {} : { revision }) };
  return JSON.stringify({ type, service });
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
