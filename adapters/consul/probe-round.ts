import { setTimeout as sleep } from "node:timers/promises";
import { backOff } from "../../src/async/back-off.ts";
import { each } from "../../src/async/each.ts";
import type { Datacenter } from "./datacenter.ts";
import { READS_AT_ONCE } from "./service-reads.ts";
import { PAUSE } from "./watch.ts";

/** Several signs of one change come within this. */
const GATHER_MS = 3;
/** After a round there is none for so many times as long as it took: probing takes at most half of the time. */
const PAUSE_FACTOR = 1;
const MAX_RECENT = 1000;

/** Finds which service has changed, where only that one has is known. */
export interface ProbeRounds {
  /** Something has changed. */
  request(): void;
  /** This service has: it is probed first the next time, as what changes once changes again. */
  note(name: string): void;
}

/** Probe the services that `isWatched` does not name, one by one, until `signal` aborts. */
export function probeRounds(
  member: Datacenter,
  isWatched: (name: string) => boolean,
  signal: AbortSignal,
): ProbeRounds {
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
        await each(candidates(), READS_AT_ONCE, probe);
        failures = 0;
        await sleep((performance.now() - startedMs) * PAUSE_FACTOR, undefined, { signal });
      } catch {
        if (signal.aborted) break;
        requested = true;
        await backOff(++failures, signal, PAUSE).catch(() => {});
      }
    }
    running = false;
  }

  async function probe(name: string): Promise<void> {
    if (await member.hasChanged(name, signal)) await member.readService(name, signal);
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
