import assert from "node:assert/strict";
import { test } from "node:test";
import { GONE_SINCE_ANNOTATION } from "../../../src/model/objects.ts";
import type { Reading } from "../../../src/plan/catalog/catalog.ts";
import { decider, objectsOf } from "../at-once.ts";
import {
  at,
  entry,
  failed,
  HOUR_MS,
  NOW_MS,
  premade,
  type Said,
  type StandingFields,
  service,
  snapshot,
  standing,
} from "../build.ts";
import { config } from "../memory.ts";

const cacheless = (said: readonly Parameters<typeof snapshot>[1][number][], registry = "dc1"): Reading => ({
  state: "read",
  snapshot: { ...snapshot(registry, said), caseless: true },
});
const stands = (...keys: readonly string[]): StandingFields => ({ objects: keys.map((key) => entry(key)) });
const gone = { annotations: { [GONE_SINCE_ANNOTATION]: at(NOW_MS - HOUR_MS / 2) } };

const cases: readonly {
  readonly name: string;
  readonly said: Readonly<Record<string, Said>>;
  readonly stands?: StandingFields;
  readonly merge?: readonly string[];
  /** Services and failed reads. */
  readonly want: readonly string[];
}[] = [
  {
    name: "calls a new service as its registry does",
    said: { dc1: cacheless([service("Cache")]) },
    want: ["dc1/shop/Cache"],
  },
  {
    name: "keeps the name that stands",
    said: { dc1: cacheless([service("cache")]) },
    stands: stands("dc1/shop/Cache"),
    want: ["dc1/shop/Cache"],
  },
  {
    name: "keeps the name of a tombstone",
    said: { dc1: cacheless([service("cache")]) },
    stands: { objects: [entry("dc1/shop/Cache", gone)] },
    want: ["dc1/shop/Cache"],
  },
  {
    name: "keeps the name of what cannot be read",
    said: { dc1: cacheless([failed("dc1/shop/cache")]) },
    stands: stands("dc1/shop/CACHE"),
    want: ["dc1/shop/CACHE: boom"],
  },
  {
    name: "keeps the name by which an entry that someone wrote by hand asks for it",
    said: { dc1: cacheless([service("cache")]) },
    stands: { premade: [premade("dc1/shop/Cache", "by-hand")] },
    want: ["dc1/shop/Cache"],
  },
  {
    name: "prefers the name of an entry of ours to that of one written by hand",
    said: { dc1: cacheless([service("cache")]) },
    stands: { ...stands("dc1/shop/Cache"), premade: [premade("dc1/shop/CACHE", "by-hand")] },
    want: ["dc1/shop/Cache"],
  },
  {
    name: "prefers the name that is listed where both stand",
    said: { dc1: cacheless([service("cache"), service("Store")]) },
    stands: {
      objects: ["Cache", "cache", "Store", "store"].map((name, at) =>
        entry(`dc1/shop/${name}`, { host: `x${at}.mesh.internal` }),
      ),
    },
    want: ["dc1/shop/Store", "dc1/shop/cache"],
  },
  {
    name: "looks in the same namespace and registry only",
    said: { dc1: cacheless([service("cache")]) },
    stands: stands("dc1/Shop/Cache", "dc2/shop/Cache"),
    want: ["dc1/shop/cache"],
  },
  {
    name: "tells names of other registries apart",
    said: { dc1: [service("cache")] },
    stands: stands("dc1/shop/Cache"),
    want: ["dc1/shop/cache"],
  },
  {
    name: "keeps the name of a merged service",
    said: { prod: [], dc1: cacheless([service("cache")]) },
    stands: stands("prod/shop/Cache"),
    merge: ["prod", "dc1"],
    want: ["prod/shop/Cache"],
  },
];
for (const { name, said, stands: fields = {}, merge = [], want } of cases) {
  test(`decide() ${name}`, () => {
    const readings = new Map(
      Object.entries(said).map(([registry, one]): [string, Reading] => [
        registry,
        one !== undefined && typeof one !== "string" && "state" in one
          ? one
          : { state: "read", snapshot: snapshot(registry, Array.isArray(one) ? one : []) },
      ]),
    );
    const settings = config([...readings.keys()], merge.length === 0 ? {} : { merge });
    const { catalog } = decider(settings)({
      ...{ readings, standing: standing(fields), nowMs: NOW_MS },
      ...{ allowDeletes: new Set(), endpointPeaks: new Map() },
    });
    const failures = [...catalog.failed].map(([key, why]) => `${key}: ${why}`);
    assert.deepEqual([...catalog.services.keys(), ...failures].sort(), want);
  });
}

test("decide() makes the same of a service whichever way its name is written", () => {
  const compute = decider(config(["dc1"]));
  const decideOn = (reading: Reading) =>
    compute({
      ...{ readings: new Map([["dc1", reading]]), standing: standing(stands("dc1/shop/Cache")), nowMs: NOW_MS },
      ...{ allowDeletes: new Set(), endpointPeaks: new Map() },
    });
  const lower = cacheless([service("cache")]);
  const first = decideOn(lower);
  const again = decideOn(lower);
  assert.equal(
    again.catalog.services.get("dc1/shop/Cache"),
    first.catalog.services.get("dc1/shop/Cache"),
    "the same object",
  );
  assert.deepEqual(objectsOf(first.desired), objectsOf(decideOn(cacheless([service("Cache")])).desired));
});
