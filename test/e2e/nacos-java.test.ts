import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { ensureServers, noServers } from "../servers/build.ts";
import { type Child, startChild } from "../servers/child.ts";
import { kubeServers } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { nacosServers, startNacos } from "../servers/nacos.ts";
import { startMesh } from "./consul-mesh.ts";

const paths = await ensureServers([...kubeServers, ...nacosServers]);
const skip = paths === undefined && noServers;
const host = "orders.public.prod.mesh.internal";
const PLACE = { address: "192.0.2.1", weight: 100 };

/** Nacos' own client of Java with an instance of `orders`. */
async function javaClient(t: TestContext, address: string): Promise<Child> {
  const built = paths?.nacos ?? "";
  const dir = await mkdtemp(join(tmpdir(), "x2istio-nacos-"));
  t.after(() => rm(dir, { recursive: true, force: true, maxRetries: 3 }));
  const jars = (await readFile(join(built, "classpath"), "utf8")).trim().split(":");
  const flags = [
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xmx96m",
    `-Duser.home=${dir}`,
    `-DJM.LOG.PATH=${dir}`,
  ];
  const classes = ["-cp", [built, ...jars.map((jar) => join(built, jar))].join(":"), "Client"];
  const child = await startChild(
    "java",
    [...flags, ...classes, new URL(address).host, "orders", "192.0.2.1", "8080"],
    join(dir, "log"),
  );
  t.after(() => child.stop(0));
  return child;
}

test("a service of Nacos' own client of Java follows that through its restart and the server's", {
  skip,
}, async (t) => {
  const nacos = await startNacos("nacos");
  t.after(() => nacos.stop());
  const first = await javaClient(t, nacos.address);
  const { becomes, metric } = await startMesh(t, [{ kind: "nacos", name: "prod", address: nacos.address }]);
  const { metadata, spec } = await becomes(host, { endpoints: [PLACE], ports: [{ number: 8080, protocol: "HTTP" }] });

  await first.stop(0);
  await becomes(host, { endpoints: [] });
  await javaClient(t, nacos.address);
  const again = await becomes(host, { endpoints: [PLACE] });
  assert.deepEqual([again.metadata.uid, again.spec.addresses], [metadata.uid, spec.addresses]);

  const connections = 'x2istio_nacos_connections_total{registry="prod"}';
  await nacos.kill();
  await nacos.start({ forget: true });
  await until("x2istio is back", async () => ((await metric(connections)) ?? 0) >= 2);
  // By itself the client registers anew within seconds.
  const registered = async () =>
    (await nacos.ask("GET", "/nacos/v3/client/ns/instance/list", { serviceName: "orders" })).includes("192.0.2.1");
  await until("the client is back", registered);
  assert.deepEqual(
    (await becomes(host, { endpoints: [PLACE] })).metadata.resourceVersion,
    again.metadata.resourceVersion,
  );
});
