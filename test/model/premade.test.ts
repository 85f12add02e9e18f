import assert from "node:assert/strict";
import { test } from "node:test";
import { type PremadeRule, premadeRequest } from "../../src/model/premade.ts";

const exportTo = ["*"];
const registries = [
  { name: "vms", kind: "static", exportTo },
  { name: "prod", kind: "polaris", exportTo },
];
const only = (...namespaces: string[]) => registries.map((one) => ({ ...one, exportTo: namespaces }));
const rule: PremadeRule = { owner: "east", namespaces: new Set(["mesh-services", "shop"]), registries, merge: [] };
const annotations = { "aeraki.net/polarisNamespace": "Test", "aeraki.net/polarisService": "64001:65536" };
interface Case {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>> | null;
  readonly registries?: PremadeRule["registries"];
  readonly merge?: readonly string[];
  readonly want: string | RegExp | undefined;
}
const cases: readonly Case[] = [
  { name: "the only registry of kind polaris", want: "prod/Test/64001:65536" },
  {
    name: "the same, as polaris2istio labels it",
    labels: { manager: "aeraki", registry: "polaris" },
    want: "prod/Test/64001:65536",
  },
  { name: "a registry by name, of any kind", labels: { registry: "vms" }, want: "vms/Test/64001:65536" },
  {
    name: "a registry called polaris",
    registries: [...registries, { name: "polaris", kind: "static", exportTo }],
    labels: { registry: "polaris" },
    want: "polaris/Test/64001:65536",
  },
  { name: "an alias namespace", namespace: "shop", want: "prod/Test/64001:65536" },
  { name: "nothing in any other namespace", namespace: "polaris", want: undefined },
  { name: "nothing without a service", annotations: { "aeraki.net/polarisNamespace": "Test" }, want: undefined },
  {
    name: "nothing by an empty namespace",
    annotations: { ...annotations, "aeraki.net/polarisNamespace": "" },
    want: undefined,
  },
  { name: "nothing where there are no annotations", annotations: null, want: undefined },
  { name: "nothing of another installation", labels: { "x2istio.dev/owner": "west" }, want: undefined },
  {
    name: "what is labelled for this installation",
    labels: { "x2istio.dev/owner": "east" },
    want: "prod/Test/64001:65536",
  },
  { name: "the first of merged registries", merge: ["vms", "prod"], want: "vms/Test/64001:65536" },
  {
    name: "the target's own namespace, whoever it is exported to",
    registries: only("pay"),
    want: "prod/Test/64001:65536",
  },
  {
    name: "a namespace that it is exported to",
    namespace: "shop",
    registries: only("pay", "shop"),
    want: "prod/Test/64001:65536",
  },
  {
    name: "no registry that is not exported to the namespace",
    namespace: "shop",
    registries: only(".", "pay"),
    want: /^registry prod is not exported to namespace shop$/,
  },
  ...["a/b", "a\u001b[2J", "x".repeat(254)].map((from) => ({
    name: `nothing by a namespace ${JSON.stringify(from.slice(0, 9))}`,
    annotations: { ...annotations, "aeraki.net/polarisNamespace": from },
    want: /^its annotations name no service that a registry could have$/,
  })),
  {
    name: "no registry by a label that names none",
    labels: { registry: "dc9" },
    want: /^its label registry says dc9, which is no configured registry$/,
  },
  {
    name: "no registry where there is none of the kind",
    registries: registries.slice(0, 1),
    want: /^no registry of kind polaris is configured/,
  },
  {
    name: "no registry where there are two of the kind",
    registries: [...registries, { name: "stage", kind: "polaris", exportTo }],
    want: /^it may mean any of the registries prod, stage: name one by its label registry$/,
  },
];
for (const {
  name,
  want,
  namespace = "mesh-services",
  labels,
  registries: all = registries,
  merge = [],
  ...given
} of cases) {
  test(`premadeRequest() gives ${name}`, () => {
    const asks = "annotations" in given ? given.annotations : annotations;
    const request = premadeRequest({ namespace, labels, annotations: asks }, { ...rule, registries: all, merge });
    if (want instanceof RegExp) {
      assert.match(request?.fault ?? "", want);
      assert.deepEqual([request?.service, request?.registry], [undefined, ""]);
    } else {
      assert.equal(request?.service, want);
      if (want !== undefined) assert.deepEqual([request?.registry, request?.fault], [want.split("/")[0], undefined]);
    }
  });
}
