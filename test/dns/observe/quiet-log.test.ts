import assert from "node:assert/strict";
import { test } from "node:test";
import { tally } from "../../../src/dns/observe/answer-tally.ts";
import { quietLog } from "../../../src/dns/observe/quiet-log.ts";
import { reportWanted } from "../../../src/dns/observe/report-wanted.ts";
import { sampler } from "../../../src/dns/observe/sampler.ts";

test("quietLog() logs a message once in 10 s, and says how many were left out", (t) => {
  let now = 5_000;
  t.mock.method(performance, "now", () => now);
  const lines: string[] = [];
  const { warn } = quietLog({ warn: ({ n, suppressed }, message) => void lines.push(`${message} ${n} ${suppressed}`) });
  for (let n = 0; n < 4; n++) warn({ n }, "one");
  warn({ n: 4 }, "two");
  now += 9_999;
  warn({ n: 5 }, "one");
  now += 1;
  warn({ n: 6 }, "one");
  warn({ n: 7 }, "one");
  now += 10_000;
  warn({ n: 8 }, "one");
  assert.deepEqual(lines, ["one 0 0", "two 4 0", "one 6 4", "one 8 1"]);
});

test("tally() reports answers by kind, once, after a while, and what comes later anew", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const told: string[] = [];
  const { add, flush } = tally(
    {
      onAnswer: ({ rcode, type, source, transport, view }, count) =>
        void told.push([transport, type, rcode, source, view, count].join(" ")),
    },
    "cache",
    100,
  );
  for (let n = 0; n < 3; n++) add(1, 0);
  add(28, 3);
  add(1, 3);
  t.mock.timers.tick(99);
  assert.deepEqual(told, []);
  t.mock.timers.tick(1);
  const first = ["udp A NOERROR cache mesh 3", "udp AAAA NXDOMAIN cache mesh 1", "udp A NXDOMAIN cache mesh 1"];
  assert.deepEqual(told.splice(0), first);
  add(1, 0);
  t.mock.timers.tick(100);
  assert.deepEqual(told.splice(0), ["udp A NOERROR cache mesh 1"]);
  add(1, 0);
  flush();
  t.mock.timers.tick(100);
  assert.deepEqual(told, ["udp A NOERROR cache mesh 1"]);
});

test("reportWanted() reports a service again after exactly a second", () => {
  let now = 0;
  const told: number[] = [];
  const tell = reportWanted(
    () => void told.push(now),
    () => now,
  );
  for (now of [0, 1, 999, 1000, 1999, 2000]) tell({ service: "a", view: "mesh", client: "192.0.2.1" });
  assert.deepEqual(told, [0, 1000, 2000]);
});

test("sampler() takes all where the share is 1, 100 in each second of the clock", () => {
  let now = 1_500;
  const takes = sampler(
    1,
    () => 0.999,
    () => now,
  );
  const count = () => Array.from({ length: 150 }, takes).filter(Boolean).length;
  assert.equal(count(), 100);
  now = 1_999;
  assert.equal(count(), 0);
  now = 2_000;
  assert.equal(count(), 100);
});
