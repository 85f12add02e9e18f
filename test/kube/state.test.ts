import assert from "node:assert/strict";
import { test } from "node:test";
import { type ClusterState, clusterState } from "../../src/kube/state.ts";
import type { OwnedObject } from "../../src/model/objects.ts";
import { buildNameTable } from "../../src/plan/name-table.ts";
import { aliasOf, entryOf, MESH, SHOP } from "./objects.ts";

function setUp(): ClusterState {
  return clusterState({ owner: "east", clusterDomain: "cluster.local", namespace: MESH });
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
  { name: "an alias whose rule was removed", object: aliasOf("web"), namespace: "old", isOurs: true },
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

test("clusterState() lets no planted entry claim a DNS name, and counts its VIP as taken", () => {
  const state = setUp();
  const names = JSON.stringify([{ name: "login.corp.example.com" }]);
  const key = plant(state, entryOf("evil", ["192.0.2.66"], { "x2istio.io/names": names }), "evil");
  assert.deepEqual([...buildNameTable(state.standing, { settleMs: 0, nowMs: 0 }).names.keys()], []);
  assert.deepEqual(state.standing.foreign.get(key)?.addresses, ["240.241.0.1"]);
});
