import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { type Admission, type Admitted, admissionServers, startAdmission } from "./admission.ts";
import { ensureServers, noServers } from "./build.ts";

const skip = (await ensureServers(admissionServers)) === undefined && noServers;

const entry = (spec: object): Admitted & { readonly spec: object } => ({
  apiVersion: "networking.istio.io/v1",
  kind: "ServiceEntry",
  metadata: { name: "web", namespace: "apps" },
  spec: {
    hosts: ["web.example.org"],
    ports: [{ number: 80, name: "http", protocol: "HTTP" }],
    resolution: "STATIC",
    ...spec,
  },
});

suite("startAdmission()", { skip }, () => {
  let admission: Admission;
  before(async () => {
    admission = await startAdmission(["apps"]);
  });
  after(() => admission?.stop());

  const cases = [
    { name: "passes what is right", object: entry({}), want: [] },
    {
      name: "hears the CRD",
      object: entry({ ports: [{ number: 0, name: "http" }] }),
      want: [/^422: .*spec.ports\[0\]/],
    },
    {
      name: "hears the CRD's rules",
      object: entry({ workloadSelector: { labels: {} }, endpoints: [] }),
      want: [/^422: /],
    },
    { name: "hears of an unknown field", object: entry({ hots: [] }), want: [/unknown field "spec.hots"/] },
    { name: "hears istiod's errors", object: entry({ hosts: ["a_b.c"] }), want: [/admission webhook .*a_b\.c/] },
    {
      name: "hears istiod's warnings",
      object: entry({ workloadSelector: { labels: {} } }),
      want: [/applied to all services/],
    },
  ];
  for (const { name, object, want } of cases)
    test(name, async () => {
      const faults = await admission.faults(object);
      assert.equal(faults.length, want.length, faults.join("\n"));
      for (const [at, fault] of faults.entries()) assert.match(fault, want[at] ?? /^$/);
    });
});
