import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { runSchedule } from "../../src/controller/schedule.ts";

const EVERY_SECOND = "* * * * * *";
const jumps = [
  { name: "is set back", byMs: -3_600_000 },
  { name: "is set forward", byMs: 3_600_000 },
  { name: "is right", byMs: 0 },
];
for (const { name, byMs } of jumps) {
  test(`runSchedule() goes on while the clock ${name}, and ends when it is told to`, async (t) => {
    t.mock.timers.enable({ apis: ["Date"], now: Date.parse("2026-03-01T12:00:00.900Z") });
    const ending = new AbortController();
    let times = 0;
    const ended = runSchedule(EVERY_SECOND, () => times++, ending.signal);
    t.mock.timers.setTime(Date.now() + byMs);
    for (let turn = 0; times < 2 && turn < 500; turn++) await delay(10);
    ending.abort();
    await ended;
    assert.ok(times >= 2);
  });
}

test("runSchedule() waits for what is years away, and can be ended all the same", async () => {
  const ending = new AbortController();
  const ended = runSchedule("0 0 0 29 2 *", () => assert.fail("too soon"), ending.signal);
  await delay(20);
  ending.abort();
  await ended;
});
