import assert from "node:assert/strict";
import { test } from "node:test";
import { adapters } from "../../../adapters/adapters.ts";
import { clashRules } from "../../../src/cli/setup/clash-rules.ts";
import { parseConfig } from "../../../src/config/parse.ts";

/** Of a configuration with a registry `dc1`. */
function rulesOf(sections: object, legacyNames: readonly string[] = []) {
  const registries = [{ kind: "static", name: "dc1", file: "a.yaml", legacyNames }];
  return clashRules(parseConfig(JSON.stringify({ registries, ...sections }), "x.yaml", { env: {}, adapters }));
}

const cases = [
  { name: "the host template's own words", sections: {}, want: ["mesh.internal", "dc1.mesh.internal"] },
  {
    name: "zones, without the last dot",
    sections: { dns: { zones: ["Corp.Example.com.", "mesh.internal"] } },
    want: ["corp.example.com", "mesh.internal", "dc1.mesh.internal"],
  },
  {
    name: "whole labels behind the last value of a template",
    sections: { hosts: { template: "{service}.mesh.internal" } },
    legacyNames: ["{service}-{registry}.Service.consul", "{service}.{registry}"],
    want: ["mesh.internal", "service.consul", "dc1"],
  },
  {
    name: "any name where a template says so",
    sections: {},
    legacyNames: ["{service}.{namespace}"],
    want: ["mesh.internal", "dc1.mesh.internal", ""],
  },
  {
    name: "the full names of aliases",
    sections: {
      aliases: [{ registry: "dc1", as: "{service}", in: "shop" }],
      target: { kind: "kubernetes", namespace: "mesh-services", clusterDomain: "corp.local" },
    },
    want: ["mesh.internal", "dc1.mesh.internal", "shop.svc.corp.local"],
  },
];
for (const { name, sections, legacyNames, want } of cases)
  test(`clashRules() has ${name}`, () => assert.deepEqual(rulesOf(sections, legacyNames).domains, want));

test("clashRules() has the ranges out of which VIPs come: none where Istio allocates them", () => {
  assert.deepEqual(rulesOf({ vips: { ranges: ["10.9.0.0/24"] } }).ranges, ["10.9.0.0/24"]);
  const target = { kind: "kubernetes", namespace: "mesh-services" };
  assert.deepEqual(rulesOf({ vips: { mode: "istio" }, target }).ranges, []);
});
