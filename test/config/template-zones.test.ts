import assert from "node:assert/strict";
import { test } from "node:test";
import { adapters } from "../../adapters/adapters.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { foreignTemplates } from "../../src/config/template-zones.ts";

const taken = "whoever may register a service there takes any name in it";
const cases: readonly (readonly [template: string, want: string | undefined])[] = [
  ["{service}.mesh.internal", undefined],
  ["{service}.shop.Ours.example.com", undefined],
  ["*.{service}.ours.example.com", undefined],
  ["{service}.service.consul", undefined],
  ["{service}.service.dc1.consul", undefined],
  ["{service}.consul", "end in consul, which is in consul, a zone of others"],
  ["{service}.corp.example.com", "end in corp.example.com, which is in corp.example.com, a zone of others"],
  ["{service}.eu.corp.example.com", "end in eu.corp.example.com, which is in corp.example.com, a zone of others"],
  ["{service}.ours.corp.example.com", undefined],
  ["{service}.example.com", "end in example.com, which is in none of dns.zones"],
  ["{service}.notours.example.com", "end in notours.example.com, which is in none of dns.zones"],
  ["{service}.{namespace}", "end in what a registry chooses, which may be any domain"],
  ["{service}", "end in what a registry chooses, which may be any domain"],
];
for (const [template, want] of cases)
  test(`foreignTemplates() of ${template}: ${want ?? "nothing"}`, () => {
    const text = `
registries: [{kind: static, name: vms, file: a.yaml, legacyNames: ["${template}"]}]
dns:
  zones:
    - mesh.internal
    - ours.example.com
    - {name: consul, forward: ["192.0.2.53"]}
    - {name: corp.example.com, forward: ["192.0.2.53"]}
    - ours.corp.example.com
`;
    const config = parseConfig(text, "x2istio.yaml", { env: {}, adapters });
    const message = `its legacy names ${JSON.stringify(template)} ${want}: ${taken}`;
    assert.deepEqual(
      foreignTemplates(config),
      want === undefined ? [] : [{ registry: "vms", path: ["registries", 0, "legacyNames", 0], message }],
    );
  });
