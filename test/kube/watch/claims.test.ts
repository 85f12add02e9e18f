import assert from "node:assert/strict";
import { test } from "node:test";
import type { RawObject } from "../../../src/kube/client/raw.ts";
import { claimStores } from "../../../src/kube/watch/claim-stores.ts";
import { type ClusterState, clusterState } from "../../../src/kube/watch/state.ts";
import type { Claim, ConfiguredClaim } from "../../../src/model/claim.ts";
import { securityRow } from "../../security/row.ts";
import { aliasOf, MESH, SHOP } from "../objects.ts";

const KEY = `Service/${SHOP}/orders-v2`;
const REPLACES = "vms/shop/orders";
let version = 1;

function setUp(claims: readonly ConfiguredClaim[] = []): ClusterState {
  const finder = { mayClaim: (namespace: string) => namespace === SHOP, claims };
  return clusterState({
    owner: "east",
    clusterDomain: "cluster.local",
    namespace: MESH,
    aliasNamespaces: new Set([SHOP]),
    claims: finder,
  });
}

function serviceOf(
  annotations: Readonly<Record<string, string>> = {},
  spec: object = {},
  name = "orders-v2",
): RawObject {
  return {
    metadata: { name, namespace: SHOP, uid: "u1", resourceVersion: `${++version}`, annotations },
    spec: {
      clusterIP: "10.96.0.7",
      clusterIPs: ["10.96.0.7"],
      selector: { app: "orders" },
      ports: [{ name: "http", port: 8080, protocol: "TCP" }],
      ...spec,
    },
  };
}

function sliceOf(
  name: string,
  ready: readonly (boolean | undefined)[],
  service = "orders-v2",
  namespace = SHOP,
): RawObject {
  const endpoints = ready.map((one) => ({
    addresses: ["192.0.2.1"],
    conditions: one === undefined ? {} : { ready: one },
  }));
  const labels = { "kubernetes.io/service-name": service };
  return { metadata: { name, namespace, uid: "u2", resourceVersion: `${++version}`, labels }, endpoints } as RawObject;
}

function annotated(stage?: string, weight?: string, more: object = {}): Record<string, string> {
  return {
    "x2istio.dev/replaces": REPLACES,
    ...(stage === undefined ? {} : { "x2istio.dev/stage": stage }),
    ...(weight === undefined ? {} : { "x2istio.dev/weight": weight }),
    ...more,
  };
}

const read: readonly { annotations: Record<string, string>; want: Partial<Claim>; problem?: RegExp }[] = [
  { annotations: annotated(), want: { service: REPLACES, stage: "outside", weight: 0, request: "" } },
  { annotations: annotated("split"), want: { stage: "split", weight: 0 } },
  { annotations: annotated("split", "25"), want: { stage: "split", weight: 25 } },
  { annotations: annotated("split", "0"), want: { stage: "split", weight: 0 } },
  { annotations: annotated("split", "100"), want: { stage: "split", weight: 100 } },
  { annotations: annotated("split", " 25 "), want: { stage: "split", weight: 25 } },
  { annotations: annotated("split", "-1"), want: { weight: 0 }, problem: /not "-1"/ },
  { annotations: annotated("split", ""), want: { weight: 0 }, problem: /not ""/ },
  { annotations: annotated("inside", "25"), want: { stage: "inside", weight: 100 } },
  { annotations: annotated("retired"), want: { stage: "retired", weight: 100 } },
  { annotations: annotated("inside", undefined, { "x2istio.dev/request": "2" }), want: { request: "2" } },
  {
    annotations: annotated("inside", undefined, { "x2istio.dev/sni": "A.example.org, b.example.org," }),
    want: { sni: ["a.example.org", "b.example.org"] },
  },
  {
    annotations: annotated("in"),
    want: { stage: "outside" },
    problem: /stage must be one of outside, split, inside, retired, not "in"/,
  },
  {
    annotations: annotated("split", "101"),
    want: { weight: 0 },
    problem: /weight must be a whole number from 0 to 100, not "101"/,
  },
  { annotations: annotated("split", "1e1"), want: { weight: 0 }, problem: /not "1e1"/ },
  {
    annotations: { "x2istio.dev/replaces": "orders" },
    want: { service: undefined },
    problem: /replaces must be <registry>\/<namespace>\/<service>, not "orders"/,
  },
];
for (const { annotations, want, problem } of read)
  test(`a claim is read from ${JSON.stringify(annotations)}`, () => {
    const state = setUp();
    state.sinks.Service.put(serviceOf(annotations));
    const claim = state.standing.claims?.get(KEY);
    assert.ok(claim !== undefined);
    for (const [field, value] of Object.entries(want)) assert.deepEqual(claim[field as keyof Claim], value, field);
    assert.equal(claim.problems.length, problem === undefined ? 0 : 1);
    if (problem !== undefined) assert.match(claim.problems[0] ?? "", problem);
  });

const ports = [
  { port: { name: "http", port: 80 }, want: "HTTP" },
  { port: { name: "grpc-web-x", port: 80 }, want: "GRPC-WEB" },
  { port: { name: "grpc-x", port: 80 }, want: "GRPC" },
  { port: { name: "web", port: 80 }, want: undefined },
  { port: { port: 80 }, want: undefined },
  { port: { name: "http", port: 80, appProtocol: "kubernetes.io/h2c" }, want: "HTTP2" },
  { port: { name: "tcp-x", port: 80, appProtocol: "GRPC" }, want: "GRPC" },
  { port: { name: "http", port: 80, protocol: "UDP" }, want: "UDP" },
];
for (const { port, want } of ports)
  test(`a claimant's port ${JSON.stringify(port)} is ${want ?? "of no declared protocol"}`, () => {
    const state = setUp();
    state.sinks.Service.put(serviceOf(annotated(), { ports: [port] }));
    assert.equal(state.standing.claims?.get(KEY)?.live?.ports[0]?.protocol, want);
  });

test("a claim comes, changes and goes with its Service, and each is news", () => {
  const state = setUp();
  const put = (raw: RawObject) => {
    const before = state.version();
    state.sinks.Service.put(raw);
    return state.version() > before;
  };
  assert.equal(put(serviceOf(annotated("split", "10"))), true);
  assert.equal(put(serviceOf(annotated("split", "10"))), false);
  assert.equal(put(serviceOf(annotated("split", "20"))), true);
  assert.equal(put(serviceOf(annotated("split", "20"), { clusterIPs: ["None"], clusterIP: "None" })), true);
  assert.deepEqual(state.standing.claims?.get(KEY)?.live?.clusterIPs, []);
  assert.equal(put(serviceOf()), true);
  assert.equal(state.standing.claims?.size, 0);
  state.sinks.Service.put(serviceOf(annotated()));
  state.sinks.Service.remove(serviceOf(annotated()));
  assert.equal(state.standing.claims?.size, 0);
});

test("an alias of ours claims nothing", () => {
  const state = setUp();
  const { manifest } = aliasOf("web");
  const metadata = { ...manifest.metadata, annotations: annotated("inside"), uid: "u", resourceVersion: "9" };
  state.sinks.Service.put({ ...manifest, metadata });
  assert.equal(state.standing.claims?.size, 0);
});

test("ready endpoints are counted over all slices, in whatever order they come, and news only where they come or go", () => {
  const state = setUp();
  const ready = () => state.standing.claims?.get(KEY)?.live?.readyEndpoints;
  state.sinks.EndpointSlice.put(sliceOf("a", [true, undefined, false]));
  state.sinks.Service.put(serviceOf(annotated()));
  assert.equal(ready(), 2);
  const changes: readonly [string, () => void, number, boolean][] = [
    ["another slice", () => state.sinks.EndpointSlice.put(sliceOf("b", [true])), 3, false],
    ["one that is gone", () => state.sinks.EndpointSlice.remove(sliceOf("b", [])), 2, false],
    ["one that is another Service's now", () => state.sinks.EndpointSlice.put(sliceOf("a", [true], "other")), 0, true],
    ["one that comes again", () => state.sinks.EndpointSlice.put(sliceOf("a", [true])), 1, true],
    ["a list without it", () => state.sinks.EndpointSlice.sweep(new Set(), `${++version}`), 0, true],
  ];
  for (const [name, change, count, isNews] of changes) {
    const before = state.version();
    change();
    assert.equal(ready(), count, name);
    assert.equal(state.version() > before, isNews, name);
    if (isNews) assert.deepEqual([...(state.changesSince(before) ?? [])], [KEY]);
  }
});

test("endpoints of Services that may claim nothing are not kept", () => {
  const state = setUp();
  state.sinks.EndpointSlice.put(sliceOf("a", [true], "orders-v2", "elsewhere"));
  const raw = serviceOf(annotated());
  state.sinks.Service.put({ ...raw, metadata: { ...raw.metadata, namespace: "elsewhere" } });
  assert.equal(state.standing.claims?.get("Service/elsewhere/orders-v2")?.live?.readyEndpoints, 0);
});

test("a configured claim stands whether its Service is there or not, and wins over the Service's annotations", () => {
  const by = { namespace: SHOP, name: "orders-v2" };
  const state = setUp([{ service: REPLACES, by, stage: "split", weight: 10, request: "", sni: undefined }]);
  const claim = () => state.standing.claims?.get(KEY);
  assert.equal(claim()?.live, undefined);
  state.sinks.Service.put(serviceOf(annotated("inside")));
  assert.deepEqual([claim()?.stage, claim()?.weight, claim()?.live?.type], ["split", 10, "ClusterIP"]);
  state.sinks.Service.remove(serviceOf());
  assert.equal(claim()?.live, undefined);
  assert.equal(claim()?.service, REPLACES);
});

test("without leave to claim anything no Service does", () => {
  const state = clusterState({
    owner: "east",
    clusterDomain: "cluster.local",
    namespace: MESH,
    aliasNamespaces: new Set([SHOP]),
  });
  state.sinks.Service.put(serviceOf(annotated("inside")));
  assert.equal(state.standing.claims?.size, 0);
});

test("Sidecars, PeerAuthentications and namespaces are kept as far as they matter to a move", () => {
  const state = setUp();
  const metadata = { name: "default", namespace: SHOP, uid: "u", resourceVersion: "1" };
  state.sinks.Sidecar.put({ metadata, spec: { egress: [{ hosts: ["./*", "mesh-services/*"] }, { hosts: ["*/x"] }] } });
  state.sinks.Sidecar.put({ metadata: { ...metadata, name: "open" }, spec: {} });
  const many = Array.from({ length: 1001 }, (_, at) => `*/h${at}.example.org`);
  state.sinks.Sidecar.put({ metadata: { ...metadata, name: "vast" }, spec: { egress: [{ hosts: many }] } });
  assert.equal(state.standing.sidecars?.get(`Sidecar/${SHOP}/vast`)?.egressHosts, undefined);
  state.sinks.Sidecar.remove({ metadata: { ...metadata, name: "vast" } });
  state.sinks.PeerAuthentication.put({
    metadata,
    spec: {
      mtls: { mode: "PERMISSIVE" },
      portLevelMtls: { "8080": { mode: "STRICT" } },
      selector: { matchLabels: { app: "x" } },
    },
  });
  const labels = { "istio.io/dataplane-mode": "ambient", "istio.io/use-waypoint": "none" };
  state.sinks.Namespace.put({ metadata: { name: SHOP, uid: "n", resourceVersion: "1", labels } });
  state.sinks.Namespace.put({ metadata: { name: "plain", uid: "n", resourceVersion: "1" } });
  const { sidecars, peerRules, meshNamespaces } = state.standing;
  assert.deepEqual(sidecars?.get(`Sidecar/${SHOP}/default`)?.egressHosts, ["./*", "mesh-services/*", "*/x"]);
  assert.equal(sidecars?.get(`Sidecar/${SHOP}/open`)?.egressHosts, undefined);
  assert.deepEqual(peerRules?.get(`PeerAuthentication/${SHOP}/default`), {
    ...{ namespace: SHOP, name: "default", matchLabels: { app: "x" }, mode: "PERMISSIVE", hasStrictPort: true },
  });
  assert.deepEqual([...(meshNamespaces ?? [])], [[SHOP, { isAmbient: true, isInjected: false, hasWaypoint: false }]]);
});

test(
  securityRow({
    who: "cluster tenant",
    attack:
      "makes Services that claim others' services, Sidecars or PeerAuthentications without number, each with lists without end",
    outcome: "those kept of a namespace are bounded, and one that is not kept is named",
  }),
  () => {
    const warnings: object[] = [];
    const log = { warn: (fields: object) => warnings.push(fields) };
    const stores = claimStores({ mayClaim: () => true, claims: [] }, () => undefined, log);
    const { claims, sidecars, peerRules } = stores.standing;
    const sni = Array.from({ length: 40_000 }, (_, at) => `n${at}.example.org`).join();
    const ports = Array.from({ length: 1500 }, (_, at) => ({ name: `http-${at}`, port: at + 1 }));
    const labels = Object.fromEntries(Array.from({ length: 500 }, (_, at) => [`l${at}`, "x"]));
    for (let at = 0; at < 20; at++) {
      const raw = serviceOf(annotated("inside", undefined, { "x2istio.dev/sni": sni }), { ports, selector: labels });
      stores.putService(`Service/${SHOP}/s${at}`, { ...raw, metadata: { ...raw.metadata, name: `s${at}` } }, false);
      const hosts = Array.from({ length: 900 }, (_, one) => `*/h${at}-${one}.example.org`);
      const metadata = { name: `s${at}`, namespace: "tenant" };
      stores.stores.Sidecar.put(`Sidecar/tenant/s${at}`, { metadata, spec: { egress: [{ hosts }] } });
      const rule = { metadata, spec: { selector: { matchLabels: labels } } };
      stores.stores.PeerAuthentication.put(`PeerAuthentication/tenant/s${at}`, rule);
    }
    const sizes = [...claims.values()].map(({ sni: names = [], live }) => names.length + (live?.ports.length ?? 0));
    assert.deepEqual(sizes, Array(4).fill(2000));
    assert.match([...claims.values()][0]?.problems.join() ?? "", /sni must have at most 1000 names/);
    assert.equal(Object.keys([...claims.values()][0]?.live?.selector ?? {}).length, 100);
    assert.equal(sidecars.size, 11);
    assert.ok([...peerRules.values()].every(({ matchLabels }) => Object.keys(matchLabels).length === 100));
    assert.deepEqual(warnings.length, 2);
    for (let at = 0; at < 4; at++) stores.dropService(`Service/${SHOP}/s${at}`);
    stores.putService(`Service/${SHOP}/s9`, serviceOf(annotated("inside")), false);
    assert.equal(claims.size, 1, "what goes makes room");
    const host = `*/${"x".repeat(400)}`;
    stores.stores.Sidecar.put("Sidecar/other/long", {
      metadata: { name: "long", namespace: "other" },
      spec: { egress: [{ hosts: [host] }] },
    });
    assert.equal(sidecars.get("Sidecar/other/long")?.egressHosts, undefined);
  },
);
