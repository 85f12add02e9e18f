import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { rateLimiter } from "../../../src/dns/serve/rate-limit.ts";
import { securityRow } from "../../security/row.ts";
import { until } from "../../until.ts";
import { ask, askUdp, openTcp, orders, startServer } from "../sockets.ts";
import { decode, opt } from "../wire.ts";

/** However long the test takes, the rate gives nothing back. */
function stopClock(t: TestContext): void {
  const now = performance.now();
  t.mock.method(performance, "now", () => now);
}

const cases: readonly { name: string; slip: number; want: string }[] = [
  { name: "every second one is truncated", slip: 2, want: "answer 10, drop 5, truncate 5" },
  { name: "all are truncated", slip: 1, want: "answer 10, truncate 10" },
  { name: "all are dropped", slip: 0, want: "answer 10, drop 10" },
];
for (const { name, slip, want } of cases)
  test(`rateLimiter() over the limit ${name}`, () => {
    const admit = rateLimiter({ perSecond: 10, slip }, () => 0);
    const counts = new Map<string, number>();
    for (let n = 0; n < 20; n++) {
      const verdict = admit("192.0.2.1");
      counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
    }
    assert.equal(
      [...counts]
        .sort()
        .map(([verdict, count]) => `${verdict} ${count}`)
        .join(", "),
      want,
    );
  });

test("rateLimiter() gives a network the rate of one second at once, and saves nothing up", () => {
  let nowMs = 0;
  const admit = rateLimiter({ perSecond: 4, slip: 0 }, () => nowMs);
  const atOnce = () => Array.from({ length: 20 }, () => admit("192.0.2.1")).filter((one) => one === "answer").length;
  assert.equal(atOnce(), 4);
  nowMs += 249;
  assert.equal(atOnce(), 0);
  nowMs += 1;
  assert.equal(atOnce(), 1);
  nowMs += 3_600_000;
  assert.equal(atOnce(), 4);
});

test("rateLimiter() gives the whole rate at every reading of the clock", () => {
  // 651194.519594 is one at which 0.5 s, added twice and taken off again, is more than 1 s.
  for (const nowMs of [651194.519594, ...Array.from({ length: 1000 }, (_, at) => at * 7919.000377)])
    for (const perSecond of [2, 3, 5, 7]) {
      const admit = rateLimiter({ perSecond, slip: 0 }, () => nowMs);
      const admitted = Array.from({ length: 20 }, () => admit("192.0.2.1")).filter((one) => one === "answer");
      assert.equal(admitted.length, perSecond, `${perSecond} a second at ${nowMs} ms`);
    }
});

test("rateLimiter() slips again and again, every third one", () => {
  const admit = rateLimiter({ perSecond: 1, slip: 3 }, () => 0);
  const verdicts = Array.from({ length: 10 }, () => admit("192.0.2.1"));
  assert.deepEqual(verdicts, [
    "answer",
    ...["drop", "drop", "truncate"],
    ...["drop", "drop", "truncate"],
    ...["drop", "drop", "truncate"],
  ]);
});

test("rateLimiter() knows a network in whatever spelling", () => {
  const admit = rateLimiter({ perSecond: 1, slip: 0 }, () => 0);
  assert.deepEqual(
    ["2001:db8:0:100::1", "2001:DB8:0:100:0::2", "2001:0db8:0000:01ab::3", "2001:db8:0:200::1"].map(admit),
    ["answer", "drop", "drop", "answer"],
  );
});

test("rateLimiter() counts by network, and gives back with time", () => {
  let nowMs = 0;
  const admit = rateLimiter({ perSecond: 1, slip: 0 }, () => nowMs);
  const networks: readonly (readonly [first: string, same: string, other: string])[] = [
    ["192.0.2.1", "192.0.2.200", "198.51.100.1"],
    ["2001:db8:0:100::1", "2001:db8:0:1ff::2", "2001:db8:0:200::1"],
  ];
  for (const [first, same, other] of networks)
    assert.deepEqual([first, same, other].map(admit), ["answer", "drop", "answer"]);
  nowMs = 1000;
  for (const [, same] of networks) assert.equal(admit(same), "answer");
});

test(
  securityRow({
    who: "DNS client",
    attack: "forges the address of somebody who is to get many answers",
    outcome: "with dns.rateLimit they are truncated or dropped, but not for who has a cookie, nor by TCP",
  }),
  async (t) => {
    stopClock(t);
    const { at, events } = await startServer(t, { rateLimit: { perSecond: 2, slip: 1 } });
    const cookie = Buffer.from("000a00080102030405060708", "hex");
    const first = decode(await ask(at, orders({ records: [opt({ data: cookie })] })));
    const mine = first.additional[0]?.data ?? Buffer.alloc(0);
    await ask(at, orders());
    const limited = decode(await ask(at, orders({ records: [opt()] })));
    assert.deepEqual([limited.tc, limited.answers.length, limited.additional.length], [true, 0, 1]);
    const proven = decode(await ask(at, orders({ records: [opt({ data: mine })] })));
    assert.deepEqual([proven.tc, proven.answers.length], [false, 1]);
    const tcp = await openTcp(at);
    tcp.send(orders(), orders());
    assert.deepEqual(
      (await tcp.take(2)).map((reply) => decode(reply).answers.length),
      [1, 1],
    );
    tcp.socket.destroy();
    assert.deepEqual(
      events.map(({ source }) => source),
      ["table", "table", "limited", "table", "table", "table"],
    );
  },
);

test("dnsServer() drops answers over the limit", async (t) => {
  stopClock(t);
  const { at, events } = await startServer(t, { rateLimit: { perSecond: 5, slip: 0 } });
  const packets = Array.from({ length: 20 }, (_, id) => orders({ id }));
  assert.equal((await askUdp(at, packets, { count: 5 })).length, 5);
  const dropped = () => events.filter(({ source }) => source === "dropped").length;
  await until(() => dropped() === 15);
});
