import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { after, before, suite, test } from "node:test";
import { ServiceEntry, VirtualService } from "@kubernetes-models/istio/networking.istio.io/v1";
import { each } from "../../src/async/each.ts";
import type { Stage } from "../../src/model/claim.ts";
import type { Manifest } from "../../src/model/objects.ts";
import { type Admission, type Admitted, admissionServers, startAdmission } from "../servers/admission.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { analyze, validate } from "../servers/istioctl.ts";
import { port, service } from "./build.ts";
import { DEPLOY, objectsOf } from "./examples.ts";
import { type Life, lifeOf, sampleFixture } from "./fixtures.ts";
import { HOST, KEY, LIVE, moving } from "./moving.ts";

const istioctl = { skip: (await ensureServers(["istioctl"])) === undefined && noServers };
const admitting = (await ensureServers(admissionServers)) === undefined && noServers;
const examples = await readdir(new URL("examples/", DEPLOY), { withFileTypes: true });
const folders = ["example", ...examples.filter((entry) => entry.isDirectory()).map(({ name }) => `examples/${name}`)];
const seed = Date.now();
const fixture = sampleFixture(200, seed);
/** Everything that may make a further object, or a further part of one. */
const registry = { legacyNames: ["{service}.{namespace}.old.example.org"], xds: true, waypoint: "edge/waypoint" };
const rest = {
  vips: { ranges: ["240.241.0.0/16", "fd00:241::/64"] },
  aliases: [{ as: "{service}", in: "shop", registry: "dc1" }],
  target: { kind: "kubernetes" },
};
const lives = new Map<string, Promise<Life>>();
const lifeIn = ({ name, vips, exportTo }: (typeof modes)[number]) => {
  const life = lives.get(name) ?? lifeOf(fixture, { ...registry, exportTo }, { ...rest, vips });
  lives.set(name, life);
  return life;
};
const stages = ["split 0", "split 10", "split 100", "inside"];
/** Its analyzer believes that Istio gives a ServiceEntry its address only where the proxies do so. */
const ALLOCATING = {
  defaultConfig: { proxyMetadata: { ISTIO_META_DNS_CAPTURE: "true", ISTIO_META_DNS_AUTO_ALLOCATE: "true" } },
};
const modes = [
  { name: "one VIP", vips: {}, mesh: {}, exportTo: ["*"] },
  { name: "VIPs of both families", vips: rest.vips, mesh: {}, exportTo: [".", "shop", "edge"] },
  { name: "Istio's own VIPs", vips: { mode: "istio" }, mesh: ALLOCATING, exportTo: ["edge"] },
];

/** The schema of Istio's CRDs, which `istioctl validate` does not look at. */
function assertSchema(made: readonly Manifest[], hint: string): void {
  for (const manifest of made) {
    if (manifest.kind !== "ServiceEntry" && manifest.kind !== "VirtualService") continue;
    // The generated types have mutable lists.
    const plain = structuredClone(manifest) as object;
    const model =
      manifest.kind === "ServiceEntry" ? new ServiceEntry(plain as never) : new VirtualService(plain as never);
    assert.doesNotThrow(() => model.validate(), `${hint}${JSON.stringify(manifest)}`);
  }
}

for (const mode of modes) {
  test(
    `Istio finds no fault with what is written for whatever a registry may say, with ${mode.name}`,
    istioctl,
    async () => {
      const { written, invalid } = await lifeIn(mode);
      // Two names of ports that become one when they are cut are what may be held here.
      assert.ok(invalid < 50, `seed ${seed}: ${invalid} services held`);
      const kinds = new Set(written.map(({ kind }) => kind));
      assert.deepEqual([...kinds].sort(), ["HTTPRoute", "Service", "ServiceEntry", "TCPRoute", "VirtualService"]);
      assert.ok(written.length > 600, `seed ${seed}: ${written.length} objects`);
      assertSchema(written, `seed ${seed}: `);
      const { ok, output } = await validate(written.filter(isIstios));
      assert.ok(ok, `seed ${seed}: ${output.slice(0, 2000)}`);
      const analysis = await analyze([...written, ...gatewaysOf(written)], mode.mesh);
      assert.ok(analysis.ok, `seed ${seed}: ${analysis.output.slice(0, 2000)}`);
    },
  );
}

for (const stage of stages)
  test(`Istio finds no fault with what is written for a service at ${stage}`, istioctl, async () => {
    const written = await movedTo(stage);
    assertSchema(written, "");
    const { ok, output } = await validate(written.filter(isIstios));
    assert.ok(ok, output);
    const analysis = await analyze([...written, ...gatewaysOf(written)]);
    assert.ok(analysis.ok, analysis.output);
  });

/** All that stands of a service with ports of every kind at a stage. */
async function movedTo(stage: string): Promise<readonly Manifest[]> {
  const kinds = ["HTTP", "GRPC", "TCP", "TLS"].map((protocol, at) => port(protocol.toLowerCase(), 9000 + at, protocol));
  const move = moving([service("orders", { ports: kinds })]);
  move.registry = registry;
  move.rest = {
    aliases: rest.aliases,
    exposures: [
      { name: "orders", service: KEY, gateway: "edge/public", listen: 80, port: 9000, hosts: ["a.example.com"] },
    ],
  };
  const ports = kinds.map((one) => ({ ...one, transport: "TCP" }));
  const weight = Number(stage.split(" ")[1] ?? 100);
  move.claim({
    stage: stage.split(" ")[0] as Stage,
    weight,
    live: { ...LIVE, ports },
    sni: [HOST, "orders.shop.old.example.org"],
  });
  await move.settle();
  assert.equal(move.place().stage, stage);
  return [...move.target.objects.values()].map(({ manifest }) => manifest);
}

/** The gateways of exposures, which are not ours. */
function gatewaysOf(written: readonly Manifest[]): readonly object[] {
  const hostsOf = new Map<string, Set<string>>();
  for (const { kind, spec } of written)
    if (kind === "VirtualService")
      for (const id of spec.gateways ?? []) hostsOf.set(id, new Set([...(hostsOf.get(id) ?? []), ...spec.hosts]));
  return [...hostsOf].map(([id, hosts]) => ({
    apiVersion: "networking.istio.io/v1",
    kind: "Gateway",
    metadata: { namespace: id.split("/")[0], name: id.split("/")[1] },
    spec: {
      selector: { istio: "ingressgateway" },
      servers: [{ port: { number: 80, name: "http", protocol: "HTTP" }, hosts: [...hosts] }],
    },
  }));
}

/** What istioctl has a check for. */
function isIstios({ apiVersion, kind }: { readonly apiVersion: string; readonly kind: string }): boolean {
  return apiVersion.includes(".istio.io/") || (apiVersion === "v1" && kind === "Service");
}

for (const folder of folders) {
  test(`Istio finds no fault with deploy/${folder} and what is made of it`, istioctl, async () => {
    const { made, own, hasServices } = await objectsOf(folder);
    assert.ok(made.length > 0 || !hasServices);
    const checked = [...made, ...own].filter(isIstios);
    if (checked.length === 0) return;
    const { ok, output } = await validate(checked);
    assert.ok(ok, output);
    const analysis = await analyze([...made, ...own], folder.endsWith("istio-vips") ? ALLOCATING : {});
    assert.ok(analysis.ok, analysis.output);
  });
}

suite("the API server with Istio's webhook", { skip: admitting }, () => {
  let admission: Admission;
  before(async () => {
    admission = await startAdmission(["mesh-services", "shop", "edge"]);
  });
  after(() => admission?.stop());

  /** Each object's faults and warnings. */
  async function faultsOf(objects: readonly Admitted[]): Promise<readonly string[]> {
    const faults: string[] = [];
    await each(objects, 8, async (object) => {
      for (const fault of await admission.faults(object).catch((error: unknown) => [String(error)]))
        faults.push(`${fault}: ${JSON.stringify(object).slice(0, 1500)}`);
    });
    return faults;
  }

  for (const mode of modes)
    test(`admits without a warning what is written for whatever a registry may say, with ${mode.name}`, async () => {
      const { written } = await lifeIn(mode);
      const faults = await faultsOf(written);
      assert.deepEqual(faults.slice(0, 3), [], `seed ${seed}: ${faults.length} of ${written.length}`);
    });

  for (const stage of stages)
    test(`admits without a warning what is written for a service at ${stage}`, async () => {
      assert.deepEqual(await faultsOf(await movedTo(stage)), []);
    });

  for (const folder of folders)
    test(`admits without a warning deploy/${folder} and what is made of it`, async () => {
      const { made, own } = await objectsOf(folder);
      const namespaces = new Set([...made, ...own].map(({ metadata }) => metadata.namespace));
      for (const name of namespaces) await admission.kube.request("POST", "/api/v1/namespaces", { metadata: { name } });
      assert.deepEqual(await faultsOf([...made, ...own]), []);
    });
});
