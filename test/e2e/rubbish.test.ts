import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { text as textOf } from "node:stream/consumers";
import { type TestContext, test } from "node:test";
import { securityRow } from "../security/row.ts";
import { until } from "../servers/kube-admin.ts";
import { type Replica, ready, startReplica } from "./cli.ts";
import { folderEndpoints } from "./embedded.ts";
import { type Fixture, fixture, hostOf, tcpService } from "./fixture.ts";
import { RUBBISH_KINDS, type Rubbish, type RubbishServer, startRubbishServer } from "./rubbish-server.ts";

/** As the image sets them, and the heap that Node gives itself in a container of 1 GiB. */
const ENV = { NODE_OPTIONS: "--max-old-space-size=512 --max-semi-space-size=4", MALLOC_ARENA_MAX: "2" };
const MOST_MIB = 850;

const MODULE = `export const adapter = {
  create: ({ url }, { registry, readJson }) => ({
    registry,
    async read(signal) {
      const listed = await readJson(await fetch(url, { signal }), signal);
      const services = listed.map(({ name, addresses }) => ({ state: "ok", service: {
        registry, namespace: "default", name, ports: [{ name: "http", number: 80, protocol: "HTTP" }],
        endpoints: addresses.map((address) => ({ address })),
        leftOut: [], metadata: {}, legacyNames: [], source: url, notes: [] } }));
      return { registry, services, revision: "" };
    },
  }),
};`;

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

function json(response: ServerResponse, value: unknown): void {
  // An index that moves says that anything may have changed.
  const headers = { "content-type": "application/json", "x-consul-index": String(Date.now()) };
  response.writeHead(200, headers).end(JSON.stringify(value));
}

const asConsul: Handler = ({ url = "" }, response) => {
  const { pathname, searchParams } = new URL(url, "http://consul.example.org");
  if (searchParams.has("index")) return; // nothing changes
  const [, service] = /^\/v1\/health\/service\/(\w+)$/.exec(pathname) ?? [];
  if (service !== undefined && searchParams.get("tag") === null)
    return json(response, [
      {
        Node: { Node: "vm", Address: "192.0.2.9", Datacenter: "dc1" },
        Service: { ID: service, Service: service, Address: "192.0.2.1", Port: 80 },
        Checks: [],
      },
    ]);
  if (pathname === "/v1/catalog/services") return json(response, { consul: [], orders: [], stock: [] });
  json(response, pathname === "/v1/status/leader" ? "192.0.2.200:8300" : []);
};

const asPolaris: Handler = async (request, response) => {
  const { type, service = {} } = JSON.parse(await textOf(request)) as {
    readonly type: string;
    readonly service?: { readonly namespace?: string; readonly name?: string };
  };
  const names = ["orders", "stock"].map((name) => ({ namespace: "default", name }));
  json(response, {
    code: 200000,
    type,
    service,
    ...(type === "SERVICES" ? { services: names } : { instances: [{ id: "1", host: "192.0.2.1", port: 80 }] }),
  });
};

const asModule: Handler = (_request, response) =>
  json(
    response,
    ["orders", "stock"].map((name) => ({ name, addresses: ["192.0.2.1"] })),
  );

/** A registry whose server sends rubbish when it is told to. */
interface Registry {
  readonly name: string;
  readonly server: RubbishServer;
  readonly options: object;
}

async function registries(t: TestContext): Promise<readonly Registry[]> {
  const [consul, polaris, module] = [
    await startRubbishServer(t, asConsul),
    await startRubbishServer(t, asPolaris),
    await startRubbishServer(t, asModule),
  ];
  const poll = "* * * * * *";
  const limits = { timeout: "2s", poll };
  return [
    { name: "dc1", server: consul, options: { kind: "consul", address: consul.address, verifyEvery: "1s", ...limits } },
    { name: "prod", server: polaris, options: { kind: "polaris", address: polaris.address, ...limits } },
    {
      name: "own",
      server: module,
      options: { kind: "module", path: "own.js", options: { url: module.address }, timeout: "5s", poll },
    },
  ];
}

async function count(replica: Replica, metric: string, labels: string): Promise<number> {
  const text = await (await fetch(`${replica.http}/metrics`)).text();
  const sample = `${metric}{${labels}} `;
  const line = text.split("\n").find((one) => one.startsWith(sample));
  return Number(line?.slice(sample.length) ?? 0);
}

const readsOf = (replica: Replica, registry: string, result: "failed" | "ok") =>
  count(replica, "x2istio_registry_reads_total", `registry="${registry}",result="${result}"`);

/** The most memory that a process has had. */
async function mostMiB({ pid }: Replica): Promise<number> {
  const [, kib] = /^VmHWM:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kib) / 1024;
}

async function start(t: TestContext, all: readonly Registry[]): Promise<{ place: Fixture; replica: Replica }> {
  const place = await fixture(t, [tcpService("witness", "198.51.100.1")], {
    registries: [
      { kind: "static", name: "vms", file: "services.yaml" },
      ...all.map(({ name, options }) => ({ name, ...options })),
    ],
    aliases: [],
    target: { kind: "directory", path: "out" },
  });
  await writeFile(join(place.dir, "own.js"), MODULE);
  const replica = startReplica(t, { config: place.config, ports: place.ports, env: ENV });
  await ready(replica);
  for (const { name } of all) await until(`${name} was read`, async () => (await readsOf(replica, name, "ok")) > 0);
  return { place, replica };
}

const noProc = existsSync("/proc/self/status") ? false : "this machine has no /proc";

test(securityRow({
  who: "registry server",
  attack: "sends 30 MB of brackets, 120 MB of empty items, single octets, a compressed bomb, or drips",
  outcome: "a failed read of that registry; the others go on, and memory fits the container",
}), { skip: noProc }, async (t) => {
  const all = await registries(t);
  const { place, replica } = await start(t, all);
  const out = join(place.dir, "out");
  const witness = tcpService("witness");
  const stays = async () => {
    for (const { name } of all)
      for (const service of ["orders", "stock"])
        assert.deepEqual(await folderEndpoints(out, `${service}.default.${name}.mesh.internal`), ["192.0.2.1"]);
  };
  await until("all is written", async () => stays().then(() => true));
  const beginMiB = await mostMiB(replica);
  for (const [at, rubbish] of RUBBISH_KINDS.entries()) {
    await t.test(rubbish, async (one) => {
      const before = await Promise.all(all.map(({ name }) => readsOf(replica, name, "failed")));
      for (const { server } of all) server.send(rubbish);
      const address = `198.51.100.${at + 2}`;
      await place.setServices([tcpService("witness", address)]);
      await until("another registry's change is written", async () => {
        return (await folderEndpoints(out, hostOf(witness))).includes(address);
      });
      for (const [index, { name }] of all.entries())
        await until(`${name} has failed`, async () => (await readsOf(replica, name, "failed")) > (before[index] ?? 0));
      await stays();
      await recovered(all, replica);
      one.diagnostic(`${Math.round(await mostMiB(replica))} MiB at most so far`);
    });
  }
  const most = await mostMiB(replica);
  t.diagnostic(`${Math.round(beginMiB)} MiB before, ${Math.round(most)} MiB at most`);
  assert.ok(most < MOST_MIB, `${most} MiB`);
  assert.equal(await replica.stop(), 0);
});

async function recovered(all: readonly Registry[], replica: Replica): Promise<void> {
  const good = await Promise.all(all.map(({ name }) => readsOf(replica, name, "ok")));
  for (const { server } of all) server.send(undefined);
  for (const [index, { name }] of all.entries())
    await until(`${name} is read again`, async () => (await readsOf(replica, name, "ok")) > (good[index] ?? 0));
}

test(
  securityRow({
    who: "registry server",
    attack: "sends rubbish of any size and form about one service",
    outcome: "that service stays as it is; the others are updated",
  }),
  async (t) => {
    const kinds: readonly Rubbish[] = ["30 MB of [", "120 MB of one text", "30 MB in chunks of one octet"];
    const all = (await registries(t)).filter(({ name }) => name === "dc1");
    const [{ server }] = all as [Registry];
    const { place, replica } = await start(t, all);
    const failures = () => count(replica, "x2istio_registry_failures_total", `registry="dc1",kind="answer"`);
    for (const kind of kinds) {
      const before = await failures();
      server.send(kind, /^\/v1\/health\/service\/orders/);
      await until(`orders has failed by ${kind}`, async () => (await failures()) > before);
      const good = await readsOf(replica, "dc1", "ok");
      await until("stock is read", async () => (await readsOf(replica, "dc1", "ok")) > good);
      const { stdout } = { stdout: await (await fetch(`${replica.http}/api/services`)).text() };
      assert.match(stdout, /dc1\/default\/stock/);
      // A failure counts once for as long as it lasts.
      const freed = replica.logged("no longer held").length;
      server.send(undefined);
      await until("orders is read again", async () => replica.logged("no longer held").length > freed);
    }
    assert.deepEqual(await folderEndpoints(join(place.dir, "out"), "orders.default.dc1.mesh.internal"), ["192.0.2.1"]);
    assert.equal(await replica.stop(), 0);
  },
);
