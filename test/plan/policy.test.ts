import assert from "node:assert/strict";
import { test } from "node:test";
import {
  EMPTY_SINCE_ANNOTATION,
  type EntryEndpoint,
  GONE_SINCE_ANNOTATION,
  PROVENANCE_ANNOTATION,
  type ServiceEntry,
} from "../../src/model/objects.ts";
import type { Change, Delete, Plan, Update } from "../../src/model/plan.ts";
import type { StandingObject } from "../../src/model/standing.ts";
import type { Authority } from "../../src/plan/merge.ts";
import { applyPolicy, type PolicedPlan, type PolicyOptions } from "../../src/plan/policy.ts";
import { alias, at, type EntryFields, entry, HOUR_MS, NOW_MS, standing } from "./build.ts";

const options: PolicyOptions = {
  mode: "sync",
  maxDeletePercent: 20,
  minDeletes: 2,
  keepEmptyMs: HOUR_MS,
  allowDeletes: new Set(),
  nowMs: NOW_MS,
};
const now = at(NOW_MS);
const ago = (ms: number) => at(NOW_MS - ms);

/** The n-th service of a registry as it stands. */
const stood = (n: number, fields: EntryFields = {}, registry = "dc1") => entry(`${registry}/shop/s${n}`, fields);
const estate = (count: number, marked: Readonly<Record<number, EntryFields>> = {}, registry = "dc1") =>
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
  readonly peaks?: Readonly<Record<string, number>>;
  readonly options?: Partial<PolicyOptions>;
}

function police({ stands, changes, listed = 9, peaks = {}, options: more = {} }: Given): PolicedPlan {
  const authority: Authority = { state: "complete", listed };
  const authorities = new Map([
    ["dc1", authority],
    ["prod", { state: "complete", listed: 9 } satisfies Authority],
  ]);
  return applyPolicy(planOf(changes), standing({ objects: stands }), authorities, new Map(Object.entries(peaks)), {
    ...options,
    ...more,
  });
}

function written({ create, update, delete: removed }: PolicedPlan): readonly string[] {
  return [
    ...create.map(({ object }) => object.key),
    ...update.map(({ object }) => object.key),
    ...removed.map(({ standing }) => standing.key),
  ].map((key) => key.replace(/^.*\/(s\d+).*$/, "$1"));
}

const ten = estate(10);
const five = estate(5);
const [t0, t1, t2] = ten as [StandingObject, StandingObject, StandingObject];
const recent = marked(GONE_SINCE_ANNOTATION, ago(HOUR_MS - 1000));
const expired = marked(GONE_SINCE_ANNOTATION, ago(HOUR_MS));
const endless = { peaks: {} };

const cases: (Given & { name: string; want: readonly string[]; brake?: string })[] = [
  {
    name: "lets up to minDeletes go, whatever part that is",
    stands: estate(2),
    changes: estate(2).map(empty),
    want: ["s0", "s1"],
  },
  {
    name: "lets up to maxDeletePercent go, however many that are",
    stands: estate(50),
    changes: estate(10).map(vanish),
    want: estate(10).map((_, n) => `s${n}`),
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
    stands: estate(10, { 8: recent, 9: marked(EMPTY_SINCE_ANNOTATION, ago(60_000)) }),
    changes: [vanish(t0)],
    want: [],
    brake: "brake: 3 of 10 services of registry dc1 vanished or lost their last endpoint, more than 20 %",
  },
  {
    name: "does not count what is older than the window",
    stands: estate(10, { 8: expired, 9: marked(EMPTY_SINCE_ANNOTATION, ago(2 * HOUR_MS)) }),
    changes: [vanish(t0)],
    want: ["s0"],
  },
  {
    name: "does not count a mark that cannot be read",
    stands: estate(10, { 8: marked(GONE_SINCE_ANNOTATION, "x"), 9: marked(EMPTY_SINCE_ANNOTATION, "y") }),
    changes: [vanish(t0)],
    want: ["s0"],
  },
  {
    name: "counts registries apart",
    stands: [...estate(10), ...estate(10, {}, "prod")],
    changes: [vanish(t0), vanish(t1), ...estate(2, {}, "prod").map(vanish)],
    want: ["s0", "s1", "s0", "s1"],
  },
  {
    name: "brakes one registry and not the other",
    stands: [...estate(10), ...estate(10, {}, "prod")],
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
    stands: estate(1),
    changes: [vanish(t0)],
    listed: 0,
    want: [],
    brake: "brake: registry dc1 lists no service any more, 1 stand",
  },
  {
    name: "holds an empty list also after its services were emptied",
    stands: estate(2, {
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
    stands: estate(10, { 0: marked(EMPTY_SINCE_ANNOTATION, ago(60_000)) }),
    changes: [vanish(stood(0, marked(EMPTY_SINCE_ANNOTATION, ago(60_000)))), vanish(t1)],
    want: ["s0", "s1"],
  },
  {
    name: "counts a service that vanishes long after it was emptied",
    stands: estate(10, { 0: marked(EMPTY_SINCE_ANNOTATION, ago(9 * HOUR_MS)) }),
    changes: [vanish(stood(0, marked(EMPTY_SINCE_ANNOTATION, ago(9 * HOUR_MS)))), vanish(t1), vanish(t2)],
    want: [],
    brake: "brake: 3 of 10 services of registry dc1 vanished or lost their last endpoint, more than 20 %",
  },
  {
    name: "counts a service that vanishes and never had an endpoint",
    stands: estate(10, { 0: { endpoints: [] } }),
    changes: [vanish(stood(0, { endpoints: [] })), vanish(t1), vanish(t2)],
    want: [],
    brake: "brake: 3 of 10 services of registry dc1 vanished or lost their last endpoint, more than 20 %",
  },
  {
    name: "does not count a tombstone that returns empty",
    stands: estate(10, { 0: recent, 1: recent, 2: recent }),
    changes: [update(stood(0, recent), { endpoints: [] }, { [EMPTY_SINCE_ANNOTATION]: now })],
    want: ["s0"],
  },
  {
    name: "deletes a tombstone while there is no brake",
    stands: estate(10, { 0: expired }),
    changes: [remove(stood(0, expired)), remove(alias("dc1/shop/s0", "apps/s0"))],
    want: ["s0", "s0"],
  },
  {
    name: "deletes no tombstone while the brake is on",
    stands: estate(10, { 0: expired }),
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
    stands: estate(10, { 0: expired, 1: recent, 2: recent, 3: recent }),
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
    stands: estate(10, { 5: expired }),
    changes: [vanish(t0), remove(stood(5, expired)), empty(t1)],
    options: { mode: "upsert-only" },
    want: ["s1"],
  },
  {
    name: "removes an alias whose rule is gone in upsert-only, and none of the vanished",
    stands: [...estate(10, { 5: expired }), alias("dc1/shop/s9", "apps/s9"), alias("dc1/shop/s5", "apps/s5")],
    changes: [
      remove(alias("dc1/shop/s9", "apps/s9")),
      remove(alias("dc1/shop/s5", "apps/s5")),
      remove(stood(5, expired)),
    ],
    options: { mode: "upsert-only" },
    want: ["s9"],
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
    const { peaks = endless.peaks } = given;
    const policed = police({ ...given, peaks });
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

// The brake on endpoints from here on.
const list = (from: number, to: number): EntryEndpoint[] =>
  Array.from({ length: to - from }, (_, n) => ({ address: `192.0.2.${100 + from + n}` }));
const wide = stood(0, { endpoints: list(0, 10) });
const other = stood(1, { endpoints: list(20, 30) });

const endpointCases: (Given & {
  name: string;
  want: Readonly<Record<string, readonly EntryEndpoint[]>>;
  brake?: string;
  total: number;
})[] = [
  {
    name: "lets half of the endpoints go",
    stands: [wide],
    changes: [update(wide, { endpoints: list(0, 5) })],
    want: { s0: list(0, 5) },
    total: 5,
  },
  {
    name: "holds more than half",
    stands: [wide],
    changes: [update(wide, { endpoints: list(0, 4) })],
    want: {},
    brake: "brake: registry dc1 would lose 6 of 10 endpoints, more than half",
    total: 10,
  },
  {
    name: "adds endpoints and keeps the lost ones",
    stands: [wide, other],
    changes: [update(wide, { endpoints: list(60, 61) }), update(other, { endpoints: list(20, 21) })],
    want: { s0: [...list(0, 10), ...list(60, 61)] },
    brake: "brake: registry dc1 would lose 18 of 20 endpoints, more than half",
    total: 21,
  },
  {
    name: "does not take moved endpoints for lost ones",
    stands: [wide],
    changes: [update(wide, { endpoints: list(50, 60) })],
    want: { s0: list(50, 60) },
    total: 10,
  },
  {
    name: "does not take a changed weight for a lost endpoint",
    stands: [wide, other],
    changes: [
      update(wide, { endpoints: [] }),
      update(other, { endpoints: list(20, 30).map((one) => ({ ...one, weight: 3 })) }),
    ],
    peaks: { dc1: 40 },
    want: { s1: list(20, 30).map((one) => ({ ...one, weight: 3 })) },
    brake: "brake: registry dc1 would lose 30 of 40 endpoints, more than half",
    total: 20,
  },
  {
    name: "measures by the most there were in the window",
    stands: [wide],
    changes: [update(wide, { endpoints: list(0, 9) })],
    peaks: { dc1: 19 },
    want: {},
    brake: "brake: registry dc1 would lose 10 of 19 endpoints, more than half",
    total: 10,
  },
  {
    name: "does not hold what only grows, however much was lost",
    stands: [wide],
    changes: [update(wide, { endpoints: list(0, 11) })],
    peaks: { dc1: 90 },
    want: { s0: list(0, 11) },
    total: 11,
  },
  {
    name: "lets up to minDeletes endpoints go",
    stands: [stood(0, { endpoints: list(0, 2) })],
    changes: [empty(stood(0, { endpoints: list(0, 2) }))],
    want: { s0: [] },
    total: 0,
  },
  {
    name: "lets all go when the operator released the brake",
    stands: [wide],
    changes: [update(wide, { endpoints: [] })],
    options: { allowDeletes: new Set(["dc1"]) },
    want: { s0: [] },
    total: 0,
  },
  {
    name: "holds a service that vanishes, mark and all",
    stands: [wide],
    changes: [vanish(wide)],
    want: {},
    brake: "brake: registry dc1 would lose 10 of 10 endpoints, more than half",
    total: 10,
  },
  {
    name: "drops a kept endpoint's port that the service has no more",
    stands: [stood(0, { endpoints: [...list(0, 9), { address: "192.0.2.9", ports: { "http-web": 1 } }] })],
    changes: [
      update(stood(0, { endpoints: [...list(0, 9), { address: "192.0.2.9", ports: { "http-web": 1 } }] }), {
        endpoints: [],
        ports: [{ name: "tcp-web", number: 1, protocol: "TCP" }],
      }),
    ],
    want: { s0: list(0, 9) },
    brake: "brake: registry dc1 would lose 10 of 10 endpoints, more than half",
    total: 9,
  },
  {
    name: "knows an endpoint whose ports come in another order",
    stands: [stood(0, { endpoints: [{ address: "192.0.2.0", ports: { a: 1, b: 2 } }, ...list(1, 9)] })],
    changes: [
      update(stood(0, { endpoints: [{ address: "192.0.2.0", ports: { a: 1, b: 2 } }, ...list(1, 9)] }), {
        endpoints: [{ address: "192.0.2.0", ports: { b: 2, a: 1 }, weight: 2 }],
        ports: ["a", "b"].map((name, n) => ({ name, number: n + 1, protocol: "TCP" })),
      }),
    ],
    want: { s0: [{ address: "192.0.2.0", ports: { b: 2, a: 1 }, weight: 2 }, ...list(1, 9)] },
    brake: "brake: registry dc1 would lose 8 of 9 endpoints, more than half",
    total: 9,
  },
];
for (const { name, want, brake, total, ...given } of endpointCases) {
  test(`applyPolicy() on endpoints ${name}`, () => {
    const policed = police(given);
    assert.deepEqual(
      policed.brakes.map(({ message }) => message),
      brake === undefined ? [] : [brake],
    );
    const left = policed.update.map(({ object }) => [
      object.service.split("/")[2],
      (object.manifest as ServiceEntry).spec.endpoints?.toSorted((a, b) => (a.address < b.address ? -1 : 1)),
    ]);
    assert.deepEqual(Object.fromEntries(left), want);
    assert.equal(policed.endpointTotals.get("dc1"), total);
    for (const { manifest } of policed.update.map(({ object }) => object))
      assert.equal(manifest.metadata.annotations?.[GONE_SINCE_ANNOTATION], undefined);
  });
}

test("applyPolicy() on endpoints holds a merged entry as a whole: its endpoints are told apart by their order", () => {
  const merged = stood(0, { endpoints: list(0, 10), annotations: { [PROVENANCE_ANNOTATION]: "dc1=5,prod=5" } });
  const change = update(merged, { endpoints: list(60, 61) }, { [PROVENANCE_ANNOTATION]: "dc1=1" });
  const policed = police({ stands: [merged], changes: [change] });
  assert.deepEqual([policed.update, policed.hold.length, policed.endpointTotals.get("dc1")], [[], 1, 10]);
});

test("applyPolicy() on endpoints counts what is created", () => {
  const created = stood(5, { endpoints: list(40, 50) });
  const policed = police({
    stands: [wide],
    changes: [
      {
        kind: "create",
        object: { key: created.key, service: "dc1/shop/s5", registry: "dc1", manifest: created.manifest },
      },
      update(wide, { endpoints: [] }),
    ],
  });
  assert.deepEqual([policed.brakes, policed.endpointTotals.get("dc1")], [[], 10]);
});

test("applyPolicy() hands back the very changes that it does not hold", () => {
  const change = update(wide, { endpoints: list(0, 9) });
  assert.equal(police({ stands: [wide], changes: [change] }).update[0], change);
});
