import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type Place, place } from "../contracts/folder.ts";
import { faultRow } from "../faults/row.ts";
import { startPolaris } from "../polaris/polaris.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { consulServers, startConsul } from "../servers/consul.ts";
import { until } from "../servers/kube-admin.ts";
import { freePorts, ready, startReplica } from "./cli.ts";

const skip = (await ensureServers(consulServers)) === undefined && noServers;

/** A place without its file registry, and what stands there: addresses by service, `gone` for a tombstone. */
async function denialPlace(t: TestContext, registry: object, file: (service: string) => string) {
  const ports = await freePorts();
  const where: Place = await place(t, [], {
    registries: [registry],
    dns: { listen: [`127.0.0.1:${ports.dns}`] },
    http: { listen: `127.0.0.1:${ports.http}` },
  });
  const stands = async (service: string) => {
    const [entry] = await where.objects(file(service));
    if (entry?.metadata.annotations?.["x2istio.dev/gone-since"] !== undefined) return "gone";
    const { endpoints = [] } = (entry?.spec ?? {}) as { readonly endpoints?: readonly { readonly address: string }[] };
    return endpoints.map(({ address }) => address).join();
  };
  return { ...where, ports, stands };
}

test(
  faultRow({
    target: "Polaris",
    fault: "its token loses the right to one of twelve services, then a new process reads",
    expect: "the service stays as it is, and one that is really gone goes",
  }),
  async (t) => {
    const server = await startPolaris({ strict: true });
    t.after(() => server.stop());
    for (let n = 0; n < 12; n++)
      for (const host of [`192.0.2.${n}`, `198.51.100.${n}`, `203.0.113.${n}`])
        server.register({ service: `s${n}`, host, port: 8080, protocol: "http" });
    const registry = { kind: "polaris", name: "prod", address: server.address, token: "TOKEN-MAIN", interval: "100ms" };
    const file = (service: string) => `mesh-services/${service}.default.prod.mesh.internal.yaml`;
    const { x2istio, stands, config, ports } = await denialPlace(t, registry, file);
    assert.equal((await x2istio("apply")).code, 0);
    const whole = await stands("s7");
    assert.equal(whole, "192.0.2.7,198.51.100.7,203.0.113.7");

    const restore = server.deny("default", "s7");
    server.deleteService("default", "s3");
    const planned = await x2istio("plan");
    assert.match(planned.stdout, /^! s7\.default\.prod\.mesh\.internal +held: .*code 401001/m);
    assert.match(planned.stdout, /^~ s3\.default\.prod\.mesh\.internal +vanished from its registry/m);
    assert.equal((await x2istio("apply")).code, 3);
    assert.deepEqual([await stands("s7"), await stands("s3")], [whole, "gone"]);

    const replica = startReplica(t, { config, ports });
    await ready(replica);
    await until("the running process has read", async () => replica.logged("held").length > 0);
    assert.equal(await stands("s7"), whole);
    restore();
    server.register({ service: "s7", host: "192.0.2.77", port: 8080, protocol: "http" });
    await until("it is updated again", async () => (await stands("s7")).includes("192.0.2.77"));
    assert.equal(await replica.stop(), 0);
  },
);

test("asks Polaris by name only for what stands and is not listed", async (t) => {
  const server = await startPolaris();
  t.after(() => server.stop());
  for (let n = 0; n < 12; n++) server.register({ service: `s${n}`, host: `192.0.2.${n}`, port: 8080 });
  const registry = { kind: "polaris", name: "prod", address: server.address };
  const { x2istio } = await denialPlace(t, registry, String);
  await x2istio("apply");
  server.deleteService("default", "s3");
  const before = server.requests.length;
  await x2istio("plan");
  const asked = server.requests
    .slice(before)
    .map(({ body }) => body as { readonly type: string; readonly service: { readonly name?: string } });
  const names = asked.filter(({ type }) => type === "INSTANCE").map(({ service }) => service.name);
  assert.equal(names.length, 12, "eleven that are listed, and one that stands");
  assert.equal(names.filter((name) => name === "s3").length, 1);
});

test(faultRow({
  target: "Consul",
  fault: "its token loses the right to one service, then a new process reads",
  expect: "the service stays as it is",
}), { skip }, async (t) => {
  const consul = await startConsul({ acl: true });
  t.after(() => consul.stop());
  for (const [at, service] of ["web", "db", "cache"].entries())
    await consul.register({ service, id: service, address: `192.0.2.${at + 1}`, port: 80 });
  const nodes = 'node_prefix "" { policy = "read" }';
  const may = (...services: readonly string[]) =>
    [nodes, ...services.map((name) => `service "${name}" { policy = "read" }`)].join(" ");
  const all = await consul.createToken(`${nodes} service_prefix "" { policy = "read" }`);
  const some = await consul.createToken(may("web", "cache", "consul"));
  const registry = { kind: "consul", name: "dc1", address: consul.address };
  const file = (service: string) => `mesh-services/${service}.default.dc1.mesh.internal.yaml`;
  const { x2istio, configure, stands } = await denialPlace(t, { ...registry, token: all.secret }, file);
  assert.equal((await x2istio("apply")).code, 0);
  assert.equal(await stands("db"), "192.0.2.2");

  await configure({ registries: [{ ...registry, token: some.secret }], policy: { minDeletes: 5 } });
  await consul.register({ service: "web", id: "web-2", address: "192.0.2.21", port: 80 });
  await consul.deregister({ id: "cache" });
  const planned = await x2istio("plan");
  assert.match(planned.stdout, /^! db\.default\.dc1\.mesh\.internal +held: /m);
  assert.equal((await x2istio("apply")).code, 3);
  assert.equal(await stands("db"), "192.0.2.2", "denied is not gone");
  assert.equal(await stands("web"), "192.0.2.1,192.0.2.21");
  assert.equal(await stands("cache"), "", "what it may see and has no instance is empty");
});
