import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { ensureServers, noServers } from "../../servers/build.ts";
import { onDeathOfThisProcess } from "../../servers/child.ts";
import { freePort } from "../../servers/free-port.ts";
import { until } from "../../servers/kube-admin.ts";
import { startZooKeeper, zooKeeperServers } from "../../servers/zookeeper.ts";
import { read, readUntil, registryAt, services } from "./registry.ts";

const servers = await ensureServers([...zooKeeperServers, "dubbo"]);
const skip = servers === undefined && noServers;

test("a provider of Dubbo 3.2 is read by interface and by application, and takes leave", { skip }, async (t) => {
  const server = await startZooKeeper();
  t.after(() => server.stop());
  const port = await freePort();
  const flags = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx128m", "-cp"];
  const classes = `${servers?.dubbo}/lib/*:${servers?.dubbo}`;
  const provider = spawn("java", [...flags, classes, "Provider", server.address, `${port}`], {
    stdio: ["pipe", "ignore", "ignore"],
  });
  const gone = once(provider, "exit");
  const guard = onDeathOfThisProcess('kill -KILL "$1"', `${provider.pid}`);
  t.after(() => {
    provider.kill("SIGKILL");
    guard.kill("SIGKILL");
  });
  const writer = await server.writer();
  t.after(() => writer.close());
  await until("it is registered", async () => (await writer.children("/services/orders")).length > 0);

  const name = "shop/Provider$OrderApi:1.0.0";
  const standing = () => [`zk/default/${name}`, "zk/default/orders"];
  const dubbo = registryAt(t, server.address);
  const byInterface = await read(dubbo);
  const { ports, endpoints, aliases } = services(byInterface)[name] ?? {};
  assert.deepEqual(ports, [{ name: "dubbo", number: port, protocol: "metaprotocol-dubbo", observed: true }]);
  assert.deepEqual(
    endpoints?.map(({ weight }) => weight),
    [70],
  );
  assert.deepEqual(aliases, [{ namespace: "default", name: "Provider$OrderApi" }]);
  const options = [{ by: "application" }, { layout: "curator", dubboRoot: "/dubbo" }];
  const adapters = options.map((one) => registryAt(t, server.address, one));
  for (const adapter of adapters) {
    const { orders } = services(await read(adapter));
    assert.deepEqual(orders?.ports, ports);
    assert.deepEqual(
      orders?.endpoints.map(({ address }) => address),
      endpoints?.map(({ address }) => address),
    );
    assert.deepEqual(orders?.aliases, aliases);
  }
  provider.stdin.end();
  await gone;
  await readUntil(dubbo, byInterface, ({ services: left }) => left.length === 0);
  const after = await dubbo.read(AbortSignal.timeout(60_000), { trigger: "poll", standing });
  assert.deepEqual(services(after)[name]?.endpoints, [], "its interface's node stays");
});
