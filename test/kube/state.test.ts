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

const cases = [
  { name: "an entry where entries are written", object: entryOf("web"), namespace: MESH, isOurs: true },
  { name: "an entry in a tenant's namespace", object: entryOf("web"), namespace: "evil", isOurs: false },
  { name: "an entry where only aliases are written", object: entryOf("web"), namespace: SHOP, isOurs: false },
  { name: "an alias where aliases are written", object: aliasOf("web"), namespace: SHOP, isOurs: true },
  { name: "an alias whose rule was removed", object: aliasOf("web"), namespace: "old", isOurs: true },
];
for (const { name, object, namespace, isOurs } of cases) {
  test(`clusterState() takes ${name} for ${isOurs ? "ours" : "someone else's"}`, () => {
    const state = setUp();
    const key = plant(state, object, namespace);
    assert.equal(state.standing.objects.has(key), isOurs);
    assert.equal(state.standing.foreign.has(key), !isOurs);
  });
}

test("clusterState() lets no planted entry claim a DNS name, and counts its VIP as taken", () => {
  const state = setUp();
  const names = JSON.stringify([{ name: "login.corp.example.com" }]);
  const key = plant(state, entryOf("evil", ["192.0.2.66"], { "x2istio.io/names": names }), "evil");
  assert.deepEqual([...buildNameTable(state.standing, { settleMs: 0, nowMs: 0 }).names.keys()], []);
  assert.deepEqual(state.standing.foreign.get(key)?.addresses, ["240.241.0.1"]);
});
