import assert from "node:assert/strict";
import { test } from "node:test";
import { hostOf } from "../e2e/fixture.ts";
import { startConsul } from "../servers/consul.ts";
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

/** Of a service in Consul. */
const instance = (last: number) => ({
  service: "private",
  id: `private-${last}`,
  address: `203.0.113.${last}`,
  port: 8080,
  meta: { protocol: "http" },
});

test("who sees a service is for exportTo and Sidecars to say", { skip }, async (t) => {
  const example = await readExample("scope");
  const [registry] = example.sections.registries as readonly object[];
  const consul = await startConsul();
  t.after(() => consul.stop());
  await consul.register(instance(11));
  // Beside the example's registry there is one that is for shop alone.
  const registries = [registry, { kind: "consul", name: "dc1", address: consul.address, exportTo: ["shop"] }];
  const sections = { ...example.sections, registries };
  const mesh = await startMesh(t, { ...example, sections, namespaces: ["billing", "audit", "other"] });
  const outside = [11, 12].map((last) => `203.0.113.${last}`);
  await mesh.backends(
    ...backendsOf(...example.services),
    ...outside.map((address) => ({ protocol: "http", who: address, address, port: 8080 }) as const),
  );
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

  await t.test("each registry has its own, and Consul's instances are followed where they are seen", async () => {
    const ask = (app: (typeof pods)[number]["app"]) => app.http("http://private.default.dc1.mesh.internal:8080");
    const [shop, ...others] = pods.map(({ app }) => app);
    assert.ok(shop !== undefined);
    await mesh.becomes("203.0.113.11", () => ask(shop));
    for (const app of others) assert.match(await ask(app), /^failed: /);
    await consul.register(instance(12));
    await consul.deregister({ id: instance(11).id });
    await mesh.becomes("203.0.113.12", () => ask(shop));
  });

  await t.test("a namespace that is added sees it without more ado", async () => {
    const [other] = pods.filter(({ namespace }) => namespace === "other");
    await mesh.fixture.setConfig({ registries: [{ ...registry, exportTo: ["*"] }] });
    await mesh.becomes("orders/http@192.0.2.11", async () => (await other?.app.http(`http://${vip}:8080`)) ?? "");
    await mesh.becomes("orders/mysql@192.0.2.11", async () => (await other?.app.tcp(vip, 3306)) ?? "");
  });
});
