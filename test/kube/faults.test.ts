import assert from "node:assert/strict";
import { after, afterEach, before, suite, test } from "node:test";
import { KubeStatusError } from "../../src/kube/client/kube-error.ts";
import type { KubernetesTargetOptions } from "../../src/kube/kubernetes.ts";
import type { Change } from "../../src/model/plan.ts";
import type { Target } from "../../src/model/target.ts";
import { faultRow } from "../faults/row.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { type Kube, kubeServers, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { type Fault, type FaultProxy, faultProxy } from "./fault-proxy.ts";
import { aliasOf, entryOf, entryPath, MESH, SHOP, servicePath } from "./objects.ts";
import { post } from "./rights.ts";
import { openTarget } from "./target.ts";

const skip = (await ensureServers(kubeServers)) === undefined && noServers;

suite("kubernetesTarget() where the API server fails", { skip }, () => {
  let kube: Kube;
  let proxy: FaultProxy;
  const opened: Target[] = [];
  const ending = new AbortController();
  const options = { signal: ending.signal, mayWrite: () => true };

  async function open(further: Partial<KubernetesTargetOptions> = {}, watch = true): Promise<Target> {
    const target = await openTarget(proxy.kubeconfigPath, ending.signal, further, watch);
    opened.push(target);
    if (watch) await until("all but HTTPRoutes and TCPRoutes are watched", async () => proxy.watching() === 5);
    return target;
  }
  /** Answer the first `times` requests whose line holds `part` with `fault`. */
  function failOn(part: string, fault: Fault, times = Number.POSITIVE_INFINITY): void {
    let left = times;
    proxy.fault = (line) => (line.includes(part) && left-- > 0 ? fault : undefined);
  }
  const status = (code: number, reason: string, headers: Record<string, string> = {}): Fault => ({
    status: code,
    headers,
    body: { kind: "Status", reason, message: "on purpose", code },
  });
  const create = (name: string): Change => ({ kind: "create", object: entryOf(name) });
  const ask = (part: string) => proxy.seen.filter((line) => line.includes(part)).length;

  before(async () => {
    kube = await startKube({ namespaces: [MESH, SHOP] });
    proxy = await faultProxy(kube);
  });
  afterEach(async () => {
    proxy.fault = () => undefined;
    for (const target of opened.splice(0)) await target.close();
    await until("no watch is left", async () => proxy.watching() === 0);
    proxy.seen.length = 0;
  });
  after(async () => {
    ending.abort();
    await proxy.stop();
    await kube.stop();
  });

  test(
    faultRow({
      target: "API server",
      fault: "it answers 429, or 503, with Retry-After",
      expect: "the write is sent again after that time",
    }),
    async () => {
      const target = await open({}, false);
      for (const code of [429, 503]) {
        failOn("POST", status(code, "TooManyRequests", { "retry-after": "1" }), 1);
        const startedMs = performance.now();
        const { results } = await target.write([create(`busy-${code}`)], options);
        assert.equal(results[0]?.outcome, "written");
        assert.ok(performance.now() - startedMs > 1000);
      }
      assert.equal(ask("POST"), 4);
    },
  );

  test(
    faultRow({
      target: "API server",
      fault: "it goes on answering 429",
      expect: "the write is given up until the next pass",
      peer: "external-dns #3841",
    }),
    async () => {
      const target = await open({}, false);
      failOn("POST", status(429, "TooManyRequests", { "retry-after": "0" }));
      const { results } = await target.write([create("too-busy")], options);
      assert.equal(results[0]?.outcome, "failed");
      assert.match(String(results[0]?.error), /Cannot create ServiceEntry .*: 429 TooManyRequests: on purpose/);
      assert.equal(ask("POST"), 4);
    },
  );

  test(
    faultRow({ target: "API server", fault: "leadership is lost while a write waits", expect: "it is not sent again" }),
    async () => {
      const target = await open({}, false);
      failOn("POST", status(429, "TooManyRequests", { "retry-after": "0" }));
      let left = 1;
      const { results } = await target.write([create("too-late")], { ...options, mayWrite: () => left-- > 0 });
      assert.equal(results[0]?.outcome, "skipped");
      assert.equal(ask("POST"), 1);
    },
  );

  test(
    faultRow({
      target: "API server",
      fault: "a write gets no answer",
      expect: "it ends within 4 s, the others are written",
    }),
    async () => {
      const target = await open({}, false);
      failOn("POST", "silence", 1);
      const { results } = await target.write([create("lost"), create("kept")], options);
      assert.deepEqual(results.map(({ outcome }) => outcome).sort(), ["failed", "written"]);
      const { error } = results.find(({ outcome }) => outcome === "failed") ?? {};
      assert.match(String((error as Error).cause), /no answer within 4 s/);
    },
  );

  test(
    faultRow({
      target: "API server",
      fault: "it no longer serves the version of a definition: 404 without an object",
      expect: "what stands is not taken for deleted",
    }),
    async () => {
      const target = await open({}, false);
      await target.write([create("unserved")], options);
      const key = `ServiceEntry/${MESH}/unserved.mesh.internal`;
      const standing = target.standing().objects.get(key) ?? assert.fail();
      proxy.fault = (line) =>
        line.includes("/serviceentries") ? { status: 404, headers: { "content-type": "text/plain" } } : undefined;
      const changed = { ...entryOf("unserved"), manifest: { ...entryOf("unserved").manifest, spec: {} as never } };
      const changes: Change[] = [
        { kind: "update", object: changed, standing },
        { kind: "delete", standing, why: "a test" },
      ];
      const { results } = await target.write(changes, options);
      assert.deepEqual(
        results.map(({ outcome }) => outcome),
        ["failed", "failed"],
      );
      assert.equal(target.standing().objects.get(key), standing);
    },
  );

  test("deletes aliases before their entry and creates them after it", async () => {
    const target = await open({}, false);
    await target.write([{ kind: "create", object: aliasOf("sorted") }, create("sorted")], options);
    const standing = [...target.standing().objects.values()].filter(({ service }) => service === "vms/default/sorted");
    await target.write(
      standing.map((object) => ({ kind: "delete" as const, standing: object, why: "a test" })),
      options,
    );
    const writes = proxy.seen.filter((line) => !line.startsWith("GET")).map((line) => line.replace(/\?.*/, ""));
    assert.deepEqual(writes, [
      `POST ${entryPath(MESH)}`,
      `POST ${servicePath(SHOP)}`,
      `DELETE ${servicePath(SHOP, "sorted")}`,
      `DELETE ${entryPath(MESH, "sorted.mesh.internal")}`,
    ]);
  });

  test("lists anew after 410 Gone, and finds what vanished meanwhile", async () => {
    await post(kube, servicePath(SHOP), aliasOf("vanishing").manifest);
    const target = await open();
    const key = `Service/${SHOP}/vanishing`;
    assert.ok(target.standing().objects.has(key));
    // No watch comes through until the change is long past.
    failOn("/services?watch=1", status(500, "InternalError"));
    proxy.breakWatches("end");
    await kube.request("DELETE", servicePath(SHOP, "vanishing"));
    assert.ok(target.standing().objects.has(key), "the last state goes on being served");
    failOn("/services?watch=1", status(410, "Expired"), 1);
    await until("it is gone", async () => !target.standing().objects.has(key));
    await post(kube, servicePath(SHOP), aliasOf("afterwards").manifest);
    await until("the watch works again", async () => target.standing().objects.has(`Service/${SHOP}/afterwards`));
  });

  test(faultRow({ target: "API server", fault: "410 Gone inside a watch", expect: "it is listed anew" }), async () => {
    const target = await open();
    const lists = () =>
      proxy.seen.filter((line) => line.startsWith("GET /api/v1/services?") && line.includes("limit=")).length;
    assert.equal(lists(), 1);
    failOn(
      "/services?watch=1",
      { status: 200, body: { type: "ERROR", object: { kind: "Status", code: 410, reason: "Expired" } } },
      1,
    );
    proxy.breakWatches("end");
    await until("it lists again", async () => lists() === 2);
    await post(kube, servicePath(SHOP), aliasOf("inside").manifest);
    await until("the watch works again", async () => target.standing().objects.has(`Service/${SHOP}/inside`));
  });

  test(faultRow({ target: "API server", fault: "a watch goes silent", expect: "it is opened anew" }), async () => {
    const target = await open({ stallMs: 1000 });
    proxy.breakWatches("silence");
    await post(kube, servicePath(SHOP), aliasOf("silent").manifest);
    await until("it is seen all the same", async () => target.standing().objects.has(`Service/${SHOP}/silent`));
  });

  test("catches up after the API server was away", async () => {
    const target = await open();
    const before = target.standing().objects.size;
    await kube.restart(async () => {
      const { results } = await target.write([create("nobody-there")], options);
      assert.equal(results[0]?.outcome, "failed");
      assert.equal(target.standing().objects.size, before);
    });
    await post(kube, servicePath(SHOP), aliasOf("back").manifest);
    await until("it is seen", async () => target.standing().objects.has(`Service/${SHOP}/back`), 60_000);
  });

  test(
    faultRow({ target: "API server", fault: "the pages of a list expire on the way", expect: "the list begins anew" }),
    async () => {
      for (let index = 0; index < 4; index++) await post(kube, servicePath(SHOP), aliasOf(`expired-${index}`).manifest);
      failOn("/services?limit=2&continue=", status(410, "Expired"), 1);
      const target = await open({ pageSize: 2 }, false);
      assert.equal([...target.standing().objects.keys()].filter((key) => key.includes("/expired-")).length, 4);
    },
  );

  test(
    faultRow({
      target: "API server",
      fault: "an object of others is malformed",
      expect: "it is skipped, all else is read",
    }),
    async () => {
      const page = {
        metadata: { resourceVersion: "1" },
        items: [null, {}, { metadata: { name: "odd", namespace: SHOP }, spec: { parentRefs: 7 } }, { metadata: 7 }],
      };
      failOn("/httproutes?limit", { status: 200, body: page });
      await open({}, false);
    },
  );

  test(
    faultRow({
      target: "API server",
      fault: "the definition of an optional kind is missing",
      expect: "it is asked for again later",
    }),
    async () => {
      const target = await open({ recheckMs: 200 });
      assert.deepEqual([...(target.standing().absentKinds ?? [])].sort(), ["HTTPRoute", "TCPRoute"]);
      const before = target.version();
      const route = {
        metadata: { name: "r", namespace: SHOP, uid: "u", resourceVersion: "1" },
        spec: { parentRefs: [{ kind: "Service", name: "web" }] },
      };
      failOn("/httproutes?limit", { status: 200, body: { metadata: { resourceVersion: "1" }, items: [route] } });
      await until("it is seen", async () => target.standing().foreign.has(`HTTPRoute/${SHOP}/r`));
      assert.deepEqual([...(target.standing().absentKinds ?? [])], ["TCPRoute"]);
      assert.ok(target.changesSince(before)?.has("CustomResourceDefinition/HTTPRoute"));
    },
  );

  test(
    faultRow({
      target: "API server",
      fault: "the definition of a kind that is needed is missing, or older",
      expect: "the start fails and says what to install",
    }),
    async () => {
      failOn("/serviceentries", status(404, "NotFound"));
      await assert.rejects(
        open({}, false),
        /the cluster must have the CRD serviceentries\.networking\.istio\.io .*: install Istio/,
      );
    },
  );

  test(
    faultRow({ target: "API server", fault: "a right is missing", expect: "the start fails and says which" }),
    async () => {
      failOn("/namespaces?", status(403, "Forbidden"));
      await assert.rejects(
        open({}, false),
        (error) =>
          error instanceof KubeStatusError && /Cannot list namespaces: 403 Forbidden: on purpose/.test(error.message),
      );
    },
  );
});
