import assert from "node:assert/strict";
import { test } from "node:test";
import type { LoggedQuery } from "../../src/dns/events.ts";
import { rateLimiter } from "../../src/dns/rate-limit.ts";
import { sampler } from "../../src/dns/sample.ts";
import { ask, askUdp, openTcp, orders, startServer } from "./sockets.ts";
import { decode, opt, query } from "./wire.ts";

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

test("dnsServer() truncates answers over the limit, but not for who has a cookie, nor by TCP", async (t) => {
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
});

test("dnsServer() drops answers over the limit", async (t) => {
  const { at, events } = await startServer(t, { rateLimit: { perSecond: 5, slip: 0 } });
  const replies = await askUdp(
    at,
    Array.from({ length: 20 }, (_, id) => orders({ id })),
    { waitMs: 500 },
  );
  assert.equal(replies.length, 5);
  assert.equal(events.filter(({ source }) => source === "dropped").length, 15);
});

test("sampler() takes its share, and no more than 100 a second", () => {
  let nowMs = 0;
  let at = 0;
  const takes = sampler(
    0.5,
    () => (at++ % 10) / 10,
    () => nowMs,
  );
  const count = (calls: number) => Array.from({ length: calls }, takes).filter(Boolean).length;
  assert.equal(count(100), 50);
  assert.equal(count(1000), 50);
  nowMs = 1000;
  assert.equal(count(1000), 100);
  assert.equal(Array.from({ length: 100 }, sampler(0)).filter(Boolean).length, 0);
});

for (const workers of [0, 1])
  test(`the query log has what was asked and answered, ${workers} workers`, async (t) => {
    const logged: LoggedQuery[] = [];
    const hooks = { onQuery: (entry: LoggedQuery) => void logged.push(entry) };
    const { at, server } = await startServer(t, { queryLog: 1, hooks, workers });
    await ask(at, query("OrDers.mesh.internal"));
    await ask(at, query([Buffer.from("a\nb"), Buffer.from("mesh"), Buffer.from("internal")]));
    const tcp = await openTcp(at);
    tcp.send(orders({ type: 28 }));
    await tcp.take(1);
    tcp.socket.destroy();
    await server.stop();
    assert.deepEqual(
      logged.map(({ client, transport, name, type, rcode, source, view }) =>
        [client, transport, name, type, rcode, source, view].join(" "),
      ),
      [
        "127.0.0.1 udp orders.mesh.internal A NOERROR table mesh",
        "127.0.0.1 udp a\\010b.mesh.internal A NXDOMAIN table mesh",
        "127.0.0.1 tcp orders.mesh.internal AAAA NOERROR table mesh",
      ],
    );
  });
