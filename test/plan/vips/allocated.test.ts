import assert from "node:assert/strict";
import { test } from "node:test";
import type { ServiceEntry } from "../../../src/model/objects.ts";
import type { StandingObject } from "../../../src/model/standing.ts";
import { indexStanding } from "../../../src/plan/standing.ts";
import { decider } from "../at-once.ts";
import { NOW_MS, port, readings, service, standing } from "../build.ts";
import { config, memoryTarget } from "../memory.ts";

const CLUSTER = { target: { kind: "kubernetes", namespace: "mesh-services" } };
const options = { signal: new AbortController().signal, mayWrite: () => true };
const orders = service("orders", { ports: [port("web", 8080, "HTTP")], legacyNames: ["orders.corp.example.com"] });

/** What another pass changes once `addresses` were put on the entry, or on its companion. */
async function changesAfter(vips: object, isCompanion: boolean, addresses: readonly string[]) {
  const made = config([{ name: "dc1", xds: true }], { ...CLUSTER, vips });
  const target = memoryTarget(new Map([["mesh-services", "active"]]));
  const decide = () =>
    decider(made)({
      readings: readings({ dc1: [orders] }),
      standing: indexStanding({ ...standing(), objects: target.objects }),
      nowMs: NOW_MS,
      allowDeletes: new Set(),
    }).plan;
  await target.write([...decide().create], options);
  const wanted = [...target.objects.values()].find(
    ({ manifest: { kind, metadata } }) => kind === "ServiceEntry" && metadata.name.endsWith("-legacy") === isCompanion,
  );
  assert.ok(wanted !== undefined);
  const manifest = wanted.manifest as ServiceEntry;
  const touched: StandingObject = { ...wanted, manifest: { ...manifest, spec: { ...manifest.spec, addresses } } };
  target.objects.set(wanted.key, touched);
  return decide().update.map(({ object }) => (object.manifest as ServiceEntry).spec.addresses);
}

const cases = [
  {
    name: "an entry without VIP of ours keeps Aeraki's",
    vips: { mode: "istio" },
    addresses: ["240.240.0.9"],
    want: [],
  },
  {
    name: "an entry without VIP of ours keeps no other",
    vips: { mode: "istio" },
    addresses: ["240.241.0.9"],
    want: [undefined],
  },
  { name: "a companion keeps Aeraki's", isCompanion: true, vips: {}, addresses: ["240.240.0.9"], want: [] },
  {
    name: "a companion keeps no other",
    isCompanion: true,
    vips: {},
    addresses: ["240.240.0.9", "192.0.2.1"],
    want: [undefined],
  },
];
for (const { name, vips, isCompanion = false, addresses, want } of cases)
  test(name, async () => assert.deepEqual(await changesAfter(vips, isCompanion, addresses), want));
