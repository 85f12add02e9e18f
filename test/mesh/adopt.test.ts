import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { runCli } from "../e2e/cli.ts";
import { entriesPath, list } from "../e2e/cluster.ts";
import { startConsul } from "../servers/consul.ts";
import type { ConsulInstance } from "../servers/consul-catalog.ts";
import { until } from "../servers/kube-admin.ts";
import type { Call } from "./calls.ts";
import { entriesOfConsul2istio } from "./consul2istio.ts";
import { startMesh } from "./mesh.ts";
import { ownNetwork } from "./network.ts";

const skip = await ownNetwork();

const FAR = "istio-system";
const http = { protocol: "http" };
const INSTANCES = [
  { service: "reviews", id: "r1", node: "n1", address: "192.0.2.11", port: 9081, meta: http, tags: ["version|v1"] },
  { service: "reviews", id: "r2", node: "n2", address: "192.0.2.12", port: 9081, meta: http },
  { service: "reviews", id: "r3", node: "n3", address: "192.0.2.13", port: 9080, meta: http },
  { service: "pay", id: "pay", node: "n1", address: "192.0.2.21", port: 8080, meta: http },
  { service: "db", id: "db", node: "n2", address: "192.0.2.31", port: 3306, meta: { protocol: "mysql" } },
] satisfies readonly ConsulInstance[];
/** Neither a name nor an address of anything: only the Host header tells where a call goes. */
const NOWHERE = "192.0.2.99";

/** Calls in each way, and those of half a second. */
const PER_SECOND = 20;
const MOMENT = 10;

/** A mesh beside whose entries those of consul2istio stand, and X2Istio's command line. */
async function beside(t: TestContext, registry: object, domain?: string) {
  const consul = await startConsul();
  t.after(() => consul.stop());
  await consul.register(...INSTANCES);
  const mesh = await startMesh(t, {
    sections: { registries: [{ kind: "consul", name: "dc1", address: consul.address, ...registry }], aliases: [] },
    manifests: entriesOfConsul2istio(INSTANCES, domain),
  });
  for (const { id, address, port, service } of INSTANCES)
    await mesh.backends({ protocol: service === "db" ? "tcp" : "http", who: id, address, port });
  const env = { KUBECONFIG: mesh.kube.kubeconfigPath };
  const adopt = async (...args: readonly string[]) => {
    const { code, stdout, stderr } = await runCli(["--config", mesh.fixture.config, "adopt", ...args], { env });
    return { code, text: `${stdout}${stderr}` };
  };
  const theirs = async () => [...(await list(mesh.kube, entriesPath(FAR))).keys()].sort();
  await until("ours stand", async () => (await list(mesh.kube, entriesPath())).size === 3);
  const configure = (more: object) =>
    mesh.fixture.setConfig({ registries: [{ kind: "consul", name: "dc1", address: consul.address, ...more }] });
  return { mesh, adopt, theirs, configure };
}

test("entries in the form of consul2istio's are adopted while callers with and without DNS capture lose no call", {
  skip,
}, async (t) => {
  const { mesh, adopt, theirs } = await beside(
    t,
    {
      legacyNames: ["{service}.corp.example.com"],
      ports: [
        { service: "reviews", also: [80, 9081] },
        { service: "*", also: [80] },
      ],
    },
    "corp.example.com",
  );
  const [captured, web] = await Promise.all([
    mesh.withSidecar("captured", { hasAgent: true }),
    mesh.withSidecar("web"),
  ]);
  const db = "db.corp.example.com";
  await mesh.becomes(true, async () => (await captured.lookUp(db)).startsWith("240.240."));
  const remembered = await captured.lookUp(db);
  const byHost = (service: string, port: number): Call => ({
    ...{ kind: "http", url: `http://${NOWHERE}:${port}`, host: `${service}.corp.example.com` },
  });
  const calls: Readonly<Record<string, readonly [typeof web, Call]>> = {
    reviews: [captured, { kind: "http", url: "http://reviews.corp.example.com:9081" }],
    "its port 80": [captured, { kind: "http", url: "http://reviews.corp.example.com" }],
    "pay's port 80": [captured, { kind: "http", url: "http://pay.corp.example.com" }],
    db: [captured, { kind: "tcp", host: db, port: 3306 }],
    "the VIP that Istio's DNS answered": [captured, { kind: "tcp", host: remembered, port: 3306 }],
    "reviews without capture": [web, byHost("reviews", 9081)],
    "pay without capture": [web, byHost("pay", 8080)],
  };
  let answered = 0;
  const failures = async () => {
    const loads = { ...(await captured.takeLoads()), ...(await web.takeLoads()) };
    assert.deepEqual(Object.keys(loads).sort(), Object.keys(calls).sort());
    for (const { who } of Object.values(loads)) answered += Object.values(who).reduce((sum, count) => sum + count, 0);
    return Object.fromEntries(Object.entries(loads).filter(([, { failed }]) => Object.keys(failed).length > 0));
  };
  for (const [name, [app, call]] of Object.entries(calls)) {
    await until(
      `calls to ${name} are answered`,
      async () => (await app.make({ ...call, count: 1 }))[0]?.who !== undefined,
    );
    await app.load({ name, perSecond: PER_SECOND, call });
  }

  const first = await adopt("--all");
  assert.equal(first.code, 0, first.text);
  assert.match(first.text, /^3 objects handed over\./m);
  const vip = (await mesh.entry("db.default.dc1.mesh.internal")).addresses?.[0] ?? "";
  await mesh.becomes(vip, () => web.lookUp(db));
  await mesh.istiod.settled();
  assert.deepEqual(await failures(), {});
  const second = adopt("--all");
  await mesh.becomes(vip, () => captured.lookUp(db));
  await mesh.istiod.settled();
  // The proxy of a pod with DNS capture takes the clusters of the old entries away a moment before it changes their listeners.
  for (const [name, { failed }] of Object.entries(await failures())) {
    const count = Object.values(failed).reduce((sum, one) => sum + one.count, 0);
    assert.ok(count <= MOMENT && calls[name]?.[0] === captured, `${name}: ${JSON.stringify(failed)}`);
  }
  assert.equal(await captured.tcp(remembered, 3306), "db", "who remembers the VIP is answered");
  const before = await theirs();
  assert.ok(before.length === 3 && before.every((name) => name.endsWith(".handed-over")), before.join());
  assert.deepEqual(await failures(), {});
  const { code, text } = await second;
  assert.equal(code, 0, text);
  assert.deepEqual(await theirs(), []);
  const { "the VIP that Istio's DNS answered": _gone, ...others } = await failures();
  assert.deepEqual(others, {});
  assert.ok(answered > 2000, String(answered));
  assert.match((await adopt()).text, /^There is nothing to do\./m);
});

test("with consul2istio's defaults each entry is refused, with what would close and the option that keeps it", {
  skip,
}, async (t) => {
  const { adopt, theirs, configure } = await beside(t, {});
  /** It refuses everything. */
  const why = async (args: readonly string[]) => {
    const { code, text } = await adopt(...args);
    assert.equal(code, 1);
    return text;
  };
  for (const args of [[], ["--all"]]) {
    const text = await why(args);
    for (const calls of ["pay:8080, pay:80", "reviews:9081, reviews:9080, reviews:80", "db:3306, db:80"])
      assert.ok(text.includes(`consul2istio wrote it for ${calls}, and no service of ours has that name`), text);
  }
  const named = { legacyNames: ["{service}"], singleLabels: true };
  await configure(named);
  assert.match(
    await why(["--all"]),
    /db +its port 80 would close \(db:80\), .* \(ports: \[\{service: db, also: \[80\]\}\]\)/,
  );
  await configure({ ...named, ports: [{ service: "reviews", also: [80, 9081] }, { also: [80] }] });
  const text = await why(["--all"]);
  assert.match(text, /pay +HTTP by its host pay \(pay:8080\) would not be routed any more: .* aliases/);
  assert.match(text, /db +its host db \(db:3306\) would not be found any more: .* aliases/);
  assert.equal((await theirs()).length, 3);
});
