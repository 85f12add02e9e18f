import type { Gate } from "../../../src/async/gate.ts";
import { ReadError } from "../../../src/errors.ts";
import type { Secrets } from "../../../src/secrets.ts";
import { type AnswerBody, answerBody, answerBudget, type Budget } from "../../answer-body.ts";
import type { AdapterContext } from "../../context.ts";
import { type Credentials, credentials } from "../../credentials.ts";
import { failureOfStatus } from "../../http-status.ts";
import { digestOf, isHeavy, type Parser, parseApart, parseTurn } from "../../parse.ts";
import { shorten } from "../../text.ts";
import type { ConsulMetrics } from "../metrics.ts";
import { type ConsulOptions, placeParameters } from "../options.ts";
import { http1 } from "./http1.ts";
import { http2 } from "./http2.ts";
import { dial } from "./line.ts";
import { asReadError } from "./read-error.ts";
import type { Head, Transport } from "./transport.ts";

/** A good answer of Consul. */
export interface Answer<Result> {
  /** Differs when the body does. */
  digest(): string;
  /** What the parser makes of the body. @throws {ReadError} When it cannot be understood. */
  result(): Result;
  /** X-Consul-Index; 0 when there is none that can be waited on. */
  readonly index: number;
  /** Something was taken out of it, as the token may not read it. */
  readonly filtered: boolean;
}

/** What to get, besides the path. */
export interface Query<Result> {
  readonly dc: string | undefined;
  /** Absent where only the index is wanted: whatever the body is, it is not kept. */
  readonly parser?: Parser<Result>;
  /** Further parameters. */
  readonly params?: Readonly<Record<string, string>>;
  /** A blocking query: answer when the index differs from this one, at the latest after the time of option `wait`. */
  readonly index?: number;
  /** Have the leader make sure that it is one, and that it knows all that it once said; not with consistency `stale`. */
  readonly isSure?: boolean;
  /** No other server than the leader is to answer, also with consistency `stale`. */
  readonly fromLeader?: boolean;
  /** Only the index is wanted. */
  readonly isProbe?: true;
}

/** The one way to Consul. */
export interface ConsulClient {
  /** @throws {ReadError} When there is no good answer; or when `signal` aborts. */
  get<Result>(path: string, query: Query<Result>, signal: AbortSignal): Promise<Answer<Result>>;
  /** Whether many blocking queries share a connection. Known after the first answer. */
  isMultiplexed(): boolean;
  /** Differs when the token does, and says nothing of it. */
  identity(): number;
  close(): void;
}

const MOST_TEXT = 160;
const MOST_ERROR_BYTES = 4096;

/** Connections of one kind to one Consul. */
interface Open {
  readonly transport: Transport;
  readonly isMultiplexed: boolean;
  readonly tlsVersion: string;
}

/** A Consul and the connections to it. */
interface State {
  readonly options: ConsulOptions;
  readonly metrics: ConsulMetrics;
  readonly currentCredentials: () => Promise<Credentials>;
  /** Of the answers under way. */
  readonly budget: Budget;
  /** To parse a heavy body. */
  readonly turn: Gate;
  readonly secrets: Secrets;
  open: Open | undefined;
  opening: Promise<Open> | undefined;
  closed: boolean;
  /** The token of the last request, and how many there have been. */
  token: string | undefined;
  tokens: number;
}

/** Talk to the Consul of the options. Nothing is opened before the first request. */
export function consulClient(
  options: ConsulOptions,
  context: Pick<AdapterContext, "dir" | "metrics" | "secrets">,
  metrics: ConsulMetrics,
): ConsulClient {
  const state: State = {
    options,
    metrics,
    budget: answerBudget(),
    turn: context.metrics.once(parseTurn),
    secrets: context.secrets,
    currentCredentials: credentials({ ...options, tokenHeader: "x-consul-token" }, context),
    open: undefined,
    opening: undefined,
    closed: false,
    token: undefined,
    tokens: 0,
  };
  return {
    get: (path, query, signal) => get(state, path, query, signal),
    identity: () => state.tokens,
    isMultiplexed: () => state.open?.isMultiplexed === true,
    close() {
      state.closed = true;
      state.open?.transport.close();
    },
  };
}

interface Whole<Result> extends Answer<Result>, Pick<Head, "headers"> {}

async function get<Result>(
  state: State,
  path: string,
  query: Query<Result>,
  signal: AbortSignal,
): Promise<Answer<Result>> {
  const { options, metrics } = state;
  try {
    const stale = options.consistency === "stale" && query.fromLeader !== true;
    const first = await again(() => send(state, path, query, stale, signal), query, signal);
    const isOld = stale && Number(first.headers["x-consul-lastcontact"] ?? 0) > options.maxStale;
    const answer = isOld ? await send(state, path, query, false, signal) : first;
    metrics.requested("ok");
    return answer;
  } catch (cause) {
    signal.throwIfAborted();
    const error = asReadError(path, query.dc, cause);
    metrics.requested(error.failure);
    throw error;
  }
}

async function send<Result>(
  state: State,
  path: string,
  query: Query<Result>,
  stale: boolean,
  signal: AbortSignal,
): Promise<Whole<Result>> {
  const body = answerBody(query.parser?.limits, state.budget);
  try {
    const head = await exchange(state, path, query, { body, stale }, signal);
    return {
      ...judged(head, body, state.secrets),
      headers: head.headers,
      ...(await understood(state, query.parser, body, signal)),
    };
  } finally {
    body.drop();
  }
}

async function exchange(
  state: State,
  path: string,
  query: Query<unknown>,
  { body, stale }: { readonly body: AnswerBody; readonly stale: boolean },
  signal: AbortSignal,
): Promise<Head> {
  signal.throwIfAborted();
  const { timeout, wait } = state.options;
  const limitMs = timeout + (query.index === undefined ? 0 : wait + wait / 16);
  const end = new AbortController();
  const timer = setTimeout(() => end.abort(new ReadError("timeout", `gave no answer within ${limitMs} ms`)), limitMs);
  const onAbort = () => end.abort(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    const now = await state.currentCredentials();
    noteToken(state, now);
    const { transport } = await opened(state, now);
    return await transport.get({
      path,
      query: parameters(query, stale, state.options),
      headers: now.headers,
      use: query.index !== undefined ? "watch" : query.isProbe === true ? "probe" : "read",
      body,
      signal: end.signal,
    });
  } catch (cause) {
    throw end.signal.aborted ? end.signal.reason : cause;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}

function noteToken(state: State, { headers }: Credentials): void {
  const token = headers["x-consul-token"];
  if (token === state.token) return;
  state.token = token;
  state.tokens++;
}

/** The connections there are, or new ones where the TLS files have changed. */
async function opened(state: State, now: Credentials): Promise<Open> {
  if (state.open !== undefined && state.open.tlsVersion === now.tlsVersion) return state.open;
  state.opening ??= openTransport(state.options, now).finally(() => {
    state.opening = undefined;
  });
  const next = await state.opening;
  if (state.open !== next) state.open?.transport.close();
  state.open = next;
  if (state.closed) next.transport.close();
  return next;
}

async function openTransport(options: ConsulOptions, { tls, tlsVersion }: Credentials): Promise<Open> {
  const { address, maxConnections, timeout } = options;
  const socketPath = address.startsWith("unix://") ? address.slice("unix://".length) : undefined;
  const origin = socketPath === undefined ? address.replace(/\/$/, "") : "http://localhost";
  const place = { origin, ...(socketPath === undefined ? {} : { socketPath }) };
  if (origin.startsWith("https:")) {
    const { socket, isHttp2 } = await dial(origin, tls, AbortSignal.timeout(timeout));
    if (isHttp2) return { transport: http2(origin, tls, socket), isMultiplexed: true, tlsVersion };
    socket.destroy();
  }
  return { transport: http1(place, tls, maxConnections), isMultiplexed: false, tlsVersion };
}

/** Try a read once more when its connection was kept from before and the other end has closed it meanwhile. */
async function again<Result>(
  send: () => Promise<Result>,
  { index }: Query<unknown>,
  signal: AbortSignal,
): Promise<Result> {
  try {
    return await send();
  } catch (error) {
    const { code = "", message = "" } = error as NodeJS.ErrnoException;
    const wasClosed =
      ["ECONNRESET", "EPIPE", "ERR_HTTP2_INVALID_SESSION", "UND_ERR_SOCKET"].includes(code) ||
      message.includes("was closed");
    if (signal.aborted || index !== undefined || error instanceof ReadError || !wasClosed) throw error;
    return send();
  }
}

function parameters(
  { dc, params = {}, index, isSure }: Query<unknown>,
  stale: boolean,
  { consistency, wait, enterprise }: ConsulOptions,
): Readonly<Record<string, string>> {
  const consistent = !stale && (consistency === "consistent" || isSure === true);
  return {
    ...placeParameters(dc, enterprise),
    ...(stale ? { stale: "" } : {}),
    ...(consistent ? { consistent: "" } : {}),
    ...params,
    // Not all wait equally long, so that they do not all come back at once.
    ...(index === undefined ? {} : { index: `${index}`, wait: `${Math.ceil(wait * (0.9 + Math.random() / 10))}ms` }),
  };
}

function judged(
  { status, headers }: Head,
  body: AnswerBody,
  secrets: Secrets,
): Pick<Answer<never>, "index" | "filtered"> {
  if (status !== 200) {
    // A server may send back what it was sent.
    const text = shorten(secrets.mask(body.whole().toString("utf8", 0, MOST_ERROR_BYTES)).trim(), MOST_TEXT);
    throw new ReadError(failureOfStatus(status), `answered ${status}${text === "" ? "" : `: ${text}`}`);
  }
  const index = Number(headers["x-consul-index"]);
  return {
    index: Number.isSafeInteger(index) && index >= 1 ? index : 0,
    filtered: headers["x-consul-results-filtered-by-acls"] === "true",
  };
}

/** A light body is parsed when it is wanted, which it is not where nothing has changed; a heavy one now, elsewhere. */
async function understood<Result>(
  { turn }: State,
  parser: Parser<Result> | undefined,
  body: AnswerBody,
  signal: AbortSignal,
): Promise<Pick<Answer<Result>, "digest" | "result">> {
  const octets = body.whole();
  if (parser === undefined)
    return {
      digest: () => "",
      result() {
        throw new Error("Cannot parse an answer whose index alone was asked for");
      },
    };
  if (!isHeavy(octets, body.values())) return { digest: () => digestOf(octets), result: () => parser.parse(octets) };
  const { result, digest } = await turn(() => parseApart(parser, octets, signal), signal);
  return { digest: () => digest, result: () => result };
}
