import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { createServer, request as forward } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { describeError } from "../../../src/errors.ts";
import { createMetrics } from "../../../src/metrics.ts";
import type { Consul } from "../../servers/consul.ts";
import { addresses, failures, folder, read, registryAt, services, skip, started } from "./registry.ts";

const web = { service: "web", address: "192.0.2.1", port: 80, meta: { protocol: "http" } };
const db = { service: "db", address: "192.0.2.2", port: 5432 };
const READ_ALL = 'service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }';

test("read() gives the services with their health", { skip }, async (t) => {
  const server = await started(t);
  await server.register(web, { ...web, id: "web-2", address: "192.0.2.3", status: "critical" }, db);
  const registry = registryAt(t, server.address, { namespace: "vm" });
  const snapshot = await read(registry);
  assert.equal(snapshot.incomplete, undefined);
  assert.deepEqual(snapshot.skipped, { infrastructure: 1 });
  assert.deepEqual(Object.keys(services(snapshot)), ["db", "web"]);
  assert.deepEqual(services(snapshot)["web"], {
    registry: "dc1",
    namespace: "vm",
    name: "web",
    source: "/v1/health/service/web in dc1",
    ports: [{ name: "http", number: 80, protocol: "HTTP", observed: true }],
    endpoints: [{ address: "192.0.2.1", weight: 1, region: "dc1" }],
    leftOut: [{ address: "192.0.2.3:80", kind: "health", reason: "critical: service:web-2" }],
    metadata: {},
    legacyNames: [],
    notes: [],
  });
});

test("read() puts what is under maintenance out", { skip }, async (t) => {
  const server = await started(t);
  await server.register(web, { ...web, id: "web-2", address: "192.0.2.3", node: "vm2" });
  await server.maintenance({ id: "web" }, true);
  await server.maintenance({ node: "vm2" }, true);
  const { endpoints, leftOut } = services(await read(registryAt(t, server.address)))["web"] ?? assert.fail();
  assert.deepEqual(endpoints, []);
  assert.deepEqual(
    leftOut.map(({ reason }) => reason),
    ["critical: _service_maintenance:web", "critical: _node_maintenance"],
  );
});

test("read() passes over what is not for the mesh, and counts it", { skip }, async (t) => {
  const server = await started(t);
  await server.register(
    web,
    db,
    { service: "web-proxy", kind: "mesh-gateway", port: 1 },
    { service: "pod", port: 1, meta: { "external-source": "kubernetes" } },
    { service: "web-canary", port: 1 },
  );
  const filters = { services: { include: ["web*", "db", "po?"], exclude: ["*-canary"] } };
  const snapshot = await read(registryAt(t, server.address, filters));
  assert.deepEqual(Object.keys(services(snapshot)), ["db", "pod", "web"]);
  assert.equal(services(snapshot)["pod"]?.podsOnly, true, "it is listed, and has no endpoint");
  assert.deepEqual(snapshot.skipped, { infrastructure: 2, kubernetes: 1, filter: 1 });
  assert.deepEqual(
    snapshot.skippedServices?.map(({ name, kind }) => `${kind} ${name}`),
    [
      "filter default/web-canary",
      "infrastructure default/consul",
      "kubernetes default/pod",
      "infrastructure default/web-proxy",
    ],
  );
});

test("read() of a name that is no path", { skip }, async (t) => {
  const server = await started(t);
  await server.register({ ...web, service: "a/b?c#d {e} é" });
  const snapshot = await read(registryAt(t, server.address));
  assert.deepEqual(addresses(snapshot, "a/b?c#d {e} é"), ["192.0.2.1"]);
});

test("read() gives the same objects while nothing moves, and for what does not move", { skip }, async (t) => {
  const server = await started(t);
  await server.register(web, db);
  const registry = registryAt(t, server.address);
  const first = await read(registry);
  const second = await read(registry);
  assert.deepEqual(second.revision, first.revision);
  for (const [at, one] of first.services.entries()) assert.equal(second.services[at], one);
  await server.setCheck("web", "critical");
  const third = await read(registry);
  assert.notEqual(third.revision, first.revision);
  assert.equal(third.services[0], first.services[0]);
  assert.notEqual(third.services[1], first.services[1]);
  await server.deregister({ id: "db" });
  assert.deepEqual(Object.keys(services(await read(registry))), ["web"]);
});

for (const consistency of ["default", "stale", "consistent"])
  test(`read() with consistency ${consistency}`, { skip }, async (t) => {
    const server = await started(t);
    await server.register(web);
    assert.deepEqual(addresses(await read(registryAt(t, server.address, { consistency })), "web"), ["192.0.2.1"]);
  });

test("read() asks for no service while nothing moves and none is due", { skip }, async (t) => {
  const server = await started(t);
  await server.register(...Array.from({ length: 50 }, (_, at) => ({ ...web, service: `web-${at}` })));
  const metrics = createMetrics();
  const registry = registryAt(t, server.address, {}, { metrics });
  const asked = async () => {
    const metric = await metrics.registry.getSingleMetric("x2istio_consul_requests_total")?.get();
    return metric?.values.find(({ labels }) => labels["result"] === "ok")?.value ?? 0;
  };
  await read(registry);
  const counts: number[] = [];
  for (let poll = 0; poll < 11; poll++) {
    const before = await asked();
    await read(registry);
    counts.push((await asked()) - before);
  }
  assert.deepEqual(
    counts,
    counts.map(() => 4),
  );
});

interface Access {
  readonly name: string;
  readonly start: Parameters<typeof started>[1];
  readonly address: (server: Consul) => string;
  readonly options: (server: Consul) => object;
}
const accesses: readonly Access[] = [
  { name: "a unix socket", start: { unixSocket: true }, address: (s) => s.unixAddress, options: () => ({}) },
  {
    name: "TLS",
    start: { tls: "server" },
    address: (s) => s.httpsAddress,
    options: (s) => ({ tls: { ca: s.tls?.ca } }),
  },
  {
    name: "mutual TLS by another name",
    start: { tls: "mutual" },
    address: (s) => s.httpsAddress,
    options: ({ tls }) => ({ tls: { ca: tls?.ca, cert: tls?.cert, key: tls?.key, serverName: "server.dc1.consul" } }),
  },
];
for (const { name, start, address, options } of accesses)
  test(`read() over ${name}`, { skip }, async (t) => {
    const server = await started(t, start);
    await server.register(web);
    assert.deepEqual(addresses(await read(registryAt(t, address(server), options(server))), "web"), ["192.0.2.1"]);
  });

test("read() refuses a server that its authorities do not know", { skip }, async (t) => {
  const server = await started(t, { tls: "mutual" });
  const { ca } = server.tls ?? assert.fail();
  await assert.rejects(read(registryAt(t, server.httpsAddress)), { failure: "connection" });
  await assert.rejects(read(registryAt(t, server.httpsAddress, { tls: { ca } })), { failure: "connection" });
  await assert.rejects(read(registryAt(t, server.httpsAddress, { tls: { ca: "missing.pem" } })), (error) =>
    describeError(error).includes("Cannot read missing.pem: ENOENT"),
  );
});

test("read() through a proxy that wants a password, below a path", { skip }, async (t) => {
  const server = await started(t);
  await server.register(web);
  const address = `${await proxyTo(t, server, "Basic dXNlcjpzZWNyZXQ=")}/consul/`;
  const dir = await folder(t);
  await writeFile(join(dir, "password"), "secret\n");
  for (const auth of [{ password: "secret" }, { passwordFile: "password" }]) {
    const registry = registryAt(t, address, { basicAuth: { username: "user", ...auth } }, { dir });
    assert.deepEqual(addresses(await read(registry), "web"), ["192.0.2.1"]);
  }
  const wrong = registryAt(t, address, { basicAuth: { username: "user", password: "wrong" } });
  await assert.rejects(read(wrong), { failure: "denied" });
});

async function proxyTo(t: TestContext, server: Consul, authorization: string): Promise<string> {
  const proxy = createServer((request, response) => {
    const path = request.url?.replace(/^\/consul/, "");
    if (request.headers.authorization !== authorization) return response.writeHead(401).end("who are you?");
    return forward(`${server.address}${path}`, (answer) => {
      response.writeHead(answer.statusCode ?? 0, answer.headers);
      answer.pipe(response);
    }).end();
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    proxy.close();
    proxy.closeAllConnections();
  });
  return `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
}

test("read() with a token of which the file changes", { skip }, async (t) => {
  const server = await started(t, { acl: true });
  await server.register(web);
  const dir = await folder(t);
  const [first, second] = [await server.createToken(READ_ALL), await server.createToken(READ_ALL)];
  await writeFile(join(dir, "token"), `${first.secret}\n`);
  const registry = registryAt(t, server.address, { tokenFile: "token" }, { dir });
  assert.equal((await read(registry)).incomplete, undefined);
  await server.revokeToken(first);
  await assert.rejects(read(registry), (error: Error) => {
    assert.equal((error as Error & { failure: string }).failure, "denied");
    assert.equal(`${error.message} ${error.cause}`.includes(first.secret), false);
    return true;
  });
  await writeFile(join(dir, "token"), `${second.secret}`);
  const snapshot = await read(registry);
  assert.equal(snapshot.incomplete, undefined);
  assert.deepEqual(addresses(snapshot, "web"), ["192.0.2.1"]);
});

test("read() takes nothing away when the token loses rights", { skip }, async (t) => {
  const server = await started(t, { acl: true });
  await server.register(web, db);
  const dir = await folder(t);
  const use = async (rules: string) => writeFile(join(dir, "token"), (await server.createToken(rules)).secret);
  await use(READ_ALL);
  const registry = registryAt(t, server.address, { tokenFile: "token" }, { dir });
  await read(registry);

  await use('service_prefix "web" { policy = "read" } node_prefix "" { policy = "read" }');
  const partial = await read(registry);
  assert.match(partial.incomplete ?? "", /^GET \/v1\/catalog\/services: the token may not read all services$/);
  assert.deepEqual(addresses(partial, "web"), ["192.0.2.1"]);
  assert.deepEqual(Object.keys(failures(partial)), ["dc1/default/db"]);

  await server.deregister({ id: "web" });
  assert.deepEqual(addresses(await read(registry), "web"), []);
  await server.register(web);

  await use('service_prefix "" { policy = "read" }');
  assert.match(failures(await read(registry))["dc1/default/web"] ?? "", /needs node:read/);

  await writeFile(join(dir, "token"), "");
  const anonymous = await read(registry);
  assert.notEqual(anonymous.incomplete, undefined);
  assert.deepEqual(Object.keys(failures(anonymous)), ["dc1/default/db", "dc1/default/web"]);

  await use(READ_ALL);
  const whole = await read(registry);
  assert.equal(whole.incomplete, undefined);
  assert.deepEqual(Object.keys(services(whole)), ["db", "web"]);
});

test("read() joins datacenters, and holds what one of them may have", { skip }, async (t) => {
  const first = await started(t, { wan: true });
  const second = await started(t, { datacenter: "dc2", wan: first });
  await first.register(web, db);
  await second.register({ ...web, address: "198.51.100.1", port: 81, datacenter: "dc2" });
  const registry = registryAt(t, first.address, { datacenters: ["dc1", "dc2"] });
  let snapshot = await read(registry);
  for (const deadline = Date.now() + 30_000; snapshot.incomplete !== undefined && Date.now() < deadline; )
    snapshot = await read(registry);
  const joined = services(snapshot)["web"] ?? assert.fail(snapshot.incomplete);
  assert.deepEqual(joined.endpoints, [
    { address: "192.0.2.1", weight: 1, region: "dc1" },
    { address: "198.51.100.1", ports: { http: 81 }, weight: 1, region: "dc2" },
  ]);
  assert.equal(joined.source, "/v1/health/service/web in dc1, dc2");

  await second.stop();
  const half = await read(registry);
  assert.match(half.incomplete ?? "", /GET \/v1\/[a-z/]+ in dc2/);
  assert.deepEqual(Object.keys(failures(half)), ["dc1/default/web"]);
  assert.equal(services(half)["db"], services(snapshot)["db"]);

  const fresh = await read(registryAt(t, first.address, { datacenters: ["dc1", "dc2"] }));
  assert.deepEqual(Object.keys(failures(fresh)), ["dc1/default/db", "dc1/default/web"]);
});

test("read() without a leader fails, and goes on when there is one", { skip }, async (t) => {
  const server = await started(t, { peer: true });
  await server.register(web);
  const registry = registryAt(t, server.address);
  const before = await read(registry);
  await server.peer?.kill();
  await assert.rejects(
    async () => {
      for (const deadline = Date.now() + 30_000; Date.now() < deadline; ) await read(registry);
    },
    { failure: "server" },
  );
  await server.peer?.start();
  assert.equal((await read(registry)).services[0], before.services[0]);
});

test("read() of a Consul that is gone fails", { skip }, async (t) => {
  const server = await started(t);
  await server.register(web);
  const registry = registryAt(t, server.address);
  const before = await read(registry);
  await server.restart("SIGKILL", () => assert.rejects(read(registry), { failure: "connection" }));
  const after = await read(registry);
  assert.deepEqual(after.services, [], "it kept nothing");
  await server.register(web);
  assert.deepEqual(services(await read(registry)), services(before));
});
