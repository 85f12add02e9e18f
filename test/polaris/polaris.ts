import type { IncomingMessage, ServerResponse } from "node:http";
import { answerOf, plain, unrouted } from "./answers.ts";
import { answerClient, CLIENT_PATHS, type Right } from "./client-api.ts";
import { answerConsole } from "./console-api.ts";
import { type DiscoverContext, PANIC } from "./discover.ts";
import { deliver, distorted, holdUp, uuid } from "./distort.ts";
import { createFaults, type Fault, type MetFault, type SeenRequest } from "./faults.ts";
import { type Json, parsedJson } from "./forms.ts";
import { lateRegistry } from "./late.ts";
import { createRegistry, type Name, type Random } from "./registry.ts";
import { type Answer, listen } from "./serve.ts";
import type { InstanceFields, NewInstance, ServiceFields, Store } from "./store.ts";

/** Options of {@link startPolaris}. */
export interface PolarisOptions {
  /** Discovery and registration need a token with the right "full". */
  readonly strict?: boolean;
  /** Rights by token; default: `TOKEN-MAIN` may do all. The console always wants one. */
  readonly tokens?: Readonly<Record<string, Right>>;
  /** Default: a free one. */
  readonly port?: number;
  /** Of ids and of the order of answers; default 1. */
  readonly seed?: number;
}

/** A request that was answered; status 0 if its connection was closed instead. */
export interface AnsweredRequest extends SeenRequest {
  readonly status: number;
}

/** A Polaris server in this process. Like a real one it holds a service of its own, `Polaris/polaris.checker`. */
export interface Polaris {
  /** `http://127.0.0.1:<port>` */
  readonly address: string;
  /** Nothing is checked here, unlike in a request. @returns The instance's id. */
  register(instance: NewInstance): string;
  update(id: string, fields: InstanceFields): void;
  deregister(id: string): void;
  /** Make the instance unhealthy as the heartbeat checker does. */
  lapse(id: string): void;
  /** Make or change a service; its revision, and so that of SERVICES, moves. */
  setService(namespace: string, name: string, fields?: ServiceFields): void;
  /** With its instances and aliases. */
  deleteService(namespace: string, name: string): void;
  createAlias(alias: Name, of: Name): void;
  deleteAlias(alias: Name): void;
  /** Add a token, change its right, or take it away. */
  setToken(token: string, right: Right | undefined): void;
  /** Take the right to a service from all tokens: it is not listed, and who asks for it is refused. @returns What gives it back. */
  deny(namespace: string, name: string): () => void;
  /** The last thousand; oldest first. */
  readonly requests: readonly AnsweredRequest[];
  /** @returns What undoes it. */
  fault(fault: Fault): () => void;
  stop(): Promise<void>;
}

const MOST_REQUESTS = 1000;

/** Numbers in [0, 1) that are the same for the same seed (mulberry32). */
export function seeded(seed: number): Random {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** Start a Polaris server in this process, on loopback. */
export async function startPolaris(options: PolarisOptions = {}): Promise<Polaris> {
  const { strict = false, seed = 1 } = options;
  const random = seeded(seed);
  const tokens = new Map<string, Right>(Object.entries(options.tokens ?? { "TOKEN-MAIN": "full" }));
  const denied = new Set<string>();
  const faults = createFaults();
  const { registry, catchUp } = lateRegistry(createRegistry(random), () => faults.has("late deregistration"));
  const oldStores = new WeakMap<object, Store>();
  const requests: AnsweredRequest[] = [];
  const stopped = new AbortController();

  function contextOf(met: readonly MetFault[]): DiscoverContext {
    const effects = met.map(({ effect }) => effect);
    const old = effects.find(({ kind }) => kind === "stale");
    const revision = effects.find((effect) => effect.kind === "revision");
    return {
      store: (old && oldStores.get(old)) ?? registry.store,
      random,
      denied,
      flap: effects.some(({ kind }) => kind === "flap"),
      ...(revision === undefined ? {} : { revision: () => revision.revision ?? uuid(random) }),
    };
  }

  function bodyOf(request: SeenRequest, text: string, met: readonly MetFault[]): Json | typeof PANIC | undefined {
    const [path = "", query = ""] = request.path.split("?");
    const right = request.token === undefined ? undefined : tokens.get(request.token);
    if (CLIENT_PATHS.includes(path))
      return answerClient({ path, text, right, strict, registry, discovery: contextOf(met) });
    const { method, body } = request;
    return answerConsole({ method, path, query: new URLSearchParams(query), body, right, tokens, registry });
  }

  function answerTo(incoming: IncomingMessage, request: SeenRequest, text: string, met: readonly MetFault[]) {
    const path = request.path.split("?")[0] ?? "";
    const early = unrouted(incoming, path);
    const id = incoming.headers["request-id"]?.toString();
    const body = early === undefined ? bodyOf(request, text, met) : undefined;
    const truth =
      early ?? (body === undefined ? plain(404, "404: Page Not Found") : body === PANIC ? PANIC : answerOf(body, id));
    return met.reduce(
      (answer, { effect }) => distorted(answer, effect, request, random),
      truth as Answer | typeof PANIC,
    );
  }

  async function handle(incoming: IncomingMessage, text: string, response: ServerResponse): Promise<void> {
    const { method = "", url = "", headers } = incoming;
    const request = { method, path: url, body: parsedJson(text), token: headers["x-polaris-token"]?.toString() };
    const met = faults.take(request);
    const answer = answerTo(incoming, request, text, met);
    requests.push({ ...request, status: answer === PANIC ? 0 : answer.status });
    if (requests.length > MOST_REQUESTS) requests.shift();
    await holdUp(met, stopped.signal);
    if (answer === PANIC) response.destroy();
    else await deliver(response, answer, met, stopped.signal);
  }

  function fault(fault: Fault): () => void {
    if (fault.kind === "stale") oldStores.set(fault, structuredClone(registry.store));
    const { undone, undo } = faults.add(fault);
    if (fault.kind === "late deregistration") undone.addEventListener("abort", catchUp);
    return undo;
  }

  const server = await listen(handle, options.port);
  return {
    address: server.address,
    requests,
    fault,
    register: (instance) => registry.register(instance),
    deregister(id) {
      registry.deregister(id);
    },
    update: (id, fields) => registry.update(id, fields),
    lapse: (id) => registry.lapse(id),
    setService(namespace, name, fields) {
      registry.setService(namespace, name, fields);
    },
    deleteService: (namespace, name) => registry.deleteService(namespace, name),
    createAlias(alias, of) {
      registry.createAlias(alias, of);
    },
    deleteAlias: (alias) => registry.deleteAlias(alias),
    setToken(token, right) {
      if (right === undefined) tokens.delete(token);
      else tokens.set(token, right);
    },
    deny(namespace, name) {
      denied.add(`${namespace}/${name}`);
      return () => denied.delete(`${namespace}/${name}`);
    },
    async stop() {
      stopped.abort();
      await server.stop();
    },
  };
}
