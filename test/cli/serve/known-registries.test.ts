import assert from "node:assert/strict";
import { test } from "node:test";
import { knownRegistries } from "../../../src/cli/serve/known-registries.ts";
import type { Config } from "../../../src/config/config.ts";
import type { PolicedPlan } from "../../../src/model/plan.ts";
import type { WriteOutcome } from "../../../src/model/target.ts";
import { entry, readings, type Said } from "../../plan/build.ts";

const WAIT_MS = 60_000;
const unreachable = "connect ECONNREFUSED";

/** Registries vms, dc1 and prod, of which one has stood before. */
function start({
  stood = ["vms"],
  merge = [],
}: {
  readonly stood?: readonly string[];
  readonly merge?: readonly string[];
} = {}) {
  const clock = { ms: 0 };
  const registries = [{ name: "vms" }, { name: "dc1" }, { name: "prod" }] as unknown as Config["registries"];
  const known = knownRegistries({ registries, merge, http: { readyWaitMs: WAIT_MS } }, new Set(stood), () => clock.ms);
  const state = () => ["vms", "dc1", "prod"].filter(known.has);
  return { known, clock, state };
}

/** A plan that makes an entry of each service, and an alias. */
function plan(...services: readonly string[]): PolicedPlan {
  const create = services.flatMap((service) => {
    const object = entry(service);
    const alias = { ...object, key: `Service/apps/${service}`, manifest: { ...object.manifest, kind: "Service" } };
    return [object, alias].map((one) => ({ kind: "create", object: one }));
  });
  return { create, update: [], delete: [], hold: [] } as unknown as PolicedPlan;
}

function said(fields: Readonly<Record<string, Said>>) {
  return readings({ vms: [], dc1: undefined, prod: unreachable, ...fields });
}

function outcomes({ create }: PolicedPlan, entries: WriteOutcome, others: WriteOutcome = entries) {
  return {
    results: create.map((change) => ({
      change,
      outcome: change.object.manifest.kind === "ServiceEntry" ? entries : others,
    })),
  };
}

test("knownRegistries() knows what stood, and no other that never answered or could not be read", () => {
  const { known, state } = start();
  known.decided({ plan: plan() }, said({}));
  known.written({ results: [] });
  assert.deepEqual(state(), ["vms"]);
});

for (const { name, entries, others, want } of [
  { name: "was written", entries: "written", want: true },
  { name: "was refused", entries: "failed", others: "skipped", want: true },
  { name: "met what is not ours", entries: "foreign", want: true },
  { name: "was not tried, as another leads by now", entries: "skipped", want: false },
  { name: "met a conflict and is tried again", entries: "conflict", want: false },
] as const)
  test(`knownRegistries() ${want ? "knows" : "does not know"} a registry of which all ${name}`, () => {
    const { known, state } = start();
    const made = plan("dc1/shop/a", "dc1/shop/b");
    known.decided({ plan: made }, said({ dc1: [] }));
    assert.deepEqual(state(), ["vms"], "before it is written");
    known.written(outcomes(made, entries, others));
    assert.deepEqual(state(), want ? ["vms", "dc1"] : ["vms"]);
  });

test("knownRegistries() does not know a registry that answers while a decision is written that was made before", () => {
  const { known, state } = start();
  const made = plan("vms/shop/a");
  known.decided({ plan: made }, said({}));
  known.written(outcomes(made, "written"));
  assert.deepEqual(state(), ["vms"]);
});

test("knownRegistries() knows a registry at once that gives nothing to be made", () => {
  const { known, state } = start();
  known.decided({ plan: plan("vms/shop/a") }, said({ dc1: [], prod: [] }));
  assert.deepEqual(state(), ["vms", "dc1", "prod"]);
});

test("knownRegistries() waits for another process that writes, as long as it gets on", () => {
  const { known, clock, state } = start();
  const dc1 = said({ dc1: [] });
  known.decided({ plan: plan("dc1/shop/a", "dc1/shop/b", "dc1/shop/c") }, dc1);
  clock.ms = WAIT_MS - 1;
  known.decided({ plan: plan("dc1/shop/b", "dc1/shop/c") }, dc1);
  clock.ms = 2 * WAIT_MS - 2;
  known.decided({ plan: plan("dc1/shop/b", "dc1/shop/c") }, dc1);
  assert.deepEqual(state(), ["vms"]);
  clock.ms = 2 * WAIT_MS - 1;
  known.decided({ plan: plan("dc1/shop/b", "dc1/shop/c") }, dc1);
  assert.deepEqual(state(), ["vms", "dc1"]);
});

test("knownRegistries() finds what stands of merged registries by the first of them, and waits for all", () => {
  const merge = ["dc1", "prod"];
  assert.deepEqual(start({ stood: ["dc1"], merge }).state(), ["dc1", "prod"]);
  const { known, state } = start({ merge });
  known.decided({ plan: plan() }, said({ dc1: [] }));
  assert.deepEqual(state(), ["vms", "dc1"]);
  const made = plan("dc1/shop/a");
  known.decided({ plan: made }, said({ dc1: [], prod: [] }));
  assert.deepEqual(state(), ["vms", "dc1"]);
  known.written(outcomes(made, "written"));
  assert.deepEqual(state(), ["vms", "dc1", "prod"]);
});
