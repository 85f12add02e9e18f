import type { NameTable } from "../model/name-table.ts";
import type { NameQuestions } from "../model/usage.ts";

/** What is known of one name: how often it was asked for, and by whom. */
export interface NameUse {
  /** By view. */
  readonly views: ReadonlyMap<string, number>;
  /** Addresses of who asked, the last one last; 10 at most. */
  readonly clients: ReadonlySet<string>;
  /** Milliseconds since the epoch. */
  readonly lastMs: number;
}

/** Who asked for which names since the process began. */
export interface Usage {
  count(questions: readonly NameQuestions[], nowMs: number): void;
  of(name: string): NameUse | undefined;
  /** From when on a name without a record was not asked for; milliseconds since the epoch. */
  knownSinceMs(): number;
}

/** One question that is counted, for the metrics. */
export interface CountedQuestions {
  readonly registry: string;
  readonly kind: "host" | "legacy";
  readonly view: string;
  readonly count: number;
}

/** Options of {@link createUsage}. */
export interface UsageOptions {
  /** The names that are answered from. */
  readonly table: () => NameTable | undefined;
  readonly startedMs: number;
  readonly onCount?: (counted: CountedQuestions) => void;
  /** Names that are remembered; of more, those go that were not asked for the longest. Default 20,000: some 10 MB. */
  readonly mostNames?: number;
}

const MOST_NAMES = 20_000;
const MOST_CLIENTS = 10;

interface UseRecord {
  readonly views: Map<string, number>;
  readonly clients: Set<string>;
  lastMs: number;
}

/** Remember who asks for which names, in memory: another replica knows its own. */
export function createUsage({ table, startedMs, onCount, mostNames = MOST_NAMES }: UsageOptions): Usage {
  /** The one that was not asked for the longest comes first. */
  const records = new Map<string, UseRecord>();
  let knownSinceMs = startedMs;

  function take({ name, view, client, count }: NameQuestions, nowMs: number): void {
    const record: UseRecord = records.get(name) ?? { views: new Map(), clients: new Set(), lastMs: 0 };
    records.delete(name);
    records.set(name, record);
    record.lastMs = nowMs;
    record.views.set(view, (record.views.get(view) ?? 0) + count);
    record.clients.delete(client);
    record.clients.add(client);
    const [first] = record.clients;
    if (record.clients.size > MOST_CLIENTS && first !== undefined) record.clients.delete(first);
  }

  function forget(): void {
    const [oldest] = records;
    if (oldest === undefined) return;
    records.delete(oldest[0]);
    knownSinceMs = Math.max(knownSinceMs, oldest[1].lastMs);
  }

  return {
    count(questions, nowMs) {
      const names = table()?.names;
      for (const one of questions) {
        take(one, nowMs);
        if (records.size > mostNames) forget();
        const row = names?.get(one.name);
        const registry = row?.service?.split("/")[0];
        if (row === undefined || registry === undefined) continue;
        const kind = row.name === row.host ? "host" : "legacy";
        onCount?.({ registry, kind, view: one.view, count: one.count });
      }
    },
    of: (name) => records.get(name),
    knownSinceMs: () => knownSinceMs,
  };
}
