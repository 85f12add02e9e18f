import { Agent, fetch, type Response } from "undici";
import { ReadError } from "../../../src/errors.ts";
import type { AdapterContext } from "../../context.ts";
import type { ReadJson } from "../../contract.ts";
import { type Credentials, credentials } from "../../credentials.ts";
import { failureOfStatus } from "../../http-status.ts";
import { parseTurn } from "../../parse.ts";
import { jsonReader } from "../../read-json.ts";
import { shorten } from "../../text.ts";
import type { NacosOptions } from "../options.ts";
import type { Fields } from "./reply.ts";

/** What Nacos says by HTTP only. Everything about services goes by gRPC. */
export interface NacosHttp {
  /** @throws {ReadError} When it is refused or fails. */
  login(server: string, form: Login, signal: AbortSignal): Promise<Token>;
  /** Groups that have services in a namespace; `undefined` where these rights or this version do not tell. @throws {ReadError} */
  groups(server: string, namespace: string, token: string | undefined, signal: AbortSignal): Promise<Groups>;
  /** Ids of all namespaces; as above. */
  namespaces(server: string, token: string | undefined, signal: AbortSignal): Promise<readonly string[] | undefined>;
  /** `1.4.2`, of those that say it to anybody. Never throws. */
  version(server: string, signal: AbortSignal): Promise<string | undefined>;
  /** As gRPC has them. @throws {ReadError} When a file cannot be read. */
  tls(): Promise<{ readonly ca?: string; readonly cert?: string; readonly key?: string; readonly servername?: string }>;
  close(): void;
}

export interface Login {
  readonly username: string;
  readonly password: string;
}

/** What a login gives. */
export interface Token {
  readonly text: string;
  readonly ttlMs: number;
}

export type Groups = readonly string[] | undefined;

type Options = Pick<NacosOptions, "tls" | "timeout">;

/** One page must have all: pages are cut from a set that others change. */
const ALL = "100000";
/** The way into 3.x, then that into 2.x. A server that does not know one answers with these. */
const LOGINS = ["/v3/auth/user/login", "/v1/auth/login"] as const;
const UNKNOWN_PATH: readonly number[] = [404, 405, 410, 501];
const NOT_TOLD: readonly number[] = [...UNKNOWN_PATH, 401, 403];
const USUAL_TTL_SECONDS = 18_000;

interface Answer {
  readonly status: number;
  readonly fields: Fields;
}

/** Asks one server, within a limit of time for the whole answer. */
type Ask = (method: string, url: string, form: object | undefined, signal: AbortSignal) => Promise<Answer>;

/** Nothing is opened before the first request. */
export function nacosHttp(options: Options, context: AdapterContext): NacosHttp {
  const credentialsNow = credentials({ tls: options.tls }, context);
  const { ask, close } = asker(options, credentialsNow, jsonReader(context.metrics.once(parseTurn)));
  return {
    async login(server, form, signal) {
      for (const path of LOGINS) {
        const { status, fields } = await ask("POST", `${server}${path}`, form, signal);
        if (UNKNOWN_PATH.includes(status) && path !== LOGINS.at(-1)) continue;
        if (status !== 200) throw loginFailure(status, `POST ${new URL(server).pathname}${path}: ${status}`);
        return tokenOf(fields);
      }
      throw new ReadError("answer", "knows no login");
    },
    async groups(server, namespace, token, signal) {
      const query = new URLSearchParams({ namespaceId: namespace, pageNo: "1", pageSize: ALL, withInstances: "false" });
      const paths = [
        `/v3/admin/ns/service/list?${query}&ignoreEmptyService=false`,
        `/v1/ns/catalog/services?${query}&hasIpCount=false`,
      ];
      const fields = await told(ask, server, paths, token, signal);
      return fields === undefined ? undefined : groupsOf(fields);
    },
    async namespaces(server, token, signal) {
      const paths = ["/v3/admin/core/namespace/list", "/v1/console/namespaces"];
      const fields = await told(ask, server, paths, token, signal);
      return fields === undefined ? undefined : idsOf(fields);
    },
    async version(server, signal) {
      const { fields } = await ask("GET", `${server}/v1/console/server/state`, undefined, signal).catch(() => NOTHING);
      return typeof fields.version === "string" ? shorten(fields.version, 20) : undefined;
    },
    tls: async () => (await credentialsNow()).tls,
    close,
  };
}

/** The first of several paths that the server knows; `undefined` when it knows none, or does not tell us. */
async function told(
  ask: Ask,
  server: string,
  paths: readonly string[],
  token: string | undefined,
  signal: AbortSignal,
): Promise<Fields | undefined> {
  for (const path of paths) {
    const url = new URL(`${server}${path}`);
    if (token !== undefined) url.searchParams.set("accessToken", token);
    const { status, fields } = await ask("GET", url.href, undefined, signal);
    if (status === 200) return fields;
    if (!NOT_TOLD.includes(status)) throw new ReadError(failureOfStatus(status), `GET ${url.pathname}: ${status}`);
    if (!UNKNOWN_PATH.includes(status)) return undefined;
  }
  return undefined;
}

function asker(
  { timeout }: Options,
  credentialsNow: () => Promise<Credentials>,
  readJson: ReadJson,
): { readonly ask: Ask; close(): void } {
  let agent: { readonly tlsVersion: string; readonly agent: Agent } | undefined;

  async function dispatcher(): Promise<Agent> {
    const { tls, tlsVersion } = await credentialsNow();
    if (agent?.tlsVersion !== tlsVersion) {
      void agent?.agent.destroy().catch(() => undefined);
      const connect = { ...tls, timeout };
      agent = { tlsVersion, agent: new Agent({ connections: 2, headersTimeout: 0, bodyTimeout: 0, connect }) };
    }
    return agent.agent;
  }

  async function read(answer: Response, signal: AbortSignal): Promise<Fields> {
    const body = await readJson(answer, signal);
    if (typeof body !== "object" || body === null) throw new ReadError("answer", "is no object");
    return body as Fields;
  }

  return {
    async ask(method, url, form, signal) {
      const { pathname } = new URL(url);
      const limit = AbortSignal.timeout(timeout);
      const ended = AbortSignal.any([signal, limit]);
      const body = form === undefined ? null : new URLSearchParams({ ...form });
      try {
        // No redirects: the password is for this server.
        const init = { method, body, redirect: "error", signal: ended, dispatcher: await dispatcher() } as const;
        const answer = await fetch(url, init);
        return {
          status: answer.status,
          fields: answer.status === 200 ? await read(answer, ended) : await left(answer),
        };
      } catch (cause) {
        signal.throwIfAborted();
        if (limit.aborted)
          throw new ReadError("timeout", `${method} ${pathname}: was not complete within ${timeout} ms`);
        if (cause instanceof ReadError) throw new ReadError(cause.failure, `${method} ${pathname}: ${cause.message}`);
        const why = (cause as Error).cause ?? cause;
        throw new ReadError("connection", `${method} ${pathname}: no answer`, { cause: why });
      }
    },
    close: () => void agent?.agent.destroy().catch(() => undefined),
  };
}

/** 3.1 answers 500 to a wrong password. */
function loginFailure(status: number, said: string): ReadError {
  if (status === 500) return new ReadError("denied", `${said}, as the password is wrong or the server is at fault`);
  return new ReadError(failureOfStatus(status), said);
}

const NOTHING: Answer = { status: 0, fields: {} };

async function left(answer: Response): Promise<Fields> {
  await answer.body?.cancel();
  return {};
}

function tokenOf({ accessToken, tokenTtl, data }: Fields): Token {
  if (typeof data === "object" && data !== null) return tokenOf(data as Fields);
  if (typeof accessToken !== "string" || accessToken === "") throw new ReadError("answer", "a login gave no token");
  const seconds = typeof tokenTtl === "number" && tokenTtl > 0 ? tokenTtl : USUAL_TTL_SECONDS;
  return { text: accessToken, ttlMs: seconds * 1000 };
}

function groupsOf({ data, serviceList }: Fields): readonly string[] {
  const items = Array.isArray(serviceList) ? serviceList : ((data ?? {}) as Fields).pageItems;
  if (!Array.isArray(items)) throw new ReadError("answer", "the list of all groups is none");
  const names = items.map((one: unknown) => ((one ?? {}) as Fields).groupName);
  return [...new Set(names.filter((one): one is string => typeof one === "string" && one !== ""))].sort();
}

/** An empty id is that of `public`. */
function idsOf({ data }: Fields): readonly string[] {
  if (!Array.isArray(data)) throw new ReadError("answer", "the list of namespaces is none");
  return data.flatMap((one: unknown) => {
    const { namespace } = (one ?? {}) as Fields;
    return typeof namespace === "string" ? [namespace === "" ? "public" : namespace] : [];
  });
}
