import assert from "node:assert/strict";
import { test } from "node:test";
import { soundEntrySpec } from "../../src/istio/entry-spec.ts";

const port = { name: "http", number: 80, protocol: "HTTP" };
const cases: { name: string; spec: Record<string, unknown>; want: object }[] = [
  { name: "nothing", spec: {}, want: { hosts: [], ports: [] } },
  { name: "null", spec: { hosts: null, addresses: null, ports: null }, want: { hosts: [], ports: [] } },
  { name: "text", spec: { hosts: "a", ports: "b", endpoints: "c" }, want: { hosts: [], ports: [] } },
  {
    name: "odd items",
    spec: { hosts: [1, "a.example.org"], ports: [null, port, { name: "x" }], endpoints: [1, { address: "192.0.2.1" }] },
    want: { hosts: ["a.example.org"], ports: [port], endpoints: [{ address: "192.0.2.1" }] },
  },
  {
    name: "odd ports of an endpoint",
    spec: { hosts: ["a.example.org"], ports: [port], endpoints: [{ address: "192.0.2.1", ports: null }] },
    want: { hosts: ["a.example.org"], ports: [port], endpoints: [] },
  },
];
for (const { name, spec, want } of cases) {
  test(`soundEntrySpec() bears with ${name}`, () => assert.deepEqual(soundEntrySpec(spec), want));
}

test("soundEntrySpec() gives a sound spec back as it is", () => {
  const spec = {
    hosts: ["a.example.org"],
    ports: [port],
    endpoints: [{ address: "192.0.2.1", ports: { http: 8080 } }],
  };
  assert.equal(soundEntrySpec(spec), spec);
});
