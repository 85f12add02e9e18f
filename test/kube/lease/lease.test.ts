import assert from "node:assert/strict";
import { after, afterEach, before, suite, test } from "node:test";
import { type KubeClient, kubeClient } from "../../../src/kube/client/client.ts";
import { type LeaseElector, type LeaseOptions, leaseElector } from "../../../src/kube/lease/lease.ts";
import { faultRow } from "../../faults/row.ts";
import { ensureServers, noServers } from "../../servers/build.ts";
import { type Kube, kubeServers, startKube } from "../../servers/kube.ts";
import { until } from "../../servers/kube-admin.ts";
import { type FaultProxy, faultProxy } from "../fault-proxy.ts";
import { MESH, SHOP } from "../objects.ts";
import { leastRights } from "../rights.ts";

const skip = (await ensureServers(kubeServers)) === undefined && noServers;
/** As in production, only faster where a test does not measure it. */
const QUICK = { leaseDurationMs: 3000, renewDeadlineMs: 2000, retryPeriodMs: 200 };
/** Where a renewal must not come too late, however busy the machine is. */
const PATIENT = { leaseDurationMs: 600_000, renewDeadlineMs: 500_000, retryPeriodMs: 200 };

suite("leaseElector()", { skip, concurrency: false }, () => {
  let kube: Kube;
  let proxy: FaultProxy;
  let client: KubeClient;
  let proxied: KubeClient;
  let ending = new AbortController();
  const runs: Promise<void>[] = [];
  let leases = 0;

  before(async () => {
    kube = await startKube({ namespaces: [MESH, SHOP] });
    proxy = await faultProxy(kube);
    client = await kubeClient({ kubeconfig: await leastRights(kube), userAgent: "x2istio-test" });
    proxied = await kubeClient({ kubeconfig: proxy.kubeconfigPath, userAgent: "x2istio-test" });
  });
  afterEach(async () => {
    ending.abort();
    await Promise.all(runs.splice(0));
    ending = new AbortController();
    proxy.fault = () => undefined;
  });
  after(async () => {
    await client.close();
    await proxied.close();
    await proxy.stop();
    await kube.stop();
  });

  const elector = (identity: string, further: Partial<LeaseOptions> = {}): LeaseElector =>
    leaseElector({ client, namespace: MESH, name: `x2istio-${leases}`, identity, ...QUICK, ...further });
  const run = (started: LeaseElector): void => void runs.push(started.run(ending.signal));
  const path = () => `/apis/coordination.k8s.io/v1/namespaces/${MESH}/leases/x2istio-${leases}`;
  const leads = (who: LeaseElector) => until("it leads", async () => who.isLeader());

  test("gives the Lease to one, and to the next at once when it is released", async () => {
    leases++;
    const changes: boolean[] = [];
    const first = elector("first", { ...PATIENT, onChange: (isLeader) => changes.push(isLeader) });
    const second = elector("second", PATIENT);
    run(first);
    await leads(first);
    run(second);
    await until("the second has read the Lease", async () => second.holder() === "first");
    assert.equal(second.isLeader(), false);
    const { body } = await kube.request<{ spec: { leaseDurationSeconds: number; renewTime: string } }>("GET", path());
    assert.equal(body.spec.leaseDurationSeconds, 600);
    assert.match(body.spec.renewTime, /\.\d{6}Z$/);
    await first.release();
    assert.equal(first.isLeader(), false);
    assert.deepEqual(changes, [true, false]);
    await leads(second);
  });

  test("keeps it through renewals", async () => {
    leases++;
    const changes: boolean[] = [];
    const times = { leaseDurationMs: 10_000, renewDeadlineMs: 9000, retryPeriodMs: 200 };
    const first = elector("first", { ...times, onChange: (isLeader) => changes.push(isLeader) });
    const second = elector("second", times);
    run(first);
    await leads(first);
    run(second);
    const untilMs = performance.now() + 12_000;
    await until("more than the lease duration has passed", async () => {
      assert.equal(second.isLeader(), false);
      return performance.now() > untilMs;
    });
    assert.equal(first.isLeader(), true);
    assert.deepEqual(changes, [true]);
  });

  test("takes over from one that has died, with the times of production", async () => {
    leases++;
    const real = { leaseDurationMs: 15_000, renewDeadlineMs: 10_000, retryPeriodMs: 2000 };
    const dying = new AbortController();
    const first = elector("first", real);
    const second = elector("second", real);
    const died = first.run(dying.signal);
    await leads(first);
    run(second);
    await until("the second has read the Lease", async () => second.holder() === "first");
    dying.abort();
    await died;
    const startedMs = performance.now();
    await until("the second leads", async () => {
      assert.ok(!(first.isLeader() && second.isLeader()), "two leaders at once");
      return second.isLeader();
    });
    const tookMs = performance.now() - startedMs;
    assert.ok(tookMs > 10_000, `took ${tookMs} ms`);
  });

  test(
    faultRow({
      target: "own process",
      fault: "it cannot renew its Lease",
      expect: "it stops writing before another may",
    }),
    async () => {
      leases++;
      const first = elector("first", { client: proxied });
      const second = elector("second");
      run(first);
      await leads(first);
      run(second);
      await until("the second has read the Lease", async () => second.holder() === "first");
      proxy.fault = () => "silence";
      const startedMs = performance.now();
      let ledMs = 0;
      await until("the second leads", async () => {
        const nowMs = performance.now();
        if (first.isLeader()) ledMs = nowMs;
        assert.ok(!(first.isLeader() && second.isLeader()), "two leaders at once");
        return second.isLeader();
      });
      assert.ok(ledMs - startedMs <= QUICK.renewDeadlineMs, `it led for ${ledMs - startedMs} ms more`);
      assert.ok(performance.now() - ledMs > 500, "the other waits for longer than that");
    },
  );

  test("leads again once the API server answers", async () => {
    leases++;
    const first = elector("first", { client: proxied });
    run(first);
    await leads(first);
    proxy.fault = () => ({ status: 500 });
    await until("it has lost", async () => !first.isLeader());
    proxy.fault = () => undefined;
    await leads(first);
  });

  test("stops leading when somebody else took the Lease", async () => {
    leases++;
    const first = elector("first");
    run(first);
    await leads(first);
    await kube.request("PATCH", path(), {
      spec: { holderIdentity: "thief", renewTime: new Date().toISOString().replace("Z", "000Z") },
    });
    await until("it has seen who", async () => first.holder() === "thief");
    assert.equal(first.isLeader(), false);
  });

  test("tryAcquireOnce() names a live holder and takes what is free", async () => {
    leases++;
    const first = elector("first", PATIENT);
    run(first);
    await leads(first);
    assert.equal(await elector("second").tryAcquireOnce(ending.signal), "first");
    await first.release();
    const third = elector("third", PATIENT);
    assert.equal(await third.tryAcquireOnce(ending.signal), undefined);
    const renewals = new Set<string>();
    await until("it has renewed by itself", async () => {
      assert.ok(third.isLeader());
      const { body } = await kube.request<{ spec: { renewTime: string } }>("GET", path());
      return renewals.add(body.spec.renewTime).size > 5;
    });
    await third.release();
    const { body } = await kube.request<{ spec: { holderIdentity: string; leaseDurationSeconds: number } }>(
      "GET",
      path(),
    );
    assert.equal(body.spec.holderIdentity, "");
    assert.equal(body.spec.leaseDurationSeconds, 1);
  });

  test("tryAcquireOnce() watches for a lease duration before it takes from one whose renewal is long past", async () => {
    leases++;
    const spec = { holderIdentity: "dead", leaseDurationSeconds: 3, renewTime: "2026-01-01T00:00:00.000000Z" };
    const collection = path().slice(0, path().lastIndexOf("/"));
    await kube.request("POST", collection, { metadata: { name: `x2istio-${leases}` }, spec });
    const startedMs = performance.now();
    const first = elector("first");
    assert.equal(await first.tryAcquireOnce(ending.signal), undefined);
    assert.ok(performance.now() - startedMs >= 3000);
    await first.release();
  });

  test(
    faultRow({
      target: "own process",
      fault: "the clock of the machine is wrong",
      expect: "who renews a Lease is seen all the same",
    }),
    async () => {
      leases++;
      const renewTime = () =>
        `2026-01-01T00:00:00.${String(Math.floor(performance.now() * 10) % 1_000_000).padStart(6, "0")}Z`;
      const collection = path().slice(0, path().lastIndexOf("/"));
      await kube.request("POST", collection, {
        metadata: { name: `x2istio-${leases}` },
        spec: { holderIdentity: "slow", leaseDurationSeconds: 600, renewTime: renewTime() },
      });
      const timer = setInterval(() => void kube.request("PATCH", path(), { spec: { renewTime: renewTime() } }), 500);
      assert.equal(await elector("first", PATIENT).tryAcquireOnce(ending.signal), "slow");
      clearInterval(timer);
    },
  );

  test("tells the leader whose deletes are allowed", async () => {
    leases++;
    const changes: boolean[] = [];
    const first = elector("first", { ...PATIENT, onChange: (isLeader) => changes.push(isLeader) });
    run(first);
    await leads(first);
    const second = elector("second", PATIENT);
    assert.equal(await second.tryAcquireOnce(ending.signal), "first");
    const askedMs = Date.now();
    await second.markAllowDeletes(["dc1", "prod"]);
    await until("the leader has seen it", async () => first.allowDeletes() !== undefined);
    assert.deepEqual(first.allowDeletes()?.registries, ["dc1", "prod"]);
    const atMs = first.allowDeletes()?.atMs ?? 0;
    assert.ok(atMs > askedMs - 60_000 && atMs < Date.now() + 60_000, `${new Date(atMs)}`);
    assert.deepEqual(changes, [true, true], "it is told at once, not with the next round");
  });
});
