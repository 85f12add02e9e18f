import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { updatePatch, wholePatch } from "../../../src/kube/write/merge-patch.ts";
import type { AliasService, Manifest, ServiceEntry } from "../../../src/model/objects.ts";
import type { StandingObject } from "../../../src/model/standing.ts";
import { sized } from "../../size.ts";

const entry: ServiceEntry = {
  apiVersion: "networking.istio.io/v1",
  kind: "ServiceEntry",
  metadata: {
    name: "web.example.org",
    namespace: "mesh",
    labels: { "x2istio.dev/owner": "east" },
    annotations: { "x2istio.dev/service": "vms/default/web" },
  },
  spec: {
    hosts: ["web.example.org"],
    addresses: ["240.241.0.1"],
    ports: [{ name: "http", number: 80, protocol: "HTTP" }],
    location: "MESH_INTERNAL",
    resolution: "STATIC",
    endpoints: [{ address: "192.0.2.1" }],
  },
};
const alias: AliasService = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace: "shop" },
  spec: { type: "ExternalName", externalName: "web.example.org", ports: [{ name: "http", port: 80, protocol: "TCP" }] },
};
const tie = { uid: "u1", resourceVersion: "7" };

function standing(manifest: Manifest, spec: object = {}, metadata: Partial<Manifest["metadata"]> = {}): StandingObject {
  const live = {
    ...manifest,
    metadata: { ...manifest.metadata, ...metadata },
    spec: { ...manifest.spec, ...spec },
  } as Manifest;
  return {
    key: "",
    service: undefined,
    registry: "",
    manifest: live,
    ...tie,
    createdMs: 0,
    writtenMs: 0,
    statusAddresses: [],
  };
}

const cases: { name: string; standing: StandingObject; desired: Manifest; want: object | undefined }[] = [
  { name: "is undefined when nothing differs", standing: standing(entry), desired: entry, want: undefined },
  {
    name: "replaces endpoints whole and ties the patch to the version read",
    standing: standing(entry, { endpoints: [{ address: "192.0.2.1" }, { address: "192.0.2.2" }] }),
    desired: entry,
    want: { metadata: tie, spec: { endpoints: [{ address: "192.0.2.1" }] } },
  },
  {
    name: "removes spec fields that are not desired",
    standing: standing(entry, { workloadSelector: { labels: { app: "x" } } }),
    desired: entry,
    want: { metadata: tie, spec: { workloadSelector: null } },
  },
  {
    name: "removes annotations of ours and keeps others'",
    standing: standing(
      entry,
      {},
      {
        annotations: {
          "x2istio.dev/service": "vms/default/web",
          "x2istio.dev/gone-since": "t",
          "example.org/note": "n",
        },
      },
    ),
    desired: entry,
    want: { metadata: { ...tie, annotations: { "x2istio.dev/gone-since": null } } },
  },
  {
    name: "puts a label of ours back and keeps others'",
    standing: standing(entry, {}, { labels: { team: "shop" } }),
    desired: entry,
    want: { metadata: { ...tie, labels: { "x2istio.dev/owner": "east" } } },
  },
  {
    name: "leaves a Service's defaults alone",
    standing: standing(alias, {
      sessionAffinity: "None",
      ports: [{ name: "http", port: 80, protocol: "TCP", targetPort: 80 }],
    }),
    desired: alias,
    want: undefined,
  },
  {
    name: "sets a Service's changed target only",
    standing: standing(alias, { sessionAffinity: "None", externalName: "other.example.org" }),
    desired: alias,
    want: { metadata: tie, spec: { externalName: "web.example.org" } },
  },
];
for (const { name, standing, desired, want } of cases) {
  test(`updatePatch() ${name}`, () => assert.deepEqual(updatePatch(standing, desired), want));
}

test("wholePatch() applied to one object gives the other", () => {
  const leaf = fc.oneof(fc.string({ maxLength: 3 }), fc.integer(), fc.boolean());
  const { object } = fc.letrec<{ object: object; value: unknown }>((tie) => ({
    object: fc.dictionary(fc.constantFrom("a", "b", "c", "constructor"), tie("value"), {
      maxKeys: 4,
      noNullPrototype: true,
    }) as fc.Arbitrary<object>,
    value: fc.oneof(
      { maxDepth: 3 },
      leaf,
      fc.array(leaf, { maxLength: 3 }),
      fc.array(tie("object"), { maxLength: 2 }),
      tie("object"),
    ),
  }));
  fc.assert(
    fc.property(object, object, (from, to) => {
      assert.deepEqual(mergePatch(from, wholePatch(from, to) ?? {}), to);
      assert.equal(wholePatch(from, structuredClone(from)), undefined);
    }),
    { numRuns: sized(2000) },
  );
});

/** RFC 7396 §2, the pseudo-code. */
function mergePatch(target: unknown, patch: unknown): unknown {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return patch;
  const result: Record<string, unknown> =
    typeof target === "object" && target !== null && !Array.isArray(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}
