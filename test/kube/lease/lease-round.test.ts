import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { KubeStatusError } from "../../../src/kube/client/kube-error.ts";
import type { RawObject } from "../../../src/kube/client/raw.ts";
import type { LeaseApi } from "../../../src/kube/lease/lease-api.ts";
import { ALLOW_DELETES_ANNOTATION, parseLease } from "../../../src/kube/lease/lease-record.ts";
import { acquireOrRenew, giveUp, type LeaseRound, markLease, readLease } from "../../../src/kube/lease/lease-round.ts";
import { isFree, isLeading, leaseState, released } from "../../../src/kube/lease/lease-state.ts";

const TIMES = { leaseDurationMs: 15_000, renewDeadlineMs: 10_000, retryPeriodMs: 2000 };
/** The API server's clock is not this machine's. */
const SERVER_MS = Date.UTC(2026, 0, 1);

interface Spec {
  readonly holderIdentity: string;
  readonly leaseDurationSeconds: number;
  readonly renewTime: string;
  readonly acquireTime?: string;
  readonly leaseTransitions?: number;
}

/** A Lease in an API server whose answers take as long as the test says, by a clock that the test sets. */
function leaseWorld(t: TestContext) {
  const world = {
    ms: 1000,
    /** How long each request takes on its way there, and the answer on its way back. */
    thereMs: 0,
    backMs: 0,
    stored: undefined as RawObject | undefined,
    /** What was written: `create`, `renew`, `mark`, `release`. */
    writes: [] as string[],
    /** Told before a write is judged. */
    onWrite: () => {},
    spec: () => world.stored?.spec as Spec,
    put(spec: object, metadata: object = {}) {
      const { resourceVersion = "0" } = world.stored?.metadata ?? {};
      const old = world.stored ?? { metadata: {}, spec: {} };
      world.stored = {
        metadata: { ...old.metadata, ...metadata, resourceVersion: String(Number(resourceVersion) + 1) },
        spec: { ...(old.spec as object), ...spec },
      };
    },
    /** A process with the Lease's times, or others. */
    member(identity: string, times = TIMES): LeaseRound {
      const state = leaseState(identity, times, { onLeadership() {}, onMark() {} }, () => world.ms);
      t.after(() => released(state));
      return { lease, state, serverMs: () => SERVER_MS + world.ms };
    },
    /** Somebody else holds the Lease, and has just renewed it. */
    heldBy(holderIdentity: string, leaseDurationSeconds: number) {
      const renewTime = new Date(SERVER_MS + world.ms).toISOString();
      world.put({ holderIdentity, leaseDurationSeconds, renewTime, acquireTime: renewTime, leaseTransitions: 4 });
    },
  };
  const within = <Result>(task: () => Result): Result => {
    world.ms += world.thereMs;
    try {
      return task();
    } finally {
      world.ms += world.backMs;
    }
  };
  const lease: LeaseApi = {
    read: async () => within(() => world.stored),
    create: async (spec) =>
      within(() => {
        world.writes.push("create");
        world.onWrite();
        if (world.stored !== undefined) throw new KubeStatusError("create Lease", 409, {});
        world.put(spec);
        return world.stored ?? assert.fail();
      }),
    patch: async (doing, body) =>
      within(() => {
        world.writes.push(doing);
        world.onWrite();
        if (world.stored === undefined) throw new KubeStatusError("patch Lease", 404, {});
        const { metadata = {}, spec = {} } = body as { metadata?: RawObject["metadata"]; spec?: object };
        const { resourceVersion, ...rest } = metadata ?? {};
        if (resourceVersion !== undefined && resourceVersion !== world.stored.metadata?.resourceVersion)
          throw new KubeStatusError("patch Lease", 409, {});
        world.put(spec, rest);
        return world.stored;
      }),
  };
  return world;
}

test("a renewal whose answer takes 3 s lets us lead no longer than the deadline after it was sent", async (t) => {
  for (const slow of ["thereMs", "backMs"] as const) {
    const world = leaseWorld(t);
    const us = world.member("us");
    assert.equal(await acquireOrRenew(us), true);
    world[slow] = 3000;
    world.ms = 5000;
    assert.equal(await acquireOrRenew(us), true);
    assert.equal(world.ms, 8000);
    world.ms = 14_999;
    assert.equal(isLeading(us.state), true);
    world.ms = 15_000;
    assert.equal(isLeading(us.state), false);
  }
});

test("an answer that comes after the deadline does not let us lead, though the Lease is ours", async (t) => {
  const world = leaseWorld(t);
  world.backMs = 10_000;
  const us = world.member("us");
  assert.equal(await acquireOrRenew(us), false);
  assert.equal(world.spec().holderIdentity, "us");
  assert.equal(isLeading(us.state), false);
});

test("two processes never lead at once, however slow the answers of the first are", async (t) => {
  for (const thereMs of [0, 1000, 3999])
    for (const backMs of [0, 1000, 3999]) {
      const world = leaseWorld(t);
      const [first, second] = [world.member("first"), world.member("second")];
      Object.assign(world, { thereMs, backMs });
      assert.equal(await acquireOrRenew(first), true);
      Object.assign(world, { thereMs: 0, backMs: 0 });
      for (const untilMs = world.ms + 40_000; world.ms < untilMs && !isLeading(second.state); world.ms += 250) {
        await acquireOrRenew(second);
        assert.ok(!(isLeading(first.state) && isLeading(second.state)), `there ${thereMs} ms, back ${backMs} ms`);
      }
      assert.equal(isLeading(second.state), true);
    }
});

test("a process with a shorter lease waits as long as the holder says in the Lease", async (t) => {
  const world = leaseWorld(t);
  world.heldBy("other", 60);
  const us = world.member("us", { leaseDurationMs: 1000, renewDeadlineMs: 700, retryPeriodMs: 100 });
  const seenMs = world.ms;
  for (const afterMs of [0, 1001, 15_001, 59_999, 60_000]) {
    world.ms = seenMs + afterMs;
    assert.equal(await acquireOrRenew(us), false, `${afterMs} ms`);
  }
  assert.deepEqual(world.writes, []);
  world.ms = seenMs + 60_001;
  assert.equal(await acquireOrRenew(us), true);
});

test("a holder that renews in time keeps the Lease, whatever its clock says", async (t) => {
  const world = leaseWorld(t);
  world.heldBy("other", 15);
  const us = world.member("us");
  for (let round = 0; round < 10; round++) {
    world.put({ renewTime: `2020-01-01T00:00:00.00000${round}Z` });
    world.ms += 14_000;
    assert.equal(await acquireOrRenew(us), false);
  }
  assert.equal(world.spec().holderIdentity, "other");
});

test("a mark on the Lease is no renewal of its holder", async (t) => {
  const world = leaseWorld(t);
  world.heldBy("gone", 15);
  const us = world.member("us");
  assert.equal(await acquireOrRenew(us), false);
  world.ms += 10_000;
  const mark = { registries: ["dc1", "prod"], atMs: SERVER_MS + world.ms };
  await markLease(us, { [ALLOW_DELETES_ANNOTATION]: mark });
  assert.deepEqual(us.state.seen?.allowDeletes, mark);
  assert.equal(us.state.seen?.holder, "gone");
  world.ms += 5001;
  assert.equal(await acquireOrRenew(us), true);
});

test("taking over counts a transition and says since when; a renewal does neither", async (t) => {
  const world = leaseWorld(t);
  world.heldBy("other", 1);
  const us = world.member("us", { ...TIMES, leaseDurationMs: 15_500 });
  assert.equal(await acquireOrRenew(us), false);
  world.ms += 15_501;
  assert.equal(await acquireOrRenew(us), true);
  const took = world.spec();
  const takenAt = new Date(SERVER_MS + world.ms).toISOString().replace("Z", "000Z");
  assert.deepEqual(took, {
    holderIdentity: "us",
    leaseDurationSeconds: 16,
    renewTime: takenAt,
    acquireTime: takenAt,
    leaseTransitions: 5,
  });
  world.ms += 2000;
  assert.equal(await acquireOrRenew(us), true);
  const renewTime = new Date(SERVER_MS + world.ms).toISOString().replace("Z", "000Z");
  assert.deepEqual(world.spec(), { ...took, renewTime });
});

test("a Lease that nobody ever held is created without transitions", async (t) => {
  const world = leaseWorld(t);
  assert.equal(await acquireOrRenew(world.member("us")), true);
  assert.deepEqual(world.writes, ["create"]);
  assert.equal(world.spec().leaseTransitions, 0);
});

test("of two that find the Lease free at once, the one that writes later does not lead", async (t) => {
  for (const stands of [true, false]) {
    const world = leaseWorld(t);
    if (stands) world.heldBy("", 1);
    const us = world.member("us");
    world.onWrite = () => {
      world.onWrite = () => {};
      world.heldBy("quicker", 15);
    };
    assert.equal(await acquireOrRenew(us), false);
    assert.equal(isLeading(us.state), false);
    assert.equal(world.spec().holderIdentity, "quicker");
  }
});

test("a leader whose Lease was marked renews all the same, in the same round", async (t) => {
  const world = leaseWorld(t);
  const us = world.member("us");
  await acquireOrRenew(us);
  world.put({}, { annotations: { "x2istio.dev/allow-deletes": "dc1@2026-01-01T00:00:00.000Z" } });
  world.ms += 9000;
  assert.equal(await acquireOrRenew(us), true);
  world.ms += 9000;
  assert.equal(isLeading(us.state), true);
  assert.deepEqual(us.state.seen?.allowDeletes?.registries, ["dc1"]);
});

test("a leader whose Lease was taken leads no more, and does not take it back", async (t) => {
  const world = leaseWorld(t);
  const us = world.member("us");
  await acquireOrRenew(us);
  world.heldBy("thief", 15);
  world.ms += 2000;
  assert.equal(await acquireOrRenew(us), false);
  assert.equal(isLeading(us.state), false);
  assert.equal(world.spec().holderIdentity, "thief");
});

test("a leader whose Lease was deleted makes it anew", async (t) => {
  const world = leaseWorld(t);
  const us = world.member("us");
  await acquireOrRenew(us);
  world.stored = undefined;
  assert.equal(await acquireOrRenew(us), true);
  assert.deepEqual(world.writes, ["create", "renew", "create"]);
});

test("a Lease whose namespace is missing is a failure, not somebody's quicker write", async (t) => {
  const world = leaseWorld(t);
  const us = world.member("us");
  world.onWrite = () => {
    throw new KubeStatusError("create Lease", 404, { reason: "NotFound" });
  };
  await assert.rejects(acquireOrRenew(us), /404/);
});

test("a renewal that is refused throws, and the old deadline holds", async (t) => {
  const world = leaseWorld(t);
  const us = world.member("us");
  await acquireOrRenew(us);
  world.ms += 5000;
  world.onWrite = () => {
    throw new KubeStatusError("renew Lease", 500, {});
  };
  await assert.rejects(acquireOrRenew(us), /500/);
  world.ms = 10_999;
  assert.equal(isLeading(us.state), true);
  world.ms = 11_000;
  assert.equal(isLeading(us.state), false);
});

test("giveUp() leaves the Lease to the next one at once, with its mark", async (t) => {
  const world = leaseWorld(t);
  const [us, next] = [world.member("us"), world.member("next")];
  await acquireOrRenew(us);
  assert.equal(await acquireOrRenew(next), false);
  await markLease(next, { [ALLOW_DELETES_ANNOTATION]: { registries: ["dc1"], atMs: SERVER_MS } });
  await giveUp(us);
  assert.equal(isLeading(us.state), false);
  const { holderIdentity, leaseDurationSeconds } = world.spec();
  assert.deepEqual([holderIdentity, leaseDurationSeconds], ["", 1]);
  assert.equal(await acquireOrRenew(next), true);
  assert.deepEqual(next.state.seen?.allowDeletes?.registries, ["dc1"]);
});

test("giveUp() does not touch a Lease that somebody else has by now, or that is gone", async (t) => {
  const world = leaseWorld(t);
  const us = world.member("us");
  await acquireOrRenew(us);
  world.heldBy("other", 15);
  await giveUp(us);
  assert.equal(world.spec().holderIdentity, "other");
  world.stored = undefined;
  await giveUp(us);
  assert.deepEqual(world.writes, ["create"]);
});

test("readLease() takes a Lease that is gone for one without a holder", async (t) => {
  const world = leaseWorld(t);
  const us = world.member("us");
  await acquireOrRenew(us);
  world.stored = undefined;
  assert.equal(await readLease(us), undefined);
  assert.equal(isLeading(us.state), false);
  assert.equal(us.state.seen, undefined);
});

test("parseLease() reads seconds as seconds, and what makes no sense as nothing", (t) => {
  const { state } = leaseWorld(t).member("us");
  const record = parseLease({ spec: { holderIdentity: "a", leaseDurationSeconds: 60, leaseTransitions: 3 } });
  assert.deepEqual([record.durationMs, record.transitions, record.renewedMs], [60_000, 3, undefined]);
  const odd = parseLease({ spec: { holderIdentity: 7, leaseDurationSeconds: "60", leaseTransitions: "3" } });
  assert.deepEqual([odd.holder, odd.durationMs, odd.transitions], ["", 0, 0]);
  assert.equal(isFree(state, odd), true);
});
