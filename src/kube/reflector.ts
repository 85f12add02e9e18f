import type { Log } from "../log.ts";
import { backoffMs, pause } from "./backoff.ts";
import type { KubeClient } from "./client.ts";
import { hasStatus, KubeStatusError } from "./kube-error.ts";
import { linesOf } from "./lines.ts";
import { listAll } from "./list.ts";
import type { RawEvent, RawObject } from "./raw.ts";
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
/** A watch that ends sooner than this without a word is a failure, or an endless loop of them would follow. */
const SOON_MS = 1000;

/** Create a reflector of one resource. */
export function reflector(options: ReflectorOptions): Reflector {
  const { client, title, path, query, sink, log } = options;
  const { pageSize = 500, stallMs = 90_000, recheckMs = 180_000 } = options;
  let revision: string | undefined;
  let isAbsent = false;
  const odd = new Set<string>();

  /** One odd object must not stop the others. */
  function take(raw: RawObject, how: "put" | "remove"): string | undefined {
    try {
      return how === "put" ? sink.put(raw) : void sink.remove(raw);
    } catch (error) {
      const name = `${raw?.metadata?.namespace ?? ""}/${raw?.metadata?.name ?? ""}`;
      if (odd.size < 1000 && !odd.has(name))
        log?.warn({ resource: title, object: name, error }, "an object cannot be read and is skipped");
      odd.add(name);
      return raw?.metadata === undefined ? undefined : sink.keyOf(raw); // it is there all the same: what stood before stays
    }
  }

  async function list(signal: AbortSignal): Promise<void> {
    const seen = new Set<string>();
    const onBegin = () => seen.clear();
    const onItem = (raw: RawObject) => {
      const key = take(raw, "put");
      if (key !== undefined) seen.add(key);
    };
    try {
      const listed = await listAll(client, {
        path,
        ...(query === undefined ? {} : { query }),
        title,
        pageSize,
        signal,
        onBegin,
        onItem,
      });
      sink.sweep(seen, listed);
      revision = listed;
      isAbsent = false;
      options.onList?.(true);
    } catch (error) {
      if (options.optional !== true || !hasStatus(error, 404)) throw error;
      sink.sweep(new Set(), "0");
      isAbsent = true;
      options.onList?.(false);
    }
  }

  function onEvent({ type, object }: RawEvent): void {
    if (type === "ERROR")
      throw new KubeStatusError(`watch ${title}`, Number((object as { code?: unknown })?.code ?? 500), object);
    if (object === undefined) return;
    if (type === "ADDED" || type === "MODIFIED") take(object, "put");
    else if (type === "DELETED") take(object, "remove");
    revision = object.metadata?.resourceVersion ?? revision;
  }

  async function watch(signal: AbortSignal, onLine: () => void): Promise<void> {
    const stall = new AbortController();
    const timer = setTimeout(
      () => stall.abort(new Error(`Cannot watch ${title}: nothing came for ${stallMs / 1000} s`)),
      stallMs,
    );
    try {
      const search = new URLSearchParams({
        ...query,
        watch: "1",
        allowWatchBookmarks: "true",
        resourceVersion: revision ?? "",
        // Spread, so that watches do not all end at once.
        timeoutSeconds: String(Math.round(300 + Math.random() * 300)),
      });
      const stream = await client.watch(`${path}?${search}`, `watch ${title}`, AbortSignal.any([signal, stall.signal]));
      for await (const line of linesOf(stream)) {
        timer.refresh();
        onEvent(JSON.parse(line) as RawEvent);
        onLine();
      }
    } finally {
      clearTimeout(timer);
    }
  }

  async function listAndWatch(signal: AbortSignal, onProgress: () => void): Promise<void> {
    if (isAbsent) await pause(recheckMs, signal);
    if (revision === undefined || isAbsent) await list(signal);
    if (isAbsent) return;
    const startedMs = performance.now();
    let isSilent = true;
    await watch(signal, () => {
      isSilent = false;
      onProgress();
    });
    if (isSilent && performance.now() - startedMs < SOON_MS) throw new Error(`Cannot watch ${title}: it ended at once`);
  }

  return {
    list,
    async follow(signal) {
      let failures = 0;
      const onProgress = () => {
        if (failures > 0) log?.info({ resource: title }, "a watch works again");
        failures = 0;
      };
      while (!signal.aborted) {
        try {
          await listAndWatch(signal, onProgress);
          failures = 0;
        } catch (error) {
          if (signal.aborted) return;
          failures++;
          // What the watch would go on from is no longer kept; or never was, after etcd was restored from a backup.
          if (hasStatus(error, 410) || failures % 5 === 0) revision = undefined;
          if (failures === 1 || failures % 10 === 0)
            log?.warn({ resource: title, failures, error }, "a watch broke off");
          const askedMs = error instanceof KubeStatusError ? (error.retryAfterSeconds ?? 0) * 1000 : 0;
          await pause(Math.min(MAX_MS, askedMs) + backoffMs(failures, BASE_MS, MAX_MS), signal);
        }
      }
    },
  };
}
