import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { stringify } from "yaml";
import { ensureServers, noServers } from "../servers/build.ts";
import { type Kube, kubeServers, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { findKubectl } from "../servers/kubectl.ts";
import { freePorts, ready, startReplica } from "./cli.ts";
import { admin, entries, entriesPath, get, MESH, SHOP, servicesPath } from "./cluster.ts";
import { deployment, endpointSlice, populate } from "./cluster-objects.ts";
import { hostOf, httpService, tempDir } from "./fixture.ts";

const skip = (await findKubectl()) || ((await ensureServers(kubeServers)) === undefined && noServers);
const root = join(import.meta.dirname, "../..");
const guide = await readFile(join(root, "deploy/docs/migration.md"), "utf8");
const FAR = "istio-system";

const services = ["orders", "stock"].map((name, at) => httpService(name, `192.0.2.${at + 1}`));
const billing = { ...httpService("billing", "192.0.2.3"), legacyNames: ["billing.service.consul"] };

/** What the guide's console blocks show, command by command. */
const shown = [...guide.matchAll(/^```console\n(.*?)^```$/gms)]
  .flatMap(([, block = ""]) => block.split(/^(?=\$ )/m))
  .map((part) => {
    const [command = ""] = part.split("\n");
    return { command: command.replace(/^\$ /, ""), output: part.slice(command.length + 1).trimEnd() };
  });

test("every command of the migration guide does what it shows", { skip }, async (t) => {
  const kube = await startKube({ namespaces: [MESH, SHOP, FAR] });
  t.after(() => kube.stop());
  const dir = await tempDir(t);
  const env = await surroundings(kube, dir);
  const ports = await freePorts();
  const [, config = ""] = /^```yaml\n(.*?)^```$/ms.exec(guide) ?? [];
  const listen = {
    dns: { listen: [`127.0.0.1:${ports.dns}`], ttl: "1s" },
    http: { listen: `127.0.0.1:${ports.http}` },
  };
  await writeFile(join(dir, "x2istio.yaml"), config + stringify(listen));
  await writeFile(join(dir, "services.yaml"), stringify({ services: [...services, billing] }));
  const replica = startReplica(t, {
    config: join(dir, "x2istio.yaml"),
    ports,
    env: { KUBECONFIG: kube.kubeconfigPath },
  });
  await ready(replica);
  await until("all stands", async () => (await entries(kube)).size === 3);
  for (const { command, output } of shown) {
    if (command === "x2istio adopt --all") await until("its names are looked at", async () => isLookedAt(kube));
    await t.test(command, async () => {
      const child = spawn("sh", ["-c", `${command} 2>&1`], { cwd: dir, env, stdio: ["ignore", "pipe", "inherit"] });
      assert.equal(lasting((await text(child.stdout)).trimEnd()), lasting(output));
    });
  }
  assert.equal(await replica.stop(), 0);
});

/** What the guide presumes: the teams' Services, an entry of consul2istio's, and the commands by their names. */
async function surroundings(kube: Kube, dir: string): Promise<NodeJS.ProcessEnv> {
  for (const { name } of services) {
    const made = `${name}-v2`;
    await admin(kube, "POST", servicesPath(), {
      metadata: { name: made },
      spec: { selector: { app: made }, ports: [{ name: "http", port: 8080 }] },
    });
    await populate(kube, endpointSlice(SHOP, made, ["198.51.100.1"]));
  }
  await admin(kube, "POST", entriesPath(FAR), {
    apiVersion: "networking.istio.io/v1",
    kind: "ServiceEntry",
    metadata: { name: "billing", labels: { manager: "Aeraki", registry: "consul" } },
    spec: {
      ...{ hosts: billing.legacyNames, location: "MESH_INTERNAL", resolution: "STATIC" },
      ports: [{ name: "http", number: 8080, protocol: "HTTP" }],
      endpoints: [{ address: "192.0.2.3" }],
    },
  });
  await populate(kube, deployment(FAR, "consul2istio"));
  const annotations = { "x2istio.dev/replaces": "vms/shop/stock", "x2istio.dev/stage": "outside" };
  const manifest = { apiVersion: "v1", kind: "Service", metadata: { name: "stock-v2", namespace: SHOP, annotations } };
  await writeFile(join(dir, "stock-v2.yaml"), stringify(manifest));
  await mkdir(join(dir, "bin"));
  const program = `#!/bin/sh\nexec ${process.execPath} ${join(root, "src/main.ts")} "$@"\n`;
  await writeFile(join(dir, "bin/x2istio"), program, { mode: 0o755 });
  const path = [join(dir, "bin"), process.env.PATH].join(delimiter);
  return { PATH: path, HOME: dir, NO_COLOR: "1", KUBECONFIG: kube.kubeconfigPath };
}

/** Before the first step the old entry stands for the name; after it ours does, once it was written. */
async function isLookedAt(kube: Kube): Promise<boolean> {
  const theirs = await get(kube, `${entriesPath(FAR)}/billing`);
  if (theirs?.metadata.annotations?.["x2istio.dev/handed-over-to"] === undefined) return true;
  const ours = await get(kube, `${entriesPath()}/${hostOf(billing)}`);
  return /billing\.service\.consul/.test(ours?.metadata.annotations?.["x2istio.dev/names"] ?? "");
}

/** Times and ages differ from run to run. */
function lasting(output: string): string {
  return output
    .replace(/\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?Z)?/g, "TIME")
    .replace(/\d+(\.\d)? (s|min) (?=ago|that)/g, "AGE ")
    .replace(/ +$/gm, "");
}
