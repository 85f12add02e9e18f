import assert from "node:assert/strict";
import { test } from "node:test";
import { hostOf } from "../e2e/estate.ts";
import { backendsOf, readExample, serviceNamed } from "./example.ts";
import { startMesh } from "./mesh.ts";
import { ownNetwork } from "./network.ts";

const skip = await ownNetwork();

const HOST = "orders.shop.vms.mesh.internal";
const LEGACY = "orders.corp.example.com";
const ALIAS = ["orders.shop", "orders.shop.svc.cluster.local"];

const callers = [
  { namespace: "shop", reached: [HOST, "VIP", LEGACY, "orders", ...ALIAS], missed: [], hosts: ["orders", "stock"] },
  { namespace: "billing", reached: [HOST, "VIP", LEGACY, ...ALIAS], missed: [], hosts: ["orders", "stock"] },
  { namespace: "audit", reached: [HOST, "VIP", LEGACY], missed: ALIAS, hosts: ["orders"] },
  { namespace: "other", reached: [], missed: [HOST, "VIP", LEGACY, ...ALIAS], hosts: [] },
] as const;

test("who sees a service is for exportTo and Sidecars to say", { skip }, async (t) => {
  const example = await readExample("scope");
  const mesh = await startMesh(t, { ...example, namespaces: ["billing", "audit", "other"] });
  await mesh.backends(...backendsOf(...example.services));
  const vip = await mesh.vip(serviceNamed(example, "orders"));
  const pods = await Promise.all(
    callers.map(async (caller) => ({ ...caller, app: await mesh.withSidecar("web", caller) })),
  );
  await mesh.istiod.settled();

  for (const { namespace, reached, missed, hosts, app } of pods) {
    const ask = (name: string) => app.http(`http://${vip}:8080`, { host: name === "VIP" ? vip : name });

    for (const name of reached)
      await t.test(`from ${namespace} by ${name}`, async () => {
        await mesh.becomes("orders/http@192.0.2.11", () => ask(name));
      });

    for (const name of missed)
      await t.test(`not from ${namespace} by ${name}`, async () => {
        assert.match(await ask(name), /^failed: /);
      });

    await t.test(`TCP from ${namespace}`, async () => {
      const answer = await app.tcp(vip, 3306);
      assert.match(answer, reached.length > 0 ? /^orders\/mysql@192\.0\.2\.11$/ : /^failed: /);
    });

    await t.test(`what the proxy in ${namespace} knows`, async () => {
      const known = await Promise.all(
        example.services.map(async (service) => {
          const endpoints = await app.envoy.endpoints(hostOf(service), 8080);
          return endpoints.length > 0 ? service.name : [];
        }),
      );
      assert.deepEqual(known.flat(), hosts);
    });
  }

  await t.test("a namespace that is added sees it without more ado", async () => {
    const [other] = pods.filter(({ namespace }) => namespace === "other");
    const [registry] = example.sections.registries as readonly object[];
    await mesh.estate.setConfig({ registries: [{ ...registry, exportTo: ["*"] }] });
    await mesh.becomes("orders/http@192.0.2.11", async () => (await other?.app.http(`http://${vip}:8080`)) ?? "");
    await mesh.becomes("orders/mysql@192.0.2.11", async () => (await other?.app.tcp(vip, 3306)) ?? "");
  });
});
