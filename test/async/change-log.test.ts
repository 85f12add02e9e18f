import assert from "node:assert/strict";
import { test } from "node:test";
import { changeLog } from "../../src/async/change-log.ts";

test("changeLog() tells what changed since a version", () => {
  const log = changeLog<string>();
  for (const key of ["a", "b", "a", "c"]) log.add(key);
  assert.equal(log.version(), 4);
  assert.deepEqual([...(log.since(0) ?? [])], ["a", "b", "c"]);
  assert.deepEqual([...(log.since(3) ?? [])], ["c"]);
  assert.deepEqual(log.since(4), new Set());
});

test("changeLog() says that it does not know what was too long ago, or never was", () => {
  const log = changeLog<string>();
  for (let n = 0; n < 3000; n++) log.add(`k${n}`);
  assert.equal(log.since(3000 - 1024)?.size, 1024);
  assert.ok(log.since(3000 - 1024)?.has("k1976"));
  for (const version of [-1, 0, 3000 - 1025, 3001]) assert.equal(log.since(version), undefined);
});

test("changeLog() wakes who waits, also who waits again, and nobody who has left", async () => {
  const log = changeLog<string>();
  const end = new AbortController();
  const left = assert.rejects(log.wait(0, end.signal), { message: "enough" });
  const woken = log.wait(0, AbortSignal.timeout(5000));
  end.abort(new Error("enough"));
  await left;
  log.add("a");
  await woken;
  await log.wait(0, AbortSignal.timeout(5000));
  await assert.rejects(log.wait(1, end.signal), { message: "enough" });
});
