import assert from "node:assert/strict";
import { test } from "node:test";
import { insideAddresses, isInside, stageAnnotations, standingStage } from "../../../src/plan/stages/standing-stage.ts";
import { entry } from "../build.ts";
import { KEY } from "../moving.ts";

const marks = (fields: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(fields).map(([name, value]) => [`x2istio.dev/${name}`, value]));
const at = (fields: Readonly<Record<string, string>>) => entry(KEY, { annotations: marks(fields) });
const CLAIMANT = { "effective-claimant": "shop/orders-v2" };

const cases: readonly { marks: Readonly<Record<string, string>>; want: string }[] = [
  { marks: {}, want: "outside 0" },
  { marks: CLAIMANT, want: "outside 0" },
  ...["0", "1", "10", "99", "100"].map((weight) => ({
    marks: { ...CLAIMANT, "effective-stage": "split", "effective-weight": weight },
    want: `split ${weight} shop/orders-v2`,
  })),
  ...["101", "999", "1000", "-1", "", "x", "1.5", " 10", "1e1"].map((weight) => ({
    marks: { ...CLAIMANT, "effective-stage": "split", "effective-weight": weight },
    want: "outside 0",
  })),
  { marks: { ...CLAIMANT, "effective-stage": "split" }, want: "outside 0" },
  { marks: { ...CLAIMANT, "effective-stage": "inside" }, want: "inside 100 shop/orders-v2" },
  { marks: { ...CLAIMANT, "effective-stage": "inside", "effective-weight": "7" }, want: "inside 100 shop/orders-v2" },
  { marks: { ...CLAIMANT, "effective-stage": "retired" }, want: "retired 100 shop/orders-v2" },
  { marks: { ...CLAIMANT, "effective-stage": "outside" }, want: "outside 0" },
  { marks: { ...CLAIMANT, "effective-stage": "Inside" }, want: "outside 0" },
  ...["", "shop", "shop/", "/orders-v2", "shop/orders/v2"].map((claimant) => ({
    marks: { "effective-stage": "inside", "effective-claimant": claimant },
    want: "outside 0",
  })),
  { marks: { "effective-stage": "inside" }, want: "outside 0" },
  { marks: { "stepped-back": "split 10 r" }, want: "outside 0 (split 10 r)" },
  {
    marks: { ...CLAIMANT, "effective-stage": "split", "effective-weight": "x", "stepped-back": "split 10 r" },
    want: "outside 0 (split 10 r)",
  },
];
for (const { marks: fields, want } of cases)
  test(`standingStage() of ${JSON.stringify(fields)} is ${want}`, () => {
    const { stage, weight, claimant, steppedBackFrom } = standingStage(at(fields));
    const who = claimant === undefined ? "" : ` ${claimant.namespace}/${claimant.name}`;
    assert.equal(`${stage} ${weight}${who}${steppedBackFrom === undefined ? "" : ` (${steppedBackFrom})`}`, want);
    assert.equal(isInside(at(fields)), stage === "inside" || stage === "retired");
  });

test("insideAddresses() reads canonical addresses, of what is inside alone", () => {
  const addresses = { "inside-addresses": "10.96.0.7,FD00:96:0::7,nonsense" };
  const read = (stage: string) =>
    insideAddresses(at({ ...CLAIMANT, "effective-weight": "100", "effective-stage": stage, ...addresses }));
  assert.deepEqual(read("inside"), ["10.96.0.7", "fd00:96::7"]);
  assert.deepEqual(read("retired"), ["10.96.0.7", "fd00:96::7"]);
  assert.deepEqual(read("split"), []);
});

test("stageAnnotations() writes what standingStage() reads", () => {
  const common = {
    ...{ service: KEY, registry: "dc1", claim: undefined, towards: undefined, refusedTo: undefined, blockers: [] },
    ...{ claimant: { namespace: "shop", name: "orders-v2" }, sni: [], announced: [], settlesAtMs: undefined },
    steppedBackFrom: undefined,
  };
  for (const [stage, weight, addresses] of [
    ["split", 0, []],
    ["split", 100, []],
    ["inside", 100, ["10.96.0.7", "fd00:96::7"]],
    ["retired", 100, []],
  ] as const) {
    const annotations = stageAnnotations({ ...common, stage, weight, addresses });
    const stands = entry(KEY, { annotations });
    const { stage: read, weight: share, claimant } = standingStage(stands);
    assert.deepEqual([read, share, claimant], [stage, weight, common.claimant]);
    assert.deepEqual(insideAddresses(stands), addresses);
  }
  const outside = { ...common, stage: "outside", weight: 0, addresses: ["10.96.0.7"] } as const;
  assert.deepEqual(stageAnnotations(outside), {});
  assert.deepEqual(stageAnnotations({ ...outside, steppedBackFrom: "r" }), marks({ "stepped-back": "r" }));
});
