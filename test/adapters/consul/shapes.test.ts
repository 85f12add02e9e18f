import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Service } from "../../../src/model/service.ts";
import type { ConsulInstance } from "../../servers/consul-catalog.ts";
import { addresses, read, registryAt, services, skip, started } from "./registry.ts";

const HOSTS = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];

/** Instances of one service on each host, told apart by what is given. */
function each(service: string, ...ports: readonly Partial<ConsulInstance>[]): readonly ConsulInstance[] {
  return HOSTS.flatMap((address) =>
    ports.map((one) => ({ service, id: `${service}-${address}-${one.port}`, address, ...one })),
  );
}

const shown = ({ ports, endpoints }: Service) => [
  ports.map(({ name, number, protocol }) => `${name} ${number} ${protocol}`),
  endpoints.map(({ address, ports: own }) => (own === undefined ? address : `${address} ${JSON.stringify(own)}`)),
];

async function read1(t: TestContext, instances: readonly ConsulInstance[], options: object = {}) {
  const server = await started(t);
  await server.register(...instances);
  return { server, snapshot: await read(registryAt(t, server.address, options)) };
}

test("a real Consul's registrations: several ports of one program", { skip }, async (t) => {
  const nomad = each(
    "nomad",
    { port: 4646, tags: ["http"], meta: { protocol_http: "http" } },
    { port: 4647, tags: ["rpc"] },
    { port: 4648, tags: ["serf"] },
  );
  const rabbit = each("rabbitmq", { port: 5672 }, { port: 15672 });
  const minio = each("minio", { port: 9000 }, { port: 9001 });
  const ports = [
    { service: "MinIO", registered: 9001, name: "console" },
    { service: "minio", name: "s3", protocol: "http" },
  ];
  const { server, snapshot } = await read1(t, [...nomad, ...rabbit, ...minio], { ports });
  const found = services(snapshot);
  assert.deepEqual(shown(found["nomad"] ?? assert.fail()), [
    ["http 4646 HTTP", "rpc 4647 TCP", "serf 4648 TCP"],
    HOSTS,
  ]);
  assert.deepEqual(shown(found["minio"] ?? assert.fail()), [["console 9001 TCP", "s3 9000 HTTP"], HOSTS]);
  assert.match(found["rabbitmq"]?.undecided ?? "", /5672, 15672/);
  await server.setCheck("nomad-192.0.2.2-4647", "critical");
  const after = services(await read(registryAt(t, server.address)))["nomad"] ?? assert.fail();
  assert.deepEqual(shown(after)[1], HOSTS);
  assert.deepEqual(
    after.leftOut.map(({ address, kind }) => `${kind} ${address}`),
    ["health 192.0.2.2:4647"],
  );
});

test("a real Consul's registrations: addresses, protocols, marks and ports", { skip }, async (t) => {
  const { server, snapshot } = await read1(t, [
    { service: "spring", address: "[2001:db8::31]", port: 80, meta: { protocol: "h2c" } },
    { service: "dubbo", address: "::ffff:192.0.2.7", port: 20880, meta: { protocol: "Dubbo" } },
    { service: "bare", address: "192.0.2.9" },
    { service: "pod", address: "10.1.0.1", port: 80, meta: { "external-source": "kubernetes" } },
    { service: "entry", address: "10.1.0.2", port: 80, meta: { "x2istio-owner": "west" } },
  ]);
  const found = services(snapshot);
  assert.deepEqual(shown(found["spring"] ?? assert.fail()), [["http2 80 HTTP2"], ["2001:db8::31"]]);
  assert.deepEqual(shown(found["dubbo"] ?? assert.fail()), [["dubbo 20880 metaprotocol-dubbo"], ["192.0.2.7"]]);
  assert.deepEqual(
    found["bare"]?.leftOut.map(({ kind }) => kind),
    ["port"],
  );
  assert.deepEqual([found["pod"]?.podsOnly, found["entry"]?.podsOnly], [true, true]);
  const given = registryAt(t, server.address, { ports: [{ service: "bare", number: 5432 }] });
  assert.deepEqual(shown(services(await read(given))["bare"] ?? assert.fail()), [["tcp 5432 TCP"], ["192.0.2.9"]]);
});

test("a real Consul's registrations: Connect-native ones are left out with the reason", { skip }, async (t) => {
  const server = await started(t);
  const Service = { ID: "native", Service: "native", Address: "192.0.2.1", Port: 80, Connect: { Native: true } };
  const { status } = await server.request("PUT", "/v1/catalog/register", {
    Node: "vm",
    Address: "192.0.2.250",
    Service,
  });
  assert.equal(status, 200);
  const { endpoints, leftOut } = services(await read(registryAt(t, server.address)))["native"] ?? assert.fail();
  assert.deepEqual([endpoints.length, leftOut[0]?.kind], [0, "mesh"]);
  const kept = await read(registryAt(t, server.address, { connectNative: "keep" }));
  assert.deepEqual(addresses(kept, "native"), ["192.0.2.1"]);
});

test("a real Consul's registrations: a name that cannot be used is told", { skip }, async (t) => {
  const name = "x".repeat(276);
  const { snapshot } = await read1(t, [
    { service: name, port: 80 },
    { service: "web", address: "192.0.2.1", port: 80 },
  ]);
  assert.deepEqual(Object.keys(services(snapshot)), ["web"]);
  assert.equal(snapshot.skipped?.name, 1);
  assert.deepEqual(
    snapshot.skippedServices?.map((one) => one.name),
    [`default/${name}`, "default/consul"],
  );
});

test("a real Consul is given the operator's filter as it stands", { skip }, async (t) => {
  const instances = [
    { service: "web", id: "a", address: "192.0.2.1", port: 80, meta: { team: "shop" } },
    { service: "web", id: "b", address: "192.0.2.2", port: 80, meta: { team: "other" } },
    { service: "db", address: "192.0.2.3", port: 80 },
  ];
  const { server, snapshot } = await read1(t, instances, { filter: 'Service.Meta.team == "shop"' });
  assert.deepEqual(addresses(snapshot, "web"), ["192.0.2.1"]);
  assert.deepEqual(Object.keys(services(snapshot)), ["web"]);
  assert.equal(snapshot.skipped?.filter, 1);
  const broken = await read(registryAt(t, server.address, { filter: "Service.Meta.team ==" }));
  assert.ok(
    broken.services.every(({ state }) => state === "failed"),
    "an expression that Consul refuses empties nothing",
  );
});

test("a real Consul's token that is meant to see some services lists all of them", { skip }, async (t) => {
  const server = await started(t, { acl: true });
  await server.register(
    { service: "web", address: "192.0.2.1", port: 80 },
    { service: "web-2", address: "192.0.2.2", port: 80 },
    { service: "secret", address: "192.0.2.3", port: 80 },
  );
  const { secret } = await server.createToken(
    'service_prefix "web" { policy = "read" } node_prefix "" { policy = "read" }',
  );
  const options = { token: secret, scope: "token" };
  const registry = registryAt(t, server.address, options);
  const first = await read(registry);
  assert.equal(first.incomplete, undefined);
  assert.deepEqual(Object.keys(services(first)), ["web", "web-2"]);
  await server.deregister({ id: "web-2" });
  const second = await read(registry);
  assert.deepEqual(
    second.services.map((one) => (one.state === "ok" ? one.service.name : one.key)),
    ["web"],
    "it is gone",
  );
  // What stood, and what the token may not see any more, is no proof of absence.
  const fresh = registryAt(t, server.address, options);
  const standing = ["web", "web-2", "secret"].map((name) => `dc1/default/${name}`);
  const third = await fresh.read(AbortSignal.timeout(30_000), { trigger: "poll", standing: () => standing });
  const states = third.services.map((one) => (one.state === "ok" ? `ok ${one.service.name}` : `failed ${one.key}`));
  assert.deepEqual(states.sort(), ["failed dc1/default/secret", "ok web"]);
});
