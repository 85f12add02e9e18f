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
const stock: FileService = {
  namespace: "shop",
  name: "stock",
  ports: http(8080),
  endpoints: [{ address: "198.51.100.11" }],
};
const istio = (kind: string, namespace: string, spec: object): Manifest => ({
  apiVersion: "networking.istio.io/v1",
  kind,
  metadata: { name: "test", namespace },
  spec,
});

test("who reaches what", { skip }, async (t) => {
  const services = [orders, stock];
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
    manifests: [istio("Sidecar", "narrow", { egress: [{ hosts: [`mesh-services/${hostOf(orders)}`] }] })],
  });
  await mesh.backends(
    { protocol: "http", who: "orders", address: "192.0.2.11", port: 8080 },
    { protocol: "http", who: "private", address: "203.0.113.11", port: 8080 },
  );
  const [web, other, narrow] = await Promise.all([
    mesh.withSidecar("web"),
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
      assert.match(await narrow.http(`http://${hostOf(stock)}:8080`), /^failed: 50[23]/);
    },
  );
});
