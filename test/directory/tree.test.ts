import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, stat, symlink, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { directoryState } from "../../src/directory/state.ts";
import { treeReader } from "../../src/directory/tree.ts";
import { entry, foreignEntry, keyOf } from "./world.ts";

async function setUp(t: TestContext) {
  const root = await mkdtemp(join(tmpdir(), "x2istio-tree-"));
  t.after(() => rm(root, { recursive: true }));
  const state = directoryState(() => {});
  const warnings: { readonly file: string; readonly problem: string }[] = [];
  const ownership = { owner: "east", ledgerNamespace: "mesh-services" };
  const log = { warn: (fields: never) => void warnings.push(fields) } as never;
  const { visit } = treeReader({ root, state, ownership, log });
  await mkdir(join(root, "mesh-services"));
  const write = (path: string, text: string) => writeFile(join(root, path), text);
  return { root, state, warnings, visit, write };
}

const PATH = "mesh-services/orders.shop.vms.mesh.internal.yaml";
const text = (...addresses: readonly string[]) => `${JSON.stringify(entry("orders", addresses))}\n`;
const FOREIGN = "ServiceEntry/mesh-services/theirs";

test("visit() of a folder reads again what could have changed within one time stamp", async (t) => {
  const { root, state, visit, write } = await setUp(t);
  await write(PATH, text("10.1.4.7"));
  await visit("");
  const { atime, mtime } = await stat(join(root, PATH));
  await writeFile(join(root, PATH), text("10.1.4.8")); // as long as before
  await utimes(join(root, PATH), atime, mtime);
  await visit("");
  assert.deepEqual(state.standing.objects.get(keyOf(entry("orders")))?.manifest, entry("orders", ["10.1.4.8"]));
});

test("visit() of a folder finds what vanished, with all below it", async (t) => {
  const { root, state, visit, write } = await setUp(t);
  await write(PATH, text());
  await mkdir(join(root, "shop"));
  await write("shop/theirs.yaml", foreignEntry);
  await visit("");
  assert.equal(state.files.size, 2);
  await rm(join(root, PATH));
  await visit("mesh-services");
  assert.deepEqual([...state.files.keys()], ["shop/theirs.yaml"]);
  await rm(join(root, "shop"), { recursive: true });
  await visit("");
  assert.equal(state.files.size, 0);
  assert.equal(state.standing.foreign.size, 0);
});

test("visit() of a folder that went, or became a file, takes what stood in it for gone", async (t) => {
  const { root, state, visit, write } = await setUp(t);
  await write(PATH, text());
  await visit("");
  await rm(join(root, "mesh-services"), { recursive: true });
  await write("mesh-services", "no folder");
  await visit("mesh-services");
  assert.equal(state.files.size, 0);
});

test("visit() does not touch the files of a folder whose name begins alike", async (t) => {
  const { root, state, visit, write } = await setUp(t);
  await mkdir(join(root, "shop"));
  await mkdir(join(root, "shop-2"));
  await write("shop-2/theirs.yaml", foreignEntry);
  await visit("");
  await rm(join(root, "shop"), { recursive: true });
  await rm(join(root, "shop-2"), { recursive: true });
  await visit("shop");
  assert.ok(state.files.has("shop-2/theirs.yaml"), "it was not asked for");
});

for (const [name, isRead] of [
  ["theirs.yaml", true],
  ["theirs.yml", true],
  [".theirs.yaml", false],
  ["theirs.yaml.bak", false],
  ["theirs.json", false],
  ["theirsyaml", false],
] as const)
  test(`visit() ${isRead ? "reads" : "passes over"} ${name}`, async (t) => {
    const { state, visit, write } = await setUp(t);
    await write(name, foreignEntry);
    await visit("");
    assert.equal(state.standing.foreign.has(FOREIGN), isRead);
    await visit(name);
    assert.equal(state.standing.foreign.has(FOREIGN), isRead);
  });

test("visit() reads no file of more than 16 MiB, and one of exactly so much", async (t) => {
  const { root, state, visit, write, warnings } = await setUp(t);
  const limit = 16 * 1024 * 1024;
  await write("theirs.yaml", `${foreignEntry}#${" ".repeat(limit - foreignEntry.length - 1)}`);
  await visit("");
  assert.ok(state.standing.foreign.has(FOREIGN));
  await truncate(join(root, "theirs.yaml"), limit + 1);
  await visit("");
  assert.deepEqual(
    warnings.map(({ problem }) => problem),
    ["it is larger than 16 MiB"],
  );
});

test("visit() tells of a file that cannot be read once, and again after it could", async (t) => {
  const { state, visit, write, warnings } = await setUp(t);
  await write(PATH, text());
  await visit("");
  for (const broken of ["a: [\n", "a: [ \n", "b: [\n"]) {
    await write(PATH, broken);
    await visit(PATH);
    await visit(PATH);
  }
  assert.equal(warnings.length, 1, "as long as it is the same problem");
  assert.ok(state.standing.objects.has(keyOf(entry("orders"))), "unreadable is not empty");
  await write(PATH, text());
  await visit(PATH);
  assert.equal(state.files.get(PATH)?.problem, undefined);
  await write(PATH, "a: [\n");
  await visit(PATH);
  assert.equal(warnings.length, 2);
});

test("visit() follows no link below the root", async (t) => {
  const { root, state, visit, write, warnings } = await setUp(t);
  await write("theirs.txt", foreignEntry);
  await symlink(join(root, "theirs.txt"), join(root, "theirs.yaml"));
  await visit("");
  assert.equal(state.standing.foreign.has(FOREIGN), false);
  assert.deepEqual(
    warnings.map(({ problem }) => problem),
    ["it is not a regular file"],
  );
});
