import assert from "node:assert/strict";
import { test } from "node:test";
import type { Entry } from "../../../adapters/polaris/entry.ts";
import type { Estate } from "../../../adapters/polaris/estate.ts";
import { watch } from "../../../adapters/polaris/watch.ts";
import { ReadError } from "../../../src/errors.ts";

interface Fake extends Estate {
  /** Names in the order in which they were asked for. */
  readonly asked: string[];
  readonly listsAsked: () => number;
  move(): void;
}

function estateOf(count: number, change: (entry: Entry, at: number) => void, fails = false): Fake {
  const entries = new Map<string, Entry>();
  for (let at = 0; at < count; at++) {
    const entry: Entry = {
      id: `default/${at}`,
      name: { namespace: "default", name: `${at}` },
      content: { service: undefined, target: undefined, isEmpty: true },
      failure: undefined,
      revision: "1",
      isSure: true,
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
    async pollLists() {
      lists++;
      if (fails) throw new ReadError("connection", "no");
    },
    async look(entry) {
      asked.push(entry.id);
      entry.askedAtMs = performance.now();
      if (fails) throw new ReadError("connection", "no");
      return { listed: true };
    },
    incomplete: () => undefined,
    skipped: () => ({ filter: 0, infrastructure: 0 }),
  };
}

/** Watch for so many questions, or until `ended`. */
async function watched(estate: Fake, perSecond: number, most: number): Promise<void> {
  const stop = new AbortController();
  const waiting = watch(estate, { intervalMs: 500, maxInFlight: 4, perSecond }).until(1, stop.signal);
  const look = setInterval(() => estate.asked.length >= most && stop.abort(), 5);
  await assert.rejects(waiting, { name: "AbortError" });
  clearInterval(look);
}

test("until() asks for all in turn, and for what changed lately again and again", async () => {
  const hot = (entry: Entry, at: number) => {
    if (at === 77) entry.changedAtMs = performance.now();
  };
  const estate = estateOf(100, hot);
  await watched(estate, 100, 110);
  assert.equal(new Set(estate.asked).size, 100, "nobody is left out");
  const often = estate.asked.filter((id) => id === "default/77").length;
  assert.ok(often > 1, `${often} times`);
  const cold = estate.asked.filter((id) => id !== "default/77");
  assert.ok(cold.length - new Set(cold).size <= 12, "each of the others about once");
});

test("until() asks more rarely for what fails, and hardly at all when everything does", async () => {
  const broken = estateOf(3, (entry, at) => {
    if (at === 0) entry.failures = 10;
    entry.askedAtMs = at === 0 ? performance.now() : entry.askedAtMs;
  });
  await watched(broken, 1000, 6);
  assert.ok(!broken.asked.includes("default/0"));

  const dead = estateOf(100, () => {}, true);
  const stop = AbortSignal.timeout(1500);
  await assert.rejects(watch(dead, { intervalMs: 100, maxInFlight: 4 }).until(1, stop));
  assert.ok(dead.asked.length + dead.listsAsked() <= 15, `${dead.asked.length} questions, ${dead.listsAsked()} lists`);
});

test("until() ends at once when the estate has moved, and soon when it moves", async () => {
  const estate = estateOf(1, () => {});
  const changes = watch(estate, { intervalMs: 500, maxInFlight: 4 });
  await changes.until(0, AbortSignal.timeout(5000));
  assert.deepEqual(estate.asked, []);
  setTimeout(estate.move, 20);
  await changes.until(1, AbortSignal.timeout(5000));
});
