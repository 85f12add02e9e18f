import assert from "node:assert/strict";
import { test } from "node:test";
import {
  EMPTY_SINCE_ANNOTATION,
  type EntryEndpoint,
  GONE_SINCE_ANNOTATION,
  PROVENANCE_ANNOTATION,
  type ServiceEntry,
  SUCCEEDED_BY_ANNOTATION,
} from "../../../src/model/objects.ts";
import type { Change, Delete, Plan, PolicedPlan, Update } from "../../../src/model/plan.ts";
import type { StandingObject } from "../../../src/model/standing.ts";
import type { Authority } from "../../../src/plan/catalog/catalog.ts";
import type { PolicyOptions } from "../../../src/plan/policy/changes.ts";
import { isMarkOnly } from "../../../src/plan/policy/marks.ts";
import { applyPolicy } from "../../../src/plan/policy/policy.ts";
import { alias, at, type EntryFields, entry, HOUR_MS, NOW_MS, standing } from "../build.ts";

const options: PolicyOptions = {
  mode: "sync",
  maxDeletePercent: 20,
  minDeletes: 2,
  maxShrinkPercent: 50,
  minShrinks: 3,
  keepEmptyMs: HOUR_MS,
  allowDeletes: new Set(),
  nowMs: NOW_MS,
};
const now = at(NOW_MS);
const ago = (ms: number) => at(NOW_MS - ms);

/** The n-th service of a registry as it stands. */
const stood = (n: number, fields: EntryFields = {}, registry = "dc1") => entry(`${registry}/shop/s${n}`, fields);
const fixture = (count: number, marked: Readonly<Record<number, EntryFields>> = {}, registry = "dc1") =>
  Array.from({ length: count }, (_, n) => stood(n, marked[n], registry));
const marked = (name: string, since: string): EntryFields => ({ endpoints: [], annotations: { [name]: since } });

function update(
  object: StandingObject,
  spec: Partial<ServiceEntry["spec"]>,
  annotations: Readonly<Record<string, string>> = {},
): Update {
  const { key, service = "", registry, manifest } = object;
  const { metadata } = manifest;
  const next = {
    ...manifest,
    metadata: { ...metadata, annotations: { ...metadata.annotations, ...annotations } },
    spec: { ...manifest.spec, ...spec },
  } as ServiceEntry;
  return { kind: "update", object: { key, service, registry, manifest: next }, standing: object };
}

const vanish = (object: StandingObject) => update(object, { endpoints: [] }, { [GONE_SINCE_ANNOTATION]: now });
const empty = (object: StandingObject) => update(object, { endpoints: [] }, { [EMPTY_SINCE_ANNOTATION]: now });
const remove = (standing: StandingObject): Delete => ({ kind: "delete", standing, why: "…" });

function planOf(changes: readonly Change[]): Plan {
  return {
    create: changes.filter((one) => one.kind === "create"),
    update: changes.filter((one) => one.kind === "update"),
    delete: changes.filter((one) => one.kind === "delete"),
    hold: [],
    unchanged: 0,
  };
}

interface Given {
  readonly stands: readonly StandingObject[];
  readonly changes: readonly Change[];
  /** Services that the registry listed; 9 unless said. */
  readonly listed?: number;
  readonly options?: Partial<PolicyOptions>;
}

function police({ stands, changes, listed = 9, options: more = {} }: Given): PolicedPlan {
  const authority: Authority = { state: "complete", listed };
  const authorities = new Map([
    ["dc1", authority],
    ["prod", { state: "complete", listed: 9 } satisfies Authority],
  ]);
  return applyPolicy(planOf(changes), standing({ objects: stands }), authorities, {
    ...options,
    ...more,
  });
}

function written({ create, update, delete: removed }: PolicedPlan): readonly string[] {
  return [
    ...create.map(({ object }) => object.key),
    ...update.filter((change) => !isMarkOnly(change)).map(({ object }) => object.key),
    ...removed.map(({ standing }) => standing.key),
  ].map((key) => key.replace(/^.*\/(s\d+).*$/, "$1"));
}

const ten = fixture(10);
const five = fixture(5);
const [t0, t1, t2] = ten as [StandingObject, StandingObject, StandingObject];
const recent = marked(GONE_SINCE_ANNOTATION, ago(HOUR_MS - 1000));
const expired = marked(GONE_SINCE_ANNOTATION, ago(HOUR_MS));

const INSIDE = {
  "x2istio.dev/effective-stage": "inside",
  "x2istio.dev/effective-claimant": "shop/s-v2",
};
const inside: EntryFields = { annotations: INSIDE };
const insideAndEmpty: EntryFields = { endpoints: [], annotations: { ...INSIDE, [EMPTY_SINCE_ANNOTATION]: ago(1000) } };

/** A gateway's route to the n-th service. */
function routeOf(n: number): StandingObject {
  const route = alias(`dc1/shop/s${n}`, `mesh-services/s${n}-route`);
  const { metadata } = route.manifest;
  const annotations = { ...metadata.annotations, "x2istio.dev/exposure": `s${n}-route` };
  return { ...route, manifest: { ...route.manifest, metadata: { ...metadata, annotations } } as typeof route.manifest };
}

/** A service that was empty or gone and has an endpoint again. */
function back(object: StandingObject): Update {
  const made = update(object, { endpoints: [{ address: "192.0.2.1" }] });
  const { metadata } = made.object.manifest;
  const { [GONE_SINCE_ANNOTATION]: _, [EMPTY_SINCE_ANNOTATION]: __, ...annotations } = metadata.annotations ?? {};
  const manifest = { ...made.object.manifest, metadata: { ...metadata, annotations } } as ServiceEntry;
  return { ...made, object: { ...made.object, manifest } };
}

const cases: (Given & { name: string; want: readonly string[]; brake?: string })[] = [
  {
    name: "lets up to minDeletes go, whatever part that is",
    stands: fixture(2),
    changes: fixture(2).map(empty),
    want: ["s0", "s1"],
  },
  {
    name: "lets up to maxDeletePercent go, however many that are",
    stands: fixture(50),
    changes: fixture(10).map(vanish),
    want: fixture(10).map((_, n) => `s${n}`),
  },
  {
    name: "holds what is past both limits",
    stands: ten,
    changes: [vanish(t0), empty(t1), vanish(t2)],
    want: [],
    brake: "brake: 3 of 10 services of registry dc1 vanished or lost their last endpoint, more than 20 %",
  },
  {
    name: "counts what vanished or was emptied in the window",
    stands: fixture(10, { 8: recent, 9: marked(EMPTY_SINCE_ANNOTATION, ago(60_000)) }),
    changes: [vanish(t0)],
    want: [],
    brake: "brake: 3 of 10 services of registry dc1 vanished or lost their last endpoint, more than 20 %",
  },
  {
    name: "does not count what is older than the window",
    stands: fixture(10, { 8: expired, 9: marked(EMPTY_SINCE_ANNOTATION, ago(2 * HOUR_MS)) }),
    changes: [vanish(t0)],
    want: ["s0"],
  },
  {
    name: "does not count a mark that cannot be read",
    stands: fixture(10, { 8: marked(GONE_SINCE_ANNOTATION, "x"), 9: marked(EMPTY_SINCE_ANNOTATION, "y") }),
    changes: [vanish(t0)],
    want: ["s0"],
  },
  {
    name: "counts registries apart",
    stands: [...fixture(10), ...fixture(10, {}, "prod")],
    changes: [vanish(t0), vanish(t1), ...fixture(2, {}, "prod").map(vanish)],
    want: ["s0", "s1", "s0", "s1"],
  },
  {
    name: "brakes one registry and not the other",
    stands: [...fixture(10), ...fixture(10, {}, "prod")],
    changes: [...[t0, t1, t2].map(vanish), vanish(stood(4, {}, "prod"))],
    want: ["s4"],
    brake: "brake: 3 of 10 services of registry dc1 vanished or lost their last endpoint, more than 20 %",
  },
  {
    name: "goes on updating the rest",
    stands: ten,
    changes: [
      ...[t0, t1, t2].map(vanish),
      update(stood(5), { endpoints: [{ address: "192.0.2.1" }, { address: "192.0.2.2" }] }),
    ],
    want: ["s5"],
    brake: "brake: 3 of 10 services of registry dc1 vanished or lost their last endpoint, more than 20 %",
  },
  {
    name: "always holds an empty list",
    stands: fixture(1),
    changes: [vanish(t0)],
    listed: 0,
    want: [],
    brake: "brake: registry dc1 lists no service any more, 1 stand",
  },
  {
    name: "holds an empty list also after its services were emptied",
    stands: fixture(2, {
      0: marked(EMPTY_SINCE_ANNOTATION, ago(60_000)),
      1: marked(EMPTY_SINCE_ANNOTATION, ago(9 * HOUR_MS)),
    }),
    changes: [
      vanish(stood(0, marked(EMPTY_SINCE_ANNOTATION, ago(60_000)))),
      vanish(stood(1, marked(EMPTY_SINCE_ANNOTATION, ago(9 * HOUR_MS)))),
    ],
    listed: 0,
    want: [],
    brake: "brake: registry dc1 lists no service any more, 2 stand",
  },
  {
    name: "counts a service once that is emptied and then vanishes",
    stands: fixture(10, { 0: marked(EMPTY_SINCE_ANNOTATION, ago(60_000)) }),
    changes: [vanish(stood(0, marked(EMPTY_SINCE_ANNOTATION, ago(60_000)))), vanish(t1)],
    want: ["s0", "s1"],
  },
  {
    name: "counts a service that vanishes long after it was emptied",
    stands: fixture(10, { 0: marked(EMPTY_SINCE_ANNOTATION, ago(9 * HOUR_MS)) }),
    changes: [vanish(stood(0, marked(EMPTY_SINCE_ANNOTATION, ago(9 * HOUR_MS)))), vanish(t1), vanish(t2)],
    want: [],
    brake: "brake: 3 of 10 services of registry dc1 vanished or lost their last endpoint, more than 20 %",
  },
  {
    name: "counts a service that vanishes and never had an endpoint",
    stands: fixture(10, { 0: { endpoints: [] } }),
    changes: [vanish(stood(0, { endpoints: [] })), vanish(t1), vanish(t2)],
    want: [],
    brake: "brake: 3 of 10 services of registry dc1 vanished or lost their last endpoint, more than 20 %",
  },
  {
    name: "does not count a tombstone that returns empty",
    stands: fixture(10, { 0: recent, 1: recent, 2: recent }),
    changes: [update(stood(0, recent), { endpoints: [] }, { [EMPTY_SINCE_ANNOTATION]: now })],
    want: ["s0"],
  },
  {
    name: "deletes a tombstone while there is no brake",
    stands: fixture(10, { 0: expired }),
    changes: [remove(stood(0, expired)), remove(alias("dc1/shop/s0", "apps/s0"))],
    want: ["s0", "s0"],
  },
  {
    name: "deletes no tombstone while the brake is on",
    stands: fixture(10, { 0: expired }),
    changes: [
      remove(stood(0, expired)),
      remove(alias("dc1/shop/s0", "apps/s0")),
      ...[1, 2, 3].map((n) => vanish(stood(n))),
    ],
    want: [],
    brake: "brake: 3 of 10 services of registry dc1 vanished or lost their last endpoint, more than 20 %",
  },
  {
    name: "deletes no tombstone while marks alone keep the brake on",
    stands: fixture(10, { 0: expired, 1: recent, 2: recent, 3: recent }),
    changes: [remove(stood(0, expired))],
    want: [],
    brake: "brake: 3 of 10 services of registry dc1 vanished or lost their last endpoint, more than 20 %",
  },
  {
    name: "removes an alias whose rule is gone while the brake is on",
    stands: [...ten, alias("dc1/shop/s9", "apps/s9")],
    changes: [remove(alias("dc1/shop/s9", "apps/s9")), ...[t0, t1, t2].map(vanish)],
    want: ["s9"],
    brake: "brake: 3 of 10 services of registry dc1 vanished or lost their last endpoint, more than 20 %",
  },
  {
    name: "lets all go when the operator released the brake",
    stands: five,
    changes: five.map(vanish),
    listed: 0,
    options: { allowDeletes: new Set(["dc1"]) },
    want: ["s0", "s1", "s2", "s3", "s4"],
  },
  {
    name: "keeps the brake that the operator did not release",
    stands: five,
    changes: five.map(vanish),
    listed: 0,
    options: { allowDeletes: new Set(["prod"]) },
    want: [],
    brake: "brake: registry dc1 lists no service any more, 5 stand",
  },
  {
    name: "takes limits as they are configured",
    stands: ten,
    changes: [vanish(t0)],
    options: { maxDeletePercent: 5, minDeletes: 0 },
    want: [],
    brake: "brake: 1 of 10 services of registry dc1 vanished or lost their last endpoint, more than 5 %",
  },
  {
    name: "never empties or deletes the vanished in upsert-only",
    stands: fixture(10, { 5: expired }),
    changes: [vanish(t0), remove(stood(5, expired)), empty(t1)],
    options: { mode: "upsert-only" },
    want: ["s1"],
  },
  {
    name: "removes an alias whose rule is gone in upsert-only, and none of the vanished",
    stands: [...fixture(10, { 5: expired }), alias("dc1/shop/s9", "apps/s9"), alias("dc1/shop/s5", "apps/s5")],
    changes: [
      remove(alias("dc1/shop/s9", "apps/s9")),
      remove(alias("dc1/shop/s5", "apps/s5")),
      remove(stood(5, expired)),
    ],
    options: { mode: "upsert-only" },
    want: ["s9"],
  },
  {
    name: "keeps an alias in upsert-only whose entry someone removed",
    stands: [alias("dc1/shop/s0", "apps/s0")],
    changes: [remove(alias("dc1/shop/s0", "apps/s0"))],
    options: { mode: "upsert-only" },
    want: [],
  },
  {
    name: "removes a gateway's route in upsert-only that the configuration has no more",
    stands: [routeOf(0), ...fixture(10, { 5: expired }), routeOf(5)],
    changes: [remove(routeOf(0)), remove(routeOf(5)), remove(stood(5, expired)), remove(routeOf(11))],
    options: { mode: "upsert-only" },
    want: ["s0", "s5", "s11"],
  },
  {
    name: "takes the percentage of the services that are outside",
    stands: fixture(10, Object.fromEntries([2, 3, 4, 5, 6, 7, 8, 9].map((n) => [n, inside]))),
    changes: [vanish(t0)],
    options: { minDeletes: 0 },
    want: [],
    brake: "brake: 1 of 2 services of registry dc1 vanished or lost their last endpoint, more than 20 %",
  },
  {
    name: "lets all services go that are inside, and does not count them",
    stands: fixture(10, Object.fromEntries([0, 1, 2, 3].map((n) => [n, inside]))),
    changes: [...[0, 1, 2, 3].map((n) => vanish(stood(n, inside))), vanish(stood(4))],
    options: { minDeletes: 0 },
    want: ["s0", "s1", "s2", "s3", "s4"],
  },
  {
    name: "does not count a service inside that was emptied",
    stands: fixture(10, { 8: insideAndEmpty, 9: insideAndEmpty }),
    changes: [vanish(t0)],
    options: { minDeletes: 0 },
    want: ["s0"],
  },
  {
    name: "does not count services that are back with this plan",
    stands: fixture(10, { 7: recent, 8: recent, 9: marked(EMPTY_SINCE_ANNOTATION, ago(1000)) }),
    changes: [vanish(t0), back(stood(8, recent)), back(stood(9, marked(EMPTY_SINCE_ANNOTATION, ago(1000))))],
    want: ["s0", "s8", "s9"],
  },
  {
    name: "counts services that only have other marks with this plan",
    stands: fixture(10, { 8: recent, 9: recent }),
    changes: [vanish(t0), update(stood(8, recent), { endpoints: [] }, { [EMPTY_SINCE_ANNOTATION]: now })],
    want: ["s8"],
    brake: "brake: 3 of 10 services of registry dc1 vanished or lost their last endpoint, more than 20 %",
  },
  {
    name: "deletes a tombstone of a registry beside that with the brake on",
    stands: [...fixture(10), ...fixture(10, { 0: expired }, "prod")],
    changes: [...[t1, t2, stood(3)].map(vanish), remove(stood(0, expired, "prod"))],
    want: ["s0"],
    brake: "brake: 3 of 10 services of registry dc1 vanished or lost their last endpoint, more than 20 %",
  },
  {
    name: "deletes the last tombstone of a registry that lists nothing",
    stands: fixture(1, { 0: expired }),
    changes: [remove(stood(0, expired))],
    listed: 0,
    want: ["s0"],
  },
  {
    name: "lets exactly minDeletes go, and holds one more",
    stands: fixture(4),
    changes: [vanish(stood(0)), vanish(stood(1)), vanish(stood(2))],
    want: [],
    brake: "brake: 3 of 4 services of registry dc1 vanished or lost their last endpoint, more than 20 %",
  },
  {
    name: "holds one more than maxDeletePercent",
    stands: fixture(50),
    changes: fixture(11).map(vanish),
    want: [],
    brake: "brake: 11 of 50 services of registry dc1 vanished or lost their last endpoint, more than 20 %",
  },
  {
    name: "polices a dry run like any other",
    stands: ten,
    changes: [t0, t1, t2].map(vanish),
    options: { mode: "dry-run" },
    want: [],
    brake: "brake: 3 of 10 services of registry dc1 vanished or lost their last endpoint, more than 20 %",
  },
];
for (const { name, want, brake, ...given } of cases) {
  test(`applyPolicy() ${name}`, () => {
    const policed = police(given);
    assert.deepEqual(written(policed), want);
    assert.deepEqual(
      policed.brakes.filter(({ kind }) => kind === "services").map(({ message }) => message),
      brake === undefined ? [] : [brake],
    );
  });
}

test("applyPolicy() holds each service once, and says how to release the brake", () => {
  const { hold, unchanged } = police({
    stands: [...ten, alias("dc1/shop/s0", "apps/s0")],
    changes: [t0, t1, t2].map(vanish),
  });
  assert.deepEqual(
    hold.map(({ reason, subject, service, registry }) => ({ reason, subject, service, registry })),
    ["s0", "s1", "s2"].map((one) => ({
      reason: "brake",
      subject: `${one}.shop.dc1.mesh.internal`,
      service: `dc1/shop/${one}`,
      registry: "dc1",
    })),
  );
  assert.ok(
    hold.every(({ message }) => message.endsWith("more than 20 %; x2istio apply --allow-deletes dc1 releases it")),
  );
  assert.equal(unchanged, 3);
});

test("applyPolicy() says in upsert-only what is held", () => {
  const { hold } = police({ stands: ten, changes: [vanish(t0)], options: { mode: "upsert-only" } });
  assert.deepEqual(
    hold.map(({ reason, message }) => `${reason}: ${message}`),
    ["upsert-only: policy.mode is upsert-only: nothing that vanished is emptied or deleted"],
  );
});

const MINUTE_MS = 60_000;

// The brake on endpoints from here on.
const list = (from: number, to: number): EntryEndpoint[] =>
  Array.from({ length: to - from }, (_, n) => ({ address: `192.0.${from >> 8}.${from + n}` }));
/** Ten endpoints, unless said. */
const full = (n: number, fields: EntryFields = {}, registry = "dc1") =>
  stood(n, { endpoints: list(0, 10), ...fields }, registry);
const five10 = [0, 1, 2, 3, 4].map((n) => full(n));
const to = (n: number, count: number, fields: EntryFields = {}) =>
  update(full(n, fields), { endpoints: list(0, count) });
const shrunk = (from: number, ms: number): EntryFields => ({
  endpoints: list(0, 1),
  annotations: { "x2istio.dev/shrunk-from": `${from} ${ago(ms)}` },
});
const range = (from: number, end: number) => Array.from({ length: end - from }, (_, n) => from + n);
/** Ten endpoints, of which the registry has listed some for so many minutes. */
const heldLoss = (from: number, listed: number, minutes: number): EntryFields => ({
  annotations: { "x2istio.dev/held-loss": `${from} ${listed} ${ago(minutes * MINUTE_MS)}` },
});
const endpointCases: (Given & {
  name: string;
  /** Endpoints of each change that is written. */
  want: Readonly<Record<string, number>>;
  brake?: string;
})[] = [
  { name: "lets one service lose what it will", stands: five10, changes: [to(0, 1)], want: { s0: 1 } },
  { name: "lets a lone service lose what it will", stands: [full(0)], changes: [to(0, 1)], want: { s0: 1 } },
  {
    name: "lets up to minDeletes services lose what they will",
    stands: [full(0), full(1)],
    changes: [to(0, 1), to(1, 1)],
    want: { s0: 1, s1: 1 },
  },
  {
    name: "lets half go",
    stands: [0, 1, 2, 3].map((n) => full(n)),
    changes: [0, 1, 2, 3].map((n) => to(n, 5)),
    want: { s0: 5, s1: 5, s2: 5, s3: 5 },
  },
  {
    name: "holds more than half, and nothing of a service that does not shrink",
    stands: five10,
    changes: [
      ...[0, 1, 2].map((n) => to(n, 1)),
      update(full(3), { endpoints: list(50, 60) }),
      update(full(4), { endpoints: list(0, 11) }),
    ],
    want: { s3: 10, s4: 11 },
    brake:
      "brake: 3 of 5 services of registry dc1 would lose endpoints at once, 54 % of all if each service counts alike, more than 50 %",
  },
  {
    name: "adds endpoints and keeps the lost ones",
    stands: [full(0), full(1), full(2)],
    changes: [update(full(0), { endpoints: list(60, 61) }), to(1, 1), to(2, 1)],
    want: { s0: 11 },
    brake:
      "brake: 3 of 3 services of registry dc1 would lose endpoints at once, 90 % of all if each service counts alike, more than 50 %",
  },
  {
    name: "counts a service with a thousand endpoints as one among ten",
    stands: [full(0, { endpoints: list(0, 1000) }), ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => full(n))],
    changes: [
      update(full(0, { endpoints: list(0, 1000) }), { endpoints: list(0, 1) }),
      ...[1, 2, 3].map((n) => to(n, 9)),
    ],
    want: { s0: 1, s1: 9, s2: 9, s3: 9 },
  },
  {
    name: "is not thinned out by a service with a thousand endpoints",
    stands: [full(0, { endpoints: list(0, 1000) }), ...[1, 2, 3, 4].map((n) => full(n))],
    changes: [1, 2, 3].map((n) => to(n, 1)),
    want: {},
    brake:
      "brake: 3 of 5 services of registry dc1 would lose endpoints at once, 54 % of all if each service counts alike, more than 50 %",
  },
  {
    name: "counts what services lost in the last minute, as it stands on their entries",
    stands: [full(0, shrunk(10, MINUTE_MS - 1000)), full(1, shrunk(10, 1000)), ...[2, 3, 4].map((n) => full(n))],
    changes: [to(2, 1)],
    want: {},
    brake:
      "brake: 3 of 5 services of registry dc1 would lose endpoints at once, 54 % of all if each service counts alike, more than 50 %",
  },
  {
    name: "does not count what was lost longer ago",
    stands: [full(0, shrunk(10, MINUTE_MS)), full(1, shrunk(10, 1000)), ...[2, 3, 4].map((n) => full(n))],
    changes: [to(2, 1)],
    want: { s2: 1 },
  },
  {
    name: "does not count what was lost before keepEmpty",
    stands: [full(0, shrunk(10, 5000)), full(1, shrunk(10, 5000)), ...[2, 3, 4].map((n) => full(n))],
    changes: [to(2, 1)],
    options: { keepEmptyMs: 5000 },
    want: { s2: 1 },
  },
  {
    name: "takes no mark that cannot be read",
    stands: ["", "10", `ten ${ago(1000)}`, "10 yesterday"]
      .map((text, n) => full(n, { endpoints: list(0, 1), annotations: { "x2istio.dev/shrunk-from": text } }))
      .concat(full(4)),
    changes: [to(4, 1)],
    want: { s4: 1 },
  },
  {
    name: "counts registries apart",
    stands: [...five10, ...[0, 1, 2, 3, 4].map((n) => full(n, {}, "prod"))],
    changes: [to(0, 1), to(1, 1), update(full(2, {}, "prod"), { endpoints: list(0, 1) })],
    want: { s0: 1, s1: 1, s2: 1 },
  },
  {
    name: "believes a service that shrinks while another brake keeps others",
    stands: Array.from({ length: 10 }, (_, n) => full(n)),
    changes: [...[0, 1, 2, 3, 4, 5].map((n) => vanish(full(n))), to(6, 1)],
    want: { s6: 1 },
    brake: "brake: 6 of 10 services of registry dc1 vanished or lost their last endpoint, more than 20 %",
  },
  {
    name: "counts what another brake keeps neither as lost nor as there",
    stands: Array.from({ length: 10 }, (_, n) => full(n)),
    changes: [...[0, 1, 2, 3, 4, 5].map((n) => vanish(full(n))), ...[6, 7, 8, 9].map((n) => to(n, 1))],
    want: {},
    brake:
      "brake: 6 of 10 services of registry dc1 vanished or lost their last endpoint, more than 20 %; brake: 4 of 4 services of registry dc1 would lose endpoints at once, 90 % of all if each service counts alike, more than 50 %",
  },
  {
    name: "does not believe the first service of a lost registry that returns in part",
    stands: Array.from({ length: 10 }, (_, n) => full(n)),
    changes: [...range(0, 9).map((n) => vanish(full(n))), to(9, 1)],
    want: {},
    brake:
      "brake: 9 of 10 services of registry dc1 vanished or lost their last endpoint, more than 20 %; brake: 1 of 1 services of registry dc1 would lose endpoints at once, 90 % of all if each service counts alike, more than 50 %",
  },
  {
    name: "is not counted as there by the other brake",
    stands: Array.from({ length: 50 }, (_, n) => full(n)),
    changes: [...range(0, 3).map((n) => vanish(full(n))), ...range(3, 40).map((n) => to(n, 1))],
    want: {},
    brake:
      "brake: 3 of 50 services of registry dc1 vanished or lost their last endpoint, more than 20 %; brake: 37 of 47 services of registry dc1 would lose endpoints at once, 71 % of all if each service counts alike, more than 50 %",
  },
  {
    name: "keeps what it keeps until it is whole, though the rest is back",
    stands: [full(0, heldLoss(10, 1, 5)), ...[1, 2, 3, 4].map((n) => full(n))],
    changes: [to(0, 7, heldLoss(10, 1, 5))],
    want: {},
    brake: "brake: 1 of 5 services of registry dc1 lost endpoints suddenly and do not have them back",
  },
  {
    name: "lets the old places go once a service has as many again in others",
    stands: [full(0, { ...heldLoss(10, 1, 5), endpoints: list(0, 15) }), ...[1, 2, 3, 4].map((n) => full(n))],
    changes: [update(full(0, { ...heldLoss(10, 1, 5), endpoints: list(0, 15) }), { endpoints: list(10, 20) })],
    want: { s0: 10 },
  },
  {
    name: "ends by itself once the registry has said the same for ten minutes",
    stands: range(0, 5).map((n) => full(n, heldLoss(10, 1, 10))),
    changes: range(0, 5).map((n) => to(n, 1, heldLoss(10, 1, 10))),
    want: { s0: 1, s1: 1, s2: 1, s3: 1, s4: 1 },
  },
  {
    name: "ends by itself after releaseAfter",
    stands: range(0, 5).map((n) => full(n, heldLoss(10, 1, 1))),
    changes: range(0, 5).map((n) => to(n, 1, heldLoss(10, 1, 1))),
    options: { releaseAfterMs: MINUTE_MS },
    want: { s0: 1, s1: 1, s2: 1, s3: 1, s4: 1 },
  },
  {
    name: "goes on for a service that has lost more meanwhile",
    stands: range(0, 5).map((n) => full(n, heldLoss(10, 5, 10))),
    changes: [to(0, 4, heldLoss(10, 5, 10)), ...range(1, 5).map((n) => to(n, 5, heldLoss(10, 5, 10)))],
    want: { s1: 5, s2: 5, s3: 5, s4: 5 },
    brake: "brake: 1 of 5 services of registry dc1 lost endpoints suddenly and do not have them back",
  },
  {
    name: "takes no mark of a time to come, by which it would never end",
    stands: [full(0, heldLoss(10, 1, -5)), ...[1, 2, 3, 4].map((n) => full(n))],
    changes: [to(0, 1, heldLoss(10, 1, -5))],
    want: { s0: 1 },
  },
  {
    name: "lets all go when the operator released the brake",
    stands: five10,
    changes: five10.map((_, n) => to(n, 1)),
    options: { allowDeletes: new Set(["dc1"]) },
    want: { s0: 1, s1: 1, s2: 1, s3: 1, s4: 1 },
  },
  {
    name: "lets endpoints of services inside go, and counts neither them nor what is left",
    stands: [...[0, 1, 2].map((n) => full(n, inside)), ...[3, 4, 5].map((n) => full(n))],
    changes: [...[0, 1, 2].map((n) => to(n, 0, inside)), ...[3, 4, 5].map((n) => to(n, 1))],
    want: { s0: 0, s1: 0, s2: 0 },
    brake:
      "brake: 3 of 3 services of registry dc1 would lose endpoints at once, 90 % of all if each service counts alike, more than 50 %",
  },
  {
    name: "drops a kept endpoint's port that the service has no more",
    stands: [
      full(0, { endpoints: [...list(0, 9), { address: "192.0.2.9", ports: { "http-web": 1 } }] }),
      full(1),
      full(2),
    ],
    changes: [
      update(full(0, { endpoints: [...list(0, 9), { address: "192.0.2.9", ports: { "http-web": 1 } }] }), {
        endpoints: list(0, 1),
        ports: [{ name: "tcp-web", number: 1, protocol: "TCP" }],
      }),
      to(1, 1),
      to(2, 1),
    ],
    want: { s0: 9 },
    brake:
      "brake: 3 of 3 services of registry dc1 would lose endpoints at once, 90 % of all if each service counts alike, more than 50 %",
  },
  {
    name: "knows an endpoint whose ports come in another order",
    stands: [
      full(0, { endpoints: [{ address: "192.0.2.0", ports: { a: 1, b: 2 } }, ...list(1, 9)] }),
      full(1),
      full(2),
    ],
    changes: [
      update(full(0, { endpoints: [{ address: "192.0.2.0", ports: { a: 1, b: 2 } }, ...list(1, 9)] }), {
        endpoints: [{ address: "192.0.2.0", ports: { b: 2, a: 1 }, weight: 2 }],
        ports: ["a", "b"].map((name, n) => ({ name, number: n + 1, protocol: "TCP" })),
      }),
      to(1, 1),
      to(2, 1),
    ],
    want: { s0: 9 },
    brake:
      "brake: 3 of 3 services of registry dc1 would lose endpoints at once, 90 % of all if each service counts alike, more than 50 %",
  },
];
for (const { name, want, brake, ...given } of endpointCases) {
  test(`applyPolicy() on endpoints ${name}`, () => {
    const policed = police(given);
    const messages = policed.brakes.map(({ message }) => message.replace(/; it ends by itself at .*$/, ""));
    assert.deepEqual(messages.join("; "), brake ?? "");
    const changes = policed.update.filter((change) => !isMarkOnly(change));
    const left = changes.map(({ object }) => [
      object.service.split("/")[2],
      (object.manifest as ServiceEntry).spec.endpoints?.length,
    ]);
    assert.deepEqual(Object.fromEntries(left), want);
    for (const { manifest } of policed.update.map(({ object }) => object))
      assert.equal(manifest.metadata.annotations?.[GONE_SINCE_ANNOTATION], undefined);
  });
}

/** What stands on the entry of the first service once it is written. */
function markOf(given: Given): string | undefined {
  const [change] = police(given).update;
  return change?.object.manifest.metadata.annotations?.["x2istio.dev/shrunk-from"];
}

const marks: readonly { name: string; given: Given; want: string | undefined }[] = [
  { name: "how many it had, and since when", given: { stands: five10, changes: [to(0, 4)] }, want: `10 ${now}` },
  {
    name: "the first number, while it goes on shrinking",
    given: {
      stands: [full(0, { ...shrunk(10, 1000), endpoints: list(0, 6) })],
      changes: [to(0, 4, { ...shrunk(10, 1000), endpoints: list(0, 6) })],
    },
    want: `10 ${ago(1000)}`,
  },
  {
    name: "a new one after a while",
    given: {
      stands: [full(0, { ...shrunk(10, MINUTE_MS), endpoints: list(0, 6) })],
      changes: [to(0, 4, { ...shrunk(10, MINUTE_MS), endpoints: list(0, 6) })],
    },
    want: `6 ${now}`,
  },
  {
    name: "none where the operator let it go",
    given: { stands: five10, changes: [to(0, 4)], options: { allowDeletes: new Set(["dc1"]) } },
    want: undefined,
  },
  {
    name: "none where the brake keeps what it loses",
    given: {
      stands: five10,
      changes: [update(full(0), { endpoints: list(60, 61) }), ...[1, 2, 3].map((n) => to(n, 1))],
    },
    want: undefined,
  },
];
for (const { name, given, want } of marks)
  test(`applyPolicy() on endpoints writes on an entry that shrinks ${name}`, () => assert.equal(markOf(given), want));

test("applyPolicy() on endpoints holds a merged entry as a whole: its endpoints are told apart by their order", () => {
  const merged = full(0, { annotations: { [PROVENANCE_ANNOTATION]: "dc1=5,prod=5" } });
  const change = update(merged, { endpoints: list(60, 61) }, { [PROVENANCE_ANNOTATION]: "dc1=1" });
  const policed = police({ stands: [merged, full(1), full(2)], changes: [change, to(1, 1), to(2, 1)] });
  const places = policed.update.map(({ object }) => (object.manifest as ServiceEntry).spec.endpoints);
  assert.deepEqual([places.map((one) => one?.length), policed.hold.length], [[10, 10, 10], 3]);
  assert.ok(policed.update.every(isMarkOnly));
});

const heldMarkOf = ({ update }: PolicedPlan, n: number, name = "held-loss") =>
  update.find(({ object }) => object.service === `dc1/shop/s${n}`)?.object.manifest.metadata.annotations?.[
    `x2istio.dev/${name}`
  ];

for (const { name, merged } of [
  { name: "a merged service", merged: { [PROVENANCE_ANNOTATION]: "dc1=" } },
  { name: "a service", merged: {} },
])
  test(`applyPolicy() keeps the heir's endpoints of ${name} that came back, but not that it is gone`, () => {
    const gone = full(0, {
      annotations: { [GONE_SINCE_ANNOTATION]: ago(1000), [SUCCEEDED_BY_ANNOTATION]: "dc1/shop/s1" },
    });
    const returned = { ...update(full(0), { endpoints: [] }, merged), standing: gone };
    const policed = police({
      stands: [gone, full(1), full(2), full(3)],
      changes: [returned, ...[1, 2, 3].map((n) => to(n, 1))],
    });
    const manifest = policed.update[0]?.object.manifest as ServiceEntry;
    assert.deepEqual([manifest.spec.endpoints?.length, heldMarkOf(policed, 0)], [10, `10 0 ${now}`]);
    const marks = [GONE_SINCE_ANNOTATION, EMPTY_SINCE_ANNOTATION, SUCCEEDED_BY_ANNOTATION];
    assert.deepEqual(
      marks.filter((name) => manifest.metadata.annotations?.[name] !== undefined),
      [],
    );
  });

test("applyPolicy() writes on an entry that it keeps what it had, what is listed, and since when, and writes that once", () => {
  const loses = (fields: EntryFields) => ({
    stands: range(0, 5).map((n) => full(n, fields)),
    changes: range(0, 5).map((n) => to(n, 2, fields)),
  });
  const first = police(loses({}));
  assert.equal(heldMarkOf(first, 4), `10 2 ${now}`);
  const later = police(loses(heldLoss(10, 2, 3)));
  assert.deepEqual([later.update, later.brakes.length], [[], 1]);
  assert.match(later.brakes[0]?.message ?? "", new RegExp(`it ends by itself at ${ago(-7 * MINUTE_MS)} if`));
  const worse = police(loses(heldLoss(10, 3, 3)));
  assert.equal(heldMarkOf(worse, 0), `10 2 ${now}`, "a loss that grows begins anew");
  const ended = police(loses(heldLoss(10, 2, 10)));
  assert.deepEqual(
    ended.released.map(({ kind }) => kind),
    ["endpoints"],
  );
  assert.equal(markOf(loses(heldLoss(10, 2, 10))), undefined, "what was let go counts no more as sudden");
});

test("applyPolicy() writes since when it keeps a registry's services on eight of them, and goes by that", () => {
  const many = (fields: EntryFields = {}) => ({
    stands: [...range(0, 8).map((n) => full(n, fields)), ...range(8, 20).map((n) => full(n))],
    changes: [...range(0, 8).map((n) => vanish(full(n, fields))), ...range(8, 20).map((n) => vanish(full(n)))],
  });
  const kept = (minutes: number, lost = 20): EntryFields => ({
    annotations: { "x2istio.dev/held-services": `${lost} ${ago(minutes * MINUTE_MS)}` },
  });
  const options = { releaseAfterMs: 30 * MINUTE_MS };
  const first = police({ ...many(), options });
  assert.equal(first.update.length, 8);
  assert.ok(first.update.every(isMarkOnly));
  assert.equal(heldMarkOf(first, 0, "held-services"), `20 ${now}`);
  const later = police({ ...many(kept(29)), options });
  assert.deepEqual([later.update, later.brakes.map(({ kind }) => kind)], [[], ["services"]]);
  const unconfigured = police(many());
  assert.deepEqual([unconfigured.update, unconfigured.brakes.length], [[], 1], "never by itself unless configured");
  assert.equal(police(many(kept(60))).brakes.length, 1);
  const ended = police({ ...many(kept(30)), options });
  assert.deepEqual([ended.brakes, ended.update.length, ended.released.length], [[], 20, 1]);
  const grown = police({ ...many(kept(30, 19)), options });
  assert.equal(heldMarkOf(grown, 0, "held-services"), `20 ${now}`, "more losses begin anew");
});

test("applyPolicy() hands back the very changes that it does not hold", () => {
  const change = update(full(0), { endpoints: list(50, 60) });
  assert.equal(police({ stands: [full(0)], changes: [change] }).update[0], change);
});
