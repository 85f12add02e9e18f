import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RegistrySettings } from "../../../src/model/settings.ts";
import { merge } from "../../../src/plan/catalog/merge.ts";
import { weightScales } from "../../../src/plan/catalog/weights.ts";
import { planMemory } from "../../../src/plan/memory.ts";
import { endpoint, entry, readings, type Said, service, standing } from "../build.ts";

const GROUP = ["dc1", "prod", "vms"];

/** Registries as their kinds have them: Consul's default weight is 1, that of Polaris 100, and files have none. */
function registries(shares: Readonly<Record<string, number>> = {}): readonly RegistrySettings[] {
  return GROUP.map((name) => ({
    ...{ name, poll: "", legacyNames: [], exportTo: ["*"], xds: false, share: shares[name] },
    ...(name === "prod" ? { defaultWeight: 100 } : {}),
  }));
}

function weights(said: Readonly<Record<string, Said>>, shares?: Readonly<Record<string, number>>): readonly string[] {
  const scales = weightScales(GROUP, registries(shares));
  const { services } = merge(readings(said), standing(), GROUP, planMemory(), scales);
  const one = services.get("dc1/shop/orders") ?? assert.fail("it is not joined");
  return one.endpoints.map(({ address, weight }) => `${address} ${weight ?? "none"}`);
}

const of = (registry: string, ...all: readonly (readonly [string, number?])[]) => [
  service("orders", {
    registry,
    endpoints: all.map(([address, weight]) => endpoint(address, weight === undefined ? {} : { weight })),
  }),
];
const three = {
  dc1: of("dc1", ["192.0.2.1", 1]),
  prod: of("prod", ["192.0.3.1", 100]),
  vms: of("vms", ["192.0.4.1"]),
};

const cases: readonly {
  readonly name: string;
  readonly said: Readonly<Record<string, Said>>;
  readonly shares?: Readonly<Record<string, number>>;
  readonly want: readonly string[];
}[] = [
  {
    name: "one each of the usual weight weigh alike",
    said: three,
    want: ["192.0.2.1 100", "192.0.3.1 100", "192.0.4.1 100"],
  },
  {
    name: "within a registry weights stay shares",
    said: { ...three, dc1: of("dc1", ["192.0.2.1", 3], ["192.0.2.2", 1]), prod: of("prod", ["192.0.3.1", 50]) },
    want: ["192.0.2.1 300", "192.0.2.2 100", "192.0.3.1 50", "192.0.4.1 100"],
  },
  {
    name: "one without a weight counts as its registry's default",
    said: { ...three, dc1: of("dc1", ["192.0.2.1"]), prod: of("prod", ["192.0.3.1"], ["192.0.3.2", 100]) },
    want: ["192.0.2.1 100", "192.0.3.1 100", "192.0.3.2 100", "192.0.4.1 100"],
  },
  {
    name: "the operator's shares count",
    said: three,
    shares: { prod: 3, vms: 2 },
    want: ["192.0.2.1 100", "192.0.3.1 300", "192.0.4.1 200"],
  },
  {
    name: "the same where a member does not list it",
    said: { ...three, prod: [] },
    want: ["192.0.2.1 100", "192.0.4.1 100"],
  },
];
for (const { name, said, shares, want } of cases)
  test(`merge() weighs registries of different measures: ${name}`, () => assert.deepEqual(weights(said, shares), want));

test("merge() leaves weights alone where the measures are the same", () => {
  const group = ["dc1", "vms"];
  assert.equal(weightScales(group, registries()).size, 0);
  const said = readings({ dc1: three.dc1, vms: three.vms });
  const joined = merge(said, standing(), group).services.get("dc1/shop/orders");
  assert.deepEqual(
    joined?.endpoints.map(({ weight }) => weight),
    [1, undefined],
  );
});

test("merge() does not weigh again what stands of a member that cannot be read", () => {
  const stands = standing({
    objects: [
      entry("dc1/shop/orders", {
        endpoints: [
          { address: "192.0.2.1", weight: 100 },
          { address: "192.0.3.1", weight: 100 },
        ],
        annotations: { "x2istio.dev/endpoints-from": "dc1=1,prod=1" },
      }),
    ],
  });
  const scales = weightScales(GROUP, registries());
  const said = readings({ dc1: "refused", prod: three.prod, vms: [] });
  const joined = merge(said, stands, GROUP, planMemory(), scales).services.get("dc1/shop/orders");
  assert.deepEqual(new Set(joined?.endpoints.map(({ weight }) => weight)), new Set([100]));
});

test("merge() keeps the sum of weights within what Envoy takes, and none below 1", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 65_535 }), { minLength: 1, maxLength: 300 }), (list) => {
      const many = list.map((weight, at) => [`192.0.2.${at}`, weight] as const);
      const found = weights({ ...three, dc1: of("dc1", ...many) }, { dc1: 1000 });
      const numbers = found.map((one) => Number(one.split(" ")[1]));
      assert.ok(numbers.reduce((a, b) => a + b, 0) <= 0xffffffff);
      assert.ok(numbers.every((one) => one >= 1 && Number.isInteger(one)));
    }),
  );
});
