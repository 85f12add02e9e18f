import assert from "node:assert/strict";
import { test } from "node:test";
import { planStep, type Step, takeStep } from "../../src/migrate/step.ts";
import { watchStep } from "../../src/migrate/watch.ts";
import type { Claim, StageRequest } from "../../src/model/claim.ts";
import { requestText } from "../../src/plan/stages/stage-text.ts";
import { service } from "../plan/build.ts";
import { ask, claimOf, INSIDE, KEY, LIVE } from "../plan/moving.ts";
import { type Stepping, stepping } from "./stepping.ts";

const SPLIT: StageRequest = { stage: "split", weight: 10 };
const IN: StageRequest = { stage: "inside", weight: 100 };
const step = (want: StageRequest = SPLIT, request = "r"): Step => ({
  ...{ name: KEY, want, request, clusterDomain: "cluster.local" },
});
const plan = ({ move, decide }: Stepping, one = step()) => planStep(move.target.standing(), decide, one);

/** Stands where `claim` says. */
async function standing(claim: Partial<Claim> | "none" = ask("outside"), made = stepping()): Promise<Stepping> {
  if (claim !== "none") made.move.claim(claim);
  await made.move.settle();
  return made;
}

test("planStep() tells what becomes of each object over all passes, and writes nothing", async () => {
  const made = await standing();
  const before = [...made.move.target.objects.values()];
  const first = plan(made);
  assert.deepEqual([first.refused, first.passes], [[], 1]);
  assert.deepEqual(
    first.changes.map(({ object, action }) => `${action} ${object.split("/")[0]}`),
    ["update ServiceEntry", "update VirtualService"],
  );
  const whole = plan(made, step(IN));
  assert.equal(whole.passes, 2);
  assert.deepEqual(
    whole.changes.map(({ object, action }) => `${action} ${object.split("/")[0]}`),
    ["update Service", "update ServiceEntry", "update VirtualService"],
  );
  assert.match(whole.changes[0]?.what ?? "", new RegExp(`→ ${INSIDE}$`));
  assert.deepEqual([...made.move.target.objects.values()], before);
});

test("planStep() says why a step is refused, now or after some passes", async () => {
  const made = await standing({ ...ask("outside"), live: { ...LIVE, readyEndpoints: 0 } });
  const { refused, changes, passes } = plan(made);
  assert.deepEqual([refused.length, changes, passes], [1, [], 0]);
  assert.match(refused[0] ?? "", /has no ready endpoint/);
  const none = plan(await standing("none"));
  assert.match(none.refused[0] ?? "", /^no Service says that it replaces dc1\/shop\/orders/);
  const barred = plan(await standing(ask("outside"), stepping([service()], {})));
  assert.deepEqual(barred.refused.length, 1);
  assert.match(barred.refused[0] ?? "", /migration\.allow/);
  const retired = plan(await standing(ask("inside")), step({ stage: "retired", weight: 100 }));
  assert.match(retired.refused[0] ?? "", /still has 1 of the endpoints/);
});

test("planStep() asks anew after a step back, and not by the old request", async () => {
  const made = await standing({ ...ask("split", 10), request: "r" });
  made.move.claim({ ...ask("split", 10), request: "r", live: { ...LIVE, readyEndpoints: 0 } });
  await made.move.settle();
  made.move.claim({ ...ask("split", 10), request: "r" });
  await made.move.settle();
  assert.match(plan(made).refused[0] ?? "", /request the step again/);
  assert.deepEqual(plan(made, step(SPLIT, "later")).refused, []);
});

test("takeStep() asks for the step on the claimant and waits until calls are led so", async () => {
  const made = await standing();
  const result = await takeStep(plan(made, step(IN)), step(IN), made.tools());
  assert.deepEqual([result.written, result.progress, result.istiod], [true, { state: "effective" }, undefined]);
  assert.deepEqual(made.declared, ["Service/shop/orders-v2 inside r"]);
  assert.equal(made.move.place().stage, "inside");
});

test("takeStep() asks for nothing that is refused", async () => {
  const made = await standing({ ...ask("outside"), live: { ...LIVE, readyEndpoints: 0 } });
  const result = await takeStep(plan(made), step(), made.tools());
  assert.deepEqual([result.written, made.declared], [false, []]);
  const none = await standing("none");
  assert.equal((await takeStep(plan(none), step(), none.tools())).written, false);
});

test("takeStep() says what to write where the claim is the configuration's", async () => {
  const made = await standing({ ...ask("outside"), source: "configuration" });
  const { written, refused } = await takeStep(plan(made), step(), made.tools());
  assert.deepEqual([written, made.declared], [false, []]);
  assert.match(
    refused[0] ?? "",
    /write \{service: dc1\/shop\/orders, by: shop\/orders-v2, stage: split, weight: 10\} into migration\.claims of \/etc\/x2istio\.yaml$/,
  );
  const inside = await takeStep(plan(made, step(IN)), step(IN), made.tools());
  assert.match(inside.refused[0] ?? "", /stage: inside\} into/);
});

test("takeStep() takes none where there is no cluster, or the claimant cannot be written", async () => {
  const made = await standing();
  await assert.rejects(takeStep(plan(made), step(), made.tools({ editor: undefined })), /must be kubernetes/);
  made.onDeclare = async () => ({ outcome: "failed", error: new Error("403") });
  await assert.rejects(takeStep(plan(made), step(), made.tools()), /403/);
});

test("takeStep() gives the annotations to commit where something else owns them", async () => {
  const made = await standing();
  made.onDeclare = async () => ({ outcome: "conflict", error: new Error('conflict with "argocd": x') });
  const { written, refused, commit, progress } = await takeStep(plan(made), step(), made.tools());
  assert.deepEqual([written, progress], [false, undefined]);
  assert.match(refused[0] ?? "", /^argocd owns the annotations of Service shop\/orders-v2/);
  assert.deepEqual(commit, {
    "x2istio.dev/stage": "split",
    "x2istio.dev/weight": "10",
    "x2istio.dev/request": "r",
  });
});

test("takeStep() gives up after its time, and asks istiod of nothing that is not there", async () => {
  const made = await standing();
  made.onDeclare = async () => ({ outcome: "written" });
  const tools = made.tools({ timeoutMs: 0, istiod: "http://127.0.0.1:1" });
  const { written, progress, istiod } = await takeStep(plan(made), step(), tools);
  assert.deepEqual([written, progress, istiod], [true, { state: "under way", why: "it is outside" }, undefined]);
  assert.deepEqual(made.said, ["split 10 % is asked for, it is outside"]);
});

test("takeStep() says that istiod cannot be asked of what is there", async () => {
  const made = await standing();
  const { progress, istiod } = await takeStep(plan(made), step(), made.tools({ istiod: "http://127.0.0.1:1" }));
  assert.deepEqual([progress, istiod?.state], [{ state: "effective" }, "unreachable"]);
});

const asked = (want: StageRequest = SPLIT, request = "r") => ({
  ...{ service: KEY, want, request: requestText(claimOf({ ...want, request })) },
});

test("watchStep() does not take a decision on an older request for the answer", async () => {
  const made = await standing();
  const unready = { ...LIVE, readyEndpoints: 0 };
  made.move.claim({ ...ask("inside"), request: "older", live: unready });
  let rounds = 0;
  const onProgress = () => {
    if (++rounds === 3) made.move.claim({ ...ask("split", 10), request: "r", live: unready });
    void made.move.target.write([], { signal: AbortSignal.timeout(1000), mayWrite: () => true });
  };
  const progress = await watchStep(made.tools({ onProgress }), asked());
  assert.equal(progress.state, "refused");
  assert.match("why" in progress ? progress.why : "", /no ready endpoint/);
  assert.ok(rounds >= 3, `${rounds}`);
});

test("watchStep() takes no refusal from what stood before the request could be seen", async () => {
  const made = await standing();
  const unready = { ...LIVE, readyEndpoints: 0 };
  made.move.claim({ ...ask("split", 10), request: "r", live: unready });
  let rounds = 0;
  const onProgress = () => {
    rounds++;
    made.move.claim({ ...ask("split", 10), request: "r" });
    void made.move.settle();
  };
  assert.deepEqual(await watchStep(made.tools({ onProgress }), asked()), { state: "effective" });
  assert.ok(rounds > 0);
});

test("watchStep() waits for the objects beside the entry", async () => {
  const made = await standing(ask("split", 100));
  const { target } = made.move;
  made.move.claim({ ...ask("inside"), request: "r" });
  const { plan: decided } = made.decide(target.standing());
  const [entry, ...others] = decided.update.toSorted((a) => (a.object.manifest.kind === "ServiceEntry" ? -1 : 1));
  assert.ok(entry !== undefined && others.length > 0);
  const options = { signal: new AbortController().signal, mayWrite: () => true };
  await target.write([entry], options);
  const whys: string[] = [];
  const onProgress = (text: string) => {
    whys.push(text);
    void target.write(others, options);
  };
  assert.deepEqual(await watchStep(made.tools({ onProgress }), asked(IN)), { state: "effective" });
  assert.deepEqual(whys[0], "inside is asked for, its other objects are being written");
});

test("watchStep() tells of a step back by this request, and of no older one", async () => {
  const made = await standing({ ...ask("split", 10), request: "r" });
  made.move.claim({ ...ask("split", 10), request: "r", live: { ...LIVE, readyEndpoints: 0 } });
  await made.move.settle();
  assert.equal((await watchStep(made.tools(), asked())).state, "stepped back");
  const later = await watchStep(made.tools({ timeoutMs: 0 }), asked(SPLIT, "later"));
  assert.deepEqual(later, { state: "under way", why: "it is outside" });
});

test("watchStep() ends when it is to end, and says so where there is no entry", async () => {
  const made = stepping();
  const end = new AbortController();
  const onProgress = () => end.abort(new Error("stop"));
  await assert.rejects(watchStep(made.tools({ signal: end.signal, onProgress }), asked()), /stop/);
  const none = await watchStep(made.tools({ timeoutMs: 0 }), asked());
  assert.deepEqual(none, { state: "under way", why: "its entry is missing" });
});
