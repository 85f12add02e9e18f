import assert from "node:assert/strict";
import { test } from "node:test";
import { adapters } from "../../adapters/adapters.ts";
import { parseConfig } from "../../src/config/parse.ts";

const parse = (fields: object, kind: object = { kind: "consul", address: "http://consul.example.org:8500" }) =>
  parseConfig(JSON.stringify({ registries: [{ name: "dc1", ...kind, ...fields }] }), "x2istio.yaml", {
    env: {},
    adapters,
  });

const refused: readonly (readonly [fields: object, says: RegExp])[] = [
  [{ ports: [{}] }, /ports\[0\].*must say of which instances it is/],
  [{ ports: [{ service: "web" }] }, /ports\[0\].*must say of which instances it is/],
  [{ ports: [{ number: 0 }] }, /ports\[0\]\.number/],
  [{ ports: [{ number: 80, name: "Big" }] }, /ports\[0\]\.name: must be a DNS label/],
  [{ ports: [{ protocol: "pigeon" }] }, /ports\[0\]\.protocol: must be a protocol that Istio knows/],
  [{ ports: [{ meta: "=x", number: 80 }] }, /ports\[0\]\.meta: must be key=value/],
  [{ protocols: [{ service: "*" }] }, /protocols\[0\]\.protocol/],
  [{ instances: { exclude: [{}] } }, /instances\.exclude\[0\].*must have cidr, tag or meta/],
  [{ instances: { include: [] } }, /instances\.include/],
  [{ instances: { exclude: [{ cidr: "10.0.0.0/33" }] } }, /must be an address range/],
  [{ labels: { a: "no label" } }, /labels.*must be a label's key/],
  [{ labels: { a: "x", b: "x" } }, /must not give one label twice/],
  [{ share: 0 }, /share/],
  [{ network: "a b" }, /network/],
  [{ enterprise: { tenant: "x" } }, /enterprise/],
];
for (const [fields, says] of refused)
  test(`the configuration refuses ${JSON.stringify(fields)}`, () => assert.throws(() => parse(fields), says));

test("the configuration knows the usual weight of each kind of registry, and which compare names without case", () => {
  const traits = (kind: object) => {
    const [{ defaultWeight, caseless } = {}] = parse({}, kind).registries as readonly {
      defaultWeight?: number;
      caseless?: true;
    }[];
    return [defaultWeight, caseless];
  };
  assert.deepEqual(traits({ kind: "consul", address: "http://consul.example.org:8500" }), [undefined, true]);
  assert.deepEqual(traits({ kind: "polaris", address: "http://polaris.example.org:8090" }), [100, undefined]);
  assert.deepEqual(traits({ kind: "static", file: "a.yaml" }), [undefined, undefined]);
});
