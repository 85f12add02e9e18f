import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type LeaseRecord, parseLease } from "../../../src/kube/lease/lease-record.ts";
import {
  absenceSeen,
  isFree,
  isHeldLive,
  isLeading,
  type LeaseState,
  leaseState,
  recordSeen,
  released,
  renewed,
  untilNextRoundMs,
} from "../../../src/kube/lease/lease-state.ts";

const TIMES = { leaseDurationMs: 15_000, renewDeadlineMs: 10_000, retryPeriodMs: 2000 };

function lease(holderIdentity: string, renewal = 0, seconds = 15): LeaseRecord {
  const renewTime = new Date(Date.UTC(2026, 0, 1) + renewal).toISOString();
  return parseLease({ spec: { holderIdentity, leaseDurationSeconds: seconds, renewTime } });
}

/** A state whose clock the test sets, and what its listener was told. */
function stateAt(t: TestContext, startMs = 1000) {
  const clock = { ms: startMs };
  const told: boolean[] = [];
  const marks: boolean[] = [];
  const listener = {
    onLeadership: (leads: boolean) => told.push(leads),
    onMark: (leads: boolean) => marks.push(leads),
  };
  const state = leaseState("us", TIMES, listener, () => clock.ms);
  t.after(() => released(state));
  return { state, clock, told, marks };
}

test("renewed() lets us lead from when the request was sent, until the renew deadline", (t) => {
  const { state, clock, told } = stateAt(t);
  recordSeen(state, lease("us"));
  renewed(state, 400);
  assert.equal(isLeading(state), true);
  clock.ms = 10_399;
  assert.equal(isLeading(state), true);
  clock.ms = 10_400;
  assert.equal(isLeading(state), false);
  assert.deepEqual(told, [true]);
});

test("renewed() does not lead by an answer that came after the deadline", (t) => {
  const { state, clock, told } = stateAt(t);
  clock.ms = 10_400;
  renewed(state, 400);
  assert.equal(isLeading(state), false);
  assert.deepEqual(told, []);
});

const ends: readonly { readonly name: string; readonly end: (state: LeaseState) => void }[] = [
  { name: "another holder is seen", end: (state) => recordSeen(state, lease("other", 1)) },
  { name: "nobody holds the Lease", end: (state) => recordSeen(state, lease("", 1)) },
  { name: "the Lease is gone", end: absenceSeen },
  { name: "it is released", end: released },
];
for (const { name, end } of ends) {
  test(`leading ends at once when ${name}`, (t) => {
    const { state, told } = stateAt(t);
    renewed(state, 1000);
    end(state);
    assert.equal(isLeading(state), false);
    assert.deepEqual(told, [true, false]);
  });
}

test("released() is for good: a renewal still under way leads no more", (t) => {
  const { state, told } = stateAt(t);
  released(state);
  renewed(state, 1000);
  assert.equal(isLeading(state), false);
  assert.deepEqual(told, []);
});

test("isFree() waits the longer duration from when the last renewal was seen, not from its own time", (t) => {
  const { state, clock } = stateAt(t);
  const cases = [
    { seconds: 15, freeAfterMs: 15_000 },
    { seconds: 60, freeAfterMs: 60_000 },
    { seconds: 1, freeAfterMs: 15_000 },
  ];
  for (const [at, { seconds, freeAfterMs }] of cases.entries()) {
    const record = lease("other", at, seconds);
    recordSeen(state, record);
    const seenMs = clock.ms;
    clock.ms = seenMs + freeAfterMs / 2;
    recordSeen(state, record); // the same renewal again
    clock.ms = seenMs + freeAfterMs;
    assert.equal(isFree(state, record), false);
    clock.ms++;
    assert.equal(isFree(state, record), true);
  }
});

test("isFree() takes what is nobody's or ours at once", (t) => {
  const { state } = stateAt(t);
  for (const record of [lease(""), lease("us")]) {
    recordSeen(state, record);
    assert.equal(isFree(state, record), true);
  }
});

test("untilNextRoundMs() renews on time, and does not wait long past the end of another's Lease", (t) => {
  const { state, clock } = stateAt(t);
  recordSeen(state, lease("other"));
  clock.ms += 14_900;
  const waitMs = untilNextRoundMs(state);
  assert.ok(waitMs > 100 && waitMs <= 220, `${waitMs} ms`);
  renewed(state, clock.ms);
  assert.equal(untilNextRoundMs(state), 2000);
});

test("recordSeen() tells of each mark once", (t) => {
  const { state, marks } = stateAt(t);
  const marked = (atMs: number) => ({ ...lease("other"), allowDeletes: { registries: ["dc1"], atMs } });
  const pruning = { ...marked(2), prune: { registries: ["metal"], atMs: 3 } };
  for (const record of [lease("other"), marked(1), marked(1), marked(2), pruning, pruning]) recordSeen(state, record);
  assert.deepEqual(marks, [false, false, false]);
});

const now = Date.UTC(2026, 0, 1);
const live = [
  { name: "another's recent renewal", record: lease("other", 0), want: true },
  { name: "another's renewal that is long past", record: lease("other", -15_000), want: false },
  { name: "another's renewal far ahead of the API server's clock", record: lease("other", 15_000), want: false },
  { name: "our own", record: lease("us", 0), want: false },
  { name: "nobody's", record: lease("", 0), want: false },
];
for (const { name, record, want } of live)
  test(`isHeldLive() is ${want} of ${name}`, () => assert.equal(isHeldLive({ identity: "us" }, record, now), want));
