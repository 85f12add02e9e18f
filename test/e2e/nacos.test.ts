import assert from "node:assert/strict";
import { test } from "node:test";
import { ensureServers, noServers } from "../servers/build.ts";
import { kubeServers } from "../servers/kube.ts";
import { type NacosInstance, nacosServers, startNacos } from "../servers/nacos.ts";
import { nacosClient } from "../servers/nacos-client.ts";
import { startMesh } from "./consul-mesh.ts";

const skip = (await ensureServers([...kubeServers, ...nacosServers])) === undefined && noServers;
const HOURLY = "0 0 * * * *"; // so that only pushes tell of what changes in time
const hostOf = (service: string) => `${service}.public.prod.mesh.internal`;
const place = (at: number, port?: number, weight = 100) => ({
  address: `192.0.2.${at}`,
  ports: port === undefined ? undefined : { tcp: port },
  weight,
});

test("what changes in Nacos changes the mesh", { skip }, async (t) => {
  const nacos = await startNacos("nacos");
  t.after(() => nacos.stop());
  const client = await nacosClient(nacos.address);
  t.after(() => client.close());
  const instance = (at: number, fields: Partial<NacosInstance> = {}): NacosInstance => ({
    ...{ serviceName: "orders", ip: `192.0.2.${at}` },
    ...fields,
  });
  await client.register(instance(1));
  const { becomes, change } = await startMesh(t, [
    { kind: "nacos", name: "prod", address: nacos.address, poll: HOURLY },
  ]);
  const host = hostOf("orders");

  await t.test("registering, also on another port", async () => {
    const ports = [{ number: 8080, name: "tcp", protocol: "TCP" }];
    const entry = await becomes(host, { endpoints: [place(1)], ports });
    assert.deepEqual(entry.spec.hosts, [host]);
    await change(host, () => client.register(instance(2, { port: 8081 })), { endpoints: [place(1), place(2, 8081)] });
  });
});
