import { setTimeout as delay } from "node:timers/promises";
import type { Config } from "../config.ts";
import { backOff } from "../controller/loop.ts";
import { inTurns } from "../controller/turns.ts";
import type { Log } from "../log.ts";
import type { NameTable } from "../model/name-table.ts";
import type { Target } from "../model/target.ts";
import { nameTables } from "../plan/name-table.ts";
import { type KnownServices, type WaitingNames, waitingNamesSteps } from "../plan/waiting-names.ts";

/** How long a new VIP may take to reach the mesh. A folder has no mesh. */
const SETTLE_MS = { kubernetes: 1000, directory: 0 };

const BURST_MS = 20;
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

/** The names in `target` as `config` wants them; `onTable` is called whenever `table` may be another one. */
export function liveNames(
  target: Target,
  { dns, vips, registries }: Pick<Config, "dns" | "vips" | "registries">,
  onTable: () => void,
): LiveNames {
  const tables = nameTables();
  const reported = new Set(registries.flatMap(({ name, demand }) => (demand === "reported" ? [name] : [])));
  let waiting: WaitingNames = { rows: [], of: new Map() };
  /** The newest knowledge, and that which `waiting` was made of. */
  let known: KnownServices | undefined;
  let taken: KnownServices | undefined;
  let endpoints = dns.views.some(({ answer }) => answer === "endpoints");
  let table: NameTable | undefined;
  let version = -1;
  let wake = () => {};

  async function renew(signal: AbortSignal): Promise<void> {
    const now = target.version();
    const services = known;
    if (services !== undefined && services !== taken)
      waiting = await inTurns(waitingNamesSteps(services, reported, waiting), signal);
    taken = services;
    const options = {
      ...{ settleMs: SETTLE_MS[target.kind], nowMs: Date.now(), families: vips.families },
      ...{ endpoints, waiting: waiting.rows },
    };
    const changed = target.changesSince(version);
    try {
      table = await inTurns(tables.renew(target.standing(), changed, options), signal);
      onTable();
    } finally {
      version = now;
    }
  }

  return {
    table: () => table,
    version: () => version,
    renew,
    wantEndpoints() {
      if (endpoints) return;
      endpoints = true;
      wake();
    },
    know(services) {
      if (reported.size === 0) return;
      known = services;
      wake();
    },
    async follow(signal, log) {
      while (!signal.aborted) {
        const woken = new Promise<void>((resolve) => {
          wake = resolve;
        });
        const isDue = (endpoints && table?.hasEndpoints !== true) || known !== taken;
        if (!isDue) await Promise.race([woken, target.waitForChange(version, signal).catch(() => undefined)]);
        if (signal.aborted) break;
        const startedMs = performance.now();
        try {
          await renew(signal);
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
    },
  };
}

/** Read the target for the first time, again and again until it can be; false when told to stop. */
export async function startTarget(target: Target, signal: AbortSignal, log: Log): Promise<boolean> {
  for (let failures = 1; !signal.aborted; failures++) {
    try {
      await target.start({ watch: true, signal });
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      log.error({ error }, "the target cannot be read; it is tried again");
      await backOff(failures, signal).catch(() => undefined);
    }
  }
  return false;
}
