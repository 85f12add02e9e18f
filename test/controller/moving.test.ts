import assert from "node:assert/strict";
import { test } from "node:test";
import { pass } from "../../src/controller/pass.ts";
import type { Claim } from "../../src/model/claim.ts";
import type { ServiceEntry } from "../../src/model/objects.ts";
import type { Service } from "../../src/model/service.ts";
import { decide } from "../../src/plan/decide.ts";
import type { Decision, DecisionInput } from "../../src/plan/decision.ts";
import { planMemory } from "../../src/plan/memory.ts";
import { decidePartly, type PartialDecision } from "../../src/plan/partial.ts";
import { endpoints, foreign, MESH, port, readings, service } from "../plan/build.ts";
import { config, type MemoryTarget, memoryTarget } from "../plan/memory.ts";
import { BETWEEN_MS, claimOf, RULES } from "../plan/moving.ts";

const CLAIM = "Service/shop/orders-v2";
const signal = new AbortController().signal;

/** One service at `split 10`, with a memory that goes on. */
async function atSplit(): Promise<{
  target: MemoryTarget;
  all: (said: Service) => Decision;
  partly: (said: Service, changed: ReadonlySet<string>) => PartialDecision | undefined;
}> {
  const target = memoryTarget(new Map([MESH, "shop"].map((name) => [name, "active"] as const)));
  const settings = config(["dc1"], { migration: RULES, target: { kind: "kubernetes" } });
  const memory = planMemory();
  const said = new Map<Service, DecisionInput["readings"]>();
  const input = (one: Service): DecisionInput => {
    const known = said.get(one) ?? readings({ dc1: [one] });
    said.set(one, known);
    const { clockMs: nowMs } = target;
    return { readings: known, standing: target.standing(), nowMs, allowDeletes: new Set() };
  };
  const all = (one: Service) => decide(settings, input(one), memory);
  const partly = (one: Service, changed: ReadonlySet<string>) => decidePartly(settings, input(one), changed, memory);
  const settle = async () => {
    for (let at = 0; at < 4; at++) {
      target.clockMs += BETWEEN_MS;
      await pass({
        target,
        signal,
        isDryRun: false,
        mayWrite: () => true,
        decide: () => all(ORDERS),
      });
    }
    target.clockMs += BETWEEN_MS;
  };
  target.foreign.set(CLAIM, foreign("Service", "shop/orders-v2"));
  setClaim(target, { stage: "split", weight: 10 });
  await settle();
  return { target, all, partly };
}

const ORDERS = service();

function setClaim(target: MemoryTarget, fields: Partial<Claim>): void {
  target.claims.set(CLAIM, claimOf(fields));
}

test("an endpoint of a service at split changes without a decision on everything, which keeps its routes and marks", async () => {
  const { partly } = await atSplit();
  const more = { ...ORDERS, endpoints: endpoints(2) };
  const partial = partly(more, new Set());
  const updates = partial?.decision.plan.update ?? [];
  assert.deepEqual(
    updates.map(({ object }) => object.key),
    [`ServiceEntry/${MESH}/orders.shop.dc1.mesh.internal`],
  );
  const manifest = updates[0]?.object.manifest as ServiceEntry;
  assert.equal(manifest.spec.endpoints?.length, 2);
  assert.equal(manifest.metadata.annotations?.["x2istio.dev/effective-stage"], "split");
});

test("another port of a service at split takes a decision on everything", async () => {
  const { partly } = await atSplit();
  assert.equal(partly({ ...ORDERS, ports: [port(), port("admin", 9000)] }, new Set()), undefined);
});

test("a claim that changes takes a decision on everything, which takes the step", async () => {
  const { target, all, partly } = await atSplit();
  setClaim(target, { stage: "split", weight: 20 });
  const partial = partly(ORDERS, new Set([CLAIM]));
  assert.equal(partial?.isUnfinished ?? true, true);
  const { stages, plan } = all(ORDERS);
  assert.equal(stages.get("dc1/shop/orders")?.weight, 20);
  assert.equal(plan.update.length, 2);
});

test("a step that is taken takes a decision on everything for the next one", async () => {
  const { target, all, partly } = await atSplit();
  setClaim(target, { stage: "inside" });
  const first = all(ORDERS);
  const changes = [...first.plan.update, ...first.plan.create];
  await target.write(changes, { signal, mayWrite: () => true });
  const partial = partly(ORDERS, new Set(changes.map(({ object }) => object.key)));
  assert.equal(partial?.isUnfinished ?? true, true);
  const second = all(ORDERS);
  assert.equal(second.stages.get("dc1/shop/orders")?.stage, "inside");
});
