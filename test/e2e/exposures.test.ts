import assert from "node:assert/strict";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { parseAllDocuments } from "yaml";
import { each } from "../../src/async/each.ts";
import { ConfigError } from "../../src/errors.ts";
import { decider } from "../plan/at-once.ts";
import { NOW_MS, readings, service, standing } from "../plan/build.ts";
import { config } from "../plan/memory.ts";
import { admissionServers, startAdmission } from "../servers/admission.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { kubeServers, startKube } from "../servers/kube.ts";
import { installDefinitions } from "../servers/kube-admin.ts";
import { addedWrites } from "../servers/kube-writes.ts";
import { runCli } from "./cli.ts";
import { admin, get, list, MESH, quiet, routesPath, SHOP, split } from "./cluster.ts";
import { fixture, hostOf, httpService, tcpService } from "./fixture.ts";

const paths = await ensureServers([...kubeServers, "gateway-crds"]);
const skip = paths === undefined && noServers;

const orders = httpService("orders", "192.0.2.11");
const database = tcpService("orders-db", "198.51.100.61");
const web = {
  name: "web",
  service: "vms/shop/orders",
  api: "gateway",
  gateway: "edge/web",
  hosts: ["shop.example.com"],
  path: "/orders",
};
const db = { name: "db", service: "vms/data/orders-db", api: "gateway", gateway: "edge/web", listen: 5432 };
const plain = { ...web, name: "plain", api: "istio" };
const gatewayPath = (plural: string) => `/apis/gateway.networking.k8s.io/v1/namespaces/${MESH}/${plural}`;

test("exposures on a cluster that gets the Gateway API only later", { skip }, async (t) => {
  const kube = await startKube({ namespaces: [MESH, SHOP] });
  t.after(() => kube.stop());
  await quiet(kube);
  const where = await fixture(t, [orders, database], { exposures: [web, db, plain] });
  const apply = async (code: number) => {
    const before = await kube.writeCount();
    const env = { KUBECONFIG: kube.kubeconfigPath };
    const result = await runCli(["--config", where.config, "apply", "-o", "json"], { env });
    assert.equal(result.code, code, `${result.stdout}\n${result.stderr}`);
    const report = JSON.parse(result.stdout) as {
      readonly holds: readonly { readonly reason: string; readonly subject: string }[];
      readonly outcomes: readonly { readonly outcome: string }[];
    };
    assert.deepEqual(
      report.outcomes.filter(({ outcome }) => outcome !== "written"),
      [],
    );
    const holds = report.holds.map(({ reason, subject }) => `${reason} ${subject}`).sort();
    return { holds, added: addedWrites(before, await kube.writeCount()) };
  };

  await t.test("where it is missing, its routes are held and all else is written", async () => {
    const { holds } = await apply(3);
    assert.deepEqual(holds, [`kind HTTPRoute/${MESH}/web`, `kind TCPRoute/${MESH}/db`]);
    const routes = await list<{ readonly gateways?: readonly string[] }>(kube, routesPath);
    assert.deepEqual([...routes.keys()].sort(), [hostOf(orders), "plain"]);
    assert.deepEqual(routes.get("plain")?.spec.gateways, ["edge/web"]);
  });

  await t.test("once it is there they are written, and stand as they were meant", async () => {
    await installDefinitions(kube, paths?.["gateway-crds"] ?? "");
    assert.deepEqual((await apply(0)).holds, []);
    assert.ok((await get(kube, `${gatewayPath("httproutes")}/web`)) !== undefined);
    assert.ok((await get(kube, `${gatewayPath("tcproutes")}/db`)) !== undefined);
    assert.deepEqual((await apply(0)).added, {}, "what the API server filled in counts as equal");
  });

  await t.test("a changed line is one write", async () => {
    const oneWrite = { "PATCH httproutes.gateway.networking.k8s.io": 1 };
    await where.setConfig({ exposures: [{ ...web, listen: 443 }, db, plain] });
    assert.deepEqual(split((await apply(0)).added), { mesh: 0, other: oneWrite });
    assert.match(JSON.stringify((await get(kube, `${gatewayPath("httproutes")}/web`))?.spec), /"port":443/);
    await where.setConfig({ exposures: [web, db, plain] });
    assert.deepEqual(split((await apply(0)).added), { mesh: 0, other: oneWrite });
    assert.doesNotMatch(JSON.stringify((await get(kube, `${gatewayPath("httproutes")}/web`))?.spec), /"port":443/);
    await apply(0);
  });

  await t.test("an object of someone else's holds its exposure, also a route that only gateways hear", async () => {
    await admin(kube, "POST", gatewayPath("httproutes"), {
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "HTTPRoute",
      metadata: { name: "theirs", namespace: MESH },
      spec: { parentRefs: [{ name: "web", namespace: "edge" }], hostnames: ["theirs.example.com"] },
    });
    await where.setConfig({ exposures: [{ ...web, name: "theirs", path: "/theirs" }, web, db, plain] });
    const { holds, added } = await apply(3);
    assert.deepEqual(holds, [`foreign HTTPRoute/${MESH}/theirs`]);
    assert.deepEqual(split(added).other["POST events"], 1, "its owner finds out");
    assert.equal(added["POST httproutes.gateway.networking.k8s.io"], undefined);
  });

  await t.test("what is no longer exposed is closed even if its registry cannot be read", async () => {
    await rm(join(where.dir, "services.yaml"));
    await where.setConfig({ exposures: [] });
    await apply(1);
    assert.deepEqual([...(await list(kube, gatewayPath("httproutes"))).keys()], ["theirs"]);
    assert.deepEqual([...(await list(kube, gatewayPath("tcproutes"))).keys()], []);
    assert.deepEqual([...(await list(kube, routesPath)).keys()], [hostOf(orders)]);
  });
});

test("exposures in a folder, and what is said of them", async (t) => {
  const target = { kind: "directory", path: "out" };
  const exposures = [plain, web, db];
  const where = await fixture(t, [orders, database], { target, exposures });
  const cli = async (code: number, ...args: readonly string[]) => {
    const result = await runCli(["--config", where.config, ...args]);
    assert.equal(result.code, code, `${result.stdout}\n${result.stderr}`);
    return result.stdout;
  };
  const kinds = async (host: string) => {
    const file = await readFile(join(where.dir, "out", MESH, `${host}.yaml`), "utf8");
    return parseAllDocuments(file).map((document) => {
      const { kind, metadata } = document.toJS() as { readonly kind: string; readonly metadata: { name: string } };
      return `${kind} ${metadata.name}`;
    });
  };

  const plan = await cli(0, "plan");
  assert.match(plan, new RegExp(`^\\+ ${hostOf(orders)} .*exposure plain, exposure web`, "m"));
  await cli(0, "apply");
  await cli(0, "apply");
  assert.deepEqual(await kinds(hostOf(orders)), [
    `ServiceEntry ${hostOf(orders)}`,
    `VirtualService ${hostOf(orders)}`,
    "VirtualService plain",
    "Service orders",
    "HTTPRoute web",
  ]);
  assert.deepEqual(await kinds(hostOf(database)), [`ServiceEntry ${hostOf(database)}`, "TCPRoute db"]);

  const explained = await cli(0, "explain", "shop.example.com");
  assert.match(explained, /^shop\.example\.com is an exposed host of vms\/shop\/orders$/m);
  assert.match(explained, /VirtualService mesh-services\/plain +in step/);
  assert.match(explained, /HTTPRoute mesh-services\/web +in step/);

  await where.setConfig({ target, exposures: [plain] });
  assert.match(await cli(0, "plan"), /^~ vms\/shop\/orders +exposure web to be deleted: no exposure asks/m);
  await cli(0, "apply");
  assert.equal((await kinds(hostOf(orders))).includes("HTTPRoute web"), false);
  assert.deepEqual(await kinds(hostOf(database)), [`ServiceEntry ${hostOf(database)}`]);

  await where.setConfig({ target, exposures: [plain, { ...db, name: "nobody", service: "vms/data/nobody" }] });
  assert.match(await cli(3, "apply"), /! .*exposure nobody: registry vms lists no service data\/nobody/);
});

const noAdmission = (await ensureServers(admissionServers)) === undefined && noServers;

/** Hosts and paths that look like such, and some that are. */
const host = fc.oneof(
  fc.stringMatching(/^(\*\.)?[A-Za-z0-9]([A-Za-z0-9-]{0,8}[a-z0-9])?(\.[a-z0-9]{1,63}){0,3}$/),
  fc.stringMatching(/^[A-Za-z0-9_.*-]{1,8}$/),
);
const path = fc.oneof(
  fc.stringMatching(/^(\/([-A-Za-z0-9_~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2}){1,5}){1,4}$/),
  fc.stringMatching(/^(\/([-A-Za-z0-9._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2}|[/ ?#"<>é]){0,5}){1,4}$/),
);
const port = fc.integer({ min: 1, max: 65_535 });
const exposure = fc.record(
  {
    name: fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/),
    api: fc.constantFrom("istio", "gateway"),
    listen: port,
    hosts: fc.uniqueArray(host, { minLength: 1, maxLength: 3 }),
    path,
    service: fc.constant("vms/shop/orders"),
    gateway: fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?\/[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?$/),
  },
  { requiredKeys: ["name", "api", "service", "gateway"] },
);

test("what the configuration accepts is admitted without a warning", { skip: noAdmission }, async (t) => {
  const admission = await startAdmission([MESH]);
  t.after(admission.stop);
  const seed = Date.now();
  const compute = (rule: object) => {
    try {
      return decider(config(["vms"], { exposures: [rule] }));
    } catch (error) {
      assert.ok(error instanceof ConfigError);
      return undefined;
    }
  };
  const given = fc.sample(exposure, { numRuns: 2000, seed });
  const accepted = given.flatMap((rule) => compute(rule) ?? []).slice(0, 200);
  assert.ok(accepted.length > 150, `${accepted.length}, seed ${seed}`);
  const faults: string[] = [];
  await each(accepted, 8, async (decide) => {
    const { plan } = decide({
      readings: readings({ vms: [service("orders", { registry: "vms" })] }),
      standing: standing(),
      nowMs: NOW_MS,
      allowDeletes: new Set(),
    });
    const [route] = plan.create.map(({ object }) => object.manifest).filter((one) => one.kind !== "ServiceEntry");
    assert.ok(route !== undefined, JSON.stringify(plan.hold));
    for (const fault of await admission.faults(route)) faults.push(`${fault}: ${JSON.stringify(route)}`);
  });
  assert.deepEqual(faults.slice(0, 3), [], `seed ${seed}: ${faults.length} of ${accepted.length}`);
});
