import assert from "node:assert/strict";
import { test } from "node:test";
import { hostOf } from "../e2e/fixture.ts";
import { backendsOf, readExample, serviceNamed } from "./example.ts";
import type { Manifest } from "./manifests.ts";
import { startMesh } from "./mesh.ts";
import { ownNetwork } from "./network.ts";

const skip = await ownNetwork();

/** Istio gives way to whoever writes an address into an entry. */
const taking = (address: string): Manifest => ({
  apiVersion: "networking.istio.io/v1",
  kind: "ServiceEntry",
  metadata: { name: "taker", namespace: "shop" },
  spec: {
    hosts: ["taker.example.org"],
    addresses: [address],
    ports: [{ name: "http", number: 80, protocol: "HTTP" }],
    resolution: "STATIC",
    endpoints: [{ address: "203.0.113.1" }],
  },
});

test("vips.mode istio: Istio's own VIPs are answered and lead to the endpoints", { skip }, async (t) => {
  const example = await readExample("istio-vips");
  const mesh = await startMesh(t, example);
  await mesh.backends(...backendsOf(...example.services));
  // Such a VIP counts only for sidecars that answer DNS themselves.
  const web = await mesh.withSidecar("web", { hasAgent: true });
  const namesOf = (name: string) => [
    name,
    `${name}.shop.svc.cluster.local`,
    `${name}.shop.vms.mesh.internal`,
    `${name}.corp.example.com`,
  ];
  const isIstios = (address: string) => /^240\.240\.\d+\.\d+$/.test(address);

  for (const service of example.services) {
    const { name } = service;
    await t.test(`${name} has a VIP of Istio's`, async () => {
      await mesh.becomes(true, async () => isIstios(await web.lookUp(hostOf(service), 4)));
      assert.equal((await mesh.entry(hostOf(service))).addresses, undefined, "none of ours");
    });
    for (const from of namesOf(name))
      await t.test(`from ${from}`, async () => {
        const vip = await web.lookUp(hostOf(service), 4);
        await mesh.becomes(vip, () => web.lookUp(from, 4));
        assert.match(await web.lookUp(from, 6), /ENOTFOUND|ENODATA|EAI_/, "IPv6 is not wanted");
        await mesh.becomes(`${name}/mysql@${service.endpoints[0]?.address}`, () => web.tcp(from, 3306));
        await mesh.becomes(`${name}/http@${service.endpoints[0]?.address}`, () => web.http(`http://${from}:8080`));
      });
  }

  await t.test("a VIP that Istio moves is answered anew", async () => {
    const host = hostOf(serviceNamed(example, "orders"));
    const before = await web.lookUp(host, 4);
    await mesh.apply(taking(before));
    await mesh.becomes(true, async () => {
      const now = await web.lookUp(host, 4);
      return isIstios(now) && now !== before;
    });
    const now = await web.lookUp(host, 4);
    for (const name of namesOf("orders")) {
      await mesh.becomes(now, () => web.lookUp(name, 4));
      await mesh.becomes("orders/mysql@192.0.2.11", () => web.tcp(name, 3306));
    }
  });
});
