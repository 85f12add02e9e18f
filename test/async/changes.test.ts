import assert from "node:assert/strict";
import { test } from "node:test";
import { createChanges } from "../../src/async/changes.ts";

const never = new AbortController().signal;

test("wait() resolves at once when something changed before", async () => {
  const changes = createChanges();
  const seen = changes.version();
  changes.notify();
  changes.notify();
  await changes.wait(seen, never);
  assert.equal(changes.version(), seen + 2);
});

test("wait() wakes everyone who waits", async () => {
  const changes = createChanges();
  const waits = [changes.wait(0, never), changes.wait(0, never)];
  changes.notify();
  await Promise.all(waits);
});

test("wait() rejects when it is aborted, before or meanwhile, and leaves no listener behind", async () => {
  const changes = createChanges();
  await assert.rejects(changes.wait(0, AbortSignal.abort(new Error("over"))), /over/);
  const end = new AbortController();
  const waiting = changes.wait(0, end.signal);
  end.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
  changes.notify();
});
