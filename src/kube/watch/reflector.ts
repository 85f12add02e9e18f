import { backOffMs, jittered, pause } from "../../async/back-off.ts";
import type { Log } from "../../log.ts";
import type { KubeClient } from "../client/client.ts";
import { hasStatus, KubeStatusError } from "../client/kube-error.ts";
import { listAll } from "../client/list.ts";
import type { RawEvent, RawObject } from "../client/raw.ts";
import { linesOf } from "./lines.ts";
import type { Sink } from "./sink.ts";

/** Options of {@link reflector}. */
export interface ReflectorOptions {
  readonly client: KubeClient;
  /** Plural name for messages: `serviceentries`. */
  readonly title: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly sink: Sink;
  /** Whether the resource may be unknown to the API server: then there are no such objects. */
  readonly optional?: boolean;
  /** Told after each list whether an optional resource is known. */
  readonly onList?: ((isKnown: boolean) => void) | undefined;
  /** Default 500. */
  readonly pageSize?: number;
  /** A watch silent for this long is opened anew; bookmarks come about once a minute. Default 90 s. */
  readonly stallMs?: number;
  /** How often an optional resource that is unknown is asked for again. Default 3 minutes. */
  readonly recheckMs?: number;
  readonly log?: Pick<Log, "info" | "warn"> | undefined;
}

/** Keeps a sink current. */
export interface Reflector {
  /**
   * Read everything once.
   *
   * @throws When that fails; an optional resource that is unknown is empty.
   */
  list(signal: AbortSignal): Promise<void>;
  /** Watch, and list again where the watch broke off; resolves when `signal` aborts. Failures are logged, the last state goes on being served. */
  follow(signal: AbortSignal): Promise<void>;
}

const BASE_MS = 500;
const MAX_MS = 30_000;
/** A watch that ends sooner than this without an event is a failure, or an endless loop of them would follow. */
const SOON_MS = 1000;

/** How far a resource has been read. `list` says where from, each event moves it on, `onFailure` may set it back. */
interface State {
  /** Where a watch goes on from; without it the resource has to be listed first. */
  revision: string | undefined;
  /** Whether the API server does not know the resource. */
  isAbsent: boolean;
  /** Watches and lists that failed one after another. */
  failures: number;
  /** Objects that could not be read, so that each is logged once. */
  readonly unreadable: Set<string>;
}

/** One resource, as it is followed. */
interface Following extends ReflectorOptions {
  readonly pageSize: number;
  readonly stallMs: number;
  readonly recheckMs: number;
  readonly state: State;
}

/** Create a reflector of one resource. */
export function reflector(options: ReflectorOptions): Reflector {
  const { pageSize = 500, stallMs = 90_000, recheckMs = 180_000 } = options;
  const state: State = { revision: undefined, isAbsent: false, failures: 0, unreadable: new Set() };
  const following: Following = { ...options, pageSize, stallMs, recheckMs, state };
  return {
    list: (signal) => list(following, signal),
    follow: (signal) => follow(following, signal),
  };
}

async function follow(following: Following, signal: AbortSignal): Promise<void> {
  following.state.failures = 0;
  while (!signal.aborted) {
    try {
      await listAndWatch(following, signal);
      following.state.failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      onFailure(following, error);
      await pause(waitMs(following.state.failures, error), signal);
    }
  }
}

function onFailure({ title, log, state }: Following, error: unknown): void {
  state.failures++;
  // What the watch would go on from is no longer kept; or never was, after etcd was restored from a backup.
  if (hasStatus(error, 410) || state.failures % 5 === 0) state.revision = undefined;
  if (state.failures === 1 || state.failures % 10 === 0)
    log?.warn({ resource: title, failures: state.failures, error }, "a watch was interrupted");
}

function waitMs(failures: number, error: unknown): number {
  const askedMs = error instanceof KubeStatusError ? (error.retryAfterSeconds ?? 0) * 1000 : 0;
  return Math.min(MAX_MS, askedMs) + jittered(backOffMs(failures, { firstMs: BASE_MS, mostMs: MAX_MS }));
}

async function listAndWatch(following: Following, signal: AbortSignal): Promise<void> {
  const { title, recheckMs, state } = following;
  if (state.isAbsent) await pause(recheckMs, signal);
  if (state.revision === undefined || state.isAbsent) await list(following, signal);
  if (state.isAbsent) return;
  const startedMs = performance.now();
  const lines = await watch(following, signal);
  if (lines === 0 && performance.now() - startedMs < SOON_MS)
    throw new Error(`Cannot watch ${title}: it ended at once`);
}

async function list(following: Following, signal: AbortSignal): Promise<void> {
  const { client, path, query, title, pageSize, sink, state } = following;
  const seen = new Set<string>();
  try {
    const listed = await listAll(client, {
      path,
      ...(query === undefined ? {} : { query }),
      title,
      pageSize,
      signal,
      onBegin: () => seen.clear(),
      onItem(raw) {
        const key = take(following, raw, "put");
        if (key !== undefined) seen.add(key);
      },
    });
    sink.sweep(seen, listed);
    state.revision = listed;
    state.isAbsent = false;
  } catch (error) {
    if (following.optional !== true || !hasStatus(error, 404)) throw error;
    sink.sweep(new Set(), "0");
    state.isAbsent = true;
  }
  following.onList?.(!state.isAbsent);
}

/** Watch until the stream ends; gives how many lines came. */
async function watch(following: Following, signal: AbortSignal): Promise<number> {
  const { client, title, path, query, stallMs, state } = following;
  const stall = new AbortController();
  const timer = setTimeout(
    () => stall.abort(new Error(`Cannot watch ${title}: nothing was received for ${stallMs / 1000} s`)),
    stallMs,
  );
  let lines = 0;
  try {
    const search = new URLSearchParams({
      ...query,
      watch: "1",
      allowWatchBookmarks: "true",
      resourceVersion: state.revision ?? "",
      // Spread, so that watches do not all end at once.
      timeoutSeconds: String(Math.round(300 + Math.random() * 300)),
    });
    const stream = await client.watch(`${path}?${search}`, `watch ${title}`, AbortSignal.any([signal, stall.signal]));
    for await (const line of linesOf(stream)) {
      timer.refresh();
      onEvent(following, JSON.parse(line) as RawEvent);
      lines++;
    }
    return lines;
  } finally {
    clearTimeout(timer);
  }
}

function onEvent(following: Following, { type, object }: RawEvent): void {
  const { title, log, state } = following;
  if (type === "ERROR")
    throw new KubeStatusError(`watch ${title}`, Number((object as { code?: unknown })?.code ?? 500), object);
  if (object !== undefined) {
    if (type === "ADDED" || type === "MODIFIED") take(following, object, "put");
    else if (type === "DELETED") take(following, object, "remove");
    state.revision = object.metadata?.resourceVersion ?? state.revision;
  }
  if (state.failures > 0) log?.info({ resource: title }, "a watch works again");
  state.failures = 0;
}

/** Hand an object to the sink; gives its key. One that cannot be read must not stop the others. */
function take({ title, sink, log, state }: Following, raw: RawObject, how: "put" | "remove"): string | undefined {
  try {
    return how === "put" ? sink.put(raw) : void sink.remove(raw);
  } catch (error) {
    const name = `${raw?.metadata?.namespace ?? ""}/${raw?.metadata?.name ?? ""}`;
    if (state.unreadable.size < 1000 && !state.unreadable.has(name)) {
      log?.warn({ resource: title, object: name, error }, "an object cannot be read and is skipped");
      state.unreadable.add(name);
    }
    return raw?.metadata === undefined ? undefined : sink.keyOf(raw); // it is there all the same: what stood before stays
  }
}
