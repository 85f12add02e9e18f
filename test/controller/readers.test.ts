import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { createChanges } from "../../src/async/changes.ts";
import { controllerMetrics } from "../../src/controller/metrics.ts";
import { type Readers, startReaders } from "../../src/controller/readers.ts";
import { ReadError } from "../../src/errors.ts";
import { createLog } from "../../src/log.ts";
import { createMetrics } from "../../src/metrics.ts";
import type { Adapter, Snapshot } from "../../src/model/adapter.ts";
import type { LeftOutKind } from "../../src/model/service.ts";
import { endpoints, service, snapshot } from "../plan/build.ts";
import { until as eventually, GENEROUS_MS } from "../until.ts";

const NEVER = "0 0 0 1 1 *";
const EVERY_SECOND = "* * * * * *";

/** An adapter that says what it is told to say, read by read, and the last of it for ever. */
function fake(
  registry: string,
  script: readonly (Snapshot | Error)[],
  hints: Partial<Pick<Adapter, "waitForChange">> = {},
) {
  const triggers: string[] = [];
  const left = [...script];
  const adapter: Adapter = {
    registry,
    async read(_, { trigger }) {
      triggers.push(trigger);
      const said = left.length > 1 ? left.shift() : left[0];
      if (said === undefined || said instanceof Error) throw said ?? new Error("nothing to say");
      return said;
    },
    ...hints,
  };
  return { adapter, triggers };
}

function start(t: TestContext, adapters: readonly Adapter[], poll = NEVER) {
  const end = new AbortController();
  const lines: { msg: string }[] = [];
  const log = createLog({
    level: "info",
    pretty: false,
    stream: { write: (line: string) => void lines.push(JSON.parse(line)) },
  });
  const metrics = createMetrics().once(controllerMetrics);
  const readers = startReaders(
    adapters.map((adapter) => ({ adapter, poll })),
    { standing: (registry) => [`${registry}/default/stands`], signal: end.signal, log, metrics },
  );
  t.after(async () => {
    end.abort();
    await readers.done;
  });
  const stop = async () => {
    end.abort();
    await readers.done;
  };
  return { readers, metrics, said: () => lines.map(({ msg }) => msg), stop };
}

async function until(readers: Readers, isSo: () => boolean): Promise<void> {
  const patience = AbortSignal.timeout(GENEROUS_MS);
  for (let seen = readers.changes.version(); !isSo(); seen = readers.changes.version())
    await readers.changes.wait(seen, patience);
}

const first = snapshot("dc1", [service("orders")]);
const second = snapshot("dc1", [service("orders", { endpoints: [] }), service("stock")]);

test("startReaders() says of each registry that it is unread, in order, until it has answered", async (t) => {
  const { adapter } = fake("dc1", [first]);
  const slow: Adapter = { registry: "slow", read: (signal) => delay(60_000, first, { signal }) };
  const startedMs = Date.now();
  const { readers } = start(t, [slow, adapter]);
  assert.deepEqual(
    [...readers.readings],
    [
      ["slow", { state: "unread" }],
      ["dc1", { state: "unread" }],
    ],
  );
  await until(readers, () => readers.readings.get("dc1")?.state === "read");
  assert.deepEqual(readers.readings.get("dc1"), { state: "read", snapshot: first });
  assert.equal(readers.readings.get("slow")?.state, "unread", "a slow registry delays no other");
  const readAtMs = readers.readAtMs.get("dc1") ?? 0;
  assert.ok(startedMs <= readAtMs && readAtMs <= Date.now(), `${readAtMs}`);
  assert.equal(readers.readAtMs.get("slow"), undefined);
});

test("startReaders() tells an adapter what stands of its registry", async (t) => {
  const told: unknown[] = [];
  const adapter: Adapter = {
    registry: "dc1",
    async read(_, { standing }) {
      told.push(standing?.());
      return first;
    },
  };
  const { readers } = start(t, [adapter]);
  await until(readers, () => readers.readings.get("dc1")?.state === "read");
  assert.deepEqual(told, [["dc1/default/stands"]]);
});

test("startReaders() reads again on a hint, and says so", async (t) => {
  let hints = 0;
  const revisions: string[] = [];
  const { adapter, triggers } = fake("dc1", [first, { ...second, revision: "2" }], {
    async waitForChange(revision, signal) {
      revisions.push(revision);
      if (++hints > 1) await delay(60_000, undefined, { signal });
    },
  });
  const { readers } = start(t, [adapter]);
  await eventually(() => revisions.length === 2);
  assert.deepEqual(triggers, ["poll", "hint"]);
  assert.deepEqual(revisions, ["1", "2"]);
  assert.equal(readers.changes.version(), 2);
});

test("startReaders() polls on its schedule, with a hint pending or without", async (t) => {
  const hinting = fake("hinting", [first], { waitForChange: (_, signal) => delay(60_000, undefined, { signal }) });
  const plain = fake("plain", [first]);
  const { stop } = start(t, [hinting.adapter, plain.adapter], EVERY_SECOND);
  await eventually(() => hinting.triggers.length >= 2 && plain.triggers.length >= 2);
  await stop();
  for (const { triggers } of [hinting, plain]) assert.ok(triggers.every((trigger) => trigger === "poll"));
});

test("startReaders() polls on although the hint fails", async (t) => {
  const { adapter, triggers } = fake("dc1", [first], { waitForChange: () => Promise.reject(new Error("410")) });
  const { stop, said } = start(t, [adapter], EVERY_SECOND);
  await eventually(() => triggers.length >= 2);
  await stop();
  assert.ok(triggers.every((trigger) => trigger === "poll"));
  assert.ok(said().includes("the registry's change hint failed; it is polled meanwhile"));
});

test("startReaders() tells an adapter when somebody waits for what a poll finds", async (t) => {
  const { adapter } = fake("a", [snapshot("a", [])]);
  const awaited: (boolean | undefined)[] = [];
  const { readers } = start(t, [
    {
      ...adapter,
      read(signal, options) {
        awaited.push(options.isAwaited);
        return adapter.read(signal, options);
      },
    },
  ]);
  await until(readers, () => readers.readings.get("a")?.state === "read");
  await readers.look("a", AbortSignal.timeout(GENEROUS_MS));
  assert.deepEqual(awaited, [false, true]);
});

test("startReaders() never lets two reads of one registry overlap", async (t) => {
  let running = 0;
  let most = 0;
  let reads = 0;
  const adapter: Adapter = {
    registry: "dc1",
    async read(signal) {
      most = Math.max(most, ++running);
      reads++;
      await delay(1100, undefined, { signal }).finally(() => running--);
      return first;
    },
  };
  const { stop } = start(t, [adapter], EVERY_SECOND);
  await eventually(() => reads >= 3);
  await stop();
  assert.equal(most, 1);
});

test("startReaders() tells only what differs", async (t) => {
  const same = { ...first, services: [...first.services], revision: "2" };
  const { adapter, triggers } = fake("dc1", [first, same, same, second], {
    waitForChange: async (_, signal) => void (await delay(triggers.length > 3 ? 60_000 : 1, undefined, { signal })),
  });
  const { readers } = start(t, [adapter]);
  await eventually(() => triggers.length === 4);
  await until(readers, () => JSON.stringify(readers.readings.get("dc1")).includes("stock"));
  assert.equal(readers.changes.version(), 2, "the first and the one that differs");
});

test("startReaders() says that a read failed, tries again by itself, and says that it works again", async (t) => {
  const cause = new Error("connect ECONNREFUSED 10.0.0.2:8500");
  const { adapter } = fake("dc1", [
    new Error("Cannot read services", { cause }),
    new Error("Cannot read services", { cause }),
    first,
  ]);
  const { readers, said, metrics } = start(t, [adapter]);
  await until(readers, () => readers.readings.get("dc1")?.state === "failed");
  assert.deepEqual(readers.readings.get("dc1"), {
    state: "failed",
    why: "Cannot read services: connect ECONNREFUSED 10.0.0.2:8500",
  });
  await until(readers, () => readers.readings.get("dc1")?.state === "read");
  assert.equal(readers.changes.version(), 2, "the same failure is told once");
  assert.deepEqual(said(), [
    "the registry cannot be read; its objects stay as they are",
    "the registry can be read again",
  ]);
  const { values } = await metrics.registryReads.get();
  assert.deepEqual(values.map(({ labels, value }) => [labels.result, value]).toSorted(), [
    ["failed", 2],
    ["ok", 1],
  ]);
});

test("startReaders() counts an incomplete read as such and says why", async (t) => {
  const { adapter } = fake("dc1", [{ ...first, incomplete: "page 2 failed" }]);
  const { readers, said, metrics } = start(t, [adapter]);
  await until(readers, () => readers.readings.get("dc1")?.state === "read");
  assert.deepEqual(said(), ["the registry could be read only in part; nothing of it is removed"]);
  assert.deepEqual(
    (await metrics.registryReads.get()).values.map(({ labels }) => labels.result),
    ["incomplete"],
  );
});

test("startReaders() ends while a read hangs, and calls that no failure", async (t) => {
  const adapter: Adapter = { registry: "dc1", read: (signal) => delay(60_000, first, { signal }) };
  const { readers, said, stop } = start(t, [adapter]);
  await stop();
  assert.deepEqual([readers.readings.get("dc1")?.state, said()], ["unread", []]);
});

/** What a metric says, by the label `kind`, without zeros. */
async function byKind(metric: { get(): Promise<{ values: { labels: object; value: number }[] }> }): Promise<object> {
  const values = (await metric.get()).values.filter(({ value }) => value !== 0);
  return Object.fromEntries(values.map(({ labels, value }) => ["kind" in labels ? labels.kind : "", value]));
}

test("startReaders() counts what is listed, left out and passed over, also when single services change", async (t) => {
  const out = (kind: LeftOutKind) => ({ address: "192.0.2.9:80", kind, reason: kind });
  const [orders, stock] = [service("orders", { leftOut: [out("health"), out("weight")] }), service("stock")];
  const before = { ...snapshot("dc1", [orders, stock]), skipped: { filter: 3 } };
  const changed = service("orders", { endpoints: endpoints(5), leftOut: [out("health")] });
  const after = { ...snapshot("dc1", [changed, stock]), revision: "2", skipped: { infrastructure: 1 } };
  const shorter = { ...snapshot("dc1", [stock]), revision: "3" };
  const said = [before, after, shorter];
  const want = [
    { endpoints: 2, leftOut: { health: 1, weight: 1 }, skipped: { filter: 3 } },
    { endpoints: 6, leftOut: { health: 1 }, skipped: { infrastructure: 1 } },
    { endpoints: 1, leftOut: {}, skipped: {} },
  ];
  const step = createChanges();
  const { adapter } = fake("dc1", said, {
    waitForChange: (revision, signal) => step.wait(Number(revision) - 1, signal),
  });
  const { readers, metrics } = start(t, [adapter]);
  for (const [at, expected] of want.entries()) {
    await until(readers, () => readers.changes.version() === at + 1);
    const [first] = (await metrics.registryEndpoints.get()).values;
    const [leftOut, skipped] = await Promise.all([metrics.registryLeftOut, metrics.registrySkipped].map(byKind));
    assert.deepEqual({ endpoints: first?.value, leftOut, skipped }, expected);
    step.notify();
  }
});

test("startReaders() counts failures by kind: of the list each time, of a service when it begins to fail", async (t) => {
  const denied = new ReadError("denied", "403");
  const broken = (key: string, cause: unknown) => ({ state: "failed", key, cause }) as const;
  const slow = broken("dc1/shop/stock", new Error("Cannot read stock", { cause: new ReadError("timeout", "late") }));
  const odd = broken("dc1/shop/orders", new Error("odd"));
  const { adapter } = fake(
    "dc1",
    [
      denied,
      denied,
      snapshot("dc1", [service("orders"), slow]),
      snapshot("dc1", [odd, broken("dc1/shop/stock", new ReadError("timeout", "late again"))]),
      snapshot("dc1", [odd, slow, service("web")]),
      snapshot("dc1", [odd, service("stock"), service("web")]),
      snapshot("dc1", [odd, slow, service("web")]),
    ],
    { waitForChange: async () => undefined },
  );
  const { readers, metrics } = start(t, [adapter]);
  await until(readers, () => readers.changes.version() === 6);
  assert.deepEqual(await byKind(metrics.registryFailures), { denied: 2, timeout: 2, other: 1 });
});

test("startReaders() tells that a registry fails for another cause, and once for each", async (t) => {
  const [refused, denied] = [new Error("ECONNREFUSED"), new Error("403")];
  const { adapter } = fake("dc1", [refused, refused, denied, first]);
  const { readers, said } = start(t, [adapter]);
  const whys: string[] = [];
  for (let seen = 0; readers.readings.get("dc1")?.state !== "read"; seen = readers.changes.version()) {
    await until(readers, () => readers.changes.version() > seen);
    const reading = readers.readings.get("dc1");
    if (reading?.state === "failed") whys.push(reading.why);
  }
  assert.deepEqual(whys, ["ECONNREFUSED", "403"]);
  assert.deepEqual(said(), [
    "the registry cannot be read; its objects stay as they are",
    "the registry can be read again",
  ]);
});

test("startReaders() takes a list that becomes incomplete, or whole again, for another one", async (t) => {
  const part = { ...first, incomplete: "page 2 failed" };
  const other = { ...first, incomplete: "page 3 failed" };
  const { adapter, triggers } = fake("dc1", [first, part, part, other, { ...first }], {
    waitForChange: async (_, signal) => void (await delay(triggers.length > 4 ? 60_000 : 1, undefined, { signal })),
  });
  const { readers, metrics } = start(t, [adapter]);
  await until(readers, () => readers.changes.version() === 4);
  assert.equal(triggers.length, 5);
  const { values } = await metrics.registryReads.get();
  assert.deepEqual(
    values.map(({ labels, value }) => [labels.result, value]),
    [
      ["ok", 2],
      ["incomplete", 3],
    ],
  );
});

test("startReaders() counts no read as whole that was not", async (t) => {
  const cases = [
    [new Error("503"), "failed"],
    [{ ...first, incomplete: "page 2 failed" }, "read"],
    [first, "read"],
  ] as const;
  for (const [said, state] of cases) {
    const { readers, metrics } = start(t, [fake("dc1", [said]).adapter]);
    await until(readers, () => readers.readings.get("dc1")?.state === state);
    const [last] = (await metrics.registryLastSuccess.get()).values;
    assert.equal((last?.value ?? 0) > 0, said === first);
    assert.equal(readers.readAtMs.has("dc1"), state === "read");
  }
});
