import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { globSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { ensureServers, noServers } from "../servers/build.ts";
import { kubeServers, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { findKubectl } from "../servers/kubectl.ts";
import { runCli } from "./cli.ts";
import { admin, entriesPath } from "./cluster.ts";
import {
  configMap,
  corefile,
  deployment,
  dnsService,
  election,
  endpointSlice,
  injectorValues,
  istioObject,
  node,
  pod,
  populate,
} from "./cluster-objects.ts";
import { fixture, httpService, tcpService } from "./fixture.ts";

const skip = (await ensureServers(kubeServers)) === undefined && noServers;
const kubectl = await findKubectl();
const root = fileURLToPath(new URL("../..", import.meta.url));
const run = promisify(execFile);
const pods = "/api/v1/namespaces/shop/pods";
const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const PROGRAM = "system:serviceaccount:x2istio-system:x2istio";

interface Found {
  readonly check: string;
  readonly state: "fine" | "problem" | "unchecked";
  readonly message: string;
  readonly fix?: string;
}

async function doctor(kubeconfig: string, config: string, ...args: readonly string[]): Promise<readonly Found[]> {
  const { code, stdout, stderr } = await runCli(["doctor", "--config", config, "-o", "json", ...args], {
    env: { KUBECONFIG: kubeconfig },
  });
  assert.equal(stderr, "");
  const { ok, findings } = JSON.parse(stdout) as { readonly ok: boolean; readonly findings: readonly Found[] };
  assert.equal(code, ok ? 0 : 1, "the exit code says what the output says");
  return findings;
}

const withState = (findings: readonly Found[], wanted: Found["state"]) =>
  findings.filter(({ state }) => state === wanted);
/** `check: message`, sorted. Which rights exactly is a matter of test/doctor/checks/rights.test.ts. */
const said = (findings: readonly Found[]) =>
  findings
    .map(({ check, message }) => `${check}: ${message.replace(/^(\S+) may not .* in /, "$1 may not … in ")}`)
    .sort();

const registries = [{ kind: "static", name: "vms", file: "services.yaml" }];
const broken = {
  owner: "main",
  registries,
  vips: { ranges: ["10.96.0.0/16", "240.241.0.0/16"] },
  dns: {
    listen: ["0.0.0.0:5353"],
    zones: ["mesh.internal", "corp.example.com"],
    forward: ["10.96.0.10"],
    allow: ["192.168.0.0/16"],
  },
};
const sound = {
  ...broken,
  vips: { ranges: ["240.241.0.0/16"] },
  dns: { ...broken.dns, forward: ["192.0.2.53"], allow: ["192.168.0.0/16", "10.0.0.0/8"] },
};
const orders = { ...httpService("orders", "192.0.2.11"), legacyNames: ["orders.corp.example.com"] };
const dnsLabels = { "k8s-app": "kube-dns" };
const include = "traffic.sidecar.istio.io/includeOutboundIPRanges";
const exclude = "traffic.sidecar.istio.io/excludeOutboundIPRanges";
const excludePorts = "traffic.sidecar.istio.io/excludeOutboundPorts";
const injector = (includeIPRanges: string) =>
  configMap("istio-system", "istio-sidecar-injector", {
    values: injectorValues({ includeIPRanges, excludeIPRanges: "" }),
  });
const coredns = "ConfigMap kube-system/coredns";
const nodeDns = "ConfigMap kube-system/node-local-dns";

// What no command of kubectl fixes.
const tillExcludes =
  'capture: Deployment shop/till does not capture traffic to 240.241.0.0/16: annotations of 1 pod say: include "*", exclude "192.0.2.0/24", "240.0.0.0/4"';
const webIsBare =
  "pods: 1 of 2 pods in namespace shop has no sidecar and is not ambient, so that calls by alias fail from there: web-1";
const byHand = [
  'capture: sidecars do not capture traffic to 240.241.0.0/16: ConfigMap istio-sidecar-injector says: include "10.0.0.0/8"',
  "dns: dns.allow does not include 10.244.0.3, from which the cluster's DNS asks: it is answered REFUSED",
  "dns: dns.forward names 10.96.0.10, which is the cluster's DNS: queries from there would loop",
  "istiod: no istiod uses this cluster as its config cluster: none runs in istio-system, and none has held an election there lately",
  "vips: vips.ranges has 10.96.0.0/16, but Services get their addresses from 10.96.0.0/16 (and 4 more)",
];

test("x2istio doctor", { skip }, async (t) => {
  const kube = await startKube({ audit: true, namespaces: ["shop", "istio-system", "x2istio-system"] });
  t.after(() => kube.stop());
  const place = await fixture(t, [
    { ...orders, legacyNames: ["orders.corp.example.com", "stock.shop"] },
    { ...tcpService("pay", "192.0.2.12"), legacyNames: ["pay.old.example.net"] },
    { ...tcpService("stock", "192.0.2.14"), namespace: "shop" },
  ]);
  await place.setConfig(broken);
  const env = { KUBECONFIG: kube.kubeconfigPath };
  await populate(
    kube,
    configMap("istio-system", "istio", { mesh: 'discoverySelectors: [{matchLabels: {mesh: "yes"}}]' }),
    injector("10.0.0.0/8"),
    configMap("kube-system", "coredns", { Corefile: corefile(), other: "untouched" }),
    configMap("kube-system", "node-local-dns", {
      Corefile: ".:53 {\n  bind 169.254.20.10\n  forward . __PILLAR__UPSTREAM__SERVERS__\n}\n",
    }),
    node("node-1", "10.244.0.0/24", "192.168.7.1"),
    pod("kube-system", "coredns-1", { labels: dnsLabels, ip: "10.244.0.3" }),
    dnsService("kube-system", "kube-dns", "10.96.0.10", dnsLabels),
    dnsService("shop", "stock", "10.96.0.77", {}),
    dnsService("x2istio-system", "x2istio-dns", "10.96.0.53", { "app.kubernetes.io/name": "x2istio" }),
    deployment("shop", "web"),
    deployment("shop", "till"),
    pod("shop", "web-1", { deployment: "web", ip: "10.244.0.21" }),
    pod("shop", "till-1", {
      deployment: "till",
      containers: ["istio-proxy"],
      annotations: { [include]: "*", [exclude]: "192.0.2.0/24,240.0.0.0/4", [excludePorts]: "25,5432" },
    }),
    istioObject("Sidecar", "shop", "narrow", { egress: [{ hosts: ["./*", "istio-system/*"] }] }),
  );
  const look = (...args: readonly string[]) => doctor(kube.kubeconfigPath, place.config, "--as", PROGRAM, ...args);

  await t.test("finds all that is wrong with a cluster, each with what fixes it", async () => {
    const findings = await look();
    const problems = withState(findings, "problem");
    for (const { message, fix = "" } of problems) assert.notEqual(fix, "", `fixes: ${message}`);
    const notSent =
      "dns: mesh.internal and corp.example.com are not sent to X2Istio, so that hosts and aliases have no address";
    const wanted = [
      ...byHand,
      tillExcludes,
      webIsBare,
      `${notSent}: ${coredns} has no block for them`,
      `${notSent}: ${nodeDns} has no block for them`,
      "namespaces: discoverySelectors of the mesh configuration do not select namespace shop: istiod sees nothing in it",
      "namespaces: namespace mesh-services does not exist",
      `rights: ${PROGRAM} may not … in namespace mesh-services`,
      `rights: ${PROGRAM} may not … in namespace shop`,
      `rights: ${PROGRAM} may not … in the cluster`,
      "scope: Sidecar shop/narrow imports nothing from mesh-services: its pods have no route to any entry",
    ];
    assert.deepEqual(said(problems), wanted.sort());
    assert.deepEqual(said(withState(findings, "unchecked")), [
      'names: could not be checked: Cannot use namespace "mesh-services" as it must exist: create it with "kubectl create namespace mesh-services"',
    ]);
  });

  await t.test("deploy/docs/doctor.md shows what it prints", async () => {
    const [, block = ""] =
      /^```console\n(.*?)^```$/ms.exec(await readFile(join(root, "deploy/docs/doctor.md"), "utf8")) ?? [];
    const [command = "", ...shown] = block.trimEnd().split("\n");
    const args = command.split(" ").slice(2);
    const { stdout } = await runCli([...args, "--config", place.config], { env });
    const printed = new Set(stdout.replaceAll(place.config, "x2istio.yaml").split("\n"));
    assert.ok(shown.length > 8);
    assert.deepEqual(
      shown.filter((line) => !printed.has(line)),
      [],
    );
  });

  await t.test("writes nothing", async () => {
    const written = (await kube.auditEvents()).filter(
      ({ userAgent, objectRef }) =>
        userAgent?.startsWith("x2istio/") === true && objectRef?.apiGroup !== "authorization.k8s.io",
    );
    assert.deepEqual(written, []);
  });

  await t.test("its commands fix what a command can fix", { skip: kubectl }, async (fixing) => {
    // They keep what stood.
    fixing.after(() => {
      for (const file of globSync("*-backup-*.yaml", { cwd: root })) rmSync(join(root, file));
    });
    // What is fixed may bring to light what it hid.
    for (let round = 1; round <= 3; round++) {
      const fixes = withState(await look(), "problem").map(({ fix = "" }) => fix);
      for (const fix of fixes.filter((one) => /^kubectl (?!edit|rollout status|apply -k)/.test(one))) {
        const done = run("sh", ["-ec", fix], { cwd: root, env: { ...process.env, ...env } });
        const { stderr } = await done.catch((error: unknown) => assert.fail(`${fix}: ${error}`));
        assert.doesNotMatch(stderr, /error/i, fix);
      }
    }
    const outside = "dns: 1 name is in none of dns.zones";
    const left = [
      ...byHand,
      // Nobody makes other pods here.
      tillExcludes,
      "capture: Deployment shop/till sends port 5432 around its sidecar, and entries have that port: calls to their VIPs fail from 1 pod: till-1",
      webIsBare,
      `${outside}, and ${coredns} does not send it to X2Istio: pay.old.example.net`,
      `${outside}, and ${nodeDns} does not send it to X2Istio: pay.old.example.net`,
      "dns: no replica is ready behind Service x2istio-system/x2istio-dns: questions for our zones fail",
      "names: alias shop/stock held: a Service of that name exists and is not ours",
      "names: legacy name stock.shop withheld: it also means Service shop/stock, which is not ours",
    ];
    assert.deepEqual(said(withState(await look(), "problem")), left.sort());
    const { spec } = await admin(kube, "PATCH", "/apis/apps/v1/namespaces/shop/deployments/till", {});
    const { metadata } = spec.template as { readonly metadata: { readonly annotations: object } };
    assert.deepEqual(metadata.annotations, { [include]: "*", [exclude]: "192.0.2.0/24", [excludePorts]: "25" });
    const { data } = await admin(kube, "PATCH", "/api/v1/namespaces/kube-system/configmaps/coredns", {});
    assert.equal(data?.other, "untouched");
    assert.ok(data?.Corefile?.startsWith(corefile()), "what was there stays");
  });

  await t.test("finds nothing in a cluster where all is as it should be", { skip: kubectl }, async () => {
    await place.setConfig(sound);
    await place.setServices([orders]);
    for (const name of ["web-1", "till-1"]) await admin(kube, "DELETE", `${pods}/${name}?gracePeriodSeconds=0`);
    await admin(kube, "DELETE", "/api/v1/namespaces/istio-system/configmaps/istio-sidecar-injector");
    const taken = { [include]: "10.0.0.0/8,240.241.0.0/16" };
    await populate(
      kube,
      injector("10.0.0.0/8,240.241.0.0/16"),
      pod("istio-system", "istiod-0", {
        labels: { app: "istiod", "istio.io/rev": "default" },
        image: "registry.example.org/pilot:1.31.0",
      }),
      election(new Date()),
      pod("shop", "web-2", { deployment: "web", containers: ["istio-proxy"], annotations: taken }),
      endpointSlice("x2istio-system", "x2istio-dns", ["10.244.0.31", "10.244.0.32"]),
    );
    const findings = await look();
    assert.deepEqual(said(findings.filter(({ state }) => state !== "fine")), []);
    const { code, stdout } = await runCli(["doctor", "--config", place.config, "--as", PROGRAM], { env });
    assert.equal(code, 0);
    assert.match(stdout, /^ {2}istiod +istiod-0 reads its configuration from this cluster$/m);
    assert.match(stdout, /^ {2}dns +2 replicas are ready behind Service x2istio-system\/x2istio-dns$/m);
    assert.match(stdout, /^\d+ checks: \d+ fine, 0 to fix\. Nothing was written\.$/m);
  });

  await t.test(
    "more than 2,000 entries for everyone are too many, also before they are written",
    { skip: kubectl },
    async () => {
      await place.setServices(Array.from({ length: 2001 }, (_, at) => tcpService(`db-${at}`, "192.0.2.13")));
      const many = said(withState(await look(), "problem"));
      await place.setConfig({ ...sound, registries: [{ ...registries[0], exportTo: ["shop"] }] });
      const few = said(withState(await look(), "problem"));
      assert.deepEqual(
        many.filter((one) => !few.includes(one)),
        [
          "exports: 2001 entries are exported to everyone, 2001 of them X2Istio's (2001 not yet written): more than 2000 cost memory in every sidecar, and each change is pushed to all of them",
        ],
      );
      await place.setServices([orders]);
    },
  );

  await t.test("what it may not read could not be checked", async () => {
    const token = await kube.createServiceAccountToken("x2istio-system", "nobody");
    const findings = await doctor(await kube.kubeconfigFor(token), place.config);
    const unchecked = withState(findings, "unchecked");
    for (const { message } of unchecked) assert.match(message, /^could not be checked: Cannot .*: 403 Forbidden/);
    assert.deepEqual(
      [...new Set(unchecked.map(({ check }) => check))],
      ["istiod", "namespaces", "vips", "capture", "pods", "ambient", "scope", "exports", "tls", "names", "dns"],
    );
    assert.deepEqual([...new Set(withState(findings, "problem").map(({ check }) => check))], ["rights"]);
  });

  await t.test("--skip leaves checks out", async () => {
    const left = ["dns", "names", "exports"];
    const findings = await look("--skip", left.join());
    assert.deepEqual(
      findings.filter(({ check }) => left.includes(check)),
      [],
    );
    const { code, stderr } = await runCli(["doctor", "--config", place.config, "--skip", "weather"], { env });
    assert.equal(code, 1);
    assert.match(stderr, /Checks are definitions, istiod, /);
  });

  await t.test("a cluster without Istio's definitions is told so, and all else is still looked at", async () => {
    await admin(kube, "DELETE", `${definitions}/serviceentries.networking.istio.io`);
    await until("ServiceEntries are served no more", async () => {
      return (await kube.request("GET", entriesPath())).status === 404;
    });
    const findings = await look();
    assert.deepEqual(said(findings.filter(({ check, state }) => check === "definitions" && state !== "fine")), [
      "definitions: serviceentries are not served in networking.istio.io/v1: their CRDs are missing, or of an Istio before 1.22",
    ]);
    assert.match(said(withState(findings, "unchecked")).join("\n"), /exports: .*404/);
  });

  await t.test("an API server that is not there is an error, not a finding", async () => {
    await kube.restart(async () => {
      const { code, stdout, stderr } = await runCli(["doctor", "--config", place.config], { env });
      assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
      assert.match(stderr, /Cannot read the version.*ECONNREFUSED/);
    });
  });
});

test("x2istio doctor wants a cluster to check", async (t) => {
  const place = await fixture(t, []);
  await place.setConfig({ target: { kind: "directory", path: "out" } });
  const { code, stderr } = await runCli(["doctor", "--config", place.config]);
  assert.equal(code, 1);
  assert.match(stderr, /target.kind must be kubernetes/);
});
