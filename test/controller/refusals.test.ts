import assert from "node:assert/strict";
import { test } from "node:test";
import { createRefusals } from "../../src/controller/refusals.ts";
import type { OwnedObject } from "../../src/model/objects.ts";
import type { Change, Plan } from "../../src/model/plan.ts";
import type { WriteOutcome } from "../../src/model/target.ts";
import { faultRow } from "../faults/row.ts";
import { alias, entry } from "../plan/build.ts";

const KEY = "dc1/shop/orders";
const owned = (object: ReturnType<typeof alias>): OwnedObject => ({ ...object, service: KEY });
const [orders, name] = [owned(entry(KEY)), owned(alias(KEY, "shop/1orders"))];
const create = (object: OwnedObject): Change & { kind: "create" } => ({ kind: "create", object });
const plan = (fields: Partial<Plan>): Plan => ({
  ...{ create: [], update: [], delete: [], hold: [], unchanged: 0 },
  ...fields,
});

/** What the target did, with a clock that is moved by hand. */
function refusals() {
  const clock = { nowMs: 0 };
  const all = createRefusals(() => clock.nowMs);
  const write = (change: Change, outcome: WriteOutcome = "failed") =>
    all.record({ results: [{ change, outcome, error: new Error("422 Invalid") }] });
  return { all, clock, write };
}

test(
  faultRow({
    target: "API server",
    fault:
      "it refuses an object for ever (422: an alias that begins with a digit, in a cluster that takes no such names)",
    expect: "it is held with the reason and retried at growing intervals, and at once when it changes",
  }),
  () => {
    const { all, clock, write } = refusals();
    const waits: number[] = [];
    for (let times = 0; times < 12; times++) {
      const fromMs = clock.nowMs;
      while (!all.isDue(create(name))) clock.nowMs += 500;
      waits.push((clock.nowMs - fromMs) / 1000);
      write(create(name));
    }
    assert.deepEqual(waits, [0, 0, 0, 1, 2, 4, 8, 16, 30, 30, 30, 30]);
    assert.equal(all.msUntilDue(), 30_000);
    const { create: sent, hold } = all.sift(plan({ create: [create(orders), create(name)] }));
    assert.deepEqual(sent, [create(orders)]);
    assert.deepEqual(
      hold.map(({ reason, subject, message }) => `${reason} ${subject}: ${message}`),
      ["refused Service/shop/1orders: it is retried at growing intervals: 422 Invalid"],
    );
    assert.ok(all.isDue(create({ ...name })), "another wish is no old one");
  },
);

test("what was refused is held also while it is tried again, so that this is said once", () => {
  const { all, clock, write } = refusals();
  for (let times = 0; times < 3; times++) {
    assert.equal(all.sift(plan({ create: [create(name)] })).hold.length, 0);
    write(create(name));
  }
  for (const ms of [0, 1000]) {
    clock.nowMs = ms;
    const { create: sent, hold } = all.sift(plan({ create: [create(name)] }));
    assert.deepEqual([sent.length, hold.length], [ms === 0 ? 0 : 1, 1]);
  }
  write(create(name), "written");
  assert.equal(all.sift(plan({ create: [create(name)] })).hold.length, 0);
  assert.equal(all.msUntilDue(), Number.POSITIVE_INFINITY);
});

test("nothing points to an entry that waits, and no entry goes before what points to it", () => {
  const { all, write } = refusals();
  const [gone, pointer] = [entry(KEY), alias(KEY, "shop/orders")].map((standing): Change & { kind: "delete" } => ({
    kind: "delete",
    standing,
    why: "gone",
  }));
  if (gone === undefined || pointer === undefined) assert.fail();
  for (let times = 0; times < 3; times++) write(create(orders));
  assert.deepEqual(all.sift(plan({ create: [create(orders), create(name)] })).create, []);
  for (let times = 0; times < 3; times++) write(pointer);
  assert.deepEqual(all.sift(plan({ delete: [gone, pointer] })).delete, []);
});

test("what is not planned any more is forgotten", () => {
  const { all, write } = refusals();
  for (let times = 0; times < 3; times++) write(create(name));
  all.sift(plan({}));
  assert.ok(all.isDue(create(name)));
  const nothing = plan({ create: [create(name)] });
  assert.equal(all.sift(nothing), nothing);
});

test("what was refused is sent at once when what stands is another", () => {
  const { all, write } = refusals();
  const standing = entry(KEY);
  const update = (stands: typeof standing): Change & { kind: "update" } => ({
    ...{ kind: "update", object: orders, standing: stands },
  });
  for (let times = 0; times < 3; times++) write(update(standing));
  assert.equal(all.isDue(update(standing)), false);
  assert.ok(all.isDue(update({ ...standing, resourceVersion: "2" })), "someone repaired it");
  assert.ok(all.isDue({ ...update(standing), object: { ...orders } }), "its registry says something else");
  const gone = (stands: typeof standing): Change => ({ kind: "delete", standing: stands, why: "gone" });
  for (let times = 0; times < 3; times++) write(gone(standing));
  assert.equal(all.isDue(gone(standing)), false);
  assert.ok(all.isDue(gone({ ...standing, resourceVersion: "2" })));
});

test("a write that was skipped says nothing of a refusal, and one that met a conflict ends it", () => {
  const { all, write } = refusals();
  for (let times = 0; times < 3; times++) write(create(name));
  write(create(name), "skipped");
  assert.equal(all.isDue(create(name)), false);
  write(create(name), "conflict");
  assert.ok(all.isDue(create(name)));
});
