import { setTimeout as sleep } from "node:timers/promises";
import { each } from "../each.ts";
import type { Datacenter } from "./datacenter.ts";
import { READS_AT_ONCE } from "./datacenter.ts";
import { rest } from "./watch.ts";

/** Several signs of one change come within this. */
const GATHER_MS = 3;
/** After a sweep there is none for so many times as long as it took: looking takes at most half of the time. */
const PAUSE_FACTOR = 1;
const MAX_RECENT = 1000;

/** Finds which service has moved, where only that one has is known. */
export interface Sweep {
  /** Something has moved. */
  request(): void;
  /** This service has: it is looked at first the next time, as what moves once moves again. */
  note(name: string): void;
}

/** Look at the services that `isWatched` does not name, one by one, until `signal` aborts. */
export function sweep(member: Datacenter, isWatched: (name: string) => boolean, signal: AbortSignal): Sweep {
  const recent = new Set<string>();
  let requested = false;
  let running = false;
  let failures = 0;

  async function run(): Promise<void> {
    running = true;
    while (requested && !signal.aborted) {
      try {
        await sleep(GATHER_MS, undefined, { signal });
        requested = false;
        const startedMs = performance.now();
        await each(candidates(), READS_AT_ONCE, look);
        failures = 0;
        await sleep((performance.now() - startedMs) * PAUSE_FACTOR, undefined, { signal });
      } catch {
        if (signal.aborted) break;
        requested = true;
        await rest(++failures, signal).catch(() => {});
      }
    }
    running = false;
  }

  async function look(name: string): Promise<void> {
    if (await member.hasMoved(name, signal)) await member.readService(name, signal);
  }

  function* candidates(): Generator<string> {
    const first = [...recent].reverse();
    for (const name of first) if (member.names().has(name) && !isWatched(name)) yield name;
    for (const name of member.names()) if (!recent.has(name) && !isWatched(name)) yield name;
  }

  return {
    request() {
      requested = true;
      if (!running) void run();
    },
    note(name) {
      recent.delete(name);
      recent.add(name);
      const [oldest] = recent;
      if (recent.size > MAX_RECENT && oldest !== undefined) recent.delete(oldest);
    },
  };
}
