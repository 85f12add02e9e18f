import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { type TestContext, test } from "node:test";
import ConsulClient from "consul";
import { Agent, request } from "undici";
import { ensureServers, noServers } from "./build.ts";
import { type Consul, type ConsulOptions, consulServers, startConsul } from "./consul.ts";

const skip = (await ensureServers(consulServers)) === undefined && noServers;

interface HealthEntry {
  readonly Node: { readonly Address: string };
  readonly Service: { readonly Address: string; readonly Port: number };
  readonly Checks: readonly { readonly CheckID: string; readonly Status: string; readonly ServiceID: string }[];
}

async function started(t: TestContext, options?: ConsulOptions): Promise<Consul> {
  const consul = await startConsul(options);
  t.after(() => consul.stop());
  return consul;
}
async function names(consul: Consul, query = ""): Promise<string[]> {
  const { status, body } = await consul.request<object>("GET", `/v1/catalog/services${query}`);
  assert.equal(status, 200, JSON.stringify(body));
  return Object.keys(body);
}
async function health(consul: Consul, service: string): Promise<readonly HealthEntry[]> {
  return (await consul.request<readonly HealthEntry[]>("GET", `/v1/health/service/${service}`)).body;
}
const checks = (entries: readonly HealthEntry[]) =>
  entries.map(({ Checks }) => Checks.map(({ CheckID, Status }) => `${CheckID} ${Status}`).sort());

test("startConsul() changes its catalog", { skip }, async (t) => {
  const consul = await started(t, { unixSocket: true });
  await consul.register(
    { service: "web", id: "web-1", address: "192.0.2.1", port: 8080 },
    { service: "web", id: "web-2", port: 8081, node: "vm2", nodeAddress: "192.0.2.2", status: "warning" },
  );
  const byPort = (entries: readonly HealthEntry[]) => entries.toSorted((a, b) => a.Service.Port - b.Service.Port);
  assert.deepEqual(checks(byPort(await health(consul, "web"))), [["service:web-1 passing"], ["service:web-2 warning"]]);

  await consul.setCheck("web-1", "critical");
  await consul.maintenance({ node: "vm2", id: "web-2" }, true);
  await consul.maintenance({ node: "vm2" }, true);
  await consul.setNodeAddress("192.0.2.3", "vm2");
  const changed = byPort(await health(consul, "web"));
  assert.deepEqual(checks(changed), [
    ["service:web-1 critical"],
    ["_node_maintenance critical", "_service_maintenance:web-2 critical", "service:web-2 warning"],
  ]);
  assert.equal(changed[1]?.Node.Address, "192.0.2.3");
  await consul.maintenance({ node: "vm2", id: "web-2" }, false);
  await consul.maintenance({ node: "vm2" }, false);
  await consul.deregister({ id: "web-1" });
  assert.deepEqual(checks(await health(consul, "web")), [["service:web-2 warning"]]);

  const snapshot = await consul.snapshot();
  await consul.deregister({ node: "vm2" });
  assert.deepEqual(await names(consul), ["consul"]);
  await consul.restore(snapshot);
  assert.deepEqual(await names(consul), ["consul", "web"]);
  await assert.rejects(
    consul.register({ service: "web", node: "" }),
    /^Error: Cannot PUT \/v1\/catalog\/register: \d+/,
  );

  const socket = new Agent({ connect: { socketPath: consul.unixAddress.replace("unix://", "") } });
  t.after(() => socket.destroy());
  assert.equal((await request("http://localhost/v1/status/leader", { dispatcher: socket })).statusCode, 200);
});

test("an agent's maintenance is the checks that maintenance() makes", { skip }, async (t) => {
  const consul = await started(t);
  const { hostname, port } = new URL(consul.address);
  // As the registrars of users do, most of which are made with this package.
  const { agent } = new ConsulClient({ host: hostname, port: Number(port) });
  await agent.service.register({ id: "web-1", name: "web", port: 8080 });
  await agent.service.maintenance({ id: "web-1", enable: true });
  await agent.maintenance(true);
  assert.deepEqual(checks(await health(consul, "web")), [
    ["_node_maintenance critical", "_service_maintenance:web-1 critical", "serfHealth passing"],
  ]);
});

test("startConsul() keeps its data through a restart if persistent", { skip }, async (t) => {
  const consul = await started(t, { persistent: true });
  await consul.register({ service: "web" });
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    await consul.restart(signal, async () => {
      await assert.rejects(consul.request("GET", "/v1/status/leader"));
    });
    assert.deepEqual(await names(consul), ["consul", "web"]);
  }
});

test("startConsul() with ACLs shows a token only what it may see", { skip }, async (t) => {
  const consul = await started(t, { acl: true });
  await consul.register({ service: "web" }, { service: "db" });
  const token = await consul.createToken('service "web" { policy = "read" } node_prefix "" { policy = "read" }');
  const services = (secret: string) =>
    consul.request<object>("GET", "/v1/catalog/services", undefined, { token: secret });
  const seen = await services(token.secret);
  assert.deepEqual(Object.keys(seen.body), ["web"]);
  assert.equal(seen.headers["x-consul-results-filtered-by-acls"], "true");
  await consul.revokeToken(token);
  assert.equal((await services(token.secret)).status, 403);
  assert.deepEqual(Object.keys((await services("")).body), []);
});

test("startConsul() without its peer has no leader", { skip }, async (t) => {
  const consul = await started(t, { peer: true });
  await consul.register({ service: "web" });
  await consul.peer?.kill();
  const answer = await consul.request("GET", "/v1/catalog/services");
  assert.deepEqual([answer.status, answer.body], [500, "No cluster leader"]);
  assert.equal(
    (await names(consul, "?stale"))[0],
    "consul",
    "others may be missing, as it may be a follower that lags",
  );
  await consul.peer?.start();
  assert.deepEqual(await names(consul), ["consul", "web"]);
});

test("startConsul() serves HTTPS", { skip }, async (t) => {
  const consul = await started(t, { tls: "mutual" });
  const { tls } = consul;
  assert.ok(tls);
  const ca = await readFile(tls.ca, "utf8");
  const status = async (connect: object) => {
    const dispatcher = new Agent({ connect });
    t.after(() => dispatcher.destroy());
    return (await request(`${consul.httpsAddress}/v1/status/leader`, { dispatcher })).statusCode;
  };
  assert.equal(await status({ ca, cert: await readFile(tls.cert), key: await readFile(tls.key) }), 200);
  await assert.rejects(status({ ca }), "no client certificate");
});

test("startConsul() joins datacenters", { skip }, async (t) => {
  const dc1 = await started(t, { wan: true });
  const dc2 = await started(t, { datacenter: "dc2", wan: dc1 });
  await dc2.register({ service: "far" });
  const both = async () => (await dc1.request<readonly string[]>("GET", "/v1/catalog/datacenters")).body.length === 2;
  while (!(await both()));
  assert.deepEqual(await names(dc1, "?dc=dc2"), ["consul", "far"]);
});

test("startConsul() takes further configuration and cleans up", { skip }, async (t) => {
  const consul = await started(t, { unixSocket: true, config: { limits: { http_max_conns_per_client: 1 } } });
  const dir = consul.unixAddress.replace("unix://", "").replace("/http.sock", "");
  assert.ok(existsSync(dir));
  await consul.stop();
  assert.equal(existsSync(dir), false);
  await assert.rejects(startConsul({ config: { nonsense: 1 } }), /Cannot start consul as it ended:\s.*\s.*nonsense/);
});
