import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { isLeftover, replaceFile } from "../../src/directory/atomic.ts";
import { contentHash } from "../../src/directory/file.ts";
import { processId } from "../../src/directory/process-id.ts";

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "x2istio-atomic-"));
  t.after(() => rm(dir, { recursive: true }));
  return dir;
}

const cases: readonly {
  readonly name: string;
  readonly before: string | undefined;
  readonly expected: string | undefined;
  readonly text: string | undefined;
  readonly done: boolean;
}[] = [
  { name: "makes a file that is to be absent", before: undefined, expected: undefined, text: "new", done: true },
  { name: "replaces the content that is expected", before: "old", expected: "old", text: "new", done: true },
  { name: "removes the content that is expected", before: "old", expected: "old", text: undefined, done: true },
  { name: "leaves another content alone", before: "hand", expected: "old", text: "new", done: false },
  { name: "does not remove another content", before: "hand", expected: "old", text: undefined, done: false },
  { name: "leaves a file alone that is to be absent", before: "hand", expected: undefined, text: "new", done: false },
  { name: "does not make again what somebody removed", before: undefined, expected: "old", text: "new", done: false },
  { name: "has nothing to remove", before: undefined, expected: "old", text: undefined, done: false },
];
for (const { name, before, expected, text, done } of cases)
  test(`replaceFile() ${name}, and leaves no draft`, async (t) => {
    const dir = await folder(t);
    const file = join(dir, "a.yaml");
    if (before !== undefined) await writeFile(file, before);
    assert.equal(await replaceFile(file, text, expected === undefined ? undefined : contentHash(expected)), done);
    const after = done ? text : before;
    assert.deepEqual(await readdir(dir), after === undefined ? [] : ["a.yaml"]);
    if (after !== undefined) assert.equal(await readFile(file, "utf8"), after);
  });

test("replaceFile() by many at once: one makes the file, and none replaces what it made", async (t) => {
  const dir = await folder(t);
  const file = join(dir, "a.yaml");
  for (let round = 0; round < 20; round++) {
    const texts = Array.from({ length: 8 }, (_, at) => `writer ${at}`);
    const done = await Promise.all(texts.map((text) => replaceFile(file, text, undefined)));
    assert.equal(done.filter((one) => one).length, 1);
    assert.equal(await readFile(file, "utf8"), texts[done.indexOf(true)]);
    assert.deepEqual(await readdir(dir), ["a.yaml"]);
    await rm(file);
  }
});

for (const [name, want] of [
  [`.x2istio-${processId()}-0123456789ab.tmp`, false],
  [".x2istio-4194999-1-0123456789ab.tmp", true],
  [`.x2istio-${process.pid}-1-0123456789ab.tmp`, true],
  ["x2istio-4194999-1-0123456789ab.tmp", false],
  [".x2istio-4194999-1-0123456789ab.tmp.yaml", false],
  [".x2istio-notes.tmp", false],
] as const)
  test(`isLeftover() is ${want} of ${name}`, () => assert.equal(isLeftover(name), want));

test("replaceFile() makes the folder that is missing, and never writes through one that is a link", async (t) => {
  const dir = await folder(t);
  assert.equal(await replaceFile(join(dir, "a", "b", "c.yaml"), "new", undefined), true);
  await mkdir(join(dir, "elsewhere"));
  await symlink(join(dir, "elsewhere"), join(dir, "shop"));
  await assert.rejects(replaceFile(join(dir, "shop", "c.yaml"), "new", undefined), /is a symbolic link/);
  assert.deepEqual(await readdir(join(dir, "elsewhere")), []);
});
