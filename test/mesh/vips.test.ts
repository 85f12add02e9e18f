import assert from "node:assert/strict";
import { test } from "node:test";
import { type FileService, hostOf } from "../e2e/estate.ts";
import { startMesh } from "./mesh.ts";
import { ownNetwork } from "./network.ts";

const skip = await ownNetwork();

const service = (name: string, address: string): FileService => ({
  namespace: "shop",
  name,
  ports: [
    { name: "http", number: 8080, protocol: "http" },
    { name: "mysql", number: 3306, protocol: "tcp" },
  ],
  endpoints: [{ address }],
  legacyNames: [`${name}.corp.example.com`],
});
const orders = service("orders", "192.0.2.11");
const stock = service("stock", "2001:db8::1");

const backends = [
  { protocol: "http", who: "orders", address: "192.0.2.11", port: 8080 },
  { protocol: "tcp", who: "orders", address: "192.0.2.11", port: 3306 },
  { protocol: "http", who: "stock", address: "2001:db8::1", port: 8080 },
  { protocol: "tcp", who: "stock", address: "2001:db8::1", port: 3306 },
] as const;
const namesOf = ({ name }: FileService) => [
  name,
  `${name}.shop.svc.cluster.local`,
  `${name}.shop.vms.mesh.internal`,
  `${name}.corp.example.com`,
];

test("vips.mode istio: Istio's own VIPs are answered and lead to the endpoints", { skip }, async (t) => {
  const services = [orders, stock];
  const mesh = await startMesh(t, { services, sections: { vips: { mode: "istio" } } });
  await mesh.backends(...backends);
  // Such a VIP counts only for sidecars that answer DNS themselves.
  const web = await mesh.withSidecar("web", { metadata: { DNS_CAPTURE: "true" } });
  const vips = new Map<string, string>();
  for (const one of services) {
    const lookUp = () => web.lookUp(hostOf(one), 4);
    await mesh.becomes(true, async () => /^240\.240\.\d+\.\d+$/.test(await lookUp()));
    assert.equal((await mesh.entry(hostOf(one))).addresses, undefined);
    vips.set(one.name, await lookUp());
  }
  assert.equal(new Set(vips.values()).size, services.length);
  for (const one of services)
    for (const name of namesOf(one))
      await t.test(name, async () => {
        await mesh.becomes(vips.get(one.name), () => web.lookUp(name, 4));
        await mesh.becomes(one.name, () => web.tcp(name, 3306));
        await mesh.becomes(one.name, () => web.http(`http://${name}:8080`));
      });
});

test("VIPs of both families lead to the endpoints", { skip }, async (t) => {
  const mesh = await startMesh(t, {
    services: [orders, stock],
    sections: { vips: { ranges: ["240.241.0.0/16", "fd00:240::/64"] } },
    istiod: { env: { ISTIO_DUAL_STACK: "true" } },
  });
  await mesh.backends(...backends);
  const web = await mesh.withSidecar("web", { bothFamilies: true });
  for (const one of [orders, stock]) {
    const [v4 = "", v6 = ""] = (await mesh.entry(hostOf(one))).addresses ?? [];
    for (const name of namesOf(one))
      await t.test(name, async () => {
        assert.equal(await web.lookUp(name, 4), v4);
        assert.equal(await web.lookUp(name, 6), v6);
        await mesh.becomes(one.name, () => web.http(`http://${name}:8080`));
        await mesh.becomes(one.name, () => web.tcp(name, 3306));
      });
    for (const vip of [v4, v6])
      await t.test(`${one.name} by ${vip === v4 ? "IPv4" : "IPv6"}`, async () => {
        assert.equal(await web.tcp(vip, 3306), one.name);
        const url = vip === v6 ? `http://[${v6}]:8080` : `http://${v4}:8080`;
        for (const host of namesOf(one)) assert.equal(await web.http(url, { host }), one.name, host);
      });
  }
});
