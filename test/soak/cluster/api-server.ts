import type { RawMetadata, RawObject } from "../../../src/kube/client/raw.ts";

/** An object as it is kept: whole, and never changed, so that answers can hand out the object itself. */
export type Kept = RawObject & { readonly apiVersion?: string; readonly metadata: RawMetadata };

export interface ApiRequest {
  readonly method: string;
  /** With query. */
  readonly path: string;
  readonly body?: unknown;
  /** Of PATCH; {@link APPLY} also creates. */
  readonly contentType?: string | undefined;
}

export const APPLY = "application/apply-patch+yaml";

export interface ApiAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** What became of a write: `before` and `after` are missing where there was or is nothing. */
export interface Effect {
  readonly kind: string;
  readonly before: Kept | undefined;
  readonly after: Kept | undefined;
}

/** A watch under way. */
export interface ApiWatch {
  readonly plural: string;
  readonly selector: string | undefined;
  /** The newest version that was told. */
  revision: number;
  tell(line: Buffer): void;
}

/** An API server in memory, with what our writes and watches rely on: versions, preconditions, AlreadyExists, Gone. */
export interface ApiServer {
  /** @param onEffect told of a write before it is answered */
  handle(request: ApiRequest, onEffect?: (effect: Effect) => void): ApiAnswer;
  /** Tell all since the version in `path`, then what comes; an answer means that it was refused. */
  watch(path: string, tell: (line: Buffer) => void): ApiWatch | ApiAnswer;
  unwatch(watch: ApiWatch): void;
  bookmark(watch: ApiWatch): void;
  objects(plural: string): readonly Kept[];
  get(plural: string, namespace: string, name: string): Kept | undefined;
  /** What a request's path leads to now. */
  at(path: string): Kept | undefined;
  /** Forget what happened until now: a watch from before is refused with 410. */
  compact(): void;
  /** Asked about each object before it is kept: a refusal, or nothing. */
  admission: (after: Kept, before: Kept | undefined) => ApiAnswer | undefined;
  /** Told of each object that was kept. */
  onKept: (object: Kept) => void;
}

interface LoggedEvent {
  readonly revision: number;
  readonly plural: string;
  readonly before: Kept | undefined;
  readonly after: Kept | undefined;
  readonly lines: Map<string, Buffer>;
}

const KINDS: Readonly<Record<string, string>> = {
  serviceentries: "ServiceEntry",
  virtualservices: "VirtualService",
  services: "Service",
  namespaces: "Namespace",
  configmaps: "ConfigMap",
  events: "Event",
  leases: "Lease",
  endpointslices: "EndpointSlice",
  sidecars: "Sidecar",
  peerauthentications: "PeerAuthentication",
};
/** Older events are forgotten. */
const MOST_EVENTS = 5000;

/** @param wallMs the server's clock */
export function apiServer(wallMs: () => number): ApiServer {
  const objects = new Map<string, Map<string, Kept>>(Object.keys(KINDS).map((plural) => [plural, new Map()]));
  const watches = new Set<ApiWatch>();
  let events: LoggedEvent[] = [];
  let revision = 1;
  let oldest = 1;
  let uids = 0;

  const server: ApiServer = {
    handle(request, onEffect = () => undefined) {
      const place = placeOf(request.path);
      const kept = place === undefined ? undefined : objects.get(place.plural);
      if (place === undefined || kept === undefined) return refusal(404, "NotFound");
      if (request.method === "GET") return place.name === undefined ? list(place, kept) : read(place, kept);
      const isCreated = request.contentType === APPLY && !kept.has(`${place.namespace}/${place.name}`);
      if (request.method === "POST" || isCreated) return create(place, kept, request.body as Kept, onEffect);
      if (request.method === "PATCH") return patch(place, kept, request.body as Kept, onEffect);
      return remove(place, kept, request.body, onEffect);
    },
    watch(path, tell) {
      const place = placeOf(path);
      if (place === undefined || !objects.has(place.plural)) return refusal(404, "NotFound");
      const from = Number(place.query.get("resourceVersion"));
      if (!(from >= oldest)) return refusal(410, "Expired");
      const watch = {
        plural: place.plural,
        selector: selectorOf(place.query),
        revision: from,
        tell,
      };
      for (const event of events) if (event.revision > from) inform(watch, event);
      watches.add(watch);
      return watch;
    },
    unwatch: (watch) => void watches.delete(watch),
    bookmark(watch) {
      watch.revision = revision;
      const kind = KINDS[watch.plural];
      watch.tell(lineOf("BOOKMARK", { kind, metadata: { resourceVersion: `${revision}` } }));
    },
    objects: (plural) => [...(objects.get(plural)?.values() ?? [])],
    get: (plural, namespace, name) => objects.get(plural)?.get(`${namespace}/${name}`),
    at(path) {
      const { plural = "", namespace, name } = placeOf(path) ?? {};
      return objects.get(plural)?.get(`${namespace}/${name}`);
    },
    compact() {
      events = [];
      oldest = revision;
    },
    admission: () => undefined,
    onKept: () => undefined,
  };
  return server;

  function list({ namespace, query }: Place, kept: ReadonlyMap<string, Kept>): ApiAnswer {
    const limit = Number(query.get("limit") ?? 500);
    const [at = 0, version = revision] = (query.get("continue") ?? "").split("-").filter(Boolean).map(Number);
    // A page of an earlier moment cannot be had any more.
    if (version !== revision) return refusal(410, "Expired");
    const selector = selectorOf(query);
    const fitting = [...kept.values()].filter(
      (object) => isSelected(object, selector) && ((namespace ?? "") === "" || object.metadata.namespace === namespace),
    );
    const next = at + limit < fitting.length ? `${at + limit}-${revision}` : undefined;
    const metadata = { resourceVersion: `${revision}`, ...(next === undefined ? {} : { continue: next }) };
    return { status: 200, body: { metadata, items: fitting.slice(at, at + limit) } };
  }

  function read({ namespace, name }: Place, kept: ReadonlyMap<string, Kept>): ApiAnswer {
    const object = kept.get(`${namespace}/${name}`);
    return object === undefined ? refusal(404, "NotFound") : { status: 200, body: object };
  }

  function create(place: Place, kept: Map<string, Kept>, body: Kept, onEffect: (effect: Effect) => void): ApiAnswer {
    const { namespace = "" } = place;
    const name = body.metadata.name ?? "";
    const home = objects.get("namespaces")?.get(`/${namespace}`);
    if (place.plural !== "namespaces" && home === undefined) return refusal(404, "NotFound");
    if (home?.metadata.deletionTimestamp != null) return refusal(403, "Forbidden");
    if (kept.has(`${namespace}/${name}`)) return refusal(409, "AlreadyExists");
    const at = namespace === "" ? {} : { namespace };
    const metadata = { ...body.metadata, ...at, uid: `uid-${++uids}`, creationTimestamp: timeOf(wallMs()) };
    return keep(place, kept, undefined, { ...body, kind: KINDS[place.plural] ?? "", metadata }, onEffect);
  }

  function patch(
    place: Place,
    kept: Map<string, Kept>,
    body: Partial<Kept>,
    onEffect: (effect: Effect) => void,
  ): ApiAnswer {
    const before = kept.get(`${place.namespace}/${place.name}`);
    if (before === undefined) return refusal(404, "NotFound");
    const { uid, resourceVersion } = body.metadata ?? {};
    if (!matches(before, uid, resourceVersion)) return refusal(409, "Conflict");
    const after = merged(before, body) as Kept;
    if (before.metadata.deletionTimestamp != null && !isGuarded(after)) return end(place, kept, before, onEffect);
    return keep(place, kept, before, after, onEffect);
  }

  function remove(place: Place, kept: Map<string, Kept>, body: unknown, onEffect: (effect: Effect) => void): ApiAnswer {
    const before = kept.get(`${place.namespace}/${place.name}`);
    if (before === undefined) return refusal(404, "NotFound");
    const { uid, resourceVersion } = (body as { preconditions?: RawMetadata } | undefined)?.preconditions ?? {};
    if (!matches(before, uid, resourceVersion)) return refusal(409, "Conflict");
    if (!isGuarded(before)) return end(place, kept, before, onEffect);
    // A finalizer keeps it: that it is to go is noted once.
    const { deletionTimestamp = timeOf(wallMs()) } = before.metadata;
    const after = { ...before, metadata: { ...before.metadata, deletionTimestamp } };
    return keep({ ...place, query: new URLSearchParams() }, kept, before, after, onEffect);
  }

  function end(
    { plural, namespace, name }: Place,
    kept: Map<string, Kept>,
    before: Kept,
    onEffect: (effect: Effect) => void,
  ): ApiAnswer {
    kept.delete(`${namespace}/${name}`);
    onEffect({ kind: KINDS[plural] ?? "", before, after: undefined });
    const after = { ...before, metadata: { ...before.metadata, resourceVersion: `${++revision}` } };
    record({ revision, plural, before: after, after: undefined, lines: new Map() });
    return { status: 200, body: after };
  }

  function keep(
    { plural, namespace = "", query }: Place,
    kept: Map<string, Kept>,
    before: Kept | undefined,
    wanted: Kept,
    onEffect: (effect: Effect) => void,
  ): ApiAnswer {
    const refused = server.admission(wanted, before);
    if (refused !== undefined) return refused;
    const manager = query.get("fieldManager");
    const managedFields = manager === null ? wanted.metadata.managedFields : [{ manager, time: timeOf(wallMs()) }];
    const { resourceVersion: _, ...metadata } = wanted.metadata;
    const isSame =
      before !== undefined &&
      JSON.stringify({ ...wanted, metadata: { ...before.metadata, ...metadata } }) === JSON.stringify(before);
    if (isSame) return { status: 200, body: before };
    const after = {
      ...wanted,
      metadata: {
        ...metadata,
        resourceVersion: `${++revision}`,
        ...(managedFields === undefined || managedFields === null ? {} : { managedFields }),
      },
    };
    kept.set(`${namespace}/${after.metadata.name}`, after);
    onEffect({ kind: KINDS[plural] ?? "", before, after });
    record({ revision, plural, before, after, lines: new Map() });
    server.onKept(after);
    return { status: before === undefined ? 201 : 200, body: after };
  }

  function record(event: LoggedEvent): void {
    events.push(event);
    if (events.length > MOST_EVENTS) {
      events = events.slice(MOST_EVENTS / 2);
      oldest = events[0]?.revision ?? revision;
    }
    for (const watch of watches) inform(watch, event);
  }
}

function inform(watch: ApiWatch, { revision, plural, before, after, lines }: LoggedEvent): void {
  if (plural !== watch.plural) return;
  watch.revision = revision;
  const was = before !== undefined && isSelected(before, watch.selector);
  const is = after !== undefined && isSelected(after, watch.selector);
  if (!was && !is) return;
  const type = is ? (was ? "MODIFIED" : "ADDED") : "DELETED";
  const line = lines.get(type) ?? lineOf(type, after ?? before ?? {});
  lines.set(type, line);
  watch.tell(line);
}

/** Whether a finalizer keeps it. */
function isGuarded({ metadata }: Kept): boolean {
  return (metadata.finalizers ?? []).length > 0;
}

function lineOf(type: string, object: object): Buffer {
  return Buffer.from(`${JSON.stringify({ type, object })}\n`);
}

function selectorOf(query: URLSearchParams): string | undefined {
  return query.get("labelSelector") ?? query.get("fieldSelector") ?? undefined;
}

function isSelected({ metadata }: Kept, selector: string | undefined): boolean {
  const [name = "", value] = selector?.split("=") ?? [];
  if (name === "metadata.name") return metadata.name === value;
  return selector === undefined || metadata.labels?.[name] === value;
}

function matches({ metadata }: Kept, uid: string | undefined, revision: string | undefined): boolean {
  return (uid ?? metadata.uid) === metadata.uid && (revision ?? metadata.resourceVersion) === metadata.resourceVersion;
}

/** RFC 7396. */
function merged(target: unknown, patch: unknown): unknown {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return patch;
  const isMap = typeof target === "object" && target !== null && !Array.isArray(target);
  const result: Record<string, unknown> = isMap ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merged(result[key], value);
  }
  return result;
}

interface Place {
  readonly plural: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly query: URLSearchParams;
}

function placeOf(path: string): Place | undefined {
  const [plain = "", search = ""] = path.split("?");
  const found = /^\/(?:api\/[^/]+|apis\/[^/]+\/[^/]+)(?:\/namespaces\/([^/]+))?\/([^/]+)(?:\/([^/]+))?$/.exec(plain);
  if (found === null) return undefined;
  const [, namespace, plural = "", name] = found;
  const home = plural === "namespaces" ? "" : namespace;
  return { plural, namespace: home, name, query: new URLSearchParams(search) };
}

function refusal(code: number, reason: string): ApiAnswer {
  return { status: code, body: { kind: "Status", code, reason, message: "on purpose" } };
}

/** A server gives seconds. */
function timeOf(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
