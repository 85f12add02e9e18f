import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setImmediate as turnOfLoop } from "node:timers/promises";
import type { Answer } from "../../../adapters/consul/client/request.ts";
import { type WatchOptions, watch } from "../../../adapters/consul/watch.ts";
import { gate } from "../../../src/async/gate.ts";
import { ReadError } from "../../../src/errors.ts";

/** What an ask is answered with: an index, or an error. It is held back until then. */
interface Held {
  readonly from: number | undefined;
  answer(index: number): Promise<void>;
  fail(error: Error): Promise<void>;
}

/** A watch whose answers the test gives. */
function setUp(t: TestContext, known: number, further: Partial<WatchOptions<unknown>> = {}) {
  const ending = new AbortController();
  const asks: Held[] = [];
  const world = { known, taken: [] as number[], backwards: 0, failures: [] as unknown[], isOver: false };
  const settle = async () => {
    for (let turn = 0; turn < 10; turn++) await turnOfLoop();
  };
  const running = watch(
    {
      ask(from) {
        const { promise, resolve, reject } = Promise.withResolvers<Answer<unknown>>();
        asks.push({
          from,
          answer(index) {
            resolve({ digest: () => "", result: () => [], index, filtered: false });
            return settle();
          },
          fail(error) {
            reject(error);
            return settle();
          },
        });
        return promise;
      },
      waitMs: 0,
      index: () => world.known,
      onChange({ index }) {
        world.taken.push(index);
        world.known = index;
      },
      onBackwards: () => world.backwards++,
      ...further,
    },
    ending.signal,
  ).finally(() => (world.isOver = true));
  t.after(async () => {
    ending.abort();
    for (const ask of asks) await ask.fail(new Error("over"));
    await running;
  });
  return {
    ...{ world, asks },
    /** The ask number `count`, from 1. */
    async next(count: number): Promise<Held> {
      while (asks.length < count) await turnOfLoop();
      return asks[count - 1] ?? assert.fail();
    },
  };
}

test("watch() asks for what there is, then waits for what has changed since", async (t) => {
  const { world, next } = setUp(t, 0);
  const first = await next(1);
  assert.equal(first.from, undefined);
  await first.answer(7);
  const second = await next(2);
  assert.equal(second.from, 7);
  await second.answer(8);
  assert.equal((await next(3)).from, 8);
  assert.deepEqual(world.taken, [7, 8]);
});

test("watch() takes an answer with the same index for no change", async (t) => {
  const { world, next } = setUp(t, 7);
  await (await next(1)).answer(7);
  await (await next(2)).answer(7);
  assert.equal((await next(3)).from, 7);
  assert.deepEqual(world.taken, []);
});

test("watch() asks plainly after an answer that came too soon without a change, and takes that in", async (t) => {
  const { world, next } = setUp(t, 7, { waitMs: 600_000 });
  await (await next(1)).answer(7);
  const plain = await next(2);
  assert.equal(plain.from, undefined);
  await plain.answer(7);
  assert.deepEqual(world.taken, [7], "an equal index may be another Consul's");
  assert.equal((await next(3)).from, 7);
});

test("watch() does not take in an answer whose index went backwards, and does not wait for it", async (t) => {
  const { world, next } = setUp(t, 9, {
    onBackwards() {
      world.backwards++;
      world.known = 8; // a poll has read it since
    },
  });
  await (await next(1)).answer(8);
  assert.deepEqual([world.taken, world.backwards], [[], 1]);
  const plain = await next(2);
  assert.equal(plain.from, undefined);
  await plain.answer(8);
  assert.deepEqual([world.taken, world.backwards], [[8], 1]);
});

test("watch() takes an index of 0, on which nobody can wait, for a failure", async (t) => {
  const { world, next } = setUp(t, 7, { onFailure: (error) => world.failures.push(error) > 0 });
  await (await next(1)).answer(0);
  assert.match(String(world.failures[0]), /has no index to wait on/);
  assert.deepEqual([world.taken, world.backwards], [[], 0]);
});

test("watch() asks plainly after a failure, and waits again after an answer", async (t) => {
  const { world, next } = setUp(t, 7);
  await (await next(1)).fail(new ReadError("connection", "reset"));
  const plain = await next(2);
  assert.equal(plain.from, undefined);
  await plain.answer(7);
  assert.deepEqual(world.taken, [7]);
  assert.equal((await next(3)).from, 7);
});

test("watch() ends when whoever is told of a failure says so, and at no other failure", async (t) => {
  for (const goesOn of [true, false]) {
    const { world, next } = setUp(t, 7, { onFailure: () => goesOn });
    await (await next(1)).fail(new ReadError("server", "answered 429"));
    if (goesOn) await next(2);
    assert.equal(world.isOver, !goesOn);
  }
});

test("watch() takes ten changes as they come, and then does not hurry", async (t) => {
  const { next } = setUp(t, 1);
  const startedMs = performance.now();
  for (let count = 1; count <= 13; count++) await (await next(count)).answer(count + 1);
  await next(14);
  assert.ok(performance.now() - startedMs > 500, "three more of them");
});

test("gate() lets so many run at once, the others in their order, also after a failure", async () => {
  const through = gate(2);
  const signal = new AbortController().signal;
  const begun: number[] = [];
  const ends: (() => void)[] = [];
  const actions = Array.from({ length: 5 }, (_, at) =>
    through(() => {
      begun.push(at);
      const { promise, resolve, reject } = Promise.withResolvers<number>();
      ends[at] = () => (at === 1 ? reject(new Error("failed")) : resolve(at));
      return promise;
    }, signal).catch(() => -1),
  );
  const settle = async () => {
    for (let turn = 0; turn < 5; turn++) await turnOfLoop();
  };
  await settle();
  assert.deepEqual(begun, [0, 1]);
  ends[1]?.();
  await settle();
  assert.deepEqual(begun, [0, 1, 2]);
  for (const at of [0, 2, 3, 4]) {
    ends[at]?.();
    await settle();
  }
  assert.deepEqual(await Promise.all(actions), [0, -1, 2, 3, 4]);
});

test("gate() does not begin what was aborted while it waited, and lets the next one in", async () => {
  const through = gate(1);
  const [alive, ending] = [new AbortController(), new AbortController()];
  const { promise, resolve } = Promise.withResolvers<void>();
  const first = through(() => promise, alive.signal);
  const second = through(async () => assert.fail("it was aborted"), ending.signal);
  const third = through(async () => "in", alive.signal);
  ending.abort(new Error("stop"));
  resolve();
  await first;
  await assert.rejects(second, /stop/);
  assert.equal(await third, "in");
});
