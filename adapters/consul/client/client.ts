import type { Gate } from "../../../src/async/gate.ts";
import { ReadError } from "../../../src/errors.ts";
import type { Secrets } from "../../../src/secrets.ts";
import { type AnswerBody, answerBody, answerBudget, type Budget } from "../../answer-body.ts";
import type { AdapterContext } from "../../context.ts";
import { type Credentials, credentials } from "../../credentials.ts";
import { digestOf, isHeavy, type Parser, parseApart, parseTurn } from "../../parse.ts";
import type { ConsulMetrics } from "../metrics.ts";
import type { ConsulOptions } from "../options.ts";
import { http1 } from "./http1.ts";
import { http2 } from "./http2.ts";
import { dial } from "./line.ts";
import { asReadError } from "./read-error.ts";
import { type Answer, again, judged, parameters, type Query } from "./request.ts";
import type { Head, Transport } from "./transport.ts";

/** The one way to Consul. */
export interface ConsulClient {
  /** @throws {ReadError} When there is no good answer; or when `signal` aborts. */
  get<Result>(path: string, query: Query<Result>, signal: AbortSignal): Promise<Answer<Result>>;
  /**
   * The indexes of many answers, which are all but empty; many are asked for at once. Not where blocking queries share connections.
   *
   * @throws {ReadError} When one of them has no good answer; or when `signal` aborts.
   */
  indexes(
    paths: readonly string[],
    query: Pick<Query<never>, "dc" | "params">,
    signal: AbortSignal,
  ): Promise<readonly number[]>;
  /** Whether many blocking queries share a connection. Known after the first answer. */
  isMultiplexed(): boolean;
  /** Differs when the token does, and says nothing of it. */
  identity(): number;
  close(): void;
}

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
    indexes: (paths, query, signal) => indexes(state, paths, query, signal),
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
  const { timeout, wait } = state.options;
  const limitMs = timeout + (query.index === undefined ? 0 : wait + wait / 16);
  return limited(limitMs, signal, async (limit) => {
    const now = await state.currentCredentials();
    noteToken(state, now);
    const { transport } = await opened(state, now);
    return transport.get({
      path,
      query: parameters(query, stale, state.options),
      headers: now.headers,
      use: query.index === undefined ? "read" : "watch",
      body,
      signal: limit,
    });
  });
}

async function indexes(
  state: State,
  paths: readonly string[],
  query: Pick<Query<never>, "dc" | "params">,
  signal: AbortSignal,
): Promise<readonly number[]> {
  const { options, metrics } = state;
  try {
    const ask = () =>
      limited(options.timeout, signal, async (limit) => {
        const now = await state.currentCredentials();
        noteToken(state, now);
        const { transport } = await opened(state, now);
        const params = parameters(query, options.consistency === "stale", options);
        return transport.indexes?.(paths, { query: params, headers: now.headers, signal: limit }) ?? [];
      });
    const found = await again(ask, {}, signal);
    metrics.requested("ok", paths.length);
    return found;
  } catch (cause) {
    signal.throwIfAborted();
    const error = asReadError(paths[0] ?? "", query.dc, cause);
    metrics.requested(error.failure);
    throw error;
  }
}

/** Have `action` end within some time, or when `signal` aborts. */
async function limited<Result>(
  limitMs: number,
  signal: AbortSignal,
  action: (limit: AbortSignal) => Promise<Result>,
): Promise<Result> {
  signal.throwIfAborted();
  const end = new AbortController();
  const timer = setTimeout(() => end.abort(new ReadError("timeout", `gave no answer within ${limitMs} ms`)), limitMs);
  const onAbort = () => end.abort(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await action(end.signal);
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
