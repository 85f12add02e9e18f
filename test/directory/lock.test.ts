import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { test } from "node:test";
import { directoryLock } from "../../src/directory/lock.ts";
import { isRunning, processId } from "../../src/directory/process-id.ts";

async function withFolder(work: (folder: string, lockFile: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "x2istio-lock-"));
  const lockFile = join(tmpdir(), `x2istio-${hash("sha256", folder, "hex").slice(0, 32)}.lock`);
  try {
    await work(folder, lockFile);
  } finally {
    await rm(folder, { recursive: true });
    await rm(lockFile, { force: true });
  }
}

test("acquire() gives a folder to one holder at a time, by its real path", () =>
  withFolder(async (folder, lockFile) => {
    const [first, second] = [directoryLock(folder), directoryLock(join(folder, "..", basename(folder)))];
    assert.equal(await first.acquire(), undefined);
    assert.deepEqual(await second.acquire(), { holder: `process ${process.pid}` });
    await second.release(); // not its own
    assert.deepEqual(await second.acquire(), { holder: `process ${process.pid}` });
    await symlink(folder, `${folder}-link`);
    assert.deepEqual(await directoryLock(`${folder}-link`).acquire(), { holder: `process ${process.pid}` });
    await rm(`${folder}-link`);
    await first.release();
    assert.equal(await second.acquire(), undefined);
    assert.equal(await readFile(lockFile, "utf8"), processId());
    await second.release();
    assert.deepEqual(await readdir(folder), []);
  }));

test("acquire() works for a folder that does not exist yet", () =>
  withFolder(async (folder) => {
    const lock = directoryLock(join(folder, "a", "b"));
    assert.equal(await lock.acquire(), undefined);
    assert.deepEqual(await directoryLock(join(folder, "a", "b")).acquire(), { holder: `process ${process.pid}` });
    await lock.release();
  }));

for (const [name, holder] of [
  ["a process that is gone", "4194999-1"],
  ["a process whose number was given again", `${process.pid}-1`],
  ["something unreadable", ""],
] as const) {
  test(`acquire() takes over the lock of ${name}, once`, () =>
    withFolder(async (folder, lockFile) => {
      await writeFile(lockFile, holder);
      const locks = Array.from({ length: 8 }, () => directoryLock(folder));
      const got = await Promise.all(locks.map((lock) => lock.acquire()));
      assert.equal(got.filter((answer) => answer === undefined).length, 1);
      for (const lock of locks) await lock.release();
      const left = (await readdir(tmpdir())).filter((file) => file.startsWith(basename(lockFile)));
      assert.deepEqual(left, []);
    }));
}

test("isRunning() knows this process and no other of its number", () => {
  assert.equal(isRunning(processId()), true);
  assert.equal(isRunning(processId(1)), true);
  assert.equal(isRunning(`${process.pid}-1`), false);
  assert.equal(isRunning("nobody"), false);
});
