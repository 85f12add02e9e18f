import assert from "node:assert/strict";
import { mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { adapterIn, folder, item, read, services } from "./estate.ts";

const A = `services:\n${item("a")}`;
const AB = `services:\n${item("a")}${item("b")}`;

interface Case {
  readonly name: string;
  readonly file?: string | readonly string[];
  readonly before: (dir: string) => Promise<unknown>;
  readonly change: (dir: string) => Promise<unknown>;
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

for (const { name, file, before, change, want } of cases) {
  test(`waitForChange() sees a file ${name} within a second`, async (t) => {
    const dir = await folder(t);
    await before(dir);
    const adapter = adapterIn(dir, file === undefined ? {} : { file });
    const { revision } = await read(adapter);
    const waiting = adapter.waitForChange(revision, AbortSignal.timeout(5000));
    await sleep(120); // let it open its eyes
    const start = performance.now();
    await change(dir);
    await waiting;
    assert.ok(performance.now() - start < 1000, `${performance.now() - start} ms`);
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
  await adapter.waitForChange(revision, AbortSignal.timeout(1000));
});

test("waitForChange() resolves for a revision that it does not know", async (t) => {
  const dir = await folder(t);
  await writeFile(join(dir, "services.yaml"), A);
  await adapterIn(dir).waitForChange("", AbortSignal.timeout(1000));
});

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
    const waiting = assert.rejects(adapter.waitForChange(revision, AbortSignal.timeout(700)), { name: "TimeoutError" });
    await sleep(120);
    await change(dir);
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
  await assert.rejects(adapter.waitForChange(revision, AbortSignal.timeout(300)), { name: "TimeoutError" });
  const waiting = adapter.waitForChange(revision, AbortSignal.timeout(2000));
  await writeFile(join(dir, "services.yaml"), A);
  await waiting;
});

test("waitForChange() leaves nothing open when it is aborted", async (t) => {
  const dir = await folder(t);
  await writeFile(join(dir, "services.yaml"), `services:\n${item("a", ", check: {tcp: http}")}`);
  const adapter = adapterIn(dir);
  const { revision } = await read(adapter);
  const before = process.getActiveResourcesInfo().sort();
  for (let round = 0; round < 5; round++) {
    const abort = new AbortController();
    const waiting = adapter.waitForChange(revision, abort.signal);
    await sleep(round * 40);
    abort.abort(new Error("stop"));
    await assert.rejects(waiting, /stop/);
  }
  await sleep(10); // a closed watcher goes with the next turn
  assert.deepEqual(process.getActiveResourcesInfo().sort(), before);
});
