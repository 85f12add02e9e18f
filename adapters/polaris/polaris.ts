import type { Adapter, ReadOptions, SkipKind, SkippedService, Snapshot } from "../../src/model/adapter.ts";
import { parseServiceKey, type ServiceKey } from "../../src/model/service.ts";
import type { AdapterContext } from "../context.ts";
import { intern } from "../intern.ts";
import { compileRules } from "../shapes/rules.ts";
import { MOST_SKIPPED } from "../shapes/skipped.ts";
import { type Resolution, resolver } from "./aliases.ts";
import { type Catalog, catalog } from "./catalog.ts";
import { polarisClient } from "./client/client.ts";
import { idOf } from "./links.ts";
import { polarisMetrics } from "./metrics.ts";
import type { PolarisOptions } from "./options.ts";
import { scopeOf } from "./scope.ts";
import { watch } from "./watch.ts";

/** A registry that is a Polaris, of one server or of several. */
export function polaris(options: PolarisOptions, context: AdapterContext): Adapter {
  const { registry } = context;
  const { namespaces, maxInFlight, verifyEvery, unhealthy, allUnhealthy, labels } = options;
  const metrics = polarisMetrics(context.metrics, registry);
  const client = polarisClient(options, context, metrics);
  const judge = scopeOf(options);
  const pool = intern();
  const known = catalog({
    ...{ registry, unhealthy, allUnhealthy, labels, rules: compileRules(options) },
    ...{ namespaces, maxInFlight, verifyEvery, client, judge, pool },
  });
  const resolve = resolver(registry, (name) => judge(name) === undefined);
  const changes = watch(known, { intervalMs: options.interval, maxInFlight });
  /** Aliases whose target was not listed at the last poll either. */
  let lonely: ReadonlySet<string> = new Set();
  let isKnown = false;
  let last: Snapshot | undefined;
  let version = -1;

  async function poll(signal: AbortSignal, standing: readonly ServiceKey[]): Promise<void> {
    const names = standing.flatMap((key) => parseServiceKey(key) ?? []);
    const isWatched = changes.wasUsed() && isKnown;
    isKnown = false;
    await known.poll(signal, names, isWatched);
    const { dangling } = resolved();
    const isNew = dangling.some((name) => !lonely.has(idOf(name)));
    // What an alias leads to may be younger than the list.
    if (isNew) await known.pollLists(signal);
    lonely = new Set((isNew ? resolved().dangling : dangling).map(idOf));
    isKnown = true;
  }

  function resolved(): Resolution {
    return resolve([...known.entries.values()], (name) => lonely.has(idOf(name)));
  }

  async function read(signal: AbortSignal, { trigger, standing = () => [] }: ReadOptions): Promise<Snapshot> {
    signal.throwIfAborted();
    if (trigger === "poll" || !isKnown) await poll(signal, standing());
    else if (last !== undefined && known.version() === version) return last;
    else metrics.changed();
    return snapshot();
  }

  function snapshot(): Snapshot {
    const { reads, skipped } = resolved();
    const incomplete = known.incomplete();
    version = known.version();
    last = {
      registry,
      services: reads,
      revision: `${version}`,
      ...(incomplete === undefined ? {} : { incomplete }),
      ...besides(known, skipped),
    };
    return last;
  }

  return {
    registry,
    read,
    waitForChange: (revision, signal) => changes.until(Number(revision), signal),
    async close() {
      client.close();
    },
  };
}

/** What a snapshot tells besides its services. */
function besides(known: Catalog, passedOver: readonly SkippedService[]): Partial<Snapshot> {
  const { filter, ...others } = known.skipped();
  const count = (kind: SkipKind) => passedOver.filter((one) => one.kind === kind).length;
  const skippedServices = [...known.skippedServices(), ...passedOver].slice(0, MOST_SKIPPED);
  const notes = known.notes();
  return {
    skipped: { ...others, filter: filter + count("filter"), kubernetes: count("kubernetes") },
    ...(skippedServices.length === 0 ? {} : { skippedServices }),
    ...(notes.length === 0 ? {} : { notes }),
  };
}
