import assert from "node:assert/strict";
import { test } from "node:test";
import { hostOf } from "../e2e/fixture.ts";
import { backendsOf, readExample, serviceNamed } from "./example.ts";
import { startMesh } from "./mesh.ts";
import { noIpv6, ownNetwork } from "./network.ts";

const skip = (await ownNetwork()) || noIpv6();

test("VIPs of both families lead to the endpoints", { skip }, async (t) => {
  const example = await readExample("dual-stack");
  const mesh = await startMesh(t, { ...example, istiod: { env: { ISTIO_DUAL_STACK: "true" } } });
  await mesh.backends(...backendsOf(...example.services));
  const [web, single] = await Promise.all([
    mesh.withSidecar("web", { bothFamilies: true }),
    mesh.withSidecar("single"),
  ]);
  const namesOf = (name: string) => [
    name,
    `${name}.shop.svc.cluster.local`,
    `${name}.shop.vms.mesh.internal`,
    `${name}.corp.example.com`,
  ];

  for (const service of example.services) {
    const { name } = service;
    const who = (port: string) => `${name}/${port}@${service.endpoints[0]?.address}`;
    const [v4 = "", v6 = ""] = (await mesh.entry(hostOf(service))).addresses ?? [];
    for (const from of namesOf(name))
      await t.test(`from ${from}`, async () => {
        await mesh.becomes(v4, () => web.lookUp(from, 4));
        await mesh.becomes(v6, () => web.lookUp(from, 6));
        await mesh.becomes(who("http"), () => web.http(`http://${from}:8080`));
        await mesh.becomes(who("mysql"), () => web.tcp(from, 3306));
      });
    for (const [vip, url] of [
      [v4, `http://${v4}:8080`],
      [v6, `http://[${v6}]:8080`],
    ] as const)
      await t.test(`${name} by ${vip === v4 ? "IPv4" : "IPv6"}`, async () => {
        await mesh.becomes(who("mysql"), () => web.tcp(vip, 3306));
        for (const host of namesOf(name)) assert.equal(await web.http(url, { host }), who("http"), host);
      });
    await t.test(`${name} by a VIP as Host: Istio keeps one of them only, and which is not said`, async () => {
      const answers = await Promise.all([web.http(`http://${v4}:8080`), web.http(`http://[${v6}]:8080`)]);
      assert.ok(answers.includes(who("http")), answers.join());
    });
  }

  await t.test("a sidecar of one family takes calls to IPv4 VIPs only", async () => {
    const host = hostOf(serviceNamed(example, "orders"));
    const [v4 = "", v6 = ""] = (await mesh.entry(host)).addresses ?? [];
    await mesh.becomes("orders/mysql@192.0.2.11", () => single.tcp(v4, 3306));
    await mesh.becomes("orders/http@192.0.2.11", () => single.http(`http://${v4}:8080`, { host }));
    assert.match(await single.tcp(v6, 3306), /^failed: /);
  });
});
