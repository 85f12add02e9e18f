import assert from "node:assert/strict";
import { test } from "node:test";
import { sending } from "../../../src/http/limits/sending.ts";
import { sharedReplies } from "../../../src/http/limits/shared-replies.ts";
import type { Reply } from "../../../src/http/reply.ts";

test("sending() ends those who send what was begun first, once different bodies are too large together", () => {
  const ended: string[] = [];
  const end = (name: string) => () => void ended.push(name);
  const { start } = sending(100);
  const [old, other, next, large] = [40, 40, 40, 1000].map((bytes) => Buffer.alloc(bytes)) as [
    Buffer,
    Buffer,
    Buffer,
    Buffer,
  ];
  for (const name of ["old1", "old2", "old3"]) start(old, end(name));
  const gone = start(other, end("other"));
  assert.equal(ended.length, 0, "one body counts once, however many send it");
  gone();
  start(next, end("next"));
  assert.equal(ended.length, 0, "what has gone out counts no more");
  start(large, end("large"));
  assert.deepEqual(ended, ["old1", "old2", "old3", "next"]);
  start(next, end("again"));
  assert.deepEqual(ended.slice(4), ["large"]);
});

function reply(body: string): Reply {
  return { status: 200, type: "text/plain", body };
}

test("sharedReplies() makes an answer once for all who ask, and in a fifth of the time at most", async () => {
  let now = 0;
  let made = 0;
  const shared = sharedReplies(() => now);
  const ask = () =>
    shared.get("/api/plan", async () => {
      await Promise.resolve();
      now += 10;
      return reply(`${++made}`);
    });
  const [first, second] = await Promise.all([ask(), ask()]);
  assert.equal(first, second);
  assert.ok(Buffer.isBuffer(first.body));
  now += 39;
  assert.equal(await ask(), first);
  now += 1;
  assert.equal(String((await ask()).body), "2");
  assert.equal(String((await shared.get("/metrics", async () => reply("other"))).body), "other");
});

test("sharedReplies() makes anew what failed", async () => {
  const shared = sharedReplies(() => 0);
  await assert.rejects(
    shared.get("/metrics", () => Promise.reject(new Error("not now"))),
    /not now/,
  );
  assert.equal(String((await shared.get("/metrics", async () => reply("1"))).body), "1");
});
