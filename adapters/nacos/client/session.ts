import { describeError, ReadError, readFailure } from "../../../src/errors.ts";
import type { AdapterContext } from "../../context.ts";
import type { NacosMetrics } from "../metrics.ts";
import { grpcPort, type NacosOptions } from "../options.ts";
import { nacosAuth } from "./auth.ts";
import { type Connection, type ConnectionOptions, connect, type Subject } from "./connection.ts";
import { type Groups, type NacosHttp, nacosHttp } from "./http.ts";
import type { Fields } from "./reply.ts";

/** The one way to the servers of one registry. */
export interface Session {
  /** Connect to the server that is used now, else to the next one that answers. @throws {ReadError} When none does. */
  open(events: Pick<ConnectionOptions, "namespace" | "onPush" | "onEnd">, signal: AbortSignal): Promise<Connection>;
  /** Ask on a connection; a token that has ended is renewed. @throws {ReadError} */
  ask(connection: Connection, type: string, body: object, about: Subject, signal: AbortSignal): Promise<Fields>;
  /** Groups of a namespace; `undefined` where the server does not tell. @throws {ReadError} */
  groups(namespace: string, signal: AbortSignal): Promise<Groups>;
  /** Ids of all namespaces; the same. */
  namespaces(signal: AbortSignal): Promise<readonly string[] | undefined>;
  /** From now on another server is used, if there is one. */
  leave(): void;
  /** The server that is used now. */
  server(): string;
  close(): void;
}

/** @param nowMs performance.now() */
export function nacosSession(
  options: NacosOptions,
  context: AdapterContext,
  metrics: NacosMetrics,
  nowMs: () => number,
): Session {
  const { address: servers, timeout } = options;
  const { registry, log } = context;
  const http = nacosHttp(options, context);
  const auth = nacosAuth(options, context, (form, signal) => http.login(server(), form, signal), nowMs);
  /** Position of the server that is used; namespaces share it. */
  let active = 0;

  function server(): string {
    return servers[active] ?? "";
  }

  function leave(): void {
    active = (active + 1) % servers.length;
  }

  async function counted<Result>(signal: AbortSignal, action: () => Promise<Result>): Promise<Result> {
    try {
      const result = await action();
      metrics.requested("ok");
      return result;
    } catch (error) {
      signal.throwIfAborted();
      const failure = readFailure(error);
      metrics.requested(failure === "other" ? "connection" : failure);
      throw error;
    }
  }

  return {
    server,
    leave,
    async open(events, signal) {
      for (let left = servers.length; ; left--) {
        const at = server();
        try {
          const made = { ...events, timeoutMs: timeout, headers: auth.headers };
          const connection = await counted(signal, () => openAt(at, options, http, made, signal));
          metrics.connected();
          return connection;
        } catch (error) {
          signal.throwIfAborted();
          if (server() === at) leave();
          if (left <= 1) throw error;
          const fields = { registry, server: at, next: server(), why: describeError(error) };
          log.warn(fields, "a server of the registry cannot be connected to; the next one is tried");
        }
      }
    },
    async ask(connection, type, body, about, signal) {
      const once = () => counted(signal, () => connection.request(type, body, about, signal));
      try {
        return await once();
      } catch (error) {
        if (readFailure(error) !== "denied" || !auth.wasRefused()) throw error;
        return once();
      }
    },
    groups: (namespace, signal) =>
      counted(signal, async () => http.groups(server(), namespace, await auth.token(signal), signal)),
    namespaces: (signal) => counted(signal, async () => http.namespaces(server(), await auth.token(signal), signal)),
    close: () => http.close(),
  };
}

/** Connect to one server. */
async function openAt(
  at: string,
  { grpcPortOffset, tls: files }: NacosOptions,
  http: NacosHttp,
  options: Omit<ConnectionOptions, "target" | "tls">,
  signal: AbortSignal,
): Promise<Connection> {
  const target = `${new URL(at).hostname}:${grpcPort(at, grpcPortOffset)}`;
  const tls = files !== undefined || at.startsWith("https:") ? await http.tls() : undefined;
  try {
    return await connect({ ...options, target, tls }, signal);
  } catch (cause) {
    signal.throwIfAborted();
    const failure = readFailure(cause);
    const version = failure === "connection" ? await http.version(at, signal) : undefined;
    if (version?.startsWith("1.") === true)
      throw new ReadError("answer", `the server is Nacos ${version}, which has no gRPC: 2.0 or newer is needed`);
    throw new ReadError(failure === "other" ? "connection" : failure, `gRPC at ${target}`, { cause });
  }
}
