import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { hash } from "node:crypto";
import { watch } from "node:fs";
import {
  chmod,
  chown,
  link,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  unlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { directoryLock } from "../../src/directory/lock.ts";
import { lockFolders } from "../../src/directory/lock-folders.ts";
import { isRunning, processId } from "../../src/directory/process-id.ts";
import { securityRow } from "../security/row.ts";

const SYSTEM = tmpdir();
before(async () => {
  process.env.TMPDIR = await mkdtemp(join(SYSTEM, "x2istio-lock-"));
  await chmod(tmpdir(), 0o1777);
});
after(() => rm(tmpdir(), { recursive: true }));

async function withFolder(work: (folder: string, lockFile: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "target-"));
  const [locks = ""] = (await lockFolders(folder)).own;
  try {
    await work(folder, fileOf(folder, locks));
  } finally {
    for (const name of await readdir(tmpdir())) await rm(join(tmpdir(), name), { recursive: true });
  }
}

function fileOf(folder: string, locks: string): string {
  return join(locks, `${hash("sha256", folder, "hex").slice(0, 32)}.lock`);
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
      assert.deepEqual(await readdir(dirname(lockFile)), []);
    }));
}

const DEAD = "4194999-1";

test(
  "acquire() leaves the lock alone that another made between its look and its clearing",
  { skip: process.platform !== "linux" },
  () =>
    withFolder(async (folder, lockFile) => {
      // Whoever reads a pipe gets what is written into it after it was opened: so the lock can change in between.
      await promisify(execFile)("mkfifo", [lockFile]);
      const second = directoryLock(folder).acquire();
      const pipe = await open(lockFile, "w");
      const draft = `${lockFile}.other`;
      await writeFile(draft, processId());
      await unlink(lockFile);
      await link(draft, lockFile);
      await rm(draft);
      await pipe.writeFile(DEAD);
      await pipe.close();
      assert.deepEqual(await second, { holder: `process ${process.pid}` });
      assert.equal(await readFile(lockFile, "utf8"), processId());
    }),
);

test("acquire() waits while another clears, but not for one that has died over it", () =>
  withFolder(async (folder, lockFile) => {
    const clearing = `${lockFile}.clearing`;
    await writeFile(lockFile, DEAD);
    await mkdir(clearing);
    const { birthtimeMs } = await stat(clearing);
    const tries = new Set<string>();
    const { promise: triedAgain, resolve } = Promise.withResolvers<void>();
    const watcher = watch(dirname(lockFile), (_event, name) => {
      if (name?.startsWith(`${basename(lockFile)}.`) && name !== basename(clearing)) tries.add(name);
      if (tries.size >= 3) resolve();
    });
    const acquired = directoryLock(folder).acquire();
    await triedAgain;
    watcher.close();
    assert.equal((await stat(clearing)).birthtimeMs, birthtimeMs, "it is left to who made it");
    assert.equal(await readFile(lockFile, "utf8"), DEAD);
    const longAgo = new Date(Date.now() - 60_000);
    await utimes(clearing, longAgo, longAgo);
    assert.equal(await acquired, undefined);
    assert.equal(await readFile(lockFile, "utf8"), processId());
  }));

/** What a stranger can do in a shared temporary folder. */
const squats: readonly {
  readonly name: string;
  readonly isRoots?: true;
  squat(place: string, file: string): Promise<unknown>;
}[] = [
  {
    name: "a folder of another user, with a lock of a live process",
    isRoots: true,
    async squat(place, file) {
      await mkdir(place, { mode: 0o755 });
      await writeFile(join(place, file), processId());
      await chown(place, 65_534, 65_534);
    },
  },
  {
    name: "a folder that others may write to",
    async squat(place, file) {
      await mkdir(place);
      await chmod(place, 0o777);
      await writeFile(join(place, file), processId());
    },
  },
  {
    name: "a link to a folder",
    async squat(place, file) {
      const elsewhere = join(tmpdir(), "elsewhere");
      await mkdir(elsewhere, { mode: 0o755 });
      await writeFile(join(elsewhere, file), processId());
      await symlink(elsewhere, place);
    },
  },
  { name: "a file", squat: (place) => writeFile(place, processId()) },
  { name: "a pipe", squat: (place) => promisify(execFile)("mkfifo", [place]) },
  {
    name: "the lock by its old name",
    squat: (place, file) => writeFile(join(dirname(place), `x2istio-${file}`), processId()),
  },
];
for (const { name, isRoots = false, squat } of squats)
  for (const [when, first] of [
    ["before", true],
    ["after", false],
  ] as const)
    test(
      securityRow(
        {
          who: "local user",
          attack: "makes files, folders, links or pipes where locks of folders stand",
          outcome: "only what the writer itself, the owner of the folder or root made counts as a lock",
        },
        `${name} ${when} the first lock`,
      ),
      { skip: isRoots && process.geteuid?.() !== 0 && "only root can make a folder of another user" },
      () =>
        withFolder(async (folder, lockFile) => {
          if (first) await rm(dirname(lockFile), { recursive: true });
          // First in the order of names, too.
          await squat(join(tmpdir(), "x2istio-locks-000000"), basename(lockFile));
          const [lock, other] = [directoryLock(folder), directoryLock(folder)];
          assert.equal(await lock.acquire(), undefined);
          assert.deepEqual(await other.acquire(), { holder: `process ${process.pid}` });
          await lock.release();
        }),
    );

test(
  securityRow({
    who: "local user",
    attack: "takes the lock of a folder",
    outcome: "locks lie where only their user can write",
  }),
  () =>
    withFolder(async (folder) => {
      await directoryLock(folder).acquire();
      const { own } = await lockFolders(folder);
      assert.equal(own.length, 1);
      const { mode, uid } = await stat(own[0] ?? "");
      assert.deepEqual([mode & 0o777, uid], [0o755, process.geteuid?.()]);
    }),
);

test("acquire() holds of two folders of this user both, so that each keeps another process out", () =>
  withFolder(async (folder, lockFile) => {
    const second = join(tmpdir(), "x2istio-locks-zzzzzz");
    await mkdir(second, { mode: 0o755 });
    const lock = directoryLock(folder);
    await lock.acquire();
    for (const file of [lockFile, fileOf(folder, second)]) assert.equal(await readFile(file, "utf8"), processId());
    await lock.release();
    await writeFile(fileOf(folder, second), processId());
    assert.deepEqual(await lock.acquire(), { holder: `process ${process.pid}` });
    assert.deepEqual(await readdir(dirname(lockFile)), [], "what it took before is given up");
  }));

test(
  "acquire() respects the lock of whoever owns the folder, and of nobody else",
  { skip: process.geteuid?.() !== 0 && "only root can make folders of other users" },
  () =>
    withFolder(async (folder) => {
      const theirs = join(tmpdir(), "x2istio-locks-theirs");
      await mkdir(theirs, { mode: 0o755 });
      await writeFile(fileOf(folder, theirs), processId(1));
      await chown(theirs, 65_534, 65_534);
      const lock = directoryLock(folder);
      assert.equal(await lock.acquire(), undefined);
      await lock.release();
      await chown(folder, 65_534, 65_534);
      assert.deepEqual(await lock.acquire(), { holder: "process 1" });
      await writeFile(fileOf(folder, theirs), DEAD);
      assert.equal(await lock.acquire(), undefined);
    }),
);

test("release() gives up nothing twice: the next one's lock stays", () =>
  withFolder(async (folder) => {
    const [first, second] = [directoryLock(folder), directoryLock(folder)];
    await first.acquire();
    await first.release();
    assert.equal(await second.acquire(), undefined);
    await first.release();
    assert.deepEqual(await first.acquire(), { holder: `process ${process.pid}` });
    await second.release();
  }));

test("isRunning() knows this process and no other of its number", () => {
  assert.equal(isRunning(processId()), true);
  assert.equal(isRunning(processId(1)), true);
  assert.equal(isRunning(`${process.pid}-1`), false);
  assert.equal(isRunning("nobody"), false);
});
