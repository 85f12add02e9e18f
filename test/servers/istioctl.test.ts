import assert from "node:assert/strict";
import { test } from "node:test";
import { ensureServers, noServers } from "./build.ts";
import { analyze, validate } from "./istioctl.ts";

const skip = (await ensureServers(["istioctl"])) === undefined && noServers;

const http = { number: 80, name: "http", protocol: "HTTP" };
const entry = (spec: object) => ({
  apiVersion: "networking.istio.io/v1",
  kind: "ServiceEntry",
  metadata: { name: "web", namespace: "apps" },
  spec: { hosts: ["web.example.org"], ports: [http], resolution: "DNS", ...spec },
});

const cases = [
  { name: "passes what is right", manifests: [entry({}), entry({ hosts: ["db.example.org"] })], ok: true, output: /./ },
  { name: "finds an error", manifests: [entry({}), entry({ hosts: [] })], ok: false, output: /at least one host/ },
  {
    name: "finds a warning",
    manifests: [entry({ resolution: "STATIC", workloadSelector: { labels: {} } })],
    ok: false,
    output: /applied to all services/,
  },
  { name: "finds an unknown field", manifests: [entry({ hots: [] })], ok: false, output: /hots/ },
  {
    name: "finds a badly named port of a Service",
    manifests: [
      { apiVersion: "v1", kind: "Service", metadata: { name: "web" }, spec: { ports: [{ name: "abc", port: 80 }] } },
    ],
    ok: false,
    output: /naming convention/,
  },
];
for (const { name, manifests, ok, output } of cases) {
  test(`validate() ${name}`, { skip }, async () => {
    const result = await validate(manifests);
    assert.match(result.output, output);
    assert.equal(result.ok, ok, result.output);
  });
}

const unchecked = [
  { name: "nothing", manifests: [] },
  { name: "a kind that istioctl has no check for", manifests: [{ apiVersion: "v1", kind: "ConfigMap" }] },
  {
    name: "a list of objects",
    manifests: [{ apiVersion: "networking.istio.io/v1", kind: "ServiceEntryList", items: [] }],
  },
];
for (const { name, manifests } of unchecked) {
  test(`validate() refuses to check ${name}`, async () => {
    await assert.rejects(validate(manifests), /Cannot validate/);
  });
}

test("analyze() finds what the validation of one object does not", { skip }, async () => {
  const route = (name: string) => ({
    apiVersion: "networking.istio.io/v1",
    kind: "VirtualService",
    metadata: { name, namespace: "apps" },
    spec: { hosts: ["web.example.org"], http: [{ route: [{ destination: { host: "web.example.org" } }] }] },
  });
  const alone = await analyze([entry({}), route("one")]);
  assert.ok(alone.ok, alone.output);
  const both = await analyze([entry({}), route("one"), route("other")]);
  assert.equal(both.ok, false);
  assert.match(both.output, /IST0109/);
  await assert.rejects(analyze([]), /Cannot analyze/);
});
