import type { Adapter, ReadOptions, Snapshot } from "../../src/model/adapter.ts";
import { parseServiceKey, type ServiceKey } from "../../src/model/service.ts";
import type { AdapterContext } from "../context.ts";
import { intern } from "../intern.ts";
import { type Resolution, resolver } from "./aliases.ts";
import { catalog } from "./catalog.ts";
import { polarisClient } from "./client/client.ts";
import { idOf } from "./links.ts";
import { polarisMetrics } from "./metrics.ts";
import type { PolarisOptions } from "./options.ts";
import { scopeOf } from "./scope.ts";
import { watch } from "./watch.ts";

/** A registry that is a Polaris, of one server or of several. */
export function polaris(options: PolarisOptions, context: AdapterContext): Adapter {
  const { registry } = context;
  const { namespaces, maxInFlight, unhealthy, allUnhealthy } = options;
  const metrics = polarisMetrics(context.metrics, registry);
  const client = polarisClient(options, context, metrics);
  const judge = scopeOf(options);
  const pool = intern();
  const known = catalog({ registry, unhealthy, allUnhealthy, namespaces, maxInFlight, client, judge, pool });
  const resolve = resolver(registry, (name) => judge(name) === undefined);
  const changes = watch(known, { intervalMs: options.interval, maxInFlight });
  /** Aliases whose target was not listed at the last poll either. */
  let lonely: ReadonlySet<string> = new Set();
  let isKnown = false;
  let last: Snapshot | undefined;
  let version = -1;

  async function poll(signal: AbortSignal, standing: readonly ServiceKey[]): Promise<void> {
    isKnown = false;
    await known.poll(
      signal,
      standing.flatMap((key) => parseServiceKey(key) ?? []),
    );
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
    const { reads, kubernetes } = resolved();
    const incomplete = known.incomplete();
    version = known.version();
    last = {
      registry,
      services: reads,
      revision: `${version}`,
      ...(incomplete === undefined ? {} : { incomplete }),
      skipped: { ...known.skipped(), kubernetes },
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
