import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { watchTree } from "../../src/directory/watch.ts";

test("watchTree() says once why folders cannot be watched, and again after one could", async () => {
  const root = await mkdtemp(join(tmpdir(), "x2istio-watch-"));
  await writeFile(join(root, "file"), "");
  const errors: unknown[] = [];
  const tree = watchTree({ root, onChange: async () => {}, onError: (error) => errors.push(error) });
  try {
    for (const folder of ["file/a", "file/b", "file/a"]) tree.add(folder);
    assert.equal(errors.length, 1);
    tree.add("");
    tree.add("file/a");
    assert.equal(errors.length, 2);
  } finally {
    tree.close();
    await rm(root, { recursive: true });
  }
});
