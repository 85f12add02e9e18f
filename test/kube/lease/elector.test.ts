import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type LeaseOptions, leaseElector } from "../../../src/kube/lease/lease.ts";
import { until } from "../../until.ts";
import { fakeApi, statusError } from "../fake-api.ts";
import { MESH } from "../objects.ts";

const PATH = `/apis/coordination.k8s.io/v1/namespaces/${MESH}/leases/x2istio-east`;
/** Rounds follow each other at once; nothing runs out by itself within a test. */
const TIMES = { leaseDurationMs: 600_000, renewDeadlineMs: 500_000, retryPeriodMs: 1 };

function setUp(t: TestContext) {
  const api = fakeApi();
  const ending = new AbortController();
  t.after(() => ending.abort());
  const { signal } = ending;
  const elector = (identity: string, further: Partial<LeaseOptions> = {}) =>
    leaseElector({ client: api.client, namespace: MESH, name: "x2istio-east", identity, ...TIMES, ...further });
  const spec = () => api.objects.get(PATH)?.spec as { readonly holderIdentity?: string } | undefined;
  const held = (holderIdentity: string, renewTime: number) =>
    api.put(PATH, {
      metadata: { name: "x2istio-east", namespace: MESH },
      spec: { holderIdentity, leaseDurationSeconds: 15, renewTime: new Date(renewTime).toISOString() },
    });
  return { api, elector, spec, held, signal };
}

test("release() waits for a renewal under way, and gives up what that gained", async (t) => {
  const { api, elector, spec, signal } = setUp(t);
  const changes: boolean[] = [];
  const one = elector("one", { onChange: (leads) => changes.push(leads) });
  const gate = Promise.withResolvers<void>();
  let isHeld = false;
  api.before = async ({ method }) => {
    if (method !== "POST") return;
    isHeld = true;
    await gate.promise;
  };
  const running = one.run(signal);
  await until(() => isHeld);
  const releasing = one.release();
  gate.resolve();
  await releasing;
  await running;
  assert.equal(spec()?.holderIdentity, "");
  assert.equal(one.isLeader(), false);
  assert.deepEqual(changes, [], "it never led");
});

test("release() of one that does not hold the Lease leaves it alone", async (t) => {
  const { api, elector, spec, held, signal } = setUp(t);
  held("other", api.nowMs);
  const one = elector("one");
  const running = one.run(signal);
  await until(() => one.holder() === "other");
  await one.release();
  await running;
  assert.equal(spec()?.holderIdentity, "other");
});

test("release() that fails is only logged", async (t) => {
  const { api, elector, signal } = setUp(t);
  const warnings: string[] = [];
  const log = { info() {}, warn: (_fields: object, message: string) => void warnings.push(message) };
  const one = elector("one", { log: log as never });
  const running = one.run(signal);
  await until(() => one.isLeader());
  api.before = () => {
    throw statusError(500, "InternalError");
  };
  await one.release();
  await running;
  assert.ok(warnings.some((message) => message.includes("cannot be released")));
  assert.equal(one.isLeader(), false);
});

test("run() ends with its signal, and keeps the Lease", async (t) => {
  const { elector, spec } = setUp(t);
  const ending = new AbortController();
  const one = elector("one");
  const running = one.run(ending.signal);
  await until(() => one.isLeader());
  ending.abort();
  await running;
  assert.equal(spec()?.holderIdentity, "one");
});

test("run() goes on after failures, and tells of the first and of each thirtieth in a row", async (t) => {
  const { api, elector, signal } = setUp(t);
  const told: number[] = [];
  const log = { info() {}, warn: ({ failures }: { readonly failures: number }) => void told.push(failures) };
  let failing = 61;
  api.before = () => {
    if (failing-- > 0) throw statusError(500, "InternalError");
  };
  const one = elector("one", { log: log as never });
  const running = one.run(signal);
  await until(() => one.isLeader());
  assert.deepEqual(told, [1, 30, 60]);
  await one.release();
  await running;
});

test("tryAcquireOnce() names a holder that has renewed lately by the API server's clock, and writes nothing", async (t) => {
  const { api, elector, held, signal } = setUp(t);
  held("other", api.nowMs - 14_000);
  assert.equal(await elector("one").tryAcquireOnce(signal), "other");
  assert.deepEqual(
    api.seen.filter((line) => !line.startsWith("GET")),
    [],
  );
});

test("tryAcquireOnce() names a holder whose clock is wrong once that is seen to renew", async (t) => {
  const { api, elector, held, signal } = setUp(t);
  let ms = 0;
  held("other", ms);
  api.before = () => void held("other", ++ms);
  assert.equal(await elector("one").tryAcquireOnce(signal), "other");
});

test("tryAcquireOnce() does not take a mark for a renewal, and takes over once the Lease has run out", async (t) => {
  const { api, elector, held, spec, signal } = setUp(t);
  held("gone", 0);
  api.put(PATH, { ...api.objects.get(PATH), spec: { ...(spec() ?? {}), leaseDurationSeconds: 0 } });
  let marks = 0;
  api.before = ({ method }) => {
    if (method !== "GET") return;
    const annotations = { "x2istio.dev/allow-deletes": `dc1@2026-01-01T00:00:0${++marks % 10}.000Z` };
    api.put(PATH, { ...api.objects.get(PATH), metadata: { annotations } });
  };
  const one = elector("one", { leaseDurationMs: 50, renewDeadlineMs: 40_000 });
  assert.equal(await one.tryAcquireOnce(signal), undefined);
  assert.ok(marks >= 2);
  assert.equal(one.isLeader(), true);
  await one.release();
});

test("tryAcquireOnce() ends with its signal while it watches", async (t) => {
  const { elector, held } = setUp(t);
  held("gone", 0);
  const ending = new AbortController();
  const trying = elector("one").tryAcquireOnce(ending.signal);
  ending.abort(new Error("stop"));
  await assert.rejects(trying, /stop/);
});

test("markPrune() asks the holder, and tells whether that very question was refused", async (t) => {
  const { api, elector, held } = setUp(t);
  held("other", api.nowMs);
  const [asks, leads] = [elector("asks"), elector("leads")];
  const first = await asks.markPrune(["metal"]);
  assert.deepEqual(asks.prune(), { registries: ["metal"], atMs: api.nowMs });
  assert.equal(await first(), false);
  await leads.answerPrune(asks.prune());
  assert.deepEqual([await first(), asks.prune()], [true, undefined]);
  api.nowMs += 1000;
  const second = await asks.markPrune(["metal"]);
  assert.deepEqual([await first(), await second()], [true, false]);
  await leads.answerPrune();
  assert.deepEqual([await first(), await second(), asks.prune()], [false, false, undefined]);
});

test("holder() and allowDeletes() are as last seen", async (t) => {
  const { api, elector, held, signal } = setUp(t);
  held("other", api.nowMs);
  const one = elector("one");
  assert.equal(one.holder(), undefined);
  await one.markAllowDeletes(["dc1"]);
  assert.equal(one.holder(), "other");
  assert.deepEqual(one.allowDeletes(), { registries: ["dc1"], atMs: api.nowMs });
  held("", api.nowMs);
  await one.tryAcquireOnce(signal);
  assert.equal(one.holder(), "one");
  assert.deepEqual(one.allowDeletes()?.registries, ["dc1"], "a renewal keeps the mark");
  await one.release();
  assert.equal(one.holder(), undefined);
});

test("a replica says once that the leader has another configuration, and what it knows of each", async (t) => {
  const { api, elector, signal } = setUp(t);
  const warned: object[] = [];
  const log = { info: () => undefined, warn: (fields: object) => void warned.push(fields) };
  const annotations = () => api.objects.get(PATH)?.metadata?.annotations;
  const leader = elector("leader", { config: "aaaa" });
  void leader.run(signal);
  await until(() => annotations()?.["x2istio.dev/config"] === "aaaa");
  assert.equal(leader.leaderConfig(), undefined, "it is the leader");
  const same = elector("same", { config: "aaaa" });
  const other = elector("other", { config: "bbbb", log });
  const silent = elector("silent");
  for (const one of [same, other, silent]) void one.run(signal);
  await until(() => other.leaderConfig() === "other" && same.leaderConfig() === "same" && warned.length > 0);
  assert.equal(silent.leaderConfig(), undefined);
  const seen = api.seen.length;
  await until(() => api.seen.length > seen + 20);
  assert.deepEqual(warned, [{ lease: "x2istio-east", leader: "leader", config: "bbbb", leaderConfig: "aaaa" }]);
  await leader.release();
  await until(() => [same, other, silent].some((one) => one.isLeader()));
});
