import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { Catalog } from "../../../adapters/polaris/catalog.ts";
import type { Entry } from "../../../adapters/polaris/entry.ts";
import { watch } from "../../../adapters/polaris/watch.ts";
import { ReadError } from "../../../src/errors.ts";
import { GENEROUS_MS, until } from "../../until.ts";

interface Fake extends Catalog {
  /** Names in the order in which they were asked for. */
  readonly asked: string[];
  readonly listsAsked: () => number;
  move(): void;
}

function catalogOf(count: number, change: (entry: Entry, at: number) => void, fails = false): Fake {
  const entries = new Map<string, Entry>();
  for (let at = 0; at < count; at++) {
    const entry: Entry = {
      id: `default/${at}`,
      name: { namespace: "default", name: `${at}` },
      content: { service: undefined, target: undefined, isEmpty: true },
      failure: undefined,
      revision: "1",
      isSure: true,
      isBeingAsked: false,
      askedAtMs: Number.NEGATIVE_INFINITY,
      changedAtMs: Number.NEGATIVE_INFINITY,
      failures: 0,
      closedPolls: 0,
    };
    change(entry, at);
    entries.set(entry.id, entry);
  }
  const asked: string[] = [];
  let lists = 0;
  let version = 1;
  return {
    entries,
    asked,
    listsAsked: () => lists,
    move: () => void version++,
    version: () => version,
    poll: async () => {},
    verify: async () => {},
    async pollLists() {
      lists++;
      if (fails) throw new ReadError("connection", "no");
    },
    async askAgain(entry) {
      asked.push(entry.id);
      entry.askedAtMs = performance.now();
      if (fails) throw new ReadError("connection", "no");
      return { listed: true };
    },
    incomplete: () => undefined,
    skipped: () => ({ filter: 0, infrastructure: 0, name: 0 }),
    skippedServices: () => [],
    notes: () => [],
  };
}

/** Watch until `isEnough`. */
async function watched(catalog: Fake, perSecond: number, isEnough: () => boolean): Promise<void> {
  const stop = new AbortController();
  const waiting = watch(catalog, { intervalMs: 500, maxInFlight: 4, perSecond }).until(1, stop.signal);
  const timer = setInterval(() => isEnough() && stop.abort(), 5);
  await assert.rejects(waiting, { name: "AbortError" });
  clearInterval(timer);
}

test("until() asks for all in turn, and for what changed lately again and again", async () => {
  const hot = (entry: Entry, at: number) => {
    if (at === 77) entry.changedAtMs = performance.now();
  };
  const catalog = catalogOf(100, hot);
  // Nobody is left out, and one comes more than once.
  const times = (id: string) => catalog.asked.filter((asked) => asked === id).length;
  await watched(catalog, 100, () => new Set(catalog.asked).size === 100 && times("default/77") > 1);
  const cold = catalog.asked.filter((id) => id !== "default/77");
  assert.ok(cold.length - new Set(cold).size <= 12, "each of the others about once");
});

test("until() asks more rarely for what fails, and hardly at all when everything does", async () => {
  const broken = catalogOf(3, (entry, at) => {
    if (at === 0) entry.failures = 10;
    entry.askedAtMs = at === 0 ? performance.now() : entry.askedAtMs;
  });
  await watched(broken, 1000, () => broken.asked.length >= 6);
  assert.ok(!broken.asked.includes("default/0"));

  const dead = catalogOf(100, () => {}, true);
  const startedMs = performance.now();
  const stop = AbortSignal.timeout(1500);
  await assert.rejects(watch(dead, { intervalMs: 100, maxInFlight: 4 }).until(1, stop));
  const most = (performance.now() - startedMs) / 100;
  assert.ok(
    dead.asked.length + dead.listsAsked() <= most,
    `${dead.asked.length} questions, ${dead.listsAsked()} lists`,
  );
});

test("until() asks again soon for what failed while nothing answered, once something does", async () => {
  let fails = true;
  const catalog = catalogOf(1, (entry) => {
    entry.failures = 10;
  });
  const { pollLists, askAgain } = catalog;
  let refused = 0;
  const during = <Result>(action: () => Promise<Result>) => {
    if (!fails) return action();
    refused++;
    return Promise.reject(new ReadError("connection", "no"));
  };
  const flaky: Catalog = {
    ...catalog,
    pollLists: (signal) => during(() => pollLists(signal)),
    askAgain: (entry, signal) => {
      entry.askedAtMs = performance.now();
      return during(() => askAgain(entry, signal));
    },
  };
  const stop = new AbortController();
  const waiting = watch(flaky, { intervalMs: 50, maxInFlight: 4 }).until(1, stop.signal);
  await until(() => refused >= 7 && (catalog.entries.get("default/0")?.askedAtMs ?? 0) > 0);
  fails = false;
  const backMs = performance.now();
  await until(() => catalog.asked.length > 0);
  assert.ok(performance.now() - backMs < 20_000, "not as long as for a name that alone fails");
  stop.abort();
  await assert.rejects(waiting, { name: "AbortError" });
});

test("until() has all verified while it waits, and not before or after", async () => {
  const catalog = catalogOf(1, () => {});
  const verified: string[] = [];
  const verifying: Catalog = {
    ...catalog,
    async verify(signal) {
      verified.push("begun");
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      await delay(20); // what a read takes to end
      verified.push("ended");
    },
  };
  const changes = watch(verifying, { intervalMs: 500, maxInFlight: 4 });
  await changes.until(0, AbortSignal.timeout(GENEROUS_MS));
  assert.deepEqual(verified, [], "nobody waits");
  await assert.rejects(changes.until(1, AbortSignal.timeout(20)), { name: "AbortError" });
  assert.deepEqual(verified, ["begun", "ended"]);
  setTimeout(catalog.move, 20);
  await changes.until(1, AbortSignal.timeout(GENEROUS_MS));
  assert.deepEqual(verified, ["begun", "ended", "begun", "ended"]);
  assert.deepEqual([changes.wasUsed(), changes.wasUsed()], [true, false]);
});

test("until() ends at once when the catalog has changed, and soon when it changes", async () => {
  const catalog = catalogOf(1, () => {});
  const changes = watch(catalog, { intervalMs: 500, maxInFlight: 4 });
  await changes.until(0, AbortSignal.timeout(GENEROUS_MS));
  assert.deepEqual(catalog.asked, []);
  setTimeout(catalog.move, 20);
  await changes.until(1, AbortSignal.timeout(GENEROUS_MS));
});
