import assert from "node:assert/strict";
import { test } from "node:test";
import { AUTO_ALLOCATE_LABEL } from "../../src/model/objects.ts";
import { exchanged, isCompanion, isEntry, namelessEntries } from "../../src/plan/standing.ts";
import { alias, entry, NOW_MS, ourLabels, premade, standing } from "./build.ts";

const KEY = "dc1/shop/orders";
const INSIDE = { "x2istio.dev/effective-stage": "inside", "x2istio.dev/effective-claimant": "shop/orders-v2" };
const two = (ages: readonly (number | undefined)[]) =>
  ages.map((createdMs, n) => entry(KEY, { host: `${"ab"[n]}.example.org`, object: { createdMs } }));

for (const [ages, want] of [
  [[1000, 2000], "a"],
  [[2000, 1000], "b"],
  [[1000, 1000], "a"],
  [[undefined, 1000], "a"],
  [[1000, undefined], "b"],
] as const)
  for (const order of ["first", "last"] as const)
    test(`indexStanding() takes ${want} of two entries of one service of ${ages.join(" and ")} ms, a ${order}`, () => {
      const objects = order === "first" ? two(ages) : two(ages).toReversed();
      const index = standing({ objects });
      assert.equal(index.entries.get(KEY)?.manifest.spec.hosts[0], `${want}.example.org`);
      assert.equal(index.byService.get(KEY)?.length, 2);
    });

test("indexStanding() counts endpoints by service: of entries that count, of those that are filled, and of none inside", () => {
  const list = (count: number) => Array.from({ length: count }, (_, n) => ({ address: `192.0.2.${n}` }));
  const index = standing({
    objects: [
      entry("dc1/shop/a", { endpoints: list(3) }),
      entry("dc1/shop/b", { endpoints: list(5), annotations: INSIDE }),
      entry("prod/shop/a", { endpoints: list(7) }),
      alias("dc1/shop/a", "apps/a"),
    ],
    premade: [premade("dc1/shop/c", "c", { endpoints: list(11) }), premade(undefined, "d", { endpoints: list(13) })],
  });
  assert.deepEqual(
    Object.fromEntries(
      [...index.holdings].map(([key, { registry, endpoints }]) => [key, `${endpoints} of ${registry}`]),
    ),
    { "dc1/shop/a": "3 of dc1", "dc1/shop/b": "0 of dc1", "prod/shop/a": "7 of prod", "dc1/shop/c": "11 of dc1" },
  );
});

test("exchanged() counts endpoints anew for a service that goes inside, and for an entry that is filled", () => {
  const list = (count: number) => Array.from({ length: count }, (_, n) => ({ address: `192.0.2.${n}` }));
  const before = entry(KEY, { endpoints: list(4) });
  const filled = premade("dc1/shop/c", "c", { endpoints: list(2) });
  const index = standing({ objects: [before], premade: [filled] });
  const now = entry(KEY, { endpoints: list(4), annotations: INSIDE });
  const filledNow = premade("dc1/shop/c", "c", { endpoints: list(9) });
  const next = exchanged(index, { objects: [[before, now]], premade: [[filled, filledNow]] });
  const counts = ({ holdings }: typeof index) => [KEY, "dc1/shop/c"].map((key) => holdings.get(key)?.endpoints);
  assert.deepEqual(
    [counts(index), counts(next)],
    [
      [4, 2],
      [0, 9],
    ],
  );
  assert.deepEqual([next.entries.get(KEY), index.entries.get(KEY)], [now, before]);
  assert.deepEqual(next.premadeOf.get("dc1/shop/c"), [filledNow]);
  assert.equal(exchanged(index, { objects: [], premade: [] }), index);
});

test("exchanged() leaves the entry that counts where the other of two was changed", () => {
  const [older, younger] = two([1000, 2000]);
  assert.ok(older !== undefined && younger !== undefined);
  const index = standing({ objects: [older, younger] });
  const now = { ...younger, resourceVersion: "2" };
  const next = exchanged(index, { objects: [[younger, now]], premade: [] });
  assert.equal(next.entries.get(KEY), older);
  assert.deepEqual(next.byService.get(KEY), [older, now]);
});

test("isCompanion() goes by name and label together", () => {
  const labels = { ...ourLabels("dc1"), [AUTO_ALLOCATE_LABEL]: "false" };
  for (const [host, has, want] of [
    ["orders.example.org-legacy", labels, true],
    ["orders.example.org-legacy", ourLabels("dc1"), false],
    ["orders.example.org-legacy", { ...labels, [AUTO_ALLOCATE_LABEL]: "true" }, false],
    ["orders.example.org", labels, false],
  ] as const) {
    const one = entry(KEY, { host, labels: has });
    assert.equal(isCompanion(one.manifest.metadata), want);
    assert.equal(isEntry(one), !want);
  }
});

test("namelessEntries() has entries of which nobody can tell the service, by host", () => {
  const nameless = { object: { service: undefined, createdMs: NOW_MS } };
  const objects = [
    entry("dc1/shop/a", { host: "a.example.org", ...nameless }),
    entry("dc1/shop/b", { host: "b.example.org" }),
    { ...alias("dc1/shop/c", "apps/c"), service: undefined },
    entry("dc1/shop/d", {
      host: "d-legacy",
      labels: { ...ourLabels("dc1"), [AUTO_ALLOCATE_LABEL]: "false" },
      ...nameless,
    }),
  ];
  assert.deepEqual([...namelessEntries(standing({ objects })).keys()], ["a.example.org"]);
});
