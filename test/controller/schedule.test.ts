import assert from "node:assert/strict";
import { syncBuiltinESMExports } from "node:module";
import { test } from "node:test";
import { runSchedule } from "../../src/controller/schedule.ts";
import { until } from "../until.ts";

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
    await until(() => times >= 2);
    ending.abort();
    await ended;
  });
}

test("runSchedule() waits for what is years away, and can be ended all the same", async () => {
  const ending = new AbortController();
  const ended = runSchedule("0 0 0 29 2 *", () => assert.fail("too soon"), ending.signal);
  await runSchedule("* * * * * *", () => ending.abort(), ending.signal);
  await ended;
});

test("runSchedule() calls on the day that it says, and on none of those before", async (t) => {
  const DAY_MS = 86_400_000;
  t.mock.timers.enable({ apis: ["Date", "setTimeout"], now: new Date(2026, 2, 1, 12).getTime() });
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.timers.reset();
    syncBuiltinESMExports();
  });
  const ending = new AbortController();
  const days: number[] = [];
  let day = 0;
  const ended = runSchedule("0 0 12 4 3 *", () => days.push(day), ending.signal);
  for (day = 1; day <= 4; day++) {
    t.mock.timers.tick(DAY_MS);
    for (let turn = 0; turn < 20; turn++) await new Promise((done) => setImmediate(done));
  }
  ending.abort();
  await ended;
  assert.deepEqual(days.slice(0, 2), [3]);
});
