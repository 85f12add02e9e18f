import type { Config } from "../../config/config.ts";
import type { Change, Create } from "../../model/plan.ts";
import type { WriteReport } from "../../model/target.ts";
import type { Reading } from "../../plan/catalog/catalog.ts";
import type { Decision } from "../../plan/decision.ts";
import { isCompanion } from "../../plan/standing.ts";

/**
 * The registries of which all names are known: what does not stand of them may be told not to exist. A registry is known once a decision was
 * made from what it said and all that it gave was written, or refused.
 */
export interface KnownRegistries {
  has(registry: string): boolean;
  /** Take note of a decision on everything, before any of it is written, and of what it was made from. */
  decided(decision: Pick<Decision, "plan">, readings: ReadonlyMap<string, Reading>): void;
  /** Take note of what became of it; nothing where another process writes. */
  written(report: WriteReport): void;
}

/** Entries that are still to be made, and since when they have not become fewer. */
interface Left {
  readonly count: number;
  readonly sinceMs: number;
}

/**
 * @param stood registries of which something stood at the start: what they have is known from before
 * @param nowMs never goes back
 */
export function knownRegistries(
  {
    registries,
    merge,
    http,
  }: Pick<Config, "registries" | "merge"> & { readonly http: Pick<Config["http"], "readyWaitMs"> },
  stood: ReadonlySet<string>,
  nowMs: () => number = () => performance.now(),
): KnownRegistries {
  /** The registry that the objects of one carry. */
  const carrierOf = (registry: string) => (merge.includes(registry) ? (merge[0] ?? registry) : registry);
  const known = new Set(registries.flatMap(({ name }) => (stood.has(carrierOf(name)) ? [name] : [])));
  let left = new Map<string, Left>();
  let pending: ReadonlyMap<string, readonly Create[]> = new Map();
  let read: readonly string[] = [];

  return {
    has: (registry) => known.has(registry),
    decided({ plan }, readings) {
      if (known.size === registries.length) return;
      const creates = plan.create.filter(
        ({ object: { manifest } }) => manifest.kind === "ServiceEntry" && !isCompanion(manifest.metadata),
      );
      pending = Map.groupBy(creates, ({ object }) => object.registry);
      read = registries.map(({ name }) => name).filter((name) => readings.get(name)?.state === "read");
      const now = new Map<string, Left>();
      for (const registry of read) {
        const count = pending.get(carrierOf(registry))?.length ?? 0;
        const before = left.get(registry);
        const stays = before !== undefined && before.count <= count ? before : { count, sinceMs: nowMs() };
        // Where another process writes, nobody tells that it was refused.
        if (count === 0 || nowMs() - stays.sinceMs >= http.readyWaitMs) known.add(registry);
        now.set(registry, stays);
      }
      left = now;
    },
    written({ results }) {
      if (known.size === registries.length) return;
      const tried = new Set<Change>(
        results.flatMap(({ change, outcome }) => (outcome === "skipped" || outcome === "conflict" ? [] : change)),
      );
      for (const registry of read)
        if (pending.get(carrierOf(registry))?.every((change) => tried.has(change)) === true) known.add(registry);
    },
  };
}
