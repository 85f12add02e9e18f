import assert from "node:assert/strict";
import { test } from "node:test";
import { faultRow } from "../faults/row.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { consulServers, startConsul } from "../servers/consul.ts";
import { kubeServers } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { startMesh } from "./consul-mesh.ts";

const skip = (await ensureServers([...kubeServers, ...consulServers])) === undefined && noServers;
const HOURLY = "0 0 * * * *"; // so that only Consul's own hints tell of a change in time

const hostOf = (service: string, registry = "dc1") => `${service}.default.${registry}.mesh.internal`;
/** An instance of its own node. */
const instance = (service: string, at: number, more: object = {}) => ({
  service,
  id: `${service}-${at}`,
  node: `${service}-vm-${at}`,
  nodeAddress: `198.51.100.${at}`,
  address: `192.0.2.${at}`,
  port: 8080,
  ...more,
});
const place = (at: number) => ({ address: `192.0.2.${at}`, ports: undefined });

test("what changes in Consul changes the mesh, each change by one write", { skip }, async (t) => {
  const consul = await startConsul({ unixSocket: true, wan: true });
  t.after(() => consul.stop());
  const far = await startConsul({ datacenter: "dc2", wan: consul });
  t.after(() => far.stop());
  const pairs = ["emptied", "checked", "served", "noded", "warned", "mixed"];
  await consul.register(
    ...Array.from({ length: 30 }, (_, at) => instance("steady", at + 1)),
    ...pairs.flatMap((service) => [instance(service, 1), instance(service, 2)]),
    { service: "moved", id: "moved-1", node: "moved-vm-1", nodeAddress: "198.51.100.1", port: 8080 },
    instance("weighed", 1, { weights: { passing: 5, warning: 1 } }),
    instance("tagged", 1, { tags: ["version=v1", "plain"] }),
    instance("spread", 1),
    instance("proxy-of-web", 1, { kind: "connect-proxy" }),
    instance("from-kubernetes", 1, { meta: { "external-source": "kubernetes" } }),
  );
  await far.register(instance("spread", 2));
  const registry = { kind: "consul", poll: HOURLY };
  const mesh = await startMesh(
    t,
    [
      { ...registry, name: "dc1", address: consul.address, warning: "exclude", services: { exclude: ["spread"] } },
      {
        ...registry,
        name: "lenient",
        address: consul.unixAddress,
        services: { include: ["warned"] },
      },
      {
        ...registry,
        name: "both",
        address: consul.address,
        datacenters: ["dc1", "dc2"],
        services: { include: ["spread"] },
      },
    ],
    { policy: { maxDeletePercent: 100 } },
  );
  const { becomes, change } = mesh;
  for (const service of pairs) await becomes(hostOf(service), { endpoints: [place(1), place(2)] });

  await t.test("neither Consul itself, nor proxies, nor what came from Kubernetes is there", async () => {
    const hosts = ["steady", ...pairs, "moved", "weighed", "tagged"].map((service) => hostOf(service));
    await until("all entries are there", async () => (await mesh.all()).size >= hosts.length + 2);
    assert.deepEqual(
      [...(await mesh.all()).keys()].sort(),
      [...hosts, hostOf("warned", "lenient"), hostOf("spread", "both")].sort(),
    );
  });

  await t.test("registering", async () => {
    const host = hostOf("new");
    await consul.register(instance("new", 1));
    await becomes(host, { endpoints: [place(1)], ports: [{ number: 8080, protocol: "TCP" }] });
    await change(host, () => consul.register(instance("new", 2)), { endpoints: [place(1), place(2)] });
  });

  await t.test("deregistering, to the last instance and back", async () => {
    const host = hostOf("emptied");
    const leave = (at: number) => () => consul.deregister({ id: `emptied-${at}`, node: `emptied-vm-${at}` });
    await change(host, leave(2), { endpoints: [place(1)] });
    // The service's own answer may come before the list: first empty, then gone.
    await change(host, leave(1), { endpoints: [], gone: true }, 2);
    await change(host, () => consul.register(instance("emptied", 3)), { endpoints: [place(3)] });
  });

  await t.test(
    faultRow({
      target: "Consul",
      fault: "all instances of a service turn unhealthy",
      expect: "the entry stays and has no endpoint: callers get an answer at once",
      peer: "higress #4390",
    }),
    async () => {
      const host = hostOf("checked");
      const check = (at: number, status: "passing" | "critical") => () =>
        consul.setCheck(`checked-${at}`, status, `checked-vm-${at}`);
      await change(host, check(1, "critical"), { endpoints: [place(2)] });
      await change(host, check(2, "critical"), { endpoints: [], ports: [{ number: 8080 }] });
      await change(host, check(1, "passing"), { endpoints: [place(1)] });
    },
  );

  await t.test("a warning, where it counts as healthy and where not", async () => {
    const [host, lenient] = [hostOf("warned"), hostOf("warned", "lenient")];
    await becomes(lenient, { endpoints: [place(1), place(2)] });
    const { resourceVersion } = (await mesh.entry(lenient))?.metadata ?? {};
    await change(host, () => consul.setCheck("warned-1", "warning", "warned-vm-1"), { endpoints: [place(2)] });
    await change(host, () => consul.setCheck("warned-1", "passing", "warned-vm-1"), {
      endpoints: [place(1), place(2)],
    });
    assert.equal((await mesh.entry(lenient))?.metadata.resourceVersion, resourceVersion);
    const critical = () => consul.setCheck("warned-1", "critical", "warned-vm-1");
    await change(lenient, () => change(host, critical, { endpoints: [place(2)] }), { endpoints: [place(2)] });
  });

  await t.test("maintenance of an instance and of a node", async () => {
    const [served, noded] = [hostOf("served"), hostOf("noded")];
    const instanceOf = { id: "served-1", node: "served-vm-1" };
    await change(served, () => consul.maintenance(instanceOf, true), { endpoints: [place(2)] });
    await change(served, () => consul.maintenance(instanceOf, false), { endpoints: [place(1), place(2)] });
    const node = { node: "noded-vm-2" };
    await change(noded, () => consul.maintenance(node, true), { endpoints: [place(1)] });
    await change(noded, () => consul.maintenance(node, false), { endpoints: [place(1), place(2)] });
  });

  await t.test("another address of a node whose instance has none", async () => {
    const host = hostOf("moved");
    await becomes(host, { endpoints: [{ address: "198.51.100.1" }] });
    await change(host, () => consul.setNodeAddress("198.51.100.99", "moved-vm-1"), {
      endpoints: [{ address: "198.51.100.99" }],
    });
  });

  await t.test("another weight", async () => {
    const host = hostOf("weighed");
    await becomes(host, { endpoints: [{ ...place(1), weight: 5 }] });
    const weights = { passing: 7, warning: 2 };
    await change(host, () => consul.register(instance("weighed", 1, { weights })), {
      endpoints: [{ ...place(1), weight: 7 }],
    });
  });

  await t.test("another tag", async () => {
    const host = hostOf("tagged");
    const { spec } = await becomes(host, { endpoints: [place(1)] });
    assert.equal(spec.endpoints?.[0]?.labels?.version, "v1");
    const labels = { ...spec.endpoints?.[0]?.labels, version: "v2" };
    await change(host, () => consul.register(instance("tagged", 1, { tags: ["version=v2", "plain"] })), {
      endpoints: [{ ...place(1), labels }],
    });
  });

  await t.test("several ports", async () => {
    const host = hostOf("many");
    const ports = (http: string) => ({ meta: { port_http: http, port_grpc: "9090" } });
    await consul.register(instance("many", 1, ports("8080")));
    await becomes(host, {
      endpoints: [place(1)],
      ports: [
        { name: "http", number: 8080, protocol: "HTTP" },
        { name: "grpc", number: 9090, protocol: "GRPC" },
      ],
    });
    await change(host, () => consul.register(instance("many", 2, { port: 8081, ...ports("8081") })), {
      endpoints: [place(1), { address: "192.0.2.2", ports: { http: 8081 } }],
      ports: [{ number: 8080 }, { number: 9090 }],
    });
    const own = instance("many", 3, { port: 8080, ...ports("8082") });
    await change(host, () => consul.register(own), {
      ports: [{ name: "http", number: 8080 }, { name: "grpc", number: 9090 }, { protocol: "TCP" }],
    });
  });

  await t.test("an instance on another port, whose neighbour then goes", async () => {
    const host = hostOf("mixed");
    const { spec } = await becomes(host, { endpoints: [place(1), place(2)] });
    const name = spec.ports[0]?.name ?? "";
    const elsewhere = { address: "192.0.2.3", ports: { [name]: 8090 } };
    await change(host, () => consul.register(instance("mixed", 3, { port: 8090 })), {
      endpoints: [place(1), place(2), elsewhere],
      ports: [{ number: 8080 }],
    });
    for (const [at, left] of [
      [1, [place(2), elsewhere]],
      [2, [elsewhere]],
    ] as const)
      await change(host, () => consul.deregister({ id: `mixed-${at}`, node: `mixed-vm-${at}` }), {
        endpoints: left,
        ports: [{ number: 8080 }],
      });
  });

  await t.test(
    faultRow({
      target: "Consul",
      fault: "one of two joined datacenters goes away",
      expect: "its endpoints stay, the other's change",
      peer: "consul2istio",
    }),
    async () => {
      const host = hostOf("spread", "both");
      const [one, two, three] = [
        { ...place(1), locality: "dc1" },
        { ...place(2), locality: "dc2" },
        { ...place(3), locality: "dc2" },
      ];
      await becomes(host, { endpoints: [one, two] });
      await change(host, () => far.register(instance("spread", 3)), { endpoints: [one, two, three] });
      await far.stop();
      const newcomer = { ...place(4), locality: "dc1" };
      await change(host, () => consul.register(instance("spread", 4)), { endpoints: [one, two, three, newcomer] });
    },
  );

  await t.test("no other write", async () => {
    await until("the audit log has all", async () => (await mesh.unaccounted()).length === 0).catch(() => undefined);
    assert.deepEqual(await mesh.unaccounted(), []);
  });
});
