import assert from "node:assert/strict";
import { test } from "node:test";
import { createHoldLog } from "../../src/controller/holds.ts";
import { controllerMetrics } from "../../src/controller/metrics.ts";
import { createLog } from "../../src/log.ts";
import { createMetrics } from "../../src/metrics.ts";
import type { Hold } from "../../src/model/plan.ts";
import type { WriteOutcome, WriteReport } from "../../src/model/target.ts";
import { entry } from "../plan/build.ts";

const hold = (subject: string, message = "refused"): Hold => ({
  reason: "unread",
  subject,
  service: undefined,
  registry: "dc1",
  message,
});
const nothing: WriteReport = { results: [] };
const report = (outcome: WriteOutcome, error?: unknown): WriteReport => ({
  results: [{ change: { kind: "delete", standing: entry(), why: "" }, outcome, error }],
});

function bench() {
  const lines: string[] = [];
  const log = createLog({
    level: "info",
    pretty: false,
    stream: { write: (line: string) => void lines.push(JSON.parse(line).msg) },
  });
  const metrics = createMetrics().once(controllerMetrics);
  const { record } = createHoldLog(log, metrics);
  return {
    metrics,
    record: (holds: readonly Hold[], done: WriteReport, unread: readonly string[] = [], why?: string) =>
      record(holds, done, new Map(unread.map((registry) => [registry, why]))),
    said: () => lines.splice(0),
  };
}

test("createHoldLog() says when a hold begins and when it ends, and nothing between", () => {
  const { record, said } = bench();
  record([hold("a"), hold("b")], nothing);
  assert.deepEqual(said(), ["held", "held"]);
  record([hold("b", "refused again"), hold("a")], nothing);
  assert.deepEqual(said(), []);
  record([hold("b")], nothing);
  assert.deepEqual(said(), ["no longer held"]);
  record([hold("a"), hold("b")], nothing);
  assert.deepEqual(said(), ["held"]);
});

test("createHoldLog() leaves services unsaid that are held for what their registry lacks, and no others", () => {
  const { record, said } = bench();
  const broken = "s.yaml:3:1: is indented by 3";
  record([hold("a", broken), hold("b", "number must be 1–65535")], nothing, ["dc1"], broken);
  assert.deepEqual(said(), ["held"]);
});

test("createHoldLog() leaves the services of a registry that cannot be read unsaid, but counts them", async () => {
  const { metrics, record, said } = bench();
  record([hold("a"), { ...hold("c"), registry: "dc2" }], nothing, ["dc1"]);
  assert.deepEqual(said(), ["held"]);
  assert.equal((await metrics.passHeld.get()).values.find(({ labels }) => labels.reason === "unread")?.value, 2);
  record([hold("a")], nothing);
  assert.deepEqual(said(), ["held", "no longer held"]);
});

test("createHoldLog() says how many more there are instead of all", () => {
  const { record, said } = bench();
  record(
    Array.from({ length: 1000 }, (_, at) => hold(`s${at}`)),
    nothing,
  );
  const lines = said();
  assert.equal(lines.length, 21);
  assert.match(lines.at(-1) ?? "", /more holds began or ended/);
});

test("createHoldLog() counts what is held now", async () => {
  const { metrics, record } = bench();
  const held = async () =>
    (await metrics.passHeld.get()).values.find(({ labels }) => labels.reason === "unread")?.value;
  record([hold("a"), hold("b")], nothing);
  assert.equal(await held(), 2);
  record([hold("a")], nothing);
  assert.equal(await held(), 1);
  record([], nothing);
  assert.equal(await held(), 0);
});

test("createHoldLog() says once that an object is refused, and again when the reason is another", async () => {
  const { metrics, record, said } = bench();
  record([], report("failed", new Error("422")));
  record([], report("failed", new Error("422")));
  assert.deepEqual(said(), ["an object could not be written"]);
  record([], report("failed", new Error("503")));
  assert.deepEqual(said(), ["an object could not be written"]);
  record([], report("written"));
  record([], report("conflict"));
  assert.deepEqual(said(), []);
  record([], report("failed", new Error("503")));
  assert.deepEqual(said(), ["an object could not be written"]);
  const counts = (await metrics.passChanges.get()).values.filter(
    ({ labels, value }) => labels.kind === "delete" && value > 0,
  );
  assert.deepEqual(
    counts.map(({ labels, value }) => [labels.outcome, value]),
    [
      ["written", 1],
      ["conflict", 1],
      ["failed", 4],
    ],
  );
});

test("createHoldLog() says a second reason for one subject, and the end of each", () => {
  const { record, said } = bench();
  const other: Hold = { ...hold("a"), reason: "brake" };
  record([hold("a")], nothing);
  record([hold("a"), other], nothing);
  assert.deepEqual(said(), ["held", "held"]);
  record([other], nothing);
  assert.deepEqual(said(), ["no longer held"]);
});

test("createHoldLog() remembers of each of many objects why it was refused", () => {
  const { record, said } = bench();
  const results = Array.from({ length: 50 }, (_, n) => ({
    change: { kind: "delete", standing: entry(`dc1/shop/s${n}`), why: "" } as const,
    outcome: "failed" as const,
    error: new Error("422"),
  }));
  record([], { results });
  assert.equal(said().length, 50);
  record([], { results: results.toReversed() });
  assert.deepEqual(said(), []);
});
