import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { createMetrics } from "../../../src/metrics.ts";
import { faultRow } from "../../faults/row.ts";
import type { Consul } from "../../servers/consul.ts";
import { until } from "../../until.ts";
import {
  addresses,
  failures,
  folder,
  type Registry,
  read,
  readUntil,
  registryAt,
  services,
  skip,
  started,
} from "./registry.ts";

const web = { service: "web", address: "192.0.2.1", port: 80, meta: { protocol: "http" } };
const stock = { service: "stock", port: 81, node: "vm2", nodeAddress: "192.0.2.9" };

const transports: readonly {
  readonly name: string;
  readonly start: Parameters<typeof started>[1];
  readonly address: (server: Consul) => string;
  readonly options: (server: Consul) => object;
}[] = [
  { name: "HTTP", start: {}, address: (s) => s.address, options: () => ({}) },
  { name: "HTTP with few connections", start: {}, address: (s) => s.address, options: () => ({ maxConnections: 4 }) },
  { name: "a unix socket", start: { unixSocket: true }, address: (s) => s.unixAddress, options: () => ({}) },
  {
    name: "HTTP/2",
    start: { tls: "server" },
    address: (s) => s.httpsAddress,
    options: (s) => ({ tls: { ca: s.tls?.ca } }),
  },
];

async function watched(t: Parameters<typeof started>[0], transport: (typeof transports)[number]) {
  const server = await started(t, transport.start);
  await server.register(web, stock, ...Array.from({ length: 20 }, (_, at) => ({ ...web, service: `web-${at}` })));
  const registry = registryAt(t, transport.address(server), transport.options(server));
  return { server, registry, first: await read(registry) };
}

for (const transport of transports) {
  test(`waitForChange() over ${transport.name} sees every kind of change`, { skip }, async (t) => {
    const { server, registry, first } = await watched(t, transport);
    let snapshot = first;
    const changes: readonly [() => Promise<void>, (now: typeof snapshot) => boolean][] = [
      [() => server.setCheck("web", "critical"), (now) => addresses(now, "web")?.length === 0],
      [() => server.setCheck("web", "passing"), (now) => addresses(now, "web")?.length === 1],
      [
        () => server.register({ ...web, weights: { passing: 7, warning: 1 } }),
        (now) => services(now)["web"]?.endpoints[0]?.weight === 7,
      ],
      [() => server.setNodeAddress("192.0.2.10", "vm2"), (now) => addresses(now, "stock")?.[0] === "192.0.2.10"],
      [() => server.maintenance({ node: "vm2" }, true), (now) => addresses(now, "stock")?.length === 0],
      [() => server.register({ ...web, service: "new" }), (now) => addresses(now, "new")?.length === 1],
      [() => server.setCheck("new", "critical"), (now) => addresses(now, "new")?.length === 0],
      [() => server.deregister({ id: "web" }), (now) => services(now)["web"] === undefined],
    ];
    for (const [change, isSeen] of changes) {
      const other = services(snapshot)["web-3"];
      await change();
      snapshot = await readUntil(registry, snapshot, isSeen);
      assert.equal(services(snapshot)["web-3"], other);
      assert.equal(snapshot.incomplete, undefined);
    }
    const polled = await read(registry);
    assert.deepEqual(polled.services, snapshot.services);
  });

  test(`waitForChange() over ${transport.name} gathers a burst, and loses none of it`, { skip }, async (t) => {
    const { server, registry, first } = await watched(t, transport);
    const ids = Array.from({ length: 20 }, (_, at) => `web-${at}`);
    await hintsStarted(registry, first.revision);
    const changing = Promise.all(ids.map((id) => server.setCheck(id, "critical")));
    let hints = 0;
    await readUntil(registry, first, (now) => {
      hints++;
      return ids.every((id) => addresses(now, id)?.length === 0);
    });
    await changing;
    assert.ok(hints <= 10, `${hints} hints for 20 changes`);
  });

  test(faultRow(
    { target: "Consul", fault: "blocking queries meet a restore and a restart", expect: "changes are seen as before" },
    transport.name,
  ), { skip }, async (t) => {
    const { server, registry, first } = await watched(t, transport);
    const snapshot = await server.snapshot();
    await server.register({ ...web, address: "192.0.2.2" });
    const changed = await readUntil(registry, first, (now) => addresses(now, "web")?.[0] === "192.0.2.2");
    await server.restore(snapshot);
    const restored = await readUntil(registry, changed, (now) => addresses(now, "web")?.[0] === "192.0.2.1");
    await server.restart("SIGKILL", () => server.register({ ...web, address: "192.0.2.3" }).catch(() => {}));
    await server.register({ ...web, address: "192.0.2.4" });
    const again = await readUntil(registry, restored, (now) => addresses(now, "web")?.[0] === "192.0.2.4");
    await server.setCheck("web", "critical");
    await readUntil(registry, again, (now) => addresses(now, "web")?.length === 0);
  });
}

/** Wait until the blocking queries are under way. */
async function hintsStarted(registry: Registry, revision: string): Promise<void> {
  await assert.rejects(registry.waitForChange(revision, AbortSignal.timeout(300)));
}

test("waitForChange() keeps to its connections", { skip }, async (t) => {
  const server = await started(t, { config: { limits: { http_max_conns_per_client: 60 } } });
  const ids = Array.from({ length: 80 }, (_, at) => `web-${at}`);
  await server.register(...ids.map((service) => ({ ...web, service })));
  const metrics = createMetrics();
  // More than Consul lets it have: it has to find out.
  const registry = registryAt(t, server.address, { maxConnections: 100 }, { metrics });
  let snapshot = await read(registry);
  for (const status of ["critical", "passing"] as const) {
    for (const id of ids) await server.setCheck(id, status);
    const want = status === "critical" ? 0 : 1;
    snapshot = await readUntil(registry, snapshot, (now) => ids.every((id) => addresses(now, id)?.length === want));
  }
  const watches = await metrics.registry.getSingleMetric("x2istio_consul_watches_count")?.get();
  assert.ok((watches?.values[0]?.value ?? 0) <= 60);
  // A read may be refused a connection, too: that is a failed read of a service, and the next poll has it.
  await readUntil(registry, snapshot, (now) => isDeepStrictEqual(now.services, snapshot.services));
});

test("waitForChange() sees a token lose its rights, and nothing goes", { skip }, async (t) => {
  const server = await started(t, { acl: true });
  await server.register(web, stock);
  const dir = await folder(t);
  const use = async (rules: string) => writeFile(join(dir, "token"), (await server.createToken(rules)).secret);
  await use('service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }');
  const registry = registryAt(t, server.address, { tokenFile: "token", wait: "1s" }, { dir });
  const first = await read(registry);
  await use('service_prefix "web" { policy = "read" } node_prefix "" { policy = "read" }');
  // Nothing is told within one round of the blocking query, however slow this machine is.
  await assert.rejects(registry.waitForChange(first.revision, AbortSignal.timeout(1500)));
  await server.register({ ...web, service: "web-2" });
  const after = await readUntil(registry, first, (now) => now.incomplete !== undefined);
  assert.deepEqual(Object.keys(failures(after)), ["dc1/default/stock"]);
  assert.deepEqual(addresses(after, "web"), ["192.0.2.1"]);
});

test("waitForChange() rejects when the signal aborts, and close() leaves nothing behind", { skip }, async (t) => {
  const server = await started(t, { tls: "server" });
  await server.register(web);
  for (const [address, options] of [
    [server.address, {}],
    [server.httpsAddress, { tls: { ca: server.tls?.ca } }],
  ] as const) {
    const metrics = createMetrics();
    const registry = registryAt(t, address, options, { metrics });
    const { revision } = await read(registry);
    await assert.rejects(registry.waitForChange(revision, AbortSignal.timeout(200)), { name: "TimeoutError" });
    await registry.close();
    const watches = metrics.registry.getSingleMetric("x2istio_consul_watches_count");
    await until(async () => (await watches?.get())?.values[0]?.value === 0);
  }
});

test("indexes of Consul move with what they are taken to move with", { skip }, async (t) => {
  const server = await started(t);
  await server.register(web, { ...stock, service: "other", node: "vm3" });
  const paths = {
    services: "/v1/catalog/services",
    nodes: `/v1/catalog/nodes?filter=${encodeURIComponent('Node == ""')}`,
    checks: `/v1/health/state/any?filter=${encodeURIComponent('CheckID == ""')}`,
    own: "/v1/health/service/web?tag=nobody",
    other: "/v1/health/service/other?tag=nobody",
  };
  const indexes = async () =>
    Object.fromEntries(
      await Promise.all(
        Object.entries(paths).map(async ([name, path]) => {
          const { headers } = await server.request("GET", path);
          return [name, Number(headers["x-consul-index"])] as const;
        }),
      ),
    );
  const steps: readonly {
    readonly name: string;
    readonly act: () => Promise<void>;
    readonly moved: readonly string[];
  }[] = [
    { name: "nothing", act: async () => {}, moved: [] },
    { name: "the same registration again", act: () => server.register(web), moved: [] },
    {
      name: "a weight",
      act: () => server.register({ ...web, weights: { passing: 5, warning: 1 } }),
      moved: ["services", "nodes", "own"],
    },
    { name: "metadata", act: () => server.register({ ...web, meta: { a: "1" } }), moved: ["services", "nodes", "own"] },
    {
      name: "an address",
      act: () => server.register({ ...web, address: "192.0.2.8" }),
      moved: ["services", "nodes", "own"],
    },
    { name: "the node's address", act: () => server.setNodeAddress("192.0.2.11"), moved: ["nodes", "own"] },
    { name: "a warning", act: () => server.setCheck("web", "warning"), moved: ["checks", "own"] },
    { name: "a critical check", act: () => server.setCheck("web", "critical"), moved: ["checks", "own"] },
    { name: "maintenance of the node", act: () => server.maintenance({}, true), moved: ["checks", "own"] },
    {
      name: "another service",
      act: () => server.register({ ...web, service: "third", node: "vm9" }),
      moved: ["services", "nodes", "checks"],
    },
  ];
  let before = await indexes();
  for (const { name, act, moved } of steps) {
    await act();
    const now = await indexes();
    const found = Object.keys(paths).filter((key) => now[key] !== before[key]);
    assert.deepEqual(found, moved, name);
    before = now;
  }
});
