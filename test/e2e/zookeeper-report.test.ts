import assert from "node:assert/strict";
import { test } from "node:test";
import { fakeFor } from "../adapters/zookeeper/fake.ts";
import { API, providerPath, springData } from "../adapters/zookeeper/registration.ts";
import { ready, runCli, startReplica } from "./cli.ts";
import { fixture } from "./fixture.ts";

test("what consumers of Dubbo and Spring Cloud call is reported and explained by their own names", async (t) => {
  const fake = await fakeFor(t);
  const key = `shop/${API}:1.0.0`;
  fake.put(providerPath({ params: { group: "shop", version: "1.0.0" } }));
  fake.put("/services/Billing/1", springData({ app: "Billing", address: "192.0.2.2" }));
  fake.put("/dubbo/mapping/com.acme.BillApi", "Billing");
  const registry = { kind: "zookeeper", address: fake.address, demand: "reported" };
  const place = await fixture(t, [], {
    registries: [
      { ...registry, name: "dubbo" },
      { ...registry, name: "apps", layout: "curator", dubboRoot: "/dubbo" },
    ],
    aliases: [],
    target: { kind: "directory", path: "out" },
  });
  await place.replace("tokens", "secret\n");
  await place.setConfig({ http: { listen: `127.0.0.1:${place.ports.http}`, reports: { tokenFile: "tokens" } } });
  const replica = startReplica(t, place);
  await ready(replica);
  const report = async (body: object) => {
    const headers = { "content-type": "application/json", authorization: "Bearer secret" };
    const answer = await fetch(`${replica.http}/api/reports`, { method: "POST", headers, body: JSON.stringify(body) });
    return ((await answer.json()) as { readonly service?: string }).service;
  };
  for (const [name, service] of [
    [API, `dubbo/default/${key}`],
    [key, `dubbo/default/${key}`],
    ["Billing", "apps/default/Billing"],
    ["com.acme.BillApi", "apps/default/Billing"],
  ] as const)
    assert.equal(await report({ name }), service, name);
  assert.equal(await report({ registry: "dubbo", namespace: "default", service: API }), `dubbo/default/${key}`);
  for (const [name, address] of [
    [key, "192.0.2.1:20880"],
    ["Billing", "192.0.2.2:8080"],
  ] as const) {
    const { code, stdout } = await runCli(["explain", name, "--config", place.config]);
    assert.deepEqual([code, stdout.includes(address)], [0, true], stdout);
  }
});
