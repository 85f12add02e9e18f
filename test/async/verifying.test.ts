import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turnOfLoop } from "node:timers/promises";
import { type Clock, verifying } from "../../src/async/verifying.ts";
import { sized } from "../size.ts";
import { randomOf } from "../soak/random.ts";

const signal = new AbortController().signal;

/** A clock that the test moves on; whoever sleeps is woken in time. */
function testClock(): Clock & { pass(ms: number): Promise<void> } {
  let now = 1000;
  const sleeping = new Set<{ readonly atMs: number; readonly wake: () => void }>();
  async function settle(): Promise<void> {
    for (let turn = 0; turn < 8; turn++) await turnOfLoop();
  }
  return {
    nowMs: () => now,
    sleep(ms, ending) {
      return new Promise((resolve, reject) => {
        const one = { atMs: now + ms, wake: resolve };
        sleeping.add(one);
        ending.addEventListener("abort", () => reject(ending.reason), { once: true });
      });
    },
    async pass(ms) {
      for (const endMs = now + ms; ; ) {
        const next = Math.min(endMs, ...[...sleeping].map(({ atMs }) => atMs));
        now = Math.max(now, next);
        for (const one of sleeping) if (one.atMs <= now && sleeping.delete(one)) one.wake();
        await settle();
        if (now >= endMs && ![...sleeping].some(({ atMs }) => atMs <= now)) return;
      }
    },
  };
}

/** Things to verify whose reads take as long as `tookMs` says. */
function setUp(everyMs: number, tookMs: () => number = () => 0) {
  const clock = testClock();
  const world = {
    clock,
    begun: [] as { readonly key: string; readonly atMs: number }[],
    ended: [] as { readonly key: string; readonly atMs: number }[],
    now: new Set<string>(),
    overlaps: [] as string[],
    fails: (_key: string) => false,
  };
  const schedule = verifying({
    everyMs,
    clock,
    async read(key, ending) {
      if (world.now.has(key)) world.overlaps.push(key);
      world.now.add(key);
      world.begun.push({ key, atMs: clock.nowMs() });
      try {
        const ms = tookMs();
        if (ms > 0) await clock.sleep(ms, ending);
        if (world.fails(key)) throw new Error(`cannot read ${key}`);
        world.ended.push({ key, atMs: clock.nowMs() });
        schedule.verified(key);
      } finally {
        world.now.delete(key);
      }
    },
  });
  return { world, clock, schedule };
}

const many = (count: number) => Array.from({ length: count }, (_, at) => `s${at}`);

test("run() reads each thing once in a round, at a steady rate, and not at once", async () => {
  const { world, clock, schedule } = setUp(100_000);
  for (const key of many(400)) schedule.verified(key);
  const end = new AbortController();
  const running = schedule.run(end.signal);
  const perSecond: number[] = [];
  for (let second = 0; second < 80; second++) {
    const before = world.begun.length;
    await clock.pass(1000);
    perSecond.push(world.begun.length - before);
  }
  end.abort();
  await running;
  assert.ok(
    perSecond.every((count) => count >= 4 && count <= 6),
    `${perSecond}`,
  );
  assert.equal(new Set(world.begun.map(({ key }) => key)).size, 400);
  assert.ok(world.begun.length <= 401, "each once");
});

test("a pause of the process is not made up for by a burst", async () => {
  const { world, clock, schedule } = setUp(100_000);
  for (const key of many(400)) schedule.verified(key);
  let now = 0;
  const paused = verifying({
    everyMs: 100_000,
    clock: { nowMs: () => now, sleep: clock.sleep },
    read: async (key) => void world.begun.push({ key, atMs: now }),
  });
  for (const key of many(400)) paused.verified(key);
  const end = new AbortController();
  const running = paused.run(end.signal);
  now = 3_600_000;
  await clock.pass(1000);
  assert.ok(world.begun.length > 0 && world.begun.length <= 6, `${world.begun.length}`);
  end.abort();
  await running;
});

test("due() gives as many as the time since the last call is worth, all of them after a round, and none twice", async () => {
  const { clock, schedule } = setUp(100_000);
  for (const key of many(100)) schedule.verified(key);
  await clock.pass(8_000);
  assert.deepEqual(schedule.due(), many(10));
  assert.deepEqual(schedule.due(), []);
  schedule.verified("s10");
  schedule.forget("s11");
  await clock.pass(800);
  assert.deepEqual(schedule.due(), [], "99 things: one is due a little later");
  await clock.pass(20);
  assert.deepEqual(schedule.due(), ["s12"]);
  await clock.pass(3_600_000);
  assert.equal(schedule.due().length, 99);
});

test("read() does not wait for other things, and reads once more where a read was under way", async () => {
  const { world, clock, schedule } = setUp(100_000, () => 100);
  const first = schedule.read("a", signal);
  const others = [schedule.read("a", signal), schedule.read("a", signal), schedule.read("b", signal)];
  await clock.pass(0);
  assert.deepEqual([...world.now], ["a", "b"]);
  await clock.pass(100);
  await first;
  await clock.pass(100);
  await Promise.all(others);
  assert.deepEqual(
    world.begun.map(({ key }) => key),
    ["a", "b", "a"],
    "two requests share the second read",
  );
});

test("read() reads by itself where the read that it waited for failed or was called off", async () => {
  const { world, clock, schedule } = setUp(100_000, () => 100);
  const ending = new AbortController();
  const called = assert.rejects(schedule.read("a", ending.signal), /over/);
  const own = assert.rejects(schedule.read("a", signal), /cannot read a/);
  await clock.pass(50);
  ending.abort(new Error("over"));
  await called;
  world.fails = () => true;
  const later = schedule.read("a", signal);
  await clock.pass(100);
  await own;
  world.fails = () => false;
  await clock.pass(100);
  await later;
  assert.equal(world.ended.length, 1);
  assert.deepEqual(world.overlaps, []);
});

test("read() gives up waiting when its signal aborts", async () => {
  const { clock, schedule } = setUp(100_000, () => 1000);
  const first = schedule.read("a", signal);
  const ending = new AbortController();
  const second = assert.rejects(schedule.read("a", ending.signal), /over/);
  await clock.pass(10);
  ending.abort(new Error("over"));
  await second;
  await clock.pass(1000);
  await first;
});

test("what is read because it changed is not read again before its turn", async () => {
  const { world, clock, schedule } = setUp(100_000);
  for (const key of many(10)) schedule.verified(key);
  const end = new AbortController();
  const running = schedule.run(end.signal);
  await clock.pass(7_000);
  await schedule.read("s0", signal);
  await clock.pass(10_000);
  assert.deepEqual(
    world.begun.map(({ key }) => key),
    ["s0", "s1", "s2"],
  );
  end.abort();
  await running;
});

test("whatever comes, goes, changes and fails: each is read in time, never twice at once, and at a bounded rate", async () => {
  for (let seed = 0; seed < sized(20); seed++) {
    const random = randomOf(seed);
    const everyMs = 60_000 + random() * 240_000;
    const { world, clock, schedule } = setUp(everyMs, () => random() * 500);
    const knownSinceMs = new Map<string, number>();
    let most = 0;
    let serial = 0;
    const add = () => {
      const key = `s${serial++}`;
      knownSinceMs.set(key, clock.nowMs());
      schedule.verified(key);
      most = Math.max(most, knownSinceMs.size);
    };
    const anyone = () => [...knownSinceMs.keys()][Math.floor(random() * knownSinceMs.size)];
    for (let count = 0; count < 20 + random() * 100; count++) add();
    const end = new AbortController();
    const running = schedule.run(end.signal);
    const hints: Promise<void>[] = [];
    const beganMs = clock.nowMs();
    const late: string[] = [];
    let hinted = 0;
    while (clock.nowMs() < beganMs + 3 * everyMs) {
      await clock.pass(random() * 4000);
      const what = random();
      const key = anyone();
      if (what < 0.2) add();
      else if (key !== undefined && what < 0.35) {
        knownSinceMs.delete(key);
        schedule.forget(key);
      } else if (key !== undefined && what < 0.8) {
        hints.push(schedule.read(key, signal));
        hinted++;
      }
      const read = new Map(world.ended.map(({ key: one, atMs }) => [one, atMs]));
      for (const [one, sinceMs] of knownSinceMs)
        if (clock.nowMs() - Math.max(sinceMs, read.get(one) ?? 0) > everyMs) late.push(one);
    }
    end.abort();
    await clock.pass(2000);
    await Promise.all([running, ...hints]);
    const rate = most / (everyMs * 0.8);
    const verified = world.begun.length - hinted;
    assert.deepEqual([late, world.overlaps], [[], []], `seed ${seed}`);
    assert.ok(verified <= rate * 3 * everyMs + most, `seed ${seed}: ${verified} reads`);
    for (const { atMs } of world.begun) {
      const within = world.begun.filter((other) => other.atMs >= atMs && other.atMs < atMs + 5000).length;
      assert.ok(within <= rate * 6000 + 12, `seed ${seed}: ${within} reads in 5 s`);
    }
  }
});
