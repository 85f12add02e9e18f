import assert from "node:assert/strict";
import { mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { findFiles } from "../../../adapters/static/files.ts";
import { watchFolders } from "../../../adapters/static/watch.ts";
import { GENEROUS_MS, until } from "../../until.ts";
import { adapterIn, folder, holdsNoMoreThan, item, read, services } from "./fixture.ts";

const A = `services:\n${item("a")}`;
const AB = `services:\n${item("a")}${item("b")}`;

interface Case {
  readonly name: string;
  readonly file?: string | readonly string[];
  readonly before: (dir: string) => Promise<unknown>;
  readonly change: (dir: string) => Promise<unknown>;
  /** The folders that are watched do not show it: it is seen with the next check, twice a second. */
  readonly isUnwatched?: true;
  /** Names of services afterwards; `undefined` when the registry cannot be read. */
  readonly want: readonly string[] | undefined;
}

/** A volume as the kubelet lays it out: file → ..data/file → ..<time>/file. */
async function configMap(dir: string, time: string, text: string) {
  await mkdir(join(dir, `..${time}`));
  await writeFile(join(dir, `..${time}`, "services.yaml"), text);
  await symlink(`..${time}`, join(dir, "..data_tmp"));
  await rename(join(dir, "..data_tmp"), join(dir, "..data"));
}

const write = (name: string, text: string) => (dir: string) => writeFile(join(dir, name), text);

const cases: Case[] = [
  { name: "written in place", before: write("services.yaml", A), change: write("services.yaml", AB), want: ["a", "b"] },
  {
    name: "replaced by rename",
    before: write("services.yaml", A),
    change: async (dir) => {
      await writeFile(join(dir, "services.yaml~"), AB);
      await rename(join(dir, "services.yaml~"), join(dir, "services.yaml"));
    },
    want: ["a", "b"],
  },
  {
    name: "removed",
    before: write("services.yaml", A),
    change: (dir) => rm(join(dir, "services.yaml")),
    want: undefined,
  },
  {
    name: "swapped by a ConfigMap",
    before: async (dir) => {
      await configMap(dir, "1", A);
      await symlink("..data/services.yaml", join(dir, "services.yaml"));
    },
    change: async (dir) => {
      await configMap(dir, "2", AB);
      await rm(join(dir, "..1"), { recursive: true });
    },
    want: ["a", "b"],
  },
  {
    name: "swapped by a ConfigMap that is read as a folder",
    file: ".",
    before: async (dir) => {
      await configMap(dir, "1", A);
      await symlink("..data/services.yaml", join(dir, "services.yaml"));
    },
    change: (dir) => configMap(dir, "2", AB),
    want: ["a", "b"],
  },
  {
    name: "a link into a release folder that is swapped",
    file: "current/services.yaml",
    before: async (dir) => {
      for (const [release, text] of Object.entries({ one: A, two: AB })) {
        await mkdir(join(dir, release));
        await writeFile(join(dir, release, "services.yaml"), text);
      }
      await symlink("one", join(dir, "current"));
    },
    change: async (dir) => {
      await symlink("two", join(dir, "next"));
      await rename(join(dir, "next"), join(dir, "current"));
    },
    isUnwatched: true,
    want: ["a", "b"],
  },
  {
    name: "written behind a link to another folder",
    before: async (dir) => {
      await mkdir(join(dir, "elsewhere"));
      await writeFile(join(dir, "elsewhere", "real.yaml"), A);
      await symlink("elsewhere/real.yaml", join(dir, "services.yaml"));
    },
    change: write("elsewhere/real.yaml", AB),
    want: ["a", "b"],
  },
  {
    name: "added to a folder",
    file: ".",
    before: write("a.yaml", A),
    change: write("b.yaml", `services:\n${item("b")}`),
    want: ["a", "b"],
  },
  {
    name: "removed from a folder",
    file: ".",
    before: async (dir) => {
      await writeFile(join(dir, "a.yaml"), A);
      await writeFile(join(dir, "b.yaml"), `services:\n${item("b")}`);
    },
    change: (dir) => rm(join(dir, "b.yaml")),
    want: ["a"],
  },
  {
    name: "in a folder that appears",
    file: ["services.yaml", "later/services.yaml"],
    before: write("services.yaml", A),
    change: async (dir) => {
      await mkdir(join(dir, "later"));
      await writeFile(join(dir, "later", "services.yaml"), `services:\n${item("b")}`);
    },
    want: ["a", "b"],
  },
  {
    name: "in a folder that is removed and made again",
    file: "d",
    before: async (dir) => {
      await mkdir(join(dir, "d"));
      await writeFile(join(dir, "d", "a.yaml"), A);
    },
    change: async (dir) => {
      await rm(join(dir, "d"), { recursive: true });
      await mkdir(join(dir, "d"));
      await writeFile(join(dir, "d", "a.yaml"), AB);
    },
    want: ["a", "b"],
  },
];

for (const { name, file, before, change, isUnwatched, want } of cases) {
  test(`waitForChange() sees a file ${name}`, async (t) => {
    const dir = await folder(t);
    await before(dir);
    const adapter = adapterIn(dir, file === undefined ? {} : { file });
    const { revision } = await read(adapter);
    const patience = AbortSignal.timeout(GENEROUS_MS);
    const watch = watchFolders((await findFiles([file ?? "services.yaml"].flat(), dir)).folders);
    t.after(() => watch.close());
    const shown = watch.sign(2 * GENEROUS_MS, patience);
    const waiting = adapter.waitForChange(revision, patience);
    await change(dir);
    await Promise.all([waiting, isUnwatched ?? shown]);
    if (want === undefined) await assert.rejects(read(adapter));
    else assert.deepEqual(Object.keys(services(await read(adapter))), want);
  });
}

test("waitForChange() sees what changed between the read and the wait", async (t) => {
  const dir = await folder(t);
  await writeFile(join(dir, "services.yaml"), A);
  const adapter = adapterIn(dir);
  const { revision } = await read(adapter);
  await writeFile(join(dir, "services.yaml"), A.replace("192.0.2.1", "192.0.2.2")); // of equal length
  await adapter.waitForChange(revision, AbortSignal.timeout(GENEROUS_MS));
});

test("waitForChange() resolves for a revision that it does not know", async (t) => {
  const dir = await folder(t);
  await writeFile(join(dir, "services.yaml"), A);
  await adapterIn(dir).waitForChange("", AbortSignal.timeout(GENEROUS_MS));
});

/** Until someone else who waits was woken twice by a change in this folder: whoever waits beside him has looked at it, too. */
async function othersAreWoken(dir: string): Promise<void> {
  const other = adapterIn(dir, { file: "." });
  for (const name of ["x", "y"]) {
    const { revision } = await read(other);
    await writeFile(join(dir, `${name}.yaml`), `services:\n${item(name)}`);
    await other.waitForChange(revision, AbortSignal.timeout(GENEROUS_MS));
  }
}

const quiet = [
  { name: "a file that is only touched", change: write("services.yaml", A) },
  { name: "other files in the folder", change: write("other.yaml", AB) },
];
for (const { name, change } of quiet) {
  test(`waitForChange() is not woken by ${name}`, async (t) => {
    const dir = await folder(t);
    await writeFile(join(dir, "services.yaml"), A);
    const adapter = adapterIn(dir);
    const { revision } = await read(adapter);
    let isWoken = false;
    const waiting = adapter.waitForChange(revision, AbortSignal.timeout(GENEROUS_MS)).then(() => {
      isWoken = true;
    });
    await change(dir);
    await othersAreWoken(dir);
    assert.ok(!isWoken);
    await writeFile(join(dir, "services.yaml"), AB);
    await waiting;
  });
}

test("waitForChange() after a failed read waits until the files change", async (t) => {
  const dir = await folder(t);
  await writeFile(join(dir, "services.yaml"), A);
  const adapter = adapterIn(dir);
  const { revision } = await read(adapter);
  await rm(join(dir, "services.yaml"));
  await assert.rejects(read(adapter));
  let isWoken = false;
  const waiting = adapter.waitForChange(revision, AbortSignal.timeout(GENEROUS_MS)).then(() => {
    isWoken = true;
  });
  await writeFile(join(dir, "other.yaml"), AB);
  await othersAreWoken(dir);
  assert.ok(!isWoken);
  await writeFile(join(dir, "services.yaml"), A);
  await waiting;
});

test("waitForChange() leaves nothing open when it is aborted", async (t) => {
  const dir = await folder(t);
  await writeFile(join(dir, "services.yaml"), `services:\n${item("a", ", check: {tcp: http}")}`);
  const adapter = adapterIn(dir);
  const { revision } = await read(adapter);
  const before = process.getActiveResourcesInfo();
  for (let round = 0; round < 5; round++) {
    const abort = new AbortController();
    const waiting = adapter.waitForChange(revision, abort.signal);
    await sleep(round * 40); // wherever it is by then
    abort.abort(new Error("stop"));
    await assert.rejects(waiting, /stop/);
  }
  // A closed watcher goes with a later turn.
  await until(() => holdsNoMoreThan(before));
});
