import { hash } from "node:crypto";
import { Agent, type Dispatcher, fetch, type Response } from "undici";
import type { Gate } from "../../src/async/gate.ts";
import { ReadError, readFailure } from "../../src/errors.ts";
import { answerBody, answerBudget, type Budget } from "../answer-body.ts";
import type { AdapterContext } from "../context.ts";
import { type Credentials, credentials } from "../credentials.ts";
import { failureOfStatus } from "../http-status.ts";
import { isHeavy, parseApart, parseTurn } from "../parse.ts";
import { shorten } from "../text.ts";
import type { EurekaMetrics } from "./metrics.ts";
import type { EurekaOptions } from "./options.ts";
import { APPS_PARSER, type RawApp } from "./reply.ts";

/** The one way to Eureka. */
export interface EurekaClient {
  /**
   * All applications, from the server that answered last, else from the next one that does.
   *
   * @throws {ReadError} When no server gives them; or the signal's reason when it aborts.
   */
  apps(signal: AbortSignal): Promise<readonly RawApp[]>;
  /**
   * Differs when the changes of the last minutes do; `undefined` where the server does not tell them.
   *
   * @throws {ReadError} When the server that is asked now does not answer.
   */
  changes(signal: AbortSignal): Promise<string | undefined>;
  /** performance.now() since when the server that is asked now answers without a break; `undefined` when it always has. */
  answersSinceMs(): number | undefined;
  close(): void;
}

/** Failures after which a server may be another one, or have forgotten what it knew. */
const AWAY: readonly ReturnType<typeof readFailure>[] = ["connection", "timeout"];
/** What a proxy says in the place of a server that is away. */
const OF_PROXY: readonly number[] = [502, 503, 504];

type Options = Pick<EurekaOptions, "address" | "basicAuth" | "tls" | "timeout">;

/** What one client has. */
interface State {
  readonly options: Options;
  readonly metrics: EurekaMetrics;
  readonly budget: Budget;
  readonly turn: Gate;
  readonly credentialsNow: () => Promise<Credentials>;
  agent: { readonly tlsVersion: string; readonly agent: Agent } | undefined;
  isClosed: boolean;
}

/** Talk to the servers of the options. Nothing is opened before the first request. */
export function eurekaClient(
  options: Options,
  context: AdapterContext,
  metrics: EurekaMetrics,
  nowMs: () => number,
): EurekaClient {
  const { registry, log } = context;
  const state: State = {
    options,
    metrics,
    budget: answerBudget(),
    turn: context.metrics.once(parseTurn),
    credentialsNow: credentials(options, context),
    agent: undefined,
    isClosed: false,
  };
  const { address: servers } = options;
  /** Position of the server that is asked. Peers have no leader, and may differ for minutes: no other is preferred. */
  let active = 0;
  let answersSinceMs: number | undefined;
  let isBroken = false;

  /** The answer of one server, or why there is none. */
  async function tried<Result>(signal: AbortSignal, action: (server: string) => Promise<Result>): Promise<Result> {
    try {
      const result = await action(servers[active] ?? "");
      if (isBroken) answersSinceMs = nowMs();
      isBroken = false;
      return result;
    } catch (error) {
      // Whoever refuses or talks nonsense has not been away.
      if (!signal.aborted && AWAY.includes(readFailure(error))) isBroken = true;
      throw error;
    }
  }

  return {
    async apps(signal) {
      for (let left = servers.length; ; left--) {
        try {
          return await tried(signal, (server) => counted(state, signal, () => apps(state, server, signal)));
        } catch (error) {
          signal.throwIfAborted();
          if (left <= 1) throw error;
          const server = servers[active];
          active = (active + 1) % servers.length;
          isBroken = true; // it may differ from the one before for minutes
          metrics.switched();
          const fields = { registry, server, next: servers[active], error };
          log.warn(fields, "a server of the registry does not answer; the next one is asked");
        }
      }
    },
    changes: (signal) => tried(signal, (server) => counted(state, signal, () => changes(state, server, signal))),
    answersSinceMs: () => answersSinceMs,
    close() {
      state.isClosed = true;
      void state.agent?.agent.destroy().catch(() => undefined);
    },
  };
}

async function counted<Result>(
  { metrics }: State,
  signal: AbortSignal,
  action: () => Promise<Result>,
): Promise<Result> {
  try {
    const result = await action();
    metrics.requested("ok");
    return result;
  } catch (cause) {
    signal.throwIfAborted();
    const error = cause instanceof ReadError ? cause : new ReadError("connection", "Cannot ask Eureka", { cause });
    metrics.requested(error.failure);
    throw error;
  }
}

function apps(state: State, server: string, signal: AbortSignal): Promise<readonly RawApp[]> {
  return get(state, `${server}/apps`, signal, async (answer, ended) => {
    if (answer.status !== 200) throw await refused(answer);
    const body = answerBody(APPS_PARSER.limits, state.budget);
    try {
      for await (const piece of answer.body ?? []) body.add(piece as Uint8Array);
      const octets = body.whole();
      if (!isHeavy(octets, body.values())) return APPS_PARSER.parse(octets);
      return (await state.turn(() => parseApart(APPS_PARSER, octets, ended), ended)).result;
    } finally {
      body.drop();
    }
  });
}

function changes(state: State, server: string, signal: AbortSignal): Promise<string | undefined> {
  return get(state, `${server}/apps/delta`, signal, async (answer) => {
    // 403 where the operator turned it off (eureka.shouldDisableDelta), 404 where there is none.
    if (answer.status === 403 || answer.status === 404) {
      await answer.body?.cancel();
      return undefined;
    }
    if (answer.status !== 200) throw await refused(answer);
    const body = answerBody(APPS_PARSER.limits, state.budget);
    try {
      for await (const piece of answer.body ?? []) body.add(piece as Uint8Array);
      return hash("sha1", body.whole(), "base64");
    } finally {
      body.drop();
    }
  });
}

/** GET with a limit of time for the whole answer. The content's encoding is undone; what it inflates to is counted. */
async function get<Result>(
  state: State,
  url: string,
  signal: AbortSignal,
  take: (answer: Response, ended: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const path = new URL(url).pathname;
  const limit = AbortSignal.timeout(state.options.timeout);
  const ended = AbortSignal.any([signal, limit]);
  try {
    const { headers, dispatcher } = await access(state);
    const answer = await fetch(url, {
      headers: { ...headers, accept: "application/json" },
      redirect: "error", // the password is for this server
      signal: ended,
      dispatcher,
    });
    return await take(answer, ended);
  } catch (cause) {
    signal.throwIfAborted();
    if (limit.aborted)
      throw new ReadError("timeout", `GET ${path}: was not complete within ${state.options.timeout} ms`);
    if (cause instanceof ReadError)
      throw new ReadError(cause.failure, `GET ${path}: ${cause.message}`, { cause: cause.cause });
    throw new ReadError("connection", `GET ${path}: no answer`, { cause: (cause as Error).cause ?? cause });
  }
}

async function access(
  state: State,
): Promise<{ readonly headers: Credentials["headers"]; readonly dispatcher: Dispatcher }> {
  const { headers, tls, tlsVersion } = await state.credentialsNow();
  if (state.isClosed) throw new ReadError("connection", "Cannot ask as the adapter is closed");
  if (state.agent?.tlsVersion !== tlsVersion) {
    void state.agent?.agent.destroy().catch(() => undefined);
    // Time limits are this module's own.
    const connect = { ...tls, timeout: state.options.timeout };
    state.agent = { tlsVersion, agent: new Agent({ connections: 2, headersTimeout: 0, bodyTimeout: 0, connect }) };
  }
  return { headers, dispatcher: state.agent.agent };
}

async function refused(answer: Response): Promise<ReadError> {
  await answer.body?.cancel();
  const failure = OF_PROXY.includes(answer.status) ? "connection" : failureOfStatus(answer.status);
  return new ReadError(failure, `${answer.status} ${shorten(answer.statusText)}`.trim());
}
