import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type Generation, readiness, releaseBrake } from "../../../src/cli/serve/generation.ts";
import { startTarget } from "../../../src/cli/serve/start-target.ts";
import { tokenJudge } from "../../../src/cli/serve/token-judge.ts";
import type { OpenTarget } from "../../../src/cli/setup/open-target.ts";
import { createLog } from "../../../src/log.ts";
import type { NameRow } from "../../../src/model/name-table.ts";
import type { Target } from "../../../src/model/target.ts";
import { table } from "../../dns/wire.ts";

const log = createLog({ level: "silent", pretty: false });
const never = new AbortController().signal;
const later = Date.now() + 600_000;

interface Stage {
  readonly rows?: Readonly<Record<string, Partial<NameRow>>>;
  readonly isFresh?: boolean;
  readonly hasPassed?: boolean;
  /** Versions of the target that the table was made from, and of now. */
  readonly versions?: readonly [number, number];
  readonly mode?: string;
  /** Registries that have been read; all by default. */
  readonly read?: readonly string[];
  /** Registries of which something stood at the start. */
  readonly stands?: readonly string[];
  readonly readyWaitMs?: number;
}

function generation({
  rows,
  isFresh = false,
  hasPassed = true,
  versions = [3, 3],
  mode = "apply",
  read = ["vms", "dc1"],
  stands = [],
  readyWaitMs = 600_000,
}: Stage) {
  const released: string[] = [];
  const made = {
    config: { registries: [{ name: "vms" }, { name: "dc1" }], policy: { mode }, merge: [], http: { readyWaitMs } },
    names: { table: () => (rows === undefined ? undefined : table(rows)), version: () => versions[0] },
    opened: {
      target: {
        version: () => versions[1],
      },
      markAllowDeletes: async (registries: readonly string[]) => void released.push(...registries),
    },
    controller: { hasPassed: () => hasPassed, readers: { readAtMs: new Map(read.map((name) => [name, 1])) } },
    known: { has: (name: string) => stands.includes(name) },
    isFresh,
    startedMs: performance.now(),
  } as unknown as Generation;
  return { made, released };
}

const settled = { "a.mesh.internal": { a: ["240.241.0.7"] } };
const unsettled = { "b.mesh.internal": { a: ["240.241.0.8"], settledAtMs: later } };
const waiting = { "c.mesh.internal": { waits: true as const } };
const cases: readonly (Stage & { readonly title: string; readonly want: RegExp | undefined })[] = [
  { title: "before the target has been read", want: /^the target has not been read yet$/ },
  { title: "with names", rows: settled, want: undefined },
  { title: "without names", rows: {}, want: undefined },
  { title: "with one settled name of two", rows: { ...settled, ...unsettled }, want: undefined },
  { title: "with unsettled names only", rows: unsettled, want: /have not settled/ },
  { title: "with unsettled names, and names that wait", rows: { ...unsettled, ...waiting }, want: /have not settled/ },
  { title: "with names that wait only", rows: waiting, want: undefined },
  {
    title: "where nothing stood, before the first pass",
    rows: {},
    isFresh: true,
    hasPassed: false,
    want: /first pass/,
  },
  { title: "where something stood, before the first pass", rows: settled, hasPassed: false, want: undefined },
  { title: "where nothing stood, before the table has it", rows: {}, isFresh: true, versions: [3, 4], want: /settled/ },
  { title: "where something stood, before the table is new", rows: settled, versions: [3, 4], want: undefined },
  { title: "where nothing stood, once the table has it", rows: settled, isFresh: true, want: undefined },
  {
    title: "where nothing stood and a registry was never read",
    rows: settled,
    isFresh: true,
    read: ["vms"],
    want: /^registry dc1 has not been read yet, and nothing of it stands$/,
  },
  { title: "where that has been waited for", rows: {}, isFresh: true, read: ["vms"], readyWaitMs: 0, want: undefined },
  { title: "where something of it stands", rows: {}, isFresh: true, read: ["vms"], stands: ["dc1"], want: undefined },
  { title: "where others stood and a registry was never read", rows: settled, read: ["vms"], want: undefined },
];
for (const { title, want, ...stage } of cases)
  test(`readiness() ${want === undefined ? "is given" : "is not given"} ${title}`, () => {
    const { made } = generation(stage);
    const { ready, reasons } = readiness(made, never);
    assert.equal(ready, want === undefined);
    if (want === undefined) assert.deepEqual([reasons, made.isFresh], [[], false]);
    else assert.match(reasons.join(), want);
  });

test("readiness() is not given without a target, nor once the process stops", () => {
  assert.equal(readiness(undefined, never).ready, false);
  assert.deepEqual(readiness(generation({ rows: settled }).made, AbortSignal.abort()), {
    ready: false,
    reasons: ["the process is stopping"],
  });
});

test("releaseBrake() tells the leader of a configured registry, where something may be written", async () => {
  const { made, released } = generation({});
  await releaseBrake(made, "dc1");
  assert.deepEqual(released, ["dc1"]);
  await assert.rejects(releaseBrake(made, "other"), /must be a configured registry$/);
  await assert.rejects(releaseBrake(undefined, "dc1"), /has not been opened yet$/);
  const dry = generation({ mode: "dry-run" });
  await assert.rejects(releaseBrake(dry.made, "dc1"), /policy\.mode is dry-run$/);
  assert.deepEqual([released, dry.released], [["dc1"], []]);
});

test("startTarget() tries again until the target can be read, or it is told to stop", async () => {
  let tries = 0;
  const target = {
    async start() {
      if (++tries < 3) throw new Error("connect ECONNREFUSED");
    },
  } as unknown as Target;
  assert.equal(await startTarget(target, never, log), true);
  assert.equal(tries, 3);
  const end = new AbortController();
  const broken = {
    async start() {
      end.abort();
      throw new Error("aborted");
    },
  } as unknown as Target;
  assert.equal(await startTarget(broken, end.signal, log), false);
  assert.equal(await startTarget(target, AbortSignal.abort(), log), false);
  assert.equal(tries, 3);
});

test("tokenJudge() accepts by the file or by the cluster, and cannot say before that is opened", async (t) => {
  const dir = await mkdtemp(join(tmpdir(), "x2istio-judge-"));
  t.after(() => rm(dir, { recursive: true }));
  const tokenFile = join(dir, "tokens");
  await writeFile(tokenFile, "of-the-file\n");
  let opened: OpenTarget | undefined;
  const asked: (readonly string[])[] = [];
  const limits = { waitMs: 0, perSecond: 1 };
  const both = tokenJudge({ tokenFile, tokenReview: { audiences: ["x2istio"] }, ...limits }, () => opened, log);
  const byFile = tokenJudge({ tokenFile, ...limits }, () => opened, log);
  assert.equal((await both("of-the-file")).state, "accepted");
  assert.equal((await both("a.b.c")).state, "unavailable");
  assert.equal((await byFile("a.b.c")).state, "refused");
  opened = {
    async reviewToken(token: string, audiences: readonly string[]) {
      asked.push([token, ...audiences]);
      return { state: "accepted", name: "shop/web" };
    },
  } as unknown as OpenTarget;
  assert.deepEqual(await both("a.b.c"), { state: "accepted", name: "shop/web" });
  assert.deepEqual(asked, [["a.b.c", "x2istio"]]);
});
