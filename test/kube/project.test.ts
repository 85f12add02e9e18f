import assert from "node:assert/strict";
import { test } from "node:test";
import { isOurs, toForeign, toStanding, valuePool } from "../../src/kube/project.ts";
import type { RawObject } from "../../src/kube/raw.ts";

const labels = { "app.kubernetes.io/managed-by": "x2istio", "x2istio.io/owner": "east", "x2istio.io/registry": "vms" };
const service = (spec: object): RawObject => ({ metadata: { name: "web", namespace: "shop", labels }, spec });

const foreign: { name: string; kind: string; raw: RawObject; hosts: string[]; addresses: string[] }[] = [
  {
    name: "takes a Service's single addresses",
    kind: "Service",
    raw: {
      metadata: { name: "web", namespace: "shop" },
      spec: { clusterIP: "10.96.0.7", clusterIPs: ["10.96.0.7", "2001:DB8:0::7"], externalIPs: ["192.0.2.7"] },
      status: { loadBalancer: { ingress: [{ ip: "198.51.100.7" }, { hostname: "lb.example.org" }] } },
    },
    hosts: ["web"],
    addresses: ["10.96.0.7", "2001:db8::7", "192.0.2.7", "198.51.100.7"],
  },
  {
    name: "drops None of a headless Service",
    kind: "Service",
    raw: { metadata: { name: "db", namespace: "shop" }, spec: { clusterIP: "None" } },
    hosts: ["db"],
    addresses: [],
  },
  {
    name: "drops ranges of a ServiceEntry and takes its status",
    kind: "ServiceEntry",
    raw: {
      spec: { hosts: ["a.example.org"], addresses: ["203.0.113.0/24", "203.0.113.9/32"] },
      status: { addresses: [{ value: "240.240.0.1", host: "a.example.org" }] },
    },
    hosts: ["a.example.org"],
    addresses: ["203.0.113.9", "240.240.0.1"],
  },
  {
    name: "takes a VirtualService of the mesh",
    kind: "VirtualService",
    raw: { spec: { hosts: ["a.example.org"], gateways: ["edge", "mesh"] } },
    hosts: ["a.example.org"],
    addresses: [],
  },
  {
    name: "drops hosts of a VirtualService for gateways only",
    kind: "VirtualService",
    raw: { spec: { hosts: ["a.example.org"], gateways: ["edge"] } },
    hosts: [],
    addresses: [],
  },
  {
    name: "takes an HTTPRoute's parents in the mesh",
    kind: "HTTPRoute",
    raw: {
      metadata: { name: "r", namespace: "shop" },
      spec: {
        hostnames: ["www.example.org"],
        parentRefs: [
          { name: "edge" },
          { kind: "Service", name: "web" },
          { kind: "ServiceEntry", name: "a.example.org" },
          { kind: "Hostname", name: "b.example.org" },
        ],
      },
    },
    hosts: ["web.shop.svc.cluster.local", "a.example.org", "b.example.org"],
    addresses: [],
  },
  {
    name: "bears with an object that makes no sense",
    kind: "ServiceEntry",
    raw: { spec: { hosts: "a", addresses: [1, null, {}] }, status: [] },
    hosts: [],
    addresses: [],
  },
];
for (const { name, kind, raw, hosts, addresses } of foreign) {
  test(`toForeign() ${name}`, () => {
    const object = toForeign(kind, raw, "cluster.local");
    assert.deepEqual({ hosts: object.hosts, addresses: object.addresses }, { hosts, addresses });
  });
}

const yielded: { name: string; spec: object; want: string | undefined }[] = [
  { name: "as ours", spec: { type: "ExternalName", externalName: "x" }, want: undefined },
  { name: "with another type", spec: { type: "ClusterIP" }, want: "someone changed its type to ClusterIP" },
  {
    name: "with a selector",
    spec: { type: "ExternalName", selector: { app: "web" } },
    want: "someone gave it a selector",
  },
];
for (const { name, spec, want } of yielded) {
  test(`toStanding() reads a Service ${name}`, () =>
    assert.equal(toStanding("Service", service(spec), valuePool()).yielded, want));
}

test("toStanding() shares label maps and takes the time of our own last write", () => {
  const pooled = valuePool();
  const time = (manager: string, seconds: number) => ({ manager, time: `2026-01-01T00:00:0${seconds}Z` });
  const raw = {
    ...service({ type: "ExternalName" }),
    metadata: { ...service({}).metadata, managedFields: [time("x2istio", 1), time("x2istio", 3), time("kubectl", 5)] },
  };
  const one = toStanding("Service", structuredClone(raw), pooled);
  const other = toStanding("Service", structuredClone(raw), pooled);
  assert.equal(one.manifest.metadata.labels, other.manifest.metadata.labels);
  assert.equal(one.writtenMs, Date.UTC(2026, 0, 1, 0, 0, 3));
});

test("isOurs() wants both labels", () => {
  assert.equal(isOurs({ metadata: { labels } }, "east"), true);
  assert.equal(isOurs({ metadata: { labels } }, "west"), false);
  assert.equal(isOurs({ metadata: { labels: { "x2istio.io/owner": "east" } } }, "east"), false);
  assert.equal(isOurs({}, "east"), false);
});

for (const [exportTo, want] of [
  [undefined, undefined],
  [[], undefined],
  [["*"], undefined],
  [["."], true],
  [["shop", "web"], true],
] as const) {
  test(`toForeign() takes a VirtualService exported to ${exportTo} as ${want ? "one for some" : "one for all"}`, () => {
    const raw = { spec: { hosts: ["a.example.org"], ...(exportTo !== undefined && { exportTo }) } };
    assert.equal(toForeign("VirtualService", raw, "cluster.local").isNarrow, want);
  });
}
