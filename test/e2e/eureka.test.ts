import assert from "node:assert/strict";
import { test } from "node:test";
import { ensureServers, noServers } from "../servers/build.ts";
import { eurekaServers, startEureka } from "../servers/eureka.ts";
import { kubeServers } from "../servers/kube.ts";
import { startMesh } from "./consul-mesh.ts";

const skip = (await ensureServers([...kubeServers, ...eurekaServers])) === undefined && noServers;
const HOURLY = "0 0 * * * *"; // so that only the list of changes tells of one in time
const hostOf = (service: string) => `${service}.default.spring.mesh.internal`;
const place = (at: number, port?: number) => ({
  address: `192.0.2.${at}`,
  ports: port === undefined ? undefined : { http: port },
});

test("what changes in Eureka changes the mesh, and what it loses by a restart does not", { skip }, async (t) => {
  const eureka = await startEureka();
  t.after(() => eureka.stop());
  const register = (at: number, fields: object = {}, app = "Orders") =>
    eureka.register({ app, address: `192.0.2.${at}`, fields: { vipAddress: "order-api", ...fields } });
  const first = await register(1);
  const { becomes, change } = await startMesh(t, [
    {
      ...{ kind: "eureka", name: "spring", address: eureka.address, poll: HOURLY, interval: "500ms" },
      legacyNames: ["{service}.eureka.example.org"],
    },
  ]);
  const host = hostOf("orders");

  await t.test("registering, also on another port", async () => {
    const entry = await becomes(host, {
      endpoints: [place(1)],
      ports: [{ number: 8080, name: "http", protocol: "HTTP" }],
    });
    assert.deepEqual(entry.spec.hosts, [host]);
    const port = { $: 8081, "@enabled": "true" };
    await change(host, () => register(2, { port }), { endpoints: [place(1), place(2, 8081)] });
  });

  await t.test("by application and by VIP address", async () => {
    const names = (await becomes(host, {})).metadata.annotations?.["x2istio.dev/names"] ?? "";
    for (const name of ["orders.eureka.example.org", "order-api.eureka.example.org"])
      assert.ok(names.includes(name), names);
  });

  await t.test("out of service by an operator, and back", async () => {
    await change(host, () => eureka.override("Orders", first, "OUT_OF_SERVICE"), { endpoints: [place(2, 8081)] });
    const back = async () => {
      await eureka.override("Orders", first, undefined);
      await eureka.renew("Orders", first);
    };
    await change(host, back, { endpoints: [place(1), place(2, 8081)] });
  });

  await t.test("deregistering", async () => {
    await change(host, () => eureka.deregister("Orders", first), { endpoints: [place(2, 8081)] });
  });

  await t.test("a restart that forgets everything removes nothing, and what registers is taken at once", async () => {
    await register(5, {}, "stock");
    await becomes(hostOf("stock"), { endpoints: [place(5)] });
    const { resourceVersion } = (await becomes(host, {})).metadata;
    await eureka.kill();
    await eureka.start();
    await register(6, {}, "new-one");
    await becomes(hostOf("new-one"), { endpoints: [place(6)] });
    for (const [name, expected] of [
      ["orders", place(2, 8081)],
      ["stock", place(5)],
    ] as const)
      await becomes(hostOf(name), { endpoints: [expected] });
    assert.equal((await becomes(host, {})).metadata.resourceVersion, resourceVersion);
  });
});
