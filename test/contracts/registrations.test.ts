import assert from "node:assert/strict";
import { test } from "node:test";
import { startPolaris } from "../polaris/polaris.ts";
import { place } from "./folder.ts";

test("plan and explain tell what is passed over, what a rule did, and what is to be configured", async (t) => {
  const server = await startPolaris();
  t.after(() => server.stop());
  const long = "x".repeat(276);
  server.setService("default", long);
  server.setService("default", "a\u0007b");
  server.register({
    service: "pod",
    host: "10.1.0.1",
    port: 80,
    metadata: { source: "polaris-controller", clusterName: "c" },
  });
  server.register({ service: "canary", host: "192.0.2.9", port: 80 });
  server.register({ service: "orders", host: "192.0.2.1", port: 9080 });
  server.register({ service: "orders", host: "192.0.2.2", port: 9080, metadata: { env: "old" } });
  server.register({ service: "bare", host: "192.0.2.3", port: 0 });
  server.register({ namespace: "production", service: "stock", host: "192.0.2.5", port: 80 });
  const registry = {
    ...{ kind: "polaris", name: "prod", address: server.address, namespaces: ["default", "Production"] },
    services: { exclude: ["canary"] },
    ports: [{ service: "orders", number: 80, protocol: "http" }],
    instances: { exclude: [{ meta: "env=old" }] },
  };
  const { x2istio } = await place(t, [], { registries: [registry] });

  const plan = await x2istio("plan");
  assert.match(plan.stdout, /no service is listed in namespace Production; namespaces with services are .*production/);
  assert.match(plan.stdout, /bare.*none of its instances states a port.* a rule in ports of registry prod/);

  const orders = await x2istio("explain", "orders");
  assert.match(orders.stdout, /ports\[0\] of the registry says what its port is/);
  assert.match(orders.stdout, /192\.0\.2\.2:9080 +out +instances\.exclude\[0\] of the registry leaves it out/);
  for (const [name, why] of [
    [long, /prod\/default\/x+ is listed, and skipped: a service's name must be printable .* this one has 276/],
    [`default/${long}`, /this one has 276/],
    ["a\u0007b", /prod\/default\/a\?b is listed, and skipped: a service's name must be printable/],
    ["canary", /prod\/default\/canary is listed, and skipped: the registry's option services leaves it out/],
    ["pod", /prod\/default\/pod is listed, and skipped: all its instances are pods/],
  ] as const) {
    const { code, stdout } = await x2istio("explain", name);
    assert.equal(code, 0);
    assert.match(stdout, why);
  }
});
