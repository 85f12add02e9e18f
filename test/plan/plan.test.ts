import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AUTO_ALLOCATE_LABEL,
  GONE_SINCE_ANNOTATION,
  type Manifest,
  type OwnedObject,
  SERVICE_ANNOTATION,
} from "../../src/model/objects.ts";
import type { Plan } from "../../src/model/plan.ts";
import type { StandingObject } from "../../src/model/standing.ts";
import { planMemory } from "../../src/plan/memory.ts";
import type { Desired } from "../../src/plan/objects/desired.ts";
import { sameObject } from "../../src/plan/plan.ts";
import { hasFields, sameValue } from "../../src/plan/same.ts";
import { plan } from "./at-once.ts";
import { alias, entry, foreign, MESH, ourLabels, type StandingFields, standing, standingObject } from "./build.ts";

const HOST = "orders.shop.dc1.mesh.internal";
const KEY = "dc1/shop/orders";
const orders = entry();
const shortcut = alias(KEY, "shop/orders");

/** An object as it should stand that is equal to one that stands. */
function wanted({ key, registry, manifest }: StandingObject, service = KEY): OwnedObject {
  return { key, service, registry, manifest: structuredClone(manifest) };
}

function withSpec(object: StandingObject, spec: object): StandingObject {
  return { ...object, manifest: { ...object.manifest, spec: { ...object.manifest.spec, ...spec } } as Manifest };
}

function withAnnotations(object: StandingObject, more: Record<string, string>): StandingObject {
  const { metadata } = object.manifest;
  return {
    ...object,
    manifest: { ...object.manifest, metadata: { ...metadata, annotations: { ...metadata.annotations, ...more } } },
  };
}

function withLabels(object: StandingObject, labels: Record<string, string>): StandingObject {
  return { ...object, manifest: { ...object.manifest, metadata: { ...object.manifest.metadata, labels } } };
}

function desired(objects: readonly OwnedObject[], fields: Partial<Desired> = {}): Desired {
  const byService = Map.groupBy(objects, ({ service }) => service);
  return { objects: byService, kept: new Map(), keptObjects: new Set(), holds: [], built: new Map(), ...fields };
}

function summary({ create, update, delete: remove, hold, unchanged }: Plan): object {
  return {
    create: create.map(({ object }) => object.key),
    update: update.map(({ object }) => object.key),
    delete: remove.map(({ standing, why }) => `${standing.key}: ${why}`),
    hold: hold.map(({ reason, subject, message }) => `${reason} ${subject}: ${message}`),
    unchanged,
  };
}

const nothing = { create: [], update: [], delete: [], hold: [], unchanged: 0 };
const keptHold = { reason: "unread", subject: HOST, service: KEY, registry: "dc1", message: "refused" } as const;
const kept = { kept: new Map([[KEY, keptHold]]), holds: [keptHold] };
const bare = standingObject({ ...orders.manifest, metadata: { ...orders.manifest.metadata, annotations: {} } });
const noKey = withAnnotations(orders, { [SERVICE_ANNOTATION]: "dc1/orders" });
const malformed = standingObject(noKey.manifest);
const unknown = `unknown ${orders.key}: ${orders.key.replace("/", " ")} carries our labels but no readable annotation x2istio.dev/service: restore it, or remove the labels`;

const companion = entry(KEY, {
  host: `${HOST}-legacy`,
  labels: { ...ourLabels("dc1"), [AUTO_ALLOCATE_LABEL]: "false" },
});

const ending = (object: StandingObject): StandingObject => ({
  ...object,
  terminating: "finalizer example.org/keep keeps it",
});
const terminating = (key: string) =>
  `terminating ${key}: ${key.replace("/", " ")} is being deleted: finalizer example.org/keep keeps it`;

const cases: { name: string; desired: Desired; stands: StandingFields; want: object }[] = [
  {
    name: "leaves what a finalizer keeps, whether it is wanted again or not",
    desired: desired([wanted(withSpec(orders, { endpoints: [] }))]),
    stands: { objects: [ending(orders), ending(shortcut)] },
    want: { hold: [terminating(orders.key), terminating(shortcut.key)] },
  },
  {
    name: "creates what does not stand",
    desired: desired([wanted(orders)]),
    stands: {},
    want: { create: [orders.key] },
  },
  {
    name: "leaves an equal object",
    desired: desired([wanted(orders)]),
    stands: { objects: [orders] },
    want: { unchanged: 1 },
  },
  {
    name: "updates what differs",
    desired: desired([wanted(orders)]),
    stands: { objects: [withSpec(orders, { endpoints: [] })] },
    want: { update: [orders.key] },
  },
  {
    name: "puts drift back",
    desired: desired([wanted(shortcut)]),
    stands: { objects: [orders, withSpec(shortcut, { externalName: "evil.example.org" })].slice(1) },
    want: { update: [shortcut.key] },
  },
  {
    name: "deletes what is not desired",
    desired: desired([wanted(orders)], { built: new Map([[KEY, {} as never]]) }),
    stands: { objects: [orders, shortcut] },
    want: { unchanged: 1, delete: [`${shortcut.key}: no alias rule gives it any more`] },
  },
  {
    name: "says since when a deleted service was gone",
    desired: desired([]),
    stands: { objects: [withAnnotations(orders, { [GONE_SINCE_ANNOTATION]: "2026-03-01T11:00:00Z" }), shortcut] },
    want: {
      delete: [
        `${shortcut.key}: gone from its registry since 2026-03-01T11:00:00Z`,
        `${orders.key}: gone from its registry since 2026-03-01T11:00:00Z`,
      ],
    },
  },
  {
    name: "deletes an alias whose entry is gone",
    desired: desired([]),
    stands: { objects: [shortcut] },
    want: { delete: [`${shortcut.key}: its entry is gone`] },
  },
  {
    name: "keeps a service that is held",
    desired: desired([], kept),
    stands: { objects: [orders, shortcut] },
    want: { hold: [`unread ${HOST}: refused`] },
  },
  {
    name: "removes a gateway's route to a service that is held, once no rule asks for it",
    desired: desired([], kept),
    stands: {
      objects: [orders, shortcut, withAnnotations(alias(KEY, "edge/route"), { "x2istio.dev/exposure": "route" })],
    },
    want: {
      delete: ["Service/edge/route: no exposure asks for it any more"],
      hold: [`unread ${HOST}: refused`],
    },
  },
  {
    name: "keeps a single object that is held, equal or not, wanted or not",
    desired: desired([wanted(withSpec(orders, { ports: [] }))], { keptObjects: new Set([orders.key, shortcut.key]) }),
    stands: { objects: [orders, shortcut] },
    want: {},
  },
  {
    name: "does not create a single object that is held",
    desired: desired([wanted(orders)], { keptObjects: new Set([orders.key]) }),
    stands: {},
    want: {},
  },
  {
    name: "holds where someone else's object has the name",
    desired: desired([wanted(orders)]),
    stands: { foreign: [foreign("ServiceEntry", `${MESH}/${HOST}`)] },
    want: { hold: [`foreign ${orders.key}: ServiceEntry ${MESH}/${HOST} exists and is not ours`] },
  },
  {
    name: "makes an alias though someone has the companion's name",
    desired: desired([wanted(orders), wanted(companion), wanted(shortcut)]),
    stands: { objects: [orders], foreign: [foreign("ServiceEntry", `${MESH}/${HOST}-legacy`)] },
    want: {
      create: [shortcut.key],
      hold: [`foreign ${companion.key}: ServiceEntry ${MESH}/${HOST}-legacy exists and is not ours`],
      unchanged: 1,
    },
  },
  {
    name: "makes nothing that points to an entry that it cannot make",
    desired: desired([wanted(orders), wanted(shortcut), wanted(entry("dc1/shop/stock"), "dc1/shop/stock")]),
    stands: { foreign: [foreign("ServiceEntry", `${MESH}/${HOST}`)] },
    want: {
      create: [entry("dc1/shop/stock").key],
      hold: [`foreign ${orders.key}: ServiceEntry ${MESH}/${HOST} exists and is not ours`],
    },
  },
  {
    name: "never touches what is not ours",
    desired: desired([]),
    stands: { foreign: [foreign("ServiceEntry", "web/x"), foreign("Service", "web/y")] },
    want: {},
  },
  {
    name: "holds what someone took over, wanted or not",
    desired: desired([wanted(withSpec(shortcut, { ports: [] }))]),
    stands: {
      objects: [
        { ...shortcut, yielded: "it has a selector" },
        { ...orders, yielded: "its owner label changed" },
      ],
    },
    want: {
      hold: [
        `yielded ${shortcut.key}: Service shop/orders is left alone: it has a selector`,
        `yielded ${orders.key}: ${orders.key.replace("/", " ")} is left alone: its owner label changed`,
      ],
    },
  },
  {
    name: "holds what has no service annotation",
    desired: desired([]),
    stands: { objects: [bare] },
    want: { hold: [unknown] },
  },
  {
    name: "holds what has a malformed service annotation",
    desired: desired([]),
    stands: { objects: [malformed] },
    want: { hold: [unknown] },
  },
  {
    name: "holds what has no service annotation also where it is wanted",
    desired: desired([wanted(orders)]),
    stands: { objects: [bare] },
    want: { hold: [unknown] },
  },
];
for (const { name, desired, stands, want } of cases) {
  test(`plan() ${name}`, () => assert.deepEqual(summary(plan(desired, standing(stands))), { ...nothing, ...want }));
}

test("plan() sorts its changes by key", () => {
  const objects = ["c", "a", "b"].map((name) => wanted(entry(`dc1/shop/${name}`)));
  const old = ["f", "d", "e"].map((name) => entry(`dc1/shop/${name}`));
  const { create, delete: remove } = plan(desired(objects), standing({ objects: old }));
  assert.deepEqual(
    create.map(({ object }) => object.key),
    create.map(({ object }) => object.key).toSorted(),
  );
  assert.deepEqual(
    remove.map(({ standing }) => standing.key),
    remove.map(({ standing }) => standing.key).toSorted(),
  );
});

test("plan() leaves its inputs untouched", () => {
  const freeze = (value: unknown): void => {
    if (typeof value === "object" && value !== null) Object.values(Object.freeze(value)).forEach(freeze);
  };
  const objects = [wanted(orders)];
  const stands = standing({ objects: [withSpec(orders, { endpoints: [] }), shortcut] });
  const wish = desired(objects);
  freeze(wish.objects);
  for (const object of stands.objects.values()) freeze(object);
  assert.doesNotThrow(() => plan(wish, stands));
});

test("plan() remembers what was equal by identity, and looks again at a new version", () => {
  const memory = planMemory();
  const object = wanted(orders);
  plan(desired([object]), standing({ objects: [orders] }), memory);
  assert.equal(memory.equal.get(object), orders);
  const drifted = withSpec(orders, { endpoints: [] });
  assert.equal(plan(desired([object]), standing({ objects: [drifted] }), memory).update.length, 1);
});

const same = [
  { name: "an equal object", live: orders, want: true },
  {
    name: "another person's label and annotation",
    live: withAnnotations(withLabels(orders, { ...orders.manifest.metadata.labels, team: "a" }), {
      "example.org/a": "b",
    }),
    want: true,
  },
  { name: "a further field of an entry's spec", live: withSpec(orders, { subjectAltNames: ["x"] }), want: false },
  { name: "an endpoint less", live: withSpec(orders, { endpoints: [] }), want: false },
  { name: "a label of ours that is missing", live: withLabels(orders, {}), want: false },
  {
    name: "a mark of ours that is not wanted",
    live: withAnnotations(orders, { [GONE_SINCE_ANNOTATION]: "2026-03-01T11:00:00Z" }),
    want: false,
  },
];
for (const { name, live, want } of same) {
  test(`sameObject() of ${name} is ${want}`, () => assert.equal(sameObject(wanted(orders), live), want));
}

const sameAlias = [
  {
    name: "the API server's defaults",
    spec: { sessionAffinity: "None", ports: [{ name: "http-web", port: 8080, protocol: "TCP", targetPort: 8080 }] },
    want: true,
  },
  {
    name: "a further port",
    spec: {
      ports: [
        { name: "http-web", port: 8080, protocol: "TCP" },
        { name: "b", port: 1, protocol: "TCP" },
      ],
    },
    want: false,
  },
  { name: "another target", spec: { externalName: "x.example.org" }, want: false },
];
for (const { name, spec, want } of sameAlias) {
  test(`sameObject() of an alias with ${name} is ${want}`, () =>
    assert.equal(sameObject(wanted(shortcut), withSpec(shortcut, spec)), want));
}

const values: { a: unknown; b: unknown; want: boolean; covers?: boolean }[] = [
  { a: { a: 1, b: [1, { c: 2 }] }, b: { b: [1, { c: 2 }], a: 1 }, want: true },
  { a: { a: 1, b: undefined }, b: { a: 1 }, want: true },
  { a: { a: 1, b: 2 }, b: { a: 1 }, want: false, covers: true },
  { a: { a: 1 }, b: { a: 1, b: 2 }, want: false },
  { a: [1, 2], b: [2, 1], want: false },
  { a: [1], b: [1, 2], want: false },
  { a: {}, b: [], want: false },
  { a: null, b: {}, want: false },
  { a: 1, b: "1", want: false },
];
for (const { a, b, want, covers = want } of values) {
  test(`sameValue() of ${JSON.stringify(a)} and ${JSON.stringify(b)} is ${want}, hasFields() ${covers}`, () => {
    assert.equal(sameValue(a, b), want);
    assert.equal(hasFields(a, b), covers);
  });
}
