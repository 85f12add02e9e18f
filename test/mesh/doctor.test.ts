import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { Resolver } from "node:dns/promises";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { runCli } from "../e2e/cli.ts";
import { configMap, corefile, dnsService, injectorValues, node, pod, populate } from "../e2e/cluster-objects.ts";
import { hostOf, httpService, tempDir } from "../e2e/fixture.ts";
import { ensureServers } from "../servers/build.ts";
import { startChild } from "../servers/child.ts";
import { findKubectl } from "../servers/kubectl.ts";
import type { Manifest } from "./manifests.ts";
import { startMesh } from "./mesh.ts";
import { CLUSTER_DNS, NODE, ownNetwork } from "./network.ts";

const skip = await ownNetwork();
const kubectl = await findKubectl();
const OURS = join(import.meta.dirname, "../../deploy/coredns/mesh.Corefile");
const coreDnsMap = "/api/v1/namespaces/kube-system/configmaps/coredns";
const run = promisify(execFile);
const orders = httpService("orders", "192.0.2.11");
const scope = (...hosts: readonly string[]): Manifest => ({
  apiVersion: "networking.istio.io/v1",
  kind: "Sidecar",
  metadata: { name: "narrow", namespace: "shop" },
  spec: { egress: [{ hosts }] },
});

// What it says of a mesh is what callers in that mesh see.
test("x2istio doctor on a whole mesh", { skip }, async (t) => {
  const mesh = await startMesh(t, { services: [orders] });
  const env = { KUBECONFIG: mesh.kube.kubeconfigPath };
  await mesh.backends({ protocol: "http", who: "orders", address: "192.0.2.11", port: 8080 });
  const web = await mesh.withSidecar("web");
  const block = (await readFile(OURS, "utf8")).replaceAll("10.96.0.53", `127.0.0.1:${mesh.replica.dns}`);
  await populate(
    mesh.kube,
    configMap("istio-system", "istio", { mesh: "rootNamespace: istio-system\n" }),
    configMap("istio-system", "istio-sidecar-injector", { values: injectorValues() }),
    configMap("kube-system", "coredns", { Corefile: corefile(block) }),
    node("node-1", "10.9.1.0/24", NODE),
    pod("kube-system", "coredns-1", { labels: { "k8s-app": "kube-dns" }, ip: CLUSTER_DNS }),
    pod("shop", "web-1", { containers: ["istio-proxy"], ip: "10.9.1.1" }),
    dnsService("kube-system", "kube-dns", "10.96.0.10", { "k8s-app": "kube-dns" }),
  );
  const doctor = async () => {
    const { stdout } = await runCli(["doctor", "--config", mesh.fixture.config, "-o", "json"], { env });
    const { ok, findings } = JSON.parse(stdout) as {
      readonly ok: boolean;
      readonly findings: readonly { readonly state: string; readonly message: string; readonly fix?: string }[];
    };
    return { ok, wrong: findings.filter(({ state }) => state !== "fine") };
  };
  const finds = async (message: RegExp) => {
    const { wrong } = await doctor();
    assert.equal(wrong.length, 1, JSON.stringify(wrong));
    assert.match(wrong[0]?.message ?? "", message);
    return wrong[0]?.fix ?? "";
  };
  const byAlias = () => web.http("http://orders.shop.svc.cluster.local:8080");
  const byHost = () => web.http(`http://${hostOf(orders)}:8080`);
  const isLost = async (call: () => Promise<string>) => mesh.becomes(true, async () => /^failed: /.test(await call()));

  await t.test("finds nothing wrong where callers reach a service", async () => {
    await mesh.becomes("orders", byAlias);
    assert.deepEqual(await doctor(), { ok: true, wrong: [] });
    // What tells an istiod of this config cluster from all others.
    const election = "/api/v1/namespaces/istio-system/configmaps/istio-ip-autoallocate";
    assert.equal((await mesh.kube.request("GET", election)).status, 200);
  });

  const scopes = [
    {
      name: "imports nothing of ours",
      hosts: ["istio-system/*"],
      says: /imports nothing from mesh-services/,
      host: false,
    },
    { name: "imports a host alone", hosts: [`mesh-services/${hostOf(orders)}`], says: /single hosts/, host: true },
  ];
  for (const { name, hosts, says, host } of scopes)
    await t.test(`finds a Sidecar that ${name}, and fixes it`, { skip: kubectl }, async () => {
      await mesh.apply(scope(...hosts));
      await isLost(byAlias);
      if (host) await mesh.becomes("orders", byHost);
      else await isLost(byHost);
      await run("sh", ["-ec", await finds(says)], { env: { ...process.env, ...env } });
      await mesh.becomes("orders", byAlias);
      assert.deepEqual(await doctor(), { ok: true, wrong: [] });
      await mesh.remove(scope());
    });

  await t.test("finds entries that are not exported to where their aliases stand", async () => {
    const registry = { kind: "static", name: "vms", file: "services.yaml" };
    await mesh.fixture.setConfig({ registries: [{ ...registry, exportTo: ["."] }] });
    await isLost(byAlias);
    assert.match(await finds(/aliases of registry vms are in namespace shop/), /exportTo: \[\., shop\]/);
    await mesh.fixture.setConfig({ registries: [{ ...registry, exportTo: [".", "shop"] }] });
    await mesh.becomes("orders", byAlias);
    assert.deepEqual(await doctor(), { ok: true, wrong: [] });
  });

  await t.test("fixes a Corefile so that CoreDNS finds a host", { skip: kubectl }, async () => {
    const paths = await ensureServers(["coredns"]);
    assert.ok(paths);
    const port = 1053;
    await populateCorefile(`.:${port} {\n    template ANY ANY {\n        rcode NXDOMAIN\n    }\n}\n`);
    const fix = await finds(/^mesh.internal and corp.example.com are not sent to X2Istio/);
    await run("sh", ["-ec", fix], { env: { ...process.env, ...env } });
    assert.deepEqual(await doctor(), { ok: true, wrong: [] });
    const { body } = await mesh.kube.request<{ readonly data: { readonly Corefile: string } }>("GET", coreDnsMap);
    const dir = await tempDir(t);
    await writeFile(join(dir, "Corefile"), body.data.Corefile);
    const child = await startChild(paths.coredns, ["-conf", join(dir, "Corefile")], join(dir, "log"));
    t.after(() => child.stop(0));
    const resolver = new Resolver();
    resolver.setServers([`127.0.0.1:${port}`]);
    const look = (name: string) => resolver.resolve4(name).catch(({ code }: NodeJS.ErrnoException) => [String(code)]);
    const vip = await mesh.vip(orders);
    for (const name of [hostOf(orders), "orders.corp.example.com"]) await mesh.becomes([vip], () => look(name));
    assert.deepEqual(await look("nobody.mesh.internal"), ["ENOTFOUND"]);
  });

  async function populateCorefile(text: string): Promise<void> {
    await mesh.kube.request("DELETE", coreDnsMap);
    await populate(mesh.kube, configMap("kube-system", "coredns", { Corefile: text }));
  }
});
