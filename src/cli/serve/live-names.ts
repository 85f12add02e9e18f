import { setTimeout as delay } from "node:timers/promises";
import { yielding } from "../../async/yielding.ts";
import type { Config } from "../../config/config.ts";
import type { Log } from "../../log.ts";
import type { NameTable } from "../../model/name-table.ts";
import type { Target } from "../../model/target.ts";
import { nameTables } from "../../plan/names/name-tables.ts";
import { type KnownServices, type WaitingNames, waitingNames } from "../../plan/names/waiting-names.ts";

/** How long a new VIP may take to reach the mesh. A folder has no mesh. */
const SETTLE_MS = { kubernetes: 1000, directory: 0 };

const BURST_MS = 20;
/** How soon it is seen that no names are missing any more. */
const PARTIAL_MS = 500;
/** While names keep coming, tables are made in a tenth of the time at most. */
const REST = 9;
/** Somebody waits for each name that comes on demand. */
const REST_ON_DEMAND = 1;

/** The names that stand in a target. */
export interface LiveNames {
  /** Undefined before the first `renew`. */
  table(): NameTable | undefined;
  /** The version of the target that `table` was made from. */
  version(): number;
  /** Make the table from what stands now. @throws When an object cannot be understood; the table stays. */
  renew(signal: AbortSignal): Promise<void>;
  /** From now on rows have their endpoints. */
  wantEndpoints(): void;
  /** From now on names of these services wait where they do not stand, if their registry runs on demand. */
  know(services: KnownServices): void;
  /** Renew whenever the target changes, until `signal` aborts. */
  follow(signal: AbortSignal, log: Log): Promise<void>;
}

/** What names are made of. */
interface Source {
  readonly target: Target;
  readonly families: Config["vips"]["families"];
  /** Registries that run on demand. */
  readonly reported: ReadonlySet<string>;
  readonly tables: ReturnType<typeof nameTables>;
  readonly onTable: () => void;
  readonly isPartial: () => boolean;
}

interface State {
  /** Names that wait, and the services that they were made of. */
  waiting: WaitingNames;
  waitingOf: KnownServices | undefined;
  /** The services that are known now. */
  known: KnownServices | undefined;
  /** Whether rows are to have their endpoints. */
  endpoints: boolean;
  table: NameTable | undefined;
  /** Of the target, when `table` was made. */
  version: number;
  /** Ends the wait of `follow`. */
  wake: () => void;
}

/**
 * The names in `target` as `config` wants them; `onTable` is called whenever `table` may be another one.
 *
 * @param isPartial whether names are missing now, as a registry was never read
 */
export function liveNames(
  target: Target,
  { dns, vips, registries }: Pick<Config, "dns" | "vips" | "registries">,
  onTable: () => void,
  isPartial: () => boolean = () => false,
): LiveNames {
  const reported = new Set(registries.flatMap(({ name, demand }) => (demand === "reported" ? [name] : [])));
  const source: Source = { target, families: vips.families, reported, tables: nameTables(), onTable, isPartial };
  const state: State = {
    waiting: { rows: [], of: new Map() },
    waitingOf: undefined,
    known: undefined,
    endpoints: dns.views.some(({ answer }) => answer === "endpoints"),
    table: undefined,
    version: -1,
    wake() {},
  };
  return {
    table: () => state.table,
    version: () => state.version,
    renew: (signal) => renew(state, source, signal),
    wantEndpoints() {
      if (state.endpoints) return;
      state.endpoints = true;
      state.wake();
    },
    know(services) {
      if (reported.size === 0) return;
      state.known = services;
      state.wake();
    },
    follow: (signal, log) => follow(state, source, signal, log),
  };
}

async function renew(
  state: State,
  { target, families, reported, tables, onTable, isPartial }: Source,
  signal: AbortSignal,
): Promise<void> {
  const now = target.version();
  const { known } = state;
  if (known !== undefined && known !== state.waitingOf) state.waiting = waitingNames(known, reported, state.waiting);
  state.waitingOf = known;
  const options = {
    ...{ settleMs: SETTLE_MS[target.kind], nowMs: Date.now(), families },
    ...{ endpoints: state.endpoints, waiting: state.waiting.rows, isPartial: isPartial() },
  };
  const changed = target.changesSince(state.version);
  try {
    state.table = await yielding(tables.renew(target.standing(), changed, options), signal);
    onTable();
  } finally {
    state.version = now;
  }
}

async function follow(state: State, source: Source, signal: AbortSignal, log: Log): Promise<void> {
  const { target, reported, isPartial } = source;
  while (!signal.aborted) {
    const woken = new Promise<void>((resolve) => {
      state.wake = resolve;
    });
    const isDue =
      (state.endpoints && state.table?.hasEndpoints !== true) ||
      isPartial() !== (state.table?.isPartial === true) ||
      state.known !== state.waitingOf;
    if (!isDue) await untilNews(state, woken, target, signal);
    if (signal.aborted) break;
    const startedMs = performance.now();
    try {
      await renew(state, source, signal);
    } catch (error) {
      if (signal.aborted) break;
      // Answers go on from the table before: an object that nobody foresaw must not take down DNS.
      log.error({ error }, "the names cannot be read from the target; the last ones are answered");
    }
    // What comes in a burst makes one table.
    const rest = reported.size > 0 ? REST_ON_DEMAND : REST;
    const restMs = Math.max(BURST_MS, rest * (performance.now() - startedMs));
    await delay(restMs, undefined, { signal }).catch(() => undefined);
  }
}

/** Resolve when the target changes, someone wakes us, the table is to be made anew, or `signal` aborts. */
async function untilNews(
  { version, table }: State,
  woken: Promise<void>,
  target: Target,
  signal: AbortSignal,
): Promise<void> {
  const { renewAtMs } = table ?? {};
  const ended = new AbortController();
  const inner = AbortSignal.any([signal, ended.signal]);
  const news = [woken, target.waitForChange(version, inner)];
  // Nobody tells when a registry turns out to have nothing.
  if (table?.isPartial === true) news.push(delay(PARTIAL_MS, undefined, { signal: inner }));
  if (renewAtMs !== undefined) news.push(delay(Math.max(0, renewAtMs - Date.now()), undefined, { signal: inner }));
  await Promise.race(news.map((one) => one.catch(() => undefined)));
  ended.abort();
}
