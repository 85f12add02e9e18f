import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { parse } from "yaml";
import { adapters } from "../../adapters/adapters.ts";
import type { Config } from "../../src/config/config.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { reverseZones } from "../../src/istio/reverse-zones.ts";
import { findKubectl } from "../servers/kubectl.ts";
import {
  type ConfigFiles,
  type Deployment,
  inNamespace,
  KUSTOMIZE,
  type Manifest,
  pick,
  type Role,
  readManifests,
  render,
} from "./manifests.ts";
import { granted, type Right } from "./rights.ts";

const deploy = (path: string) => readFile(new URL(`../${path}`, KUSTOMIZE), "utf8");
const kubectl = { skip: await findKubectl() };
const base = await readManifests("base");
const furtherAliases = await readManifests("alias-namespace");
const readConfig = (text: string): Config => parseConfig(text, "x2istio.yaml", { env: {}, adapters });
const baseConfig = readConfig(pick<ConfigFiles>(base, "ConfigMap").data["x2istio.yaml"]);
const exampleConfig = readConfig(await deploy("kustomize/example/x2istio.yaml"));
const idOf = ({ kind, metadata: { name, namespace = "" } }: Manifest) => `${kind} ${namespace}/${name}`;
const sorted = (manifests: readonly Manifest[]) => manifests.toSorted((a, b) => (idOf(a) < idOf(b) ? -1 : 1));

test("the base is what its files say, in order", kubectl, async () => {
  assert.deepEqual(sorted(await render("base")), sorted(base));
});

test("the example overlay has its own files, and rights for aliases only where it has aliases", kubectl, async () => {
  const rendered = await render("example");
  const added = furtherAliases.map((manifest) => inNamespace(manifest, "shop"));
  const kept = base.filter(({ metadata }) => metadata.name !== "x2istio-aliases");
  assert.deepEqual(sorted(rendered).map(idOf), sorted([...kept, ...added]).map(idOf));
  assert.deepEqual(pick<ConfigFiles>(rendered, "ConfigMap").data, {
    "x2istio.yaml": await deploy("kustomize/example/x2istio.yaml"),
    "services.yaml": await deploy("kustomize/example/services.yaml"),
  });
  for (const manifest of added) {
    assert.deepEqual(pick(rendered.filter(isIn("shop")), manifest.kind), manifest);
  }
});

const isIn = (namespace: string) => (manifest: Manifest) => manifest.metadata.namespace === namespace;

for (const [name, config] of Object.entries({ base: baseConfig, example: exampleConfig })) {
  test(`the configuration of the ${name} fits the manifests`, () => {
    const { spec } = pick<Deployment>(base, "Deployment").spec.template;
    const [container] = spec.containers;
    const ports = new Map(container?.ports.map((port) => [port.name, port.containerPort]));
    const everywhere = (port: string) => ({ address: "0.0.0.0", port: ports.get(port) });
    assert.deepEqual(config.http.listen, everywhere("http"));
    assert.deepEqual(config.dns.listen, [everywhere("udp-dns")]);
    assert.deepEqual(config.dns.listen, [everywhere("tcp-dns")]);
    const lease = pick<Role>(base, "Role", "x2istio-target").rules.find(({ resourceNames }) => resourceNames);
    assert.deepEqual(lease?.resourceNames, [`x2istio-${config.owner}`]);
    for (const role of ["x2istio-target", "x2istio-ledger"]) {
      assert.equal(pick(base, "Role", role).metadata.namespace, config.target.namespace);
    }
    assert.equal(config.vips.ledgerNamespace, config.target.namespace);
  });
}

test("rights for aliases are where the configurations have aliases", async () => {
  const inBase = pick(base, "Role", "x2istio-aliases").metadata.namespace;
  assert.deepEqual([...new Set(baseConfig.aliases.map((alias) => alias.in))], [inBase]);
  const { namespace } = parse(await deploy("kustomize/example/aliases-in-shop/kustomization.yaml")) as Right;
  assert.deepEqual([...new Set(exampleConfig.aliases.map((alias) => alias.in))], [namespace]);
});

test("a namespace of aliases gets the same rights wherever it is", () => {
  const rulesOf = (manifests: readonly Manifest[]) => pick<Role>(manifests, "Role", "x2istio-aliases").rules;
  assert.deepEqual(rulesOf(furtherAliases), rulesOf(base));
});

test("the image starts as the Deployment does", async () => {
  const dockerfile = await deploy("Dockerfile");
  const { spec } = pick<Deployment>(base, "Deployment").spec.template;
  const { version } = JSON.parse(await deploy("../package.json")) as { version: string };
  assert.deepEqual(JSON.parse(/^CMD (.*)$/m.exec(dockerfile)?.[1] ?? ""), spec.containers[0]?.args);
  assert.match(dockerfile, new RegExp(`^USER ${spec.securityContext.runAsUser}:`, "m"));
  assert.equal(spec.containers[0]?.image, `x2istio:${version}`);
});

test("CoreDNS is told of all zones of the base, and those of its VIPs", async () => {
  const blocks = (await deploy("coredns/mesh.Corefile")).split("\n").filter((line) => /^\S.*\{$/.test(line));
  const reverse = baseConfig.vips.ranges.flatMap(reverseZones);
  const zones = [...baseConfig.dns.zones.map(({ name }) => name), ...reverse].map((name) => `${name}:53`);
  assert.deepEqual(blocks, [`${zones.join(" ")} {`]);
});

test("the README lists exactly what the Roles grant", async () => {
  const places = {
    "the cluster": [],
    target: ["x2istio-target", "x2istio-demand"],
    ledger: ["x2istio-ledger"],
    alias: ["x2istio-aliases"],
  };
  const listed = (await deploy("README.md")).split("\n").flatMap((line) => {
    const [, place = "", resources = "", verbs = ""] = line.split("|").map((cell) => cell.trim());
    if (!Object.hasOwn(places, place)) return [];
    return words(resources).flatMap((resource) => words(verbs).map((verb) => `${verb} ${resource} in ${place}`));
  });
  const placeOf = (role: string) =>
    Object.entries<readonly string[]>(places).find(([, names]) => names.includes(role))?.[0] ?? "the cluster";
  const optional = await Promise.all(["reported", "authorization"].map(readManifests));
  // That one is for those who read from X2Istio.
  const roles = [...base, ...optional.flat()].filter(
    ({ kind, metadata }) => kind.endsWith("Role") && metadata.name !== "x2istio-reader",
  );
  const actual = roles.flatMap((role) =>
    granted([role]).map(({ verb, resource }) => `${verb} ${resource} in ${placeOf(role.metadata.name)}`),
  );
  assert.deepEqual(listed.sort(), actual.sort());
});

/** "`a`, b" → a, b */
function words(cell: string): readonly string[] {
  return cell.replaceAll("`", "").split(", ");
}
