import { type Changes, createChanges } from "../async/changes.ts";
import type { Asked, Asker, Demands } from "../model/demand.ts";
import type { ServiceKey } from "../model/service.ts";

/** What this process heard of who asks for which service. */
export interface Demand {
  /** Note a question for a service that is known. */
  ask(service: ServiceKey, asker: Omit<Asker, "lastMs">, atMs: number): void;
  demands(): Demands;
  /** Counts the questions that something is to be done about. */
  readonly changes: Changes;
  /** The services of these questions since this was called last. */
  takeNews(): ReadonlySet<ServiceKey>;
  /** From now on `isNews` says what something is to be done about; of one service, not again for questions within `againMs`. */
  judge(isNews: (service: ServiceKey, atMs: number) => boolean, againMs: number): void;
  /** Forget services that are not known any more. */
  keep(isKnown: (service: ServiceKey) => boolean): void;
}

const MOST_ASKERS = 16;
/** More services than this are not kept in mind. */
const MOST_SERVICES = 200_000;
/** A memory of nothing yet. */
export function createDemand(): Demand {
  const demands = new Map<ServiceKey, Asked>();
  /** When a question for it was news last. */
  const newsMs = new Map<ServiceKey, number>();
  let news = new Set<ServiceKey>();
  const changes = createChanges();
  let againMs = 0;
  let isNews = (_: ServiceKey, __: number) => false;
  return {
    ask(service, asker, atMs) {
      const before = demands.get(service);
      if (before === undefined && demands.size >= MOST_SERVICES) return;
      demands.set(service, withAsker(before, { ...asker, lastMs: atMs }));
      if (atMs - (newsMs.get(service) ?? Number.NEGATIVE_INFINITY) < againMs || !isNews(service, atMs)) return;
      newsMs.set(service, atMs);
      news.add(service);
      changes.notify();
    },
    demands: () => demands,
    changes,
    takeNews() {
      const taken = news;
      news = new Set();
      return taken;
    },
    judge(judge, quietMs) {
      isNews = judge;
      againMs = quietMs;
    },
    keep(isKnown) {
      for (const known of [demands, newsMs, news])
        for (const service of known.keys()) if (!isKnown(service)) known.delete(service);
    },
  };
}

function withAsker(before: Asked | undefined, asker: Asker): Asked {
  const lastMs = Math.max(before?.lastMs ?? 0, asker.lastMs);
  const [latest, ...rest] = before?.by ?? [];
  // Most questions are the same caller's again.
  if (latest !== undefined && isSame(latest, asker)) return { lastMs, by: [asker, ...rest] };
  const others = (before?.by ?? []).filter((one) => !isSame(one, asker));
  return { lastMs, by: [asker, ...others].slice(0, MOST_ASKERS) };
}

function isSame(a: Asker, b: Asker): boolean {
  return a.caller === b.caller && a.via === b.via && a.view === b.view;
}
