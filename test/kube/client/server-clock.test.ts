import assert from "node:assert/strict";
import { test } from "node:test";
import { serverClock } from "../../../src/kube/client/server-clock.ts";
import { faultRow } from "../../faults/row.ts";

const BASE_MS = Date.UTC(2026, 0, 1);
const at = (ms: number) => new Date(BASE_MS + ms).toUTCString();

const cases: {
  name: string;
  seen: readonly (readonly [monotonicMs: number, date: string | undefined])[];
  nowMs: number;
  want: number;
}[] = [
  { name: "goes on by the monotonic clock", seen: [[100, at(0)]], nowMs: 1600, want: BASE_MS + 1500 },
  {
    name: "nears the true time as seconds begin",
    seen: [
      [0, at(0)],
      [100, at(1000)],
    ],
    nowMs: 200,
    want: BASE_MS + 1100,
  },
  {
    name: "does not go back for a header cut to its second",
    seen: [
      [0, at(5000)],
      [900, at(5000)],
      [1100, at(6000)],
    ],
    nowMs: 1100,
    want: BASE_MS + 6100,
  },
  {
    name: "follows a clock that was set back once that has lasted",
    seen: [
      [0, at(60_000)],
      [1000, at(0)],
      [16_000, at(15_000)],
      [31_000, at(30_000)],
    ],
    nowMs: 31_000,
    want: BASE_MS + 30_000,
  },
  {
    name: "ignores what is no date",
    seen: [
      [0, at(0)],
      [0, "soon"],
      [0, undefined],
    ],
    nowMs: 10,
    want: BASE_MS + 10,
  },
];
for (const { name, seen, nowMs, want } of cases) {
  test(`serverClock() ${name}`, () => {
    let monotonicMs = 0;
    const clock = serverClock(() => monotonicMs);
    for (const [ms, date] of seen) {
      monotonicMs = ms;
      clock.observe(date);
    }
    monotonicMs = nowMs;
    assert.equal(clock.nowMs(), want);
  });
}

test(
  faultRow({
    target: "API server",
    fault: "its clock jumps, or one of several API servers has a wrong clock",
    expect: "it is not used until all answers have agreed on it for 30 s",
  }),
  () => {
    let monotonicMs = 0;
    const clock = serverClock(() => monotonicMs);
    const ask = (everyMs: number, date: () => string) => {
      monotonicMs += everyMs;
      clock.observe(date());
    };
    const right = () => at(monotonicMs);
    const aDayLater = () => at(monotonicMs + 86_400_000);
    const error = () => Math.abs(clock.nowMs() - BASE_MS - monotonicMs);
    ask(0, right);
    for (let round = 0; round < 100; round++) {
      for (let wrong = 0; wrong < 9; wrong++) ask(2000, aDayLater);
      assert.ok(error() <= 1000, `${error()} ms in round ${round}`);
      ask(2000, right);
    }
    for (let times = 0; times < 15; times++) ask(2000, aDayLater);
    assert.ok(error() <= 1000);
    ask(2000, aDayLater);
    assert.ok(Math.abs(error() - 86_400_000) <= 1000, "all have agreed for long enough");
  },
);
