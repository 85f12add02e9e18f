import assert from "node:assert/strict";
import { test } from "node:test";
import { type FileService, hostOf } from "../e2e/estate.ts";
import { startConsul } from "../servers/consul.ts";
import type { Manifest } from "./manifests.ts";
import { startMesh } from "./mesh.ts";
import { ownNetwork } from "./network.ts";

const skip = await ownNetwork();

const http = (number: number) => [{ name: "http", number, protocol: "http" }];
const orders: FileService = {
  namespace: "shop",
  name: "orders",
  ports: http(8080),
  endpoints: [{ address: "192.0.2.11" }],
  legacyNames: ["orders.corp.example.com"],
};
const near = { address: "198.51.100.11", region: "eu", zone: "a" };
const far = { address: "198.51.100.12", region: "eu", zone: "b" };
const zoned: FileService = { namespace: "shop", name: "zoned", ports: http(8080), endpoints: [near, far] };
const COUNT = 4096;
/** As many endpoints as an entry may have. */
const fleet: FileService = {
  namespace: "fleet",
  name: "fleet",
  ports: http(7070),
  endpoints: Array.from({ length: COUNT }, (_, at) => ({ address: `198.18.${at >> 8}.${at & 255}` })),
};
const istio = (kind: string, namespace: string, spec: object): Manifest => ({
  apiVersion: "networking.istio.io/v1",
  kind,
  metadata: { name: "test", namespace },
  spec,
});
/** Nothing is led to a nearer endpoint unless it is known how far ones would be noticed to be down. */
const ejects = istio("DestinationRule", "shop", {
  host: hostOf(zoned),
  trafficPolicy: {
    outlierDetection: { consecutive5xxErrors: 1, interval: "200ms", baseEjectionTime: "1h", maxEjectionPercent: 100 },
  },
});

test("who reaches what", { skip }, async (t) => {
  const services = [orders, zoned, fleet];
  const consul = await startConsul();
  t.after(() => consul.stop());
  await consul.register({ service: "private", id: "private-1", address: "203.0.113.11", port: 8080 });
  const mesh = await startMesh(t, {
    services,
    sections: {
      registries: [
        { kind: "static", name: "vms", file: "services.yaml" },
        { kind: "consul", name: "dc1", address: consul.address, exportTo: ["shop"] },
      ],
    },
    namespaces: ["other", "narrow"],
    manifests: [ejects, istio("Sidecar", "narrow", { egress: [{ hosts: [`mesh-services/${hostOf(orders)}`] }] })],
  });
  const [nearer] = await mesh.backends(
    { protocol: "http", who: "near", address: near.address, port: 8080 },
    { protocol: "http", who: "far", address: far.address, port: 8080 },
    { protocol: "http", who: "orders", address: "192.0.2.11", port: 8080 },
    { protocol: "http", who: "private", address: "203.0.113.11", port: 8080 },
    { protocol: "http", who: "fleet", address: "0.0.0.0", port: 7070 },
  );
  const [web, other, narrow] = await Promise.all([
    mesh.withSidecar("web", { locality: { region: "eu", zone: "a" } }),
    mesh.withSidecar("web", { namespace: "other" }),
    mesh.withSidecar("web", { namespace: "narrow" }),
  ]);
  const ordersUrl = `http://${hostOf(orders)}:8080`;
  await mesh.becomes(["orders", "orders", "orders"], () =>
    Promise.all([web, other, narrow].map((app) => app.http(ordersUrl))),
  );

  await t.test("a registry with exportTo is known to these namespaces only", async () => {
    const url = "http://private.default.dc1.mesh.internal:8080";
    await mesh.becomes("private", () => web.http(url));
    for (const app of [other, narrow]) assert.match(await app.http(url), /^failed: 50[23]/);
  });

  await t.test(
    "a namespace whose Sidecar imports a host alone knows its names of every kind but the alias",
    async () => {
      const vip = await mesh.vip(orders);
      const url = `http://${vip}:8080`;
      for (const host of [hostOf(orders), vip, "orders.corp.example.com"])
        assert.equal(await narrow.http(url, { host }), "orders", host);
      assert.match(await narrow.http(url, { host: "orders.shop.svc.cluster.local" }), /^failed: 50[23]/);
      assert.match(await narrow.http(`http://${hostOf(zoned)}:8080`), /^failed: 50[23]/);
    },
  );

  await t.test("4,096 endpoints, of which one changes by one push", async () => {
    const url = `http://${hostOf(fleet)}:7070`;
    assert.deepEqual(await web.tally({ kind: "http", url, count: 500, lanes: 4 }), { fleet: 500 });
    const endpoints = async () =>
      new Set((await web.envoy.endpoints(hostOf(fleet), 7070)).map(({ address }) => address));
    assert.equal((await endpoints()).size, COUNT);
    await mesh.istiod.settled();
    const { eds: edsBefore = 0, ...before } = await mesh.istiod.pushes();
    const [first, ...rest] = fleet.endpoints;
    await mesh.estate.setServices([orders, zoned, { ...fleet, endpoints: [...rest, { address: "198.19.0.1" }] }]);
    await mesh.becomes(true, async () => (await endpoints()).has("198.19.0.1"));
    assert.equal((await endpoints()).size, COUNT);
    assert.equal((await endpoints()).has(first?.address ?? ""), false);
    await mesh.istiod.settled();
    const { eds = 0, ...after } = await mesh.istiod.pushes();
    assert.deepEqual(after, before, "nothing but endpoints was pushed");
    assert.equal(eds - edsBefore, 2, "one push to each sidecar that knows it");
  });

  await t.test("one endpoint too many holds the service as it is, and no other", async () => {
    const tooMany = [...fleet.endpoints, { address: "198.19.0.2" }];
    const moved = { ...orders, endpoints: [{ address: "192.0.2.11", ports: { http: 8081 } }] };
    await mesh.backends({ protocol: "http", who: "moved", address: "192.0.2.11", port: 8081 });
    await mesh.estate.setServices([moved, zoned, { ...fleet, endpoints: tooMany }]);
    await mesh.becomes("moved", () => web.http(ordersUrl));
    const standing = (await mesh.entry(hostOf(fleet))).endpoints ?? [];
    assert.equal(standing.length, COUNT);
    assert.ok(standing.some(({ address }) => address === "198.19.0.1"));
    assert.equal(await web.http(`http://${hostOf(fleet)}:7070`), "fleet");
  });

  await t.test("near endpoints are preferred, far ones stand in", async () => {
    const url = `http://${hostOf(zoned)}:8080`;
    const tally = () => web.tally({ kind: "http", url, count: 50 });
    await mesh.becomes({ near: 50 }, tally);
    const setEndpoints = (...endpoints: FileService["endpoints"]) =>
      mesh.estate.setServices([orders, { ...zoned, endpoints }, fleet]);
    await setEndpoints(far);
    await mesh.becomes({ far: 50 }, tally);
    await setEndpoints(near, far);
    await mesh.becomes({ near: 50 }, tally);
    await nearer?.stop();
    await mesh.becomes({ far: 50 }, tally);
  });
});
