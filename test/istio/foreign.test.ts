import assert from "node:assert/strict";
import { test } from "node:test";
import { fieldsOf } from "../../src/istio/fields.ts";
import { foreignObject } from "../../src/istio/foreign.ts";

interface Written {
  readonly metadata?: {
    readonly name: string;
    readonly namespace: string;
    readonly annotations?: Record<string, string>;
  };
  readonly spec: object;
  readonly status?: unknown;
}

function toForeign(kind: string, { metadata, spec, status }: Written, owner?: string) {
  const { name = "", namespace = "", annotations } = metadata ?? {};
  const source = { kind, name, namespace, annotations, uid: "", labels: undefined, createdMs: undefined };
  return foreignObject(
    { ...source, spec: fieldsOf(spec), status: fieldsOf(status) },
    { clusterDomain: "cluster.local", owner },
  );
}

const foreign: {
  name: string;
  kind: string;
  raw: Written;
  hosts: string[];
  addresses: string[];
  asked?: readonly string[];
}[] = [
  {
    name: "takes a Service's single addresses",
    kind: "Service",
    raw: {
      metadata: { name: "web", namespace: "shop" },
      spec: { clusterIP: "10.96.0.7", clusterIPs: ["10.96.0.7", "2001:DB8:0::7"], externalIPs: ["192.0.2.7"] },
      status: { loadBalancer: { ingress: [{ ip: "198.51.100.7" }, { hostname: "lb.example.org" }] } },
    },
    hosts: ["web"],
    addresses: ["10.96.0.7", "2001:db8::7", "198.51.100.7"],
    asked: ["192.0.2.7"],
  },
  {
    name: "tells the addresses that a Service only asks for from those that it has",
    kind: "Service",
    raw: {
      metadata: { name: "web", namespace: "shop" },
      spec: { clusterIP: "10.96.0.7", loadBalancerIP: "192.0.2.8", externalIPs: ["2001:DB8:0::7", "192.0.2.0/24"] },
    },
    hosts: ["web"],
    addresses: ["10.96.0.7"],
    asked: ["192.0.2.8", "2001:db8::7"],
  },
  {
    name: "takes an address once, in whatever spelling, and single addresses written as ranges",
    kind: "ServiceEntry",
    raw: {
      spec: {
        hosts: ["a.example.org"],
        addresses: [
          "2001:DB8:0::1",
          "2001:db8::1/128",
          "2001:0db8:0000::0001",
          "2001:db8::/64",
          "192.0.2.1/32",
          "192.0.2.1",
        ],
      },
    },
    hosts: ["a.example.org"],
    addresses: ["2001:db8::1", "192.0.2.1"],
  },
  {
    name: "takes single IPv6 addresses that are written as ranges",
    kind: "ServiceEntry",
    raw: { spec: { hosts: ["a.example.org"], addresses: ["2001:DB8::9/128", "2001:db8::/127"] } },
    hosts: ["a.example.org"],
    addresses: ["2001:db8::9"],
  },
  {
    name: "takes a status address in another spelling as the one of the spec",
    kind: "ServiceEntry",
    raw: {
      spec: { hosts: ["a.example.org"], addresses: ["FD00:241::7"] },
      status: { addresses: [{ value: "fd00:241:0::7" }] },
    },
    hosts: ["a.example.org"],
    addresses: ["fd00:241::7"],
  },
  {
    name: "takes an HTTPRoute's parent in another namespace",
    kind: "HTTPRoute",
    raw: {
      metadata: { name: "r", namespace: "shop" },
      spec: { parentRefs: [{ kind: "Service", name: "web", namespace: "other" }] },
    },
    hosts: ["web.other.svc.cluster.local"],
    addresses: [],
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
for (const { name, kind, raw, hosts, addresses, asked } of foreign) {
  test(`foreignObject() ${name}`, () => {
    const object = toForeign(kind, raw);
    assert.deepEqual({ hosts: object.hosts, addresses: object.addresses }, { hosts, addresses });
    assert.deepEqual(object.askedAddresses, asked);
  });
}

for (const [exportTo, want] of [
  [undefined, undefined],
  [[], undefined],
  [["*"], undefined],
  [["."], true],
  [["shop", "web"], true],
] as const) {
  for (const kind of ["VirtualService", "ServiceEntry"])
    test(`foreignObject() takes a ${kind} exported to ${exportTo} as ${want ? "one for some" : "one for all"}`, () => {
      const raw = { spec: { hosts: ["a.example.org"], ...(exportTo !== undefined && { exportTo }) } };
      assert.equal(toForeign(kind, raw).isNarrow, want);
    });
}

test("foreignObject() takes a route of a consumer's namespace as one for that namespace", () => {
  const route = (...namespaces: readonly (string | undefined)[]) => {
    const parentRefs = namespaces.map((namespace) => ({
      ...{ kind: "ServiceEntry", name: `a.${namespace ?? "own"}` },
      ...(namespace !== undefined && { namespace }),
    }));
    const { hosts, isNarrow } = toForeign("HTTPRoute", {
      metadata: { name: "r", namespace: "web" },
      spec: { parentRefs },
    });
    return [hosts, isNarrow];
  };
  assert.deepEqual(route("mesh-services"), [["a.mesh-services"], true]);
  assert.deepEqual(route("web"), [["a.web"], undefined]);
  assert.deepEqual(route(undefined), [["a.own"], undefined]);
  assert.deepEqual(route("mesh-services", "web"), [["a.web"], undefined]);
  assert.deepEqual(route(), [[], undefined]);
});

test("foreignObject() leaves the names of an entry that is handed over to us, and to nobody else", () => {
  const annotations = { "x2istio.dev/handed-over-to": "east@2026-01-01T00:00:00Z" };
  const entry = { metadata: { name: "a", namespace: "shop", annotations }, spec: { hosts: ["a.example.org"] } };
  const { hosts, handedOver } = toForeign("ServiceEntry", entry, "east");
  assert.deepEqual({ hosts, handedOver }, { hosts: [], handedOver: ["a.example.org"] });
  assert.deepEqual(toForeign("ServiceEntry", entry, "west").hosts, ["a.example.org"]);
});
