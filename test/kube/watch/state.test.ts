import assert from "node:assert/strict";
import { test } from "node:test";
import type { RawObject } from "../../../src/kube/client/raw.ts";
import { type ClusterState, clusterState } from "../../../src/kube/watch/state.ts";
import type { Log } from "../../../src/log.ts";
import type { OwnedObject } from "../../../src/model/objects.ts";
import { buildNameTable } from "../../plan/at-once.ts";
import { aliasOf, entryOf, MESH, SHOP } from "../objects.ts";

function setUp(): ClusterState {
  return clusterState({
    owner: "east",
    clusterDomain: "cluster.local",
    namespace: MESH,
    aliasNamespaces: new Set([SHOP]),
  });
}

/** As a tenant may plant it: with all our labels and annotations, in a namespace of the tenant's. */
function plant(state: ClusterState, { manifest }: OwnedObject, namespace: string): string {
  const metadata = { ...manifest.metadata, namespace, uid: "u1", resourceVersion: "1" };
  state.sinks[manifest.kind].put({ ...manifest, metadata });
  return `${manifest.kind}/${namespace}/${manifest.metadata.name}`;
}

/** Led to by a gateway; `parent` is another kind of parent. */
function routeOf(kind: "HTTPRoute" | "TCPRoute", parent = "Gateway"): OwnedObject {
  const { key, service, registry, manifest } = entryOf("web");
  const spec = { parentRefs: [{ kind: parent, name: "public" }], rules: [] };
  const route = { ...manifest, apiVersion: "gateway.networking.k8s.io/v1", kind, spec };
  return { key, service, registry, manifest: route as unknown as OwnedObject["manifest"] };
}

const cases = [
  { name: "an entry where entries are written", object: entryOf("web"), namespace: MESH, isOurs: true },
  { name: "an entry in a tenant's namespace", object: entryOf("web"), namespace: "evil", isOurs: false },
  { name: "an entry where only aliases are written", object: entryOf("web"), namespace: SHOP, isOurs: false },
  { name: "an alias where aliases are written", object: aliasOf("web"), namespace: SHOP, isOurs: true },
  { name: "an alias in a tenant's namespace", object: aliasOf("web"), namespace: "evil", isOurs: false },
  { name: "an HTTPRoute where entries are written", object: routeOf("HTTPRoute"), namespace: MESH, isOurs: true },
  { name: "a TCPRoute where entries are written", object: routeOf("TCPRoute"), namespace: MESH, isOurs: true },
  {
    name: "a tenant's HTTPRoute in the mesh",
    object: routeOf("HTTPRoute", "Hostname"),
    namespace: SHOP,
    isOurs: false,
  },
];
for (const { name, object, namespace, isOurs } of cases) {
  test(`clusterState() takes ${name} for ${isOurs ? "ours" : "someone else's"}`, () => {
    const state = setUp();
    const key = plant(state, object, namespace);
    assert.equal(state.standing.objects.has(key), isOurs);
    assert.equal(state.standing.foreign.has(key), !isOurs);
  });
}

test("clusterState() knows an alias whose rule was removed by the entry that names it, for as long as that stands", () => {
  const state = setUp();
  const entry = (resourceVersion: string, aliases: string, uid = "u1") => {
    const { manifest } = entryOf("web", ["192.0.2.1"], { "x2istio.dev/aliases": aliases });
    state.sinks.ServiceEntry.put({ ...manifest, metadata: { ...manifest.metadata, uid, resourceVersion } });
  };
  const isOurs = (namespace: string) => {
    const key = plant(state, aliasOf("web"), namespace);
    assert.notEqual(state.standing.objects.has(key), state.standing.foreign.has(key));
    return state.standing.objects.has(key);
  };
  entry("1", "old/web,older/web,//,x");
  assert.deepEqual([isOurs("old"), isOurs("older"), isOurs("evil")], [true, true, false]);
  entry("2", "older/web");
  assert.deepEqual([isOurs("old"), isOurs("older")], [false, true]);
  const other = entryOf("web", ["192.0.2.1"], { "x2istio.dev/aliases": "evil/web" });
  plant(state, other, "evil");
  assert.equal(isOurs("evil"), false, "an entry that a tenant planted names nothing");
  const { name, namespace = "" } = entryOf("web").manifest.metadata;
  state.sinks.ServiceEntry.remove({ metadata: { name, namespace, uid: "u1", resourceVersion: "3" } });
  assert.equal(isOurs("older"), false);
});

test("clusterState() says once for each namespace that something there only looks like ours", () => {
  const said: { readonly namespace: string; readonly object: string }[] = [];
  const log = { warn: (fields: object) => void said.push(fields as (typeof said)[number]) } as unknown as Log;
  const state = clusterState({
    ...{ owner: "east", clusterDomain: "cluster.local", namespace: MESH, aliasNamespaces: new Set([SHOP]), log },
  });
  for (const namespace of ["evil", "evil", "bad"])
    for (const name of ["a", "b"]) plant(state, aliasOf(name), namespace);
  plant(state, entryOf("c"), SHOP);
  plant(state, aliasOf("d"), SHOP);
  assert.deepEqual(
    said.map(({ object }) => object),
    ["Service evil/a", "Service bad/a", `ServiceEntry ${SHOP}/${entryOf("c").manifest.metadata.name}`],
  );
});

test("clusterState() keeps routes of gateways only where their names can be in the way", () => {
  const state = setUp();
  for (const kind of ["HTTPRoute", "TCPRoute"] as const) {
    const { manifest } = routeOf(kind);
    const route = { ...manifest, metadata: { name: "web", uid: "u1", resourceVersion: "1" } };
    for (const namespace of [MESH, SHOP])
      state.sinks[kind].put({ ...route, metadata: { ...route.metadata, namespace } });
    assert.equal(state.standing.foreign.has(`${kind}/${MESH}/web`), true);
    assert.equal(state.standing.foreign.has(`${kind}/${SHOP}/web`), false);
  }
});

test("clusterState() notes which kinds the cluster lacks, once", () => {
  const state = setUp();
  state.setKnown("TCPRoute", false);
  state.setKnown("TCPRoute", false);
  assert.deepEqual([...(state.standing.absentKinds ?? [])], ["TCPRoute"]);
  assert.equal(state.version(), 1);
  state.setKnown("TCPRoute", true);
  state.setKnown("TCPRoute", true);
  assert.deepEqual([...(state.standing.absentKinds ?? [])], []);
  assert.equal(state.version(), 2);
});

test("clusterState() lets no planted entry take a DNS name, and counts its VIP as taken", () => {
  const state = setUp();
  const names = JSON.stringify([{ name: "login.corp.example.com" }]);
  const key = plant(state, entryOf("evil", ["192.0.2.66"], { "x2istio.dev/names": names }), "evil");
  assert.deepEqual([...buildNameTable(state.standing, { settleMs: 0, nowMs: 0 }).names.keys()], []);
  assert.deepEqual(state.standing.foreign.get(key)?.addresses, ["240.241.0.1"]);
});

/** Somebody's entry, at a version. */
function foreignEntry(resourceVersion: number, spec: object = {}, metadata: object = {}): RawObject {
  return {
    metadata: { name: "theirs", namespace: SHOP, uid: "u1", resourceVersion: String(resourceVersion), ...metadata },
    spec: { hosts: ["theirs.example.org"], addresses: ["203.0.113.7"], ports: [], resolution: "STATIC", ...spec },
  };
}

const news: readonly { readonly name: string; readonly next: RawObject; readonly isNews: boolean }[] = [
  { name: "nothing but its version", next: foreignEntry(2), isNews: false },
  {
    name: "what is no business of ours",
    next: foreignEntry(2, { resolution: "DNS" }, { labels: { a: "b" } }),
    isNews: false,
  },
  { name: "its address", next: foreignEntry(2, { addresses: ["203.0.113.8"] }), isNews: true },
  { name: "one address more", next: foreignEntry(2, { addresses: ["203.0.113.7", "203.0.113.8"] }), isNews: true },
  { name: "one address less", next: foreignEntry(2, { addresses: [] }), isNews: true },
  { name: "its host", next: foreignEntry(2, { hosts: ["other.example.org"] }), isNews: true },
  { name: "itself: it was made anew", next: foreignEntry(2, {}, { uid: "u2" }), isNews: true },
  {
    name: "its owner",
    next: foreignEntry(2, {}, { labels: { "app.kubernetes.io/managed-by": "x2istio", "x2istio.dev/owner": "west" } }),
    isNews: true,
  },
];
for (const { name, next, isNews } of news)
  test(`somebody's entry that changes ${name} is ${isNews ? "" : "no "}news`, () => {
    const state = setUp();
    state.sinks.ServiceEntry.put(foreignEntry(1));
    const version = state.version();
    state.sinks.ServiceEntry.put(next);
    assert.equal(state.version(), version + (isNews ? 1 : 0));
  });

test("what somebody's Service asks for is news when it changes, and no address that it has", () => {
  const state = setUp();
  const serviceOf = (resourceVersion: string, externalIPs: readonly string[]) => ({
    metadata: { name: "theirs", namespace: SHOP, uid: "u1", resourceVersion },
    spec: { clusterIP: "10.96.0.7", externalIPs },
  });
  const put = (resourceVersion: string, externalIPs: readonly string[]) => {
    const version = state.version();
    state.sinks.Service.put(serviceOf(resourceVersion, externalIPs));
    const { addresses, askedAddresses } = state.standing.foreign.get(`Service/${SHOP}/theirs`) ?? {};
    return { news: state.version() - version, addresses, askedAddresses };
  };
  assert.deepEqual(put("1", []), { news: 1, addresses: ["10.96.0.7"], askedAddresses: undefined });
  assert.deepEqual(put("2", ["240.241.0.7"]), { news: 1, addresses: ["10.96.0.7"], askedAddresses: ["240.241.0.7"] });
  assert.equal(put("3", ["240.241.0.7"]).news, 0);
  assert.deepEqual(put("4", []), { news: 1, addresses: ["10.96.0.7"], askedAddresses: undefined });
});

test("somebody's VirtualService that all namespaces see from now on is news", () => {
  const state = setUp();
  const virtualService = (resourceVersion: string, exportTo: readonly string[]) => ({
    metadata: { name: "theirs", namespace: SHOP, uid: "u1", resourceVersion },
    spec: { hosts: ["theirs.example.org"], exportTo },
  });
  state.sinks.VirtualService.put(virtualService("1", ["."]));
  const key = `VirtualService/${SHOP}/theirs`;
  assert.equal(state.standing.foreign.get(key)?.isNarrow, true);
  const version = state.version();
  state.sinks.VirtualService.put(virtualService("2", ["*"]));
  assert.equal(state.standing.foreign.get(key)?.isNarrow, undefined);
  assert.equal(state.version(), version + 1);
});

test("an object is ours or someone else's, never both, as its labels change", () => {
  const state = setUp();
  const { key, manifest } = aliasOf("web");
  const at = (resourceVersion: string, labels: Readonly<Record<string, string>> | undefined) =>
    state.sinks.Service.put({
      ...manifest,
      metadata: { ...manifest.metadata, labels: labels ?? {}, uid: "u1", resourceVersion },
    });
  const whose = () => [state.standing.objects.has(key), state.standing.foreign.has(key)];
  const steps = [
    { labels: manifest.metadata.labels, want: [true, false] },
    { labels: {}, want: [false, true] },
    { labels: manifest.metadata.labels, want: [true, false] },
    { labels: { ...manifest.metadata.labels, "x2istio.dev/owner": "west" }, want: [false, true] },
  ];
  for (const [index, { labels, want }] of steps.entries()) {
    const version = state.version();
    at(String(index + 1), labels);
    assert.deepEqual(whose(), want);
    assert.ok(state.version() > version, "each of these is news");
  }
  state.sinks.Service.remove({ metadata: { name: "web", namespace: SHOP, uid: "u1", resourceVersion: "9" } });
  assert.deepEqual(whose(), [false, false]);
});

test("a new version of an object of ours is another object; the same version is no news", () => {
  const state = setUp();
  const { manifest, key } = entryOf("web");
  const at = (resourceVersion: string) =>
    state.sinks.ServiceEntry.put({ ...manifest, metadata: { ...manifest.metadata, uid: "u1", resourceVersion } });
  at("1");
  const [first, version] = [state.standing.objects.get(key), state.version()];
  at("1");
  assert.equal(state.standing.objects.get(key), first);
  assert.equal(state.version(), version);
  at("2");
  assert.notEqual(state.standing.objects.get(key), first);
  assert.deepEqual([...(state.changesSince(version) ?? [])], [key]);
});

test("a namespace is active until it is being deleted, and gone when it is", () => {
  const state = setUp();
  const put = (resourceVersion: string, metadata: object = {}, status: object = { phase: "Active" }) =>
    state.sinks.Namespace.put({ metadata: { name: SHOP, uid: "n", resourceVersion, ...metadata }, status });
  const phase = () => state.standing.namespaces?.get(SHOP);
  put("1");
  assert.equal(phase(), "active");
  const version = state.version();
  put("2", { labels: { a: "b" } });
  assert.equal(state.version(), version, "a label that says nothing of the mesh is no news");
  put("3", { deletionTimestamp: "2026-01-01T00:00:00Z" });
  assert.equal(phase(), "terminating");
  assert.deepEqual([...(state.changesSince(version) ?? [])], [`Namespace/${SHOP}`]);
  put("4", { deletionTimestamp: null }, { phase: "Terminating" });
  assert.equal(phase(), "terminating");
  state.sinks.Namespace.remove({ metadata: { name: SHOP, uid: "n", resourceVersion: "5" } });
  assert.equal(phase(), undefined);
});

test("a namespace that takes part in the mesh in another way is news where services may be claimed", () => {
  for (const hasClaims of [true, false]) {
    const state = clusterState({
      ...{ owner: "east", clusterDomain: "cluster.local", namespace: MESH, aliasNamespaces: new Set([SHOP]) },
      ...(hasClaims ? { claims: { mayClaim: () => true, claims: [] } } : {}),
    });
    const put = (resourceVersion: string, labels: Readonly<Record<string, string>>) =>
      state.sinks.Namespace.put({ metadata: { name: SHOP, uid: "n", resourceVersion, labels } });
    put("1", {});
    const version = state.version();
    put("2", { "istio-injection": "enabled" });
    assert.equal(state.version(), version + (hasClaims ? 1 : 0));
    assert.equal(state.standing.meshNamespaces?.get(SHOP)?.isInjected, true);
    state.sinks.Namespace.remove({ metadata: { name: SHOP, uid: "n", resourceVersion: "3" } });
    assert.equal(state.standing.meshNamespaces?.has(SHOP), false);
  }
});

test("the ledger is what is named as its blocks are, and nothing else in the namespace", () => {
  const state = setUp();
  const put = (name: string, resourceVersion: string, data: object) =>
    state.sinks.ConfigMap.put({ metadata: { name, namespace: MESH, resourceVersion }, data });
  put("x2istio-vips-240-241-0-0", "1", { "240.241.0.1": "a" });
  put("kube-root-ca.crt", "1", { ca: "x" });
  assert.deepEqual([...state.standing.ledger.keys()], ["x2istio-vips-240-241-0-0"]);
  const version = state.version();
  put("x2istio-vips-240-241-0-0", "1", { "240.241.0.1": "a" });
  assert.equal(state.version(), version);
  put("x2istio-vips-240-241-0-0", "2", { "240.241.0.1": "b" });
  assert.deepEqual(state.standing.ledger.get("x2istio-vips-240-241-0-0")?.data, { "240.241.0.1": "b" });
  assert.equal(state.version(), version + 1);
});
