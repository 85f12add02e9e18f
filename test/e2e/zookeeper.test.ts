import assert from "node:assert/strict";
import { test } from "node:test";
import { type Provider, providerPath } from "../adapters/zookeeper/registration.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { kubeServers } from "../servers/kube.ts";
import { startZooKeeper, zooKeeperServers } from "../servers/zookeeper.ts";
import { startMesh } from "./consul-mesh.ts";

const skip = (await ensureServers([...kubeServers, ...zooKeeperServers])) === undefined && noServers;
const HOURLY = "0 0 * * * *"; // so that only the server's events tell of a change in time
const HOST = "com.acme.orderapi.default.dubbo.mesh.internal";
const place = (at: number, more: object = {}) => ({ address: `192.0.2.${at}`, weight: 100, ports: undefined, ...more });

test("what changes in ZooKeeper changes the mesh", { skip }, async (t) => {
  const server = await startZooKeeper();
  t.after(() => server.stop());
  const writer = await server.writer();
  const register = (provider: Provider) => writer.create(providerPath(provider), { ephemeral: true });
  await register({ address: "192.0.2.1" });
  const { becomes } = await startMesh(t, [
    { kind: "zookeeper", name: "dubbo", address: server.address, poll: HOURLY, timeout: "1s" },
  ]);

  await t.test("a provider of Dubbo", async () => {
    const entry = await becomes(HOST, {
      endpoints: [place(1)],
      ports: [{ number: 20880, name: "tcp-metaprotocol-dubbo-dubbo", protocol: "TCP" }],
    });
    assert.deepEqual(entry.spec.hosts, [HOST]);
  });
});
