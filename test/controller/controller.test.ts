import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { createChanges } from "../../src/async/changes.ts";
import { startController } from "../../src/controller/controller.ts";
import { type Leadership, neverLeads, soleWriter } from "../../src/controller/leadership.ts";
import { createLog } from "../../src/log.ts";
import { createMetrics } from "../../src/metrics.ts";
import type { Adapter, Snapshot } from "../../src/model/adapter.ts";
import type { Service } from "../../src/model/service.ts";
import { endpoints, service, snapshot } from "../plan/build.ts";
import { config, memoryTarget } from "../plan/memory.ts";
import { until } from "../until.ts";

const ENTRY = "ServiceEntry/mesh-services/orders.shop.dc1.mesh.internal";
const five = ["orders", "b", "c", "d", "e"].map((name) => service(name));

/** A registry whose answer is changed by hand. */
function registry(first: Snapshot | Error) {
  const changes = createChanges();
  let said = first;
  const adapter: Adapter = {
    registry: "dc1",
    async read() {
      if (said instanceof Error) throw said;
      return { ...said, revision: `${changes.version()}` };
    },
    waitForChange: (revision, signal) => changes.wait(Number(revision), signal),
  };
  return {
    adapter,
    say(next: readonly Service[]) {
      said = snapshot("dc1", next);
      changes.notify();
    },
  };
}

/** Leadership that is given and taken by hand. */
function election(isLeader: boolean) {
  const changes = createChanges();
  const state = { isLeader, released: [] as string[], done: 0 };
  const leadership: Leadership = {
    isLeader: () => state.isLeader,
    holder: () => undefined,
    changes,
    allowDeletes: () => state.released,
    releaseDone: () => {
      state.released = [];
      state.done++;
    },
    prunes: () => [],
    pruneDone: () => undefined,
  };
  const set = (fields: Partial<typeof state>) => {
    Object.assign(state, fields);
    changes.notify();
  };
  return { leadership, state, set };
}

function start(t: TestContext, adapter: Adapter, leadership: Leadership, target = memoryTarget(), rest: object = {}) {
  const end = new AbortController();
  const lines: string[] = [];
  const log = createLog({
    level: "info",
    pretty: false,
    stream: { write: (line: string) => void lines.push(JSON.parse(line).msg) },
  });
  const controller = startController({
    config: config(["dc1"], rest),
    adapters: [adapter],
    target,
    leadership,
    signal: end.signal,
    log,
    metrics: createMetrics(),
  });
  const stop = async () => {
    end.abort();
    await controller.done;
  };
  t.after(stop);
  return { controller, target, stop, said: () => lines };
}

test("startController() writes what a registry says, and what it says next", async (t) => {
  const { adapter, say } = registry(snapshot("dc1", [service()]));
  const { controller, target } = start(t, adapter, soleWriter("me"));
  await until(() => target.objects.has(ENTRY));
  assert.ok(controller.hasPassed());
  say([service(), service("stock")]);
  await until(() => target.objects.size === 2);
  await until(() => controller.latest()?.plan.unchanged === 2);
});

test("startController() writes a changed service once, and tells what stands then", async (t) => {
  const { adapter, say } = registry(snapshot("dc1", five));
  const { controller, target } = start(t, adapter, soleWriter("me"));
  const isAtRest = () => controller.latest()?.plan.unchanged === five.length;
  await until(isAtRest);
  target.requests.length = 0;
  for (const count of [3, 7, 5]) {
    say(five.map((one) => (one.name === "orders" ? service("orders", { endpoints: endpoints(count) }) : one)));
    await until(() => JSON.stringify(target.objects.get(ENTRY)).split('"address"').length === count + 1);
    await until(isAtRest);
    const latest = controller.latest();
    assert.equal(latest?.standing.objects.get(ENTRY), target.objects.get(ENTRY));
    assert.equal(latest?.catalog.services.get("dc1/shop/orders")?.endpoints.length, count);
    assert.deepEqual(target.requests.splice(0), [`update ${ENTRY}`]);
  }
});

test("startController() puts back what someone changed or removed while registries change", async (t) => {
  const { adapter, say } = registry(snapshot("dc1", five));
  const { target } = start(t, adapter, soleWriter("me"));
  await until(() => target.objects.size === five.length);
  const [other = ""] = [...target.objects.keys()].filter((key) => key !== ENTRY);
  const before = target.objects.get(ENTRY);
  assert.ok(before?.manifest.kind === "ServiceEntry");
  const drifted = { ...before.manifest, spec: { ...before.manifest.spec, endpoints: [] } };
  target.objects.set(ENTRY, { ...before, manifest: drifted, resourceVersion: "drift" });
  target.objects.delete(other);
  await target.write([], { signal: AbortSignal.timeout(1000), mayWrite: () => true });
  say(five.map((one) => (one.name === "e" ? service("e", { endpoints: endpoints(4) }) : one)));
  await until(() => target.objects.has(other));
  await until(() => JSON.stringify(target.objects.get(ENTRY)).includes("192.0.2.1"));
  await until(() => JSON.stringify([...target.objects.values()]).includes("192.0.2.4"));
});

test("startController() puts back at once what someone removed", async (t) => {
  const { adapter } = registry(snapshot("dc1", [service()]));
  const { target } = start(t, adapter, soleWriter("me"));
  await until(() => target.objects.has(ENTRY));
  target.objects.delete(ENTRY);
  // The watch of a real target would say so.
  await target.write([], { signal: AbortSignal.timeout(1000), mayWrite: () => true });
  await until(() => target.objects.has(ENTRY));
});

test("startController() decides and writes nothing while it does not lead, and writes once it does", async (t) => {
  const { leadership, set } = election(false);
  const { controller, target } = start(t, registry(snapshot("dc1", [service()])).adapter, leadership);
  await until(() => (controller.latest()?.plan.create.length ?? 0) > 0);
  assert.deepEqual(target.requests, []);
  set({ isLeader: true });
  await until(() => target.objects.has(ENTRY));
});

for (const [name, rest, leads] of [
  ["in a dry run", { policy: { mode: "dry-run" } }, soleWriter("me")],
  ["when it never leads", {}, neverLeads()],
] as const) {
  test(`startController() writes nothing ${name}`, async (t) => {
    const { controller, target, stop } = start(
      t,
      registry(snapshot("dc1", [service()])).adapter,
      leads,
      memoryTarget(),
      rest,
    );
    await until(() => (controller.latest()?.plan.create.length ?? 0) > 0);
    await stop();
    assert.deepEqual([target.requests, target.ledger.size], [[], 0]);
  });
}

test("startController() has passed also when the registry and the first pass failed, and goes on trying", async (t) => {
  const { adapter, say } = registry(new Error("connect ECONNREFUSED"));
  const target = memoryTarget();
  let faults = 2;
  target.writeLedger = (
    (write) =>
    (...args) =>
      faults-- > 0 ? Promise.reject(new Error("503")) : write(...args)
  )(target.writeLedger);
  const { controller, said } = start(t, adapter, soleWriter("me"), target);
  await until(() => controller.hasPassed());
  say([service()]);
  await until(() => target.objects.has(ENTRY));
  assert.equal(said().filter((line) => line === "the pass failed; it is tried again").length, 1, "said once");
});

test("startController() tries again what was refused", async (t) => {
  const target = memoryTarget();
  let faults = 2;
  target.fault = (request) => (request.startsWith("create") && faults-- > 0 ? "failed" : undefined);
  start(t, registry(snapshot("dc1", [service()])).adapter, soleWriter("me"), target);
  await until(() => target.objects.has(ENTRY));
});

test("startController() tries again what met a conflict, before everything is due", async (t) => {
  const target = memoryTarget();
  const { adapter, say } = registry(snapshot("dc1", [service()]));
  start(t, adapter, soleWriter("me"), target, { policy: { keepEmpty: "1h" } });
  await until(() => target.objects.has(ENTRY));
  const before = target.objects.get(ENTRY);
  let conflicts = 2;
  target.fault = (request) => (request.startsWith("update") && conflicts-- > 0 ? "conflict" : undefined);
  const startedMs = performance.now();
  say([service("orders", { endpoints: endpoints(7) })]);
  await until(() => target.objects.get(ENTRY) !== before);
  // Everything is due every 10 s: the second time is later than this, whatever the machine.
  assert.ok(performance.now() - startedMs < 20_000);
});

test("startController() obeys a release of the brake once", async (t) => {
  const { leadership, set, state } = election(true);
  const { adapter, say } = registry(snapshot("dc1", five));
  const { controller, target } = start(t, adapter, leadership);
  await until(() => target.objects.size === 5);
  say([]);
  await until(() => (controller.latest()?.plan.brakes.length ?? 0) > 0);
  const isTombstone = () => JSON.stringify(target.objects.get(ENTRY)).includes("gone-since");
  assert.equal(isTombstone(), false);
  set({ released: ["dc1"] });
  await until(isTombstone);
  await until(() => state.done === 1);
});

test("startController() releases a brake by itself after policy.releaseAfter, and tells people of it", async (t) => {
  const { adapter, say } = registry(snapshot("dc1", five));
  const target = memoryTarget();
  const told: string[] = [];
  target.report = async (_holds, _options, notices = []) => void told.push(...notices.map(({ reason }) => reason));
  const policy = { releaseAfter: "1h", keepEmpty: "1s" };
  const { controller, said } = start(t, adapter, soleWriter("me"), target, { policy });
  await until(() => target.objects.size === 5);
  say([]);
  await until(() => told.includes("BrakeOn"));
  const isTombstone = () => JSON.stringify(target.objects.get(ENTRY) ?? "gone-since").includes("gone-since");
  assert.equal(isTombstone(), false);
  target.clockMs += 3_600_000;
  await until(isTombstone);
  await until(() => controller.latest()?.plan.brakes.length === 0);
  assert.ok(said().includes("the registry's brake was on for policy.releaseAfter and has been released"));
});

test("startController() tells of what it put back", async (t) => {
  const { adapter } = registry(snapshot("dc1", [service()]));
  const target = memoryTarget();
  const told: string[] = [];
  target.report = async (_holds, _options, notices = []) =>
    void told.push(...notices.map(({ reason, subject }) => `${reason} ${subject}`));
  const { controller } = start(t, adapter, soleWriter("me"), target);
  await until(() => controller.latest()?.plan.unchanged === 1);
  target.objects.delete(ENTRY);
  await target.write([], { signal: AbortSignal.timeout(1000), mayWrite: () => true });
  await until(() => target.objects.has(ENTRY));
  await until(() => told.length > 0);
  assert.deepEqual(told, [`PutBack ${ENTRY}`]);
});

test("startController() does not fight someone who changes what it writes", async (t) => {
  const { adapter } = registry(snapshot("dc1", [service()]));
  const target = memoryTarget();
  const write = target.write;
  const atMs: number[] = [];
  // As a webhook does that changes what it admits.
  target.write = async (changes, options) => {
    if (changes.length > 0) atMs.push(performance.now());
    const report = await write(changes, options);
    const object = target.objects.get(ENTRY);
    if (changes.length > 0 && object?.manifest.kind === "ServiceEntry") {
      const spec = { ...object.manifest.spec, exportTo: ["."] };
      target.objects.set(ENTRY, { ...object, manifest: { ...object.manifest, spec } });
      await write([], options);
    }
    return report;
  };
  start(t, adapter, soleWriter("me"), target);
  await until(() => target.requests.filter((request) => request.endsWith(ENTRY)).length >= 4);
  const [, , third = 0, fourth = 0] = atMs;
  assert.ok(fourth - third >= 500, `the fourth write came ${fourth - third} ms after the third`);
});

test("startController() ends with the running write, and writes no more", async (t) => {
  const target = memoryTarget();
  const { write } = target;
  const gate = Promise.withResolvers<void>();
  target.write = async (...how) => {
    const report = await write(...how);
    await gate.promise;
    return report;
  };
  const { stop } = start(t, registry(snapshot("dc1", five)).adapter, soleWriter("me"), target);
  await until(() => target.requests.length > 0);
  let hasEnded = false;
  const stopped = stop().finally(() => {
    hasEnded = true;
  });
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(!hasEnded);
  const { length } = target.requests;
  gate.resolve();
  await stopped;
  assert.equal(target.requests.length, length);
});

test("startController() asks nothing of the target while it does not lead", async (t) => {
  const target = memoryTarget();
  const asked: string[] = [];
  const { adapter, say } = registry(snapshot("dc1", [service("orders")]));
  for (const name of ["write", "writeLedger", "report"] as const) {
    const call = target[name] as (...args: readonly unknown[]) => Promise<unknown>;
    target[name] = ((...args: readonly unknown[]) => {
      asked.push(name);
      return call(...args);
    }) as never;
  }
  const aliases = [{ registry: "dc1", as: "{service}", in: "shop" }];
  const { controller } = start(t, adapter, election(false).leadership, target, { aliases });
  await until(() => controller.latest()?.plan.create.length === 2);
  say([service("orders"), service("orders.v2")]);
  await until(() => controller.latest()?.plan.hold.length === 1);
  assert.deepEqual(asked, []);
});

test("startController() sends no further write once leadership is lost in mid-pass", async (t) => {
  const { leadership, set } = election(true);
  const target = memoryTarget();
  target.fault = (request) => {
    if (request.startsWith("create")) set({ isLeader: false });
    return undefined;
  };
  const { controller, stop } = start(t, registry(snapshot("dc1", five)).adapter, leadership, target);
  await until(() => controller.latest()?.plan.create.length === five.length - 1);
  await stop();
  assert.equal(target.requests.filter((request) => request.startsWith("create")).length, 1);
});

test("startController() sends no further write once it is to end", async (t) => {
  const target = memoryTarget();
  let stopped: Promise<void> | undefined;
  target.fault = (request) => {
    if (request.startsWith("create")) stopped ??= stop();
    return undefined;
  };
  const { stop } = start(t, registry(snapshot("dc1", five)).adapter, soleWriter("me"), target);
  await until(() => stopped !== undefined);
  await stopped;
  assert.equal(target.requests.filter((request) => request.startsWith("create")).length, 1);
});

test("startController() leaves a release of the brake to the leader", async (t) => {
  const { leadership, set, state } = election(false);
  const { adapter, say } = registry(snapshot("dc1", five));
  const { controller } = start(t, adapter, leadership);
  await until(() => controller.latest()?.plan.create.length === five.length);
  set({ released: ["dc1"] });
  say([...five, service("f")]);
  await until(() => controller.latest()?.plan.create.length === five.length + 1);
  assert.deepEqual([state.released, state.done], [["dc1"], 0]);
});

test("startController() has not passed before each registry has answered", async (t) => {
  const { promise, resolve } = Promise.withResolvers<Snapshot>();
  const adapter: Adapter = { registry: "dc1", read: () => promise };
  const { controller } = start(t, adapter, soleWriter("me"));
  await until(() => controller.latest() !== undefined);
  assert.equal(controller.hasPassed(), false);
  resolve(snapshot("dc1", [service()]));
  await until(() => controller.hasPassed());
});

test("startController() brakes endpoints that a registry loses a few at a time", async (t) => {
  const sized = (count: number) =>
    ["orders", "stock", "web", "a", "b"].map((name) => service(name, { endpoints: endpoints(count) }));
  const { adapter, say } = registry(snapshot("dc1", sized(12)));
  const { controller, target } = start(t, adapter, soleWriter("me"));
  const count = () => JSON.stringify(target.objects.get(ENTRY) ?? "").split('"address"').length - 1;
  for (const next of [12, 10, 8]) {
    say(sized(next));
    await until(() => count() === next && controller.latest()?.plan.unchanged === 5);
  }
  say(sized(6));
  await until(() => controller.latest()?.plan.brakes.length === 1);
  assert.deepEqual(
    controller.latest()?.plan.brakes.map(({ kind, message }) => [kind, message.replace(/;.*$/, "")]),
    [
      [
        "endpoints",
        "brake: 5 of 5 services of registry dc1 would lose endpoints at once, 50 % of all if each service counts alike, more than 35 %",
      ],
    ],
  );
  assert.equal(count(), 8);
});

test("startController() tells nobody of a brake once it does not lead any more", async (t) => {
  const { leadership, set } = election(true);
  const { adapter, say } = registry(snapshot("dc1", five));
  const target = memoryTarget();
  const told: string[] = [];
  target.report = async (_holds, _options, notices = []) => void told.push(...notices.map(({ reason }) => reason));
  const { controller } = start(t, adapter, leadership, target);
  await until(() => controller.latest()?.plan.unchanged === five.length);
  set({ isLeader: false });
  say([]);
  await until(() => controller.latest()?.plan.brakes.length === 1);
  say(five);
  await until(() => controller.latest()?.plan.brakes.length === 0);
  assert.deepEqual(told, []);
});
