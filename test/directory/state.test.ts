import assert from "node:assert/strict";
import { test } from "node:test";
import { groupByFile } from "../../src/directory/by-file.ts";
import { type DirectoryFile, readFileContent, unreadableFile } from "../../src/directory/file.ts";
import { directoryState } from "../../src/directory/state.ts";
import type { Manifest } from "../../src/model/objects.ts";
import { alias, companion, create, entry, foreignEntry, keyOf } from "./world.ts";

const ownership = { owner: "east", ledgerNamespace: "mesh-services" };
const PATH = "mesh-services/orders.shop.vms.mesh.internal.yaml";

/** A file with these objects, as JSON, which is YAML. */
function fileOf(path: string, ...manifests: readonly (Manifest | string)[]): DirectoryFile {
  const texts = manifests.map((one) => (typeof one === "string" ? one : `${JSON.stringify(one)}\n`));
  return readFileContent(path, Buffer.from(texts.join("---\n")), 1000, ownership, undefined);
}

function setUp() {
  const duplicates: (readonly string[])[] = [];
  const state = directoryState((_key, paths) => duplicates.push(paths));
  /** What `act` changes. */
  const changed = (act: () => void) => {
    const version = state.version();
    act();
    return [...(state.changesSince(version) ?? [])].sort();
  };
  return { state, changed, duplicates };
}

test("put() tells of what came, what changed and what went", () => {
  const { state, changed } = setUp();
  const [own, other] = [keyOf(entry("orders")), keyOf(alias("orders"))].sort();
  const both = fileOf(PATH, entry("orders"), alias("orders"));
  assert.deepEqual(
    changed(() => state.put(PATH, both)),
    [own, other].sort(),
  );
  assert.deepEqual(
    changed(() => state.put(PATH, both)),
    [],
    "the same content is no news",
  );
  const one = fileOf(PATH, entry("orders"));
  assert.ok(changed(() => state.put(PATH, one)).includes(keyOf(alias("orders"))), "what went");
  assert.equal(state.standing.objects.has(keyOf(alias("orders"))), false);
  assert.deepEqual(
    changed(() => state.put(PATH, undefined)),
    [keyOf(entry("orders"))],
  );
  assert.equal(state.standing.objects.size, 0);
});

test("put() of a file that has become unreadable keeps what stood in it", () => {
  const { state } = setUp();
  const good = fileOf(PATH, entry("orders"));
  state.put(PATH, good);
  state.put(PATH, unreadableFile(PATH, "", "it is not UTF-8", good));
  assert.ok(state.standing.objects.has(keyOf(entry("orders"))));
  assert.equal(state.files.get(PATH)?.problem, "it is not UTF-8");
});

test("a foreign object that stands in two files is known until both are gone, whichever goes first", () => {
  const key = "ServiceEntry/mesh-services/theirs";
  for (const [first, second] of [
    ["a.yaml", "b.yaml"],
    ["b.yaml", "a.yaml"],
  ] as const) {
    const { state } = setUp();
    state.put("a.yaml", fileOf("a.yaml", foreignEntry));
    state.put("b.yaml", fileOf("b.yaml", foreignEntry.replace("240.241.0.9", "240.241.0.10")));
    state.put(first, undefined);
    assert.ok(state.standing.foreign.has(key), `${second} still has it`);
    state.put(second, undefined);
    assert.equal(state.standing.foreign.has(key), false);
  }
});

test("of an object in two files that of its own file counts, whatever their order, and the other when that goes", () => {
  for (const other of ["a/a.yaml", "z/z.yaml"])
    for (const order of [
      [PATH, other],
      [other, PATH],
    ]) {
      const { state, duplicates } = setUp();
      for (const path of order)
        state.put(path, fileOf(path, path === PATH ? entry("orders") : entry("orders", ["10.9.9.9"])));
      const key = keyOf(entry("orders"));
      assert.equal(state.placeOf(key), PATH);
      assert.deepEqual(state.standing.objects.get(key)?.manifest, entry("orders"));
      assert.deepEqual(duplicates, [[PATH, other]]);
      state.put(PATH, undefined);
      assert.equal(state.placeOf(key), other);
      state.put(other, undefined);
      assert.equal(state.standing.objects.has(key), false);
    }
});

test("a ConfigMap is a ledger block in its own place only", () => {
  const block = (namespace: string) =>
    `${JSON.stringify({
      ...{ apiVersion: "v1", kind: "ConfigMap", data: { "240.241.0.1": "a" } },
      metadata: { name: "block", namespace, labels: { "app.kubernetes.io/managed-by": "x2istio" } },
    })}\n`;
  for (const [path, isLedger] of [
    ["mesh-services/block.yaml", true],
    ["shop/block.yaml", false],
    ["mesh-services/other.yaml", false],
    ["block.yaml", false],
  ] as const) {
    const { state } = setUp();
    state.put(path, fileOf(path, block("mesh-services")));
    assert.equal(state.standing.ledger.has("block"), isLedger, path);
    state.put(path, undefined);
    assert.equal(state.standing.ledger.size, 0);
  }
});

test("groupByFile() puts what is new beside the entry, also where the companion has a file of its own", () => {
  const files = [
    [PATH, entry("orders")],
    ["mesh-services/orders.shop.vms.mesh.internal-legacy.yaml", companion("orders")],
  ] as const;
  for (const order of [files, [...files].reverse()]) {
    const { state } = setUp();
    for (const [path, manifest] of order) state.put(path, fileOf(path, manifest));
    const change = create(alias("orders"));
    const groups = groupByFile([change], state, () => assert.fail("it has a place"));
    assert.deepEqual([...groups], [[PATH, [change]]]);
  }
});
