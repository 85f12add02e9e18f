import type { KubeClient, KubeRequest } from "../../src/kube/client/client.ts";
import { KubeStatusError } from "../../src/kube/client/kube-error.ts";
import type { RawEvent, RawMetadata, RawObject } from "../../src/kube/client/raw.ts";

/** One watch under way. */
export interface FakeWatch {
  readonly path: string;
  readonly query: URLSearchParams;
  /** Send an event. */
  send(event: RawEvent): void;
  /** The server ends it. */
  end(): void;
}

/** An API server in memory: objects by path, with versions and preconditions, and watches that the test feeds. */
export interface FakeApi {
  readonly client: KubeClient;
  readonly objects: Map<string, RawObject>;
  /** `POST /path`, without query. */
  readonly seen: string[];
  readonly watches: FakeWatch[];
  /** Told of each request before it is judged; what it throws is the answer. */
  before: (request: KubeRequest) => void | Promise<void>;
  /** What a watch is refused with. */
  refuseWatch: () => Error | undefined;
  /** Put an object as somebody else would; gives it as it stands. */
  put(path: string, object: RawObject): RawObject;
  /** The server's clock. */
  nowMs: number;
}

/** An answer of that status, as the API server words it. */
export function statusError(status: number, reason: string, headers: { readonly retryAfter?: string } = {}): Error {
  return new KubeStatusError("do it", status, { kind: "Status", reason, message: "on purpose" }, headers.retryAfter);
}

/** An empty API server. */
export function fakeApi(): FakeApi {
  let version = 100;
  const api: FakeApi = {
    client: {
      server: "https://fake",
      namespace: undefined,
      async request(request) {
        const path = request.path.replace(/\?.*/, "");
        api.seen.push(`${request.method} ${path}`);
        await api.before(request);
        return answer(path, request);
      },
      async watch(path, _action, signal) {
        const refused = api.refuseWatch();
        if (refused !== undefined) throw refused;
        const [base = "", search = ""] = path.split("?");
        return openWatch(api, base, new URLSearchParams(search), signal);
      },
      nowMs: () => api.nowMs,
      async close() {},
    },
    objects: new Map(),
    seen: [],
    watches: [],
    before: () => {},
    refuseWatch: () => undefined,
    put(path, object) {
      const known = api.objects.get(path)?.metadata;
      const metadata = { uid: `u${++version}`, ...known, ...object.metadata, resourceVersion: String(++version) };
      const stands = { ...object, metadata };
      api.objects.set(path, stands);
      return stands;
    },
    nowMs: Date.UTC(2026, 0, 1),
  };

  function answer(path: string, { method, body, action }: KubeRequest): unknown {
    const fail = (status: number, reason: string) => new KubeStatusError(action, status, { kind: "Status", reason });
    const given = (body ?? {}) as RawObject & { readonly preconditions?: RawMetadata };
    if (method === "POST") {
      const own = `${path}/${given.metadata?.name}`;
      if (api.objects.has(own)) throw fail(409, "AlreadyExists");
      return api.put(own, { ...given, metadata: { ...given.metadata, ...managed(api.nowMs) } });
    }
    const stands = api.objects.get(path);
    if (method === "GET" && !isObject(path)) {
      const items = [...api.objects].filter(([own]) => own.slice(0, own.lastIndexOf("/")) === path);
      return { metadata: { resourceVersion: String(version) }, items: items.map(([, object]) => object) };
    }
    if (stands === undefined) throw fail(404, "NotFound");
    if (method === "GET") return stands;
    const wanted = method === "DELETE" ? (given.preconditions ?? {}) : (given.metadata ?? {});
    for (const field of ["uid", "resourceVersion"] as const)
      if (wanted[field] !== undefined && wanted[field] !== stands.metadata?.[field]) throw fail(409, "Conflict");
    if (method === "PATCH") {
      const { uid: _uid, resourceVersion: _version, ...metadata } = given.metadata ?? {};
      return api.put(path, merged(stands, { ...given, metadata }) as RawObject);
    }
    if ((stands.metadata?.finalizers?.length ?? 0) > 0)
      return api.put(path, { ...stands, metadata: { ...stands.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } });
    api.objects.delete(path);
    return { kind: "Status", status: "Success" };
  }
  return api;
}

/** Collections of a namespace or of the cluster have an odd place in the path. */
function isObject(path: string): boolean {
  const parts = path.split("/").slice(path.startsWith("/apis/") ? 4 : 3);
  return parts[0] === "namespaces" ? parts.length === 4 : parts.length === 2;
}

function managed(nowMs: number): Pick<RawMetadata, "managedFields"> {
  return { managedFields: [{ manager: "x2istio", time: new Date(nowMs).toISOString() }] };
}

/** RFC 7396. */
function merged(target: unknown, patch: unknown): unknown {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return patch;
  const result: Record<string, unknown> = typeof target === "object" && target !== null ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else if (value !== undefined) result[key] = merged(result[key], value);
  }
  return result;
}

function openWatch(api: FakeApi, path: string, query: URLSearchParams, signal: AbortSignal): AsyncIterable<Uint8Array> {
  const lines: string[] = [];
  let isOver = false;
  let wake = Promise.withResolvers<void>();
  const notify = () => {
    wake.resolve();
    wake = Promise.withResolvers();
  };
  signal.addEventListener("abort", notify, { once: true });
  api.watches.push({
    path,
    query,
    send(event) {
      lines.push(`${JSON.stringify(event)}\n`);
      notify();
    },
    end() {
      isOver = true;
      notify();
    },
  });
  return (async function* () {
    for (;;) {
      signal.throwIfAborted();
      const line = lines.shift();
      if (line !== undefined) yield Buffer.from(line);
      else if (isOver) return;
      else await wake.promise;
    }
  })();
}
