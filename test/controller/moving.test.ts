import assert from "node:assert/strict";
import { test } from "node:test";
import { type ComputeInput, createPipeline, type Pipeline } from "../../src/controller/compute.ts";
import { insideEndpoints } from "../../src/controller/moving.ts";
import { pass } from "../../src/controller/pass.ts";
import type { Claim } from "../../src/model/claim.ts";
import type { ServiceEntry } from "../../src/model/objects.ts";
import type { Service } from "../../src/model/service.ts";
import { runSteps } from "../../src/plan/steps.ts";
import { endpoints, foreign, MESH, port, readings, service } from "../plan/build.ts";
import { config, type MemoryTarget, memoryTarget } from "../plan/memory.ts";
import { claimOf, RULES } from "../plan/moving.ts";

const CLAIM = "Service/shop/orders-v2";
const signal = new AbortController().signal;

/** One service at `split 10`, as a pipeline that goes on has it. */
async function atSplit(): Promise<{
  target: MemoryTarget;
  pipeline: Pipeline;
  input: (said: Service) => ComputeInput;
}> {
  const target = memoryTarget(new Map([MESH, "shop"].map((name) => [name, "active"] as const)));
  const pipeline = createPipeline(config(["dc1"], { migration: RULES, target: { kind: "kubernetes" } }));
  const said = new Map<Service, ComputeInput["readings"]>();
  const input = (one: Service): ComputeInput => {
    const known = said.get(one) ?? readings({ dc1: [one] });
    said.set(one, known);
    const { clockMs: nowMs } = target;
    return { readings: known, standing: target.standing(), nowMs, allowDeletes: new Set(), endpointPeaks: new Map() };
  };
  const settle = async () => {
    for (let at = 0; at < 4; at++)
      await pass({
        target,
        signal,
        isDryRun: false,
        mayWrite: () => true,
        compute: () => runSteps(pipeline.all(input(ORDERS))),
      });
  };
  target.foreign.set(CLAIM, foreign("Service", "shop/orders-v2"));
  setClaim(target, { stage: "split", weight: 10 });
  await settle();
  return { target, pipeline, input };
}

const ORDERS = service();

function setClaim(target: MemoryTarget, fields: Partial<Claim>): void {
  target.claims.set(CLAIM, claimOf(fields));
}

test("an endpoint of a service at split changes without a look at everything, which keeps its routes and marks", async () => {
  const { pipeline, input } = await atSplit();
  const more = { ...ORDERS, endpoints: endpoints(2) };
  const some = pipeline.some(input(more), new Set());
  const updates = some?.decision.plan.update ?? [];
  assert.deepEqual(
    updates.map(({ object }) => object.key),
    [`ServiceEntry/${MESH}/orders.shop.dc1.mesh.internal`],
  );
  const manifest = updates[0]?.object.manifest as ServiceEntry;
  assert.equal(manifest.spec.endpoints?.length, 2);
  assert.equal(manifest.metadata.annotations?.["x2istio.io/effective-stage"], "split");
});

test("another port of a service at split takes a look at everything", async () => {
  const { pipeline, input } = await atSplit();
  assert.equal(pipeline.some(input({ ...ORDERS, ports: [port(), port("admin", 9000)] }), new Set()), undefined);
});

test("a claim that changes takes a look at everything, which takes the step", async () => {
  const { target, pipeline, input } = await atSplit();
  setClaim(target, { stage: "split", weight: 20 });
  const some = pipeline.some(input(ORDERS), new Set([CLAIM]));
  assert.equal(some?.isUnfinished ?? true, true);
  const { stages, plan } = runSteps(pipeline.all(input(ORDERS)));
  assert.equal(stages.get("dc1/shop/orders")?.weight, 20);
  assert.equal(plan.update.length, 2);
});

test("a step that is taken takes a look at everything for the next one", async () => {
  const { target, pipeline, input } = await atSplit();
  setClaim(target, { stage: "inside" });
  const first = runSteps(pipeline.all(input(ORDERS)));
  const changes = [...first.plan.update, ...first.plan.create];
  await target.write(changes, { signal, mayWrite: () => true });
  const some = pipeline.some(input(ORDERS), new Set(changes.map(({ object }) => object.key)));
  assert.equal(some?.isUnfinished ?? true, true);
  const second = runSteps(pipeline.all(input(ORDERS)));
  assert.equal(second.stages.get("dc1/shop/orders")?.stage, "inside");
});

test("insideEndpoints() counts what a pass brought inside, once", async () => {
  const { target, pipeline, input } = await atSplit();
  setClaim(target, { stage: "inside" });
  const counts: (number | undefined)[] = [];
  for (let at = 0; at < 3; at++) {
    const { plan } = runSteps(pipeline.all(input(ORDERS)));
    const report = await target.write([...plan.update, ...plan.create], { signal, mayWrite: () => true });
    counts.push(insideEndpoints(report).get("dc1"));
  }
  assert.deepEqual(counts, [undefined, 1, undefined]);
});
