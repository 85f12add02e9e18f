import assert from "node:assert/strict";
import { test } from "node:test";
import { type Found, type ResolverOptions, resolver } from "../../../src/dns/forward/resolver.ts";
import { type Asked, askedOf } from "../../../src/dns/forward/upstream-query.ts";
import { faultRow } from "../../faults/row.ts";
import { upstreamAnswer } from "../sockets.ts";
import { query, record, wireName } from "../wire.ts";

const upstreams = [{ address: "192.0.2.53", port: 53 }];

function asking(name: string, { type = 1, dnssecOk = false, flags = 0x0100, class: qclass = 1 } = {}): Asked {
  const packet = query(name, { type, flags, class: qclass });
  return askedOf(packet, packet.length, dnssecOk);
}

const a = (ttl: number) => record("example.org", 1, 1, ttl, Buffer.from([192, 0, 2, 1]));
const soa = (ttl: number, minimum: number) => {
  const times = Buffer.alloc(20);
  times.writeUInt32BE(minimum, 16);
  return record("example.org", 6, 1, ttl, Buffer.concat([wireName("ns"), wireName("admin"), times]));
};

/** An answer's records by section. */
interface Says {
  readonly rcode?: number;
  readonly answers?: readonly Buffer[];
  readonly authority?: readonly Buffer[];
}

/** A resolver whose upstream says what the test sets, at a time that the test sets. */
function start(options: Partial<ResolverOptions> = {}) {
  const state = { nowMs: 5_000, asked: 0, says: { answers: [a(60)] } as Says | undefined, wait: Promise.resolve() };
  const forwarder = {
    async ask({ question }: Asked) {
      state.asked++;
      const { says } = state;
      await state.wait;
      if (says === undefined) return undefined;
      const { rcode = 0, answers = [], authority = [] } = says;
      const message = upstreamAnswer(Buffer.concat([Buffer.alloc(12), question]), {
        flags: 0x8180 | rcode,
        answers: [...answers, ...authority],
      });
      message.writeUInt16BE(answers.length, 6);
      message.writeUInt16BE(authority.length, 8);
      return message;
    },
  };
  const made = resolver({ forwarder, nowMs: () => state.nowMs, ...options });
  const lookUp = async (asked: Asked) => made.find(asked.key) ?? (await made.ask(asked, upstreams, "192.0.2.1"));
  const later = (seconds: number) => {
    state.nowMs += seconds * 1000;
  };
  return { state, made, lookUp, later };
}

const show = ({ answer, ageSeconds, staleTtlSeconds }: Found) =>
  `${answer?.rcode ?? "none"} age ${ageSeconds}${staleTtlSeconds === undefined ? "" : ` stale ${staleTtlSeconds}`}`;

const kept: readonly { name: string; says: Says; forSeconds: number }[] = [
  { name: "an answer for its TTL", says: { answers: [a(60)] }, forSeconds: 60 },
  { name: "an answer for the least TTL of its records", says: { answers: [a(60), a(20)] }, forSeconds: 20 },
  { name: "an answer for a day at most", says: { answers: [a(1_000_000)] }, forSeconds: 86_400 },
  { name: "an answer with TTL 0 not at all", says: { answers: [a(0)] }, forSeconds: 0 },
  {
    name: "a TTL with its highest bit set as 0 (RFC 2181 §8)",
    says: { answers: [a(0x8000_0001)] },
    forSeconds: 0,
  },
  {
    name: "NXDOMAIN for the SOA's MINIMUM (RFC 2308 §5)",
    says: { rcode: 3, authority: [soa(900, 30)] },
    forSeconds: 30,
  },
  {
    name: "NODATA for the SOA's TTL where that is less (RFC 2308 §5)",
    says: { authority: [soa(15, 900)] },
    forSeconds: 15,
  },
  { name: "denials for three hours at most", says: { rcode: 3, authority: [soa(90_000, 90_000)] }, forSeconds: 10_800 },
  { name: "a denial without SOA not at all (RFC 2308 §5)", says: { rcode: 3 }, forSeconds: 0 },
  { name: "NODATA without SOA not at all", says: {}, forSeconds: 0 },
  { name: "SERVFAIL for a second (RFC 9520 §3.2)", says: { rcode: 2 }, forSeconds: 1 },
];

for (const { name, says, forSeconds } of kept) {
  test(`resolver() keeps ${name}`, async () => {
    const { state, lookUp, later } = start();
    state.says = says;
    await lookUp(asking("example.org"));
    later(Math.max(0, forSeconds - 0.001));
    await lookUp(asking("example.org"));
    assert.equal(state.asked, forSeconds === 0 ? 2 : 1);
    later(0.002);
    await lookUp(asking("example.org"));
    assert.equal(state.asked, forSeconds === 0 ? 3 : 2);
  });
}

test("resolver() keeps that nobody answered for a second (RFC 9520 §3.2)", async () => {
  const { state, lookUp, later } = start();
  state.says = undefined;
  assert.equal(show(await lookUp(asking("example.org"))), "none age 0");
  assert.equal(show(await lookUp(asking("example.org"))), "none age 0");
  assert.equal(state.asked, 1);
  later(1);
  await lookUp(asking("example.org"));
  assert.equal(state.asked, 2);
});

test("resolver() tells questions apart by name, type, class, RD, CD and DO, not by case", async () => {
  const { state, lookUp } = start();
  const all = [
    asking("example.org"),
    asking("example.com"),
    asking("example.org", { type: 28 }),
    asking("example.org", { class: 3 }),
    asking("example.org", { dnssecOk: true }),
    asking("example.org", { flags: 0x0110 }),
    asking("example.org", { flags: 0 }),
  ];
  for (const asked of [...all, asking("EXAMPLE.Org"), ...all]) await lookUp(asked);
  assert.equal(state.asked, all.length);
  const odd = [Buffer.from("É"), Buffer.from("org")];
  const packets = [query(odd), query([Buffer.from("é"), Buffer.from("org")])];
  assert.equal(new Set(packets.map((packet) => askedOf(packet, packet.length, false).key)).size, 2);
});

test("resolver() asks once for all who want to know", async () => {
  const { state, made } = start();
  const found = await Promise.all(
    Array.from({ length: 20 }, () => made.ask(asking("example.org"), upstreams, "192.0.2.1")),
  );
  assert.deepEqual(new Set(found.map(show)), new Set(["0 age 0"]));
  assert.equal(state.asked, 1);
});

test("resolver() lets no more wait than it may, and gives up the oldest of who has most", async () => {
  const { state, made } = start({ maxWaiting: 2 });
  const { promise, resolve } = Promise.withResolvers<void>();
  state.wait = promise;
  const asked = [1, 2, 3].map((n) => made.ask(asking(`n${n}.example.org`), upstreams, "192.0.2.1"));
  assert.equal(show((await asked[0]) as Found), "none age 0");
  resolve();
  assert.deepEqual((await Promise.all(asked)).map(show), ["none age 0", "0 age 0", "0 age 0"]);
});

test(
  faultRow({
    target: "DNS upstream",
    fault: "nobody answers for a name known before",
    expect: "the old answer is given with 30 s (RFC 8767)",
  }),
  async () => {
    for (const says of [undefined, { rcode: 2 }, { rcode: 5 }]) {
      const { state, lookUp, later } = start();
      await lookUp(asking("example.org"));
      later(61);
      state.says = says;
      assert.equal(show(await lookUp(asking("example.org"))), "0 age 61 stale 30");
      later(29);
      assert.equal(show(await lookUp(asking("example.org"))), "0 age 90 stale 30");
      assert.equal(state.asked, 2);
      later(2);
      state.says = { answers: [a(60)] };
      assert.equal(show(await lookUp(asking("example.org"))), "0 age 0");
      assert.equal(state.asked, 3);
    }
  },
);

test("resolver() gives denials that way, too, but nothing older than a day", async () => {
  const { state, lookUp, later } = start();
  state.says = { rcode: 3, authority: [soa(30, 30)] };
  await lookUp(asking("example.org"));
  state.says = undefined;
  later(86_400);
  assert.equal(show(await lookUp(asking("example.org"))), "3 age 86400 stale 30");
  later(60);
  assert.equal(show(await lookUp(asking("example.org"))), "none age 0");
});

for (const rcode of [2, 4, 5])
  test(`resolver() does not give an old answer of code ${rcode} for one that cannot be had`, async () => {
    const { state, lookUp, later } = start();
    state.says = { rcode };
    assert.equal(show(await lookUp(asking("example.org"))), `${rcode} age 0`);
    later(1);
    state.says = undefined;
    assert.equal(show(await lookUp(asking("example.org"))), "none age 0");
    later(1);
    state.says = { answers: [a(60)] };
    assert.equal(show(await lookUp(asking("example.org"))), "0 age 0");
    assert.equal(state.asked, 3);
  });

for (const says of [{ answers: [a(0)] }, { rcode: 3 }])
  test(`resolver() gives nobody later what may not be kept: ${JSON.stringify(says).slice(0, 10)}…`, async () => {
    const { state, made, lookUp, later } = start();
    state.says = says;
    await lookUp(asking("example.org"));
    assert.equal(made.size().entries, 0);
    later(2);
    state.says = undefined;
    assert.equal(show(await lookUp(asking("example.org"))), "none age 0");
  });

test("resolver() gives what it knew for exactly a day after its time", async () => {
  for (const [seconds, want] of [
    [60 + 86_399, "0 age 86459 stale 30"],
    [60 + 86_400, "none age 0"],
  ] as const) {
    const { state, lookUp, later } = start();
    await lookUp(asking("example.org"));
    later(seconds);
    state.says = undefined;
    assert.equal(show(await lookUp(asking("example.org"))), want);
  }
});

test("resolver() asks again for what is stale 30 s after it was asked for in vain, not earlier", async () => {
  const { state, lookUp, later } = start();
  await lookUp(asking("example.org"));
  later(60);
  state.says = undefined;
  await lookUp(asking("example.org"));
  later(29.999);
  assert.equal(show(await lookUp(asking("example.org"))), "0 age 89 stale 30");
  assert.equal(state.asked, 2);
  later(0.001);
  assert.equal(show(await lookUp(asking("example.org"))), "0 age 90 stale 30");
  assert.equal(state.asked, 3);
});

for (const { ttl, atSeconds, want } of [
  { ttl: 60, atSeconds: 54, want: 1 },
  { ttl: 60, atSeconds: 54.001, want: 2 },
  { ttl: 10, atSeconds: 9.001, want: 2 },
  { ttl: 9, atSeconds: 8.999, want: 1 },
])
  test(`resolver() has asked ${want} times for an answer of ${ttl} s in use after ${atSeconds} s`, async () => {
    const { state, lookUp, later } = start();
    state.says = { answers: [a(ttl)] };
    for (const seconds of [0, 1, atSeconds - 1]) {
      later(seconds);
      await lookUp(asking("example.org"));
    }
    await new Promise(setImmediate);
    assert.equal(state.asked, want);
  });

test("resolver() gives the places of those who waited to others", async () => {
  const { state, made } = start({ maxWaiting: 1 });
  for (const n of [1, 2, 3])
    assert.equal(show(await made.ask(asking(`n${n}.example.org`), upstreams, "192.0.2.1")), "0 age 0");
  assert.equal(state.asked, 3);
});

test("resolver() believes that a name has gone, although it knew it", async () => {
  const { state, lookUp, later } = start();
  await lookUp(asking("example.org"));
  later(61);
  state.says = { rcode: 3, authority: [soa(30, 30)] };
  assert.equal(show(await lookUp(asking("example.org"))), "3 age 0");
});

test("resolver() gives what it knew to clients that have waited for 1.8 s (RFC 8767 §5)", {
  timeout: 10_000,
}, async () => {
  const { state, lookUp, later } = start();
  await lookUp(asking("example.org"));
  later(61);
  const { promise, resolve } = Promise.withResolvers<void>();
  state.wait = promise;
  assert.equal(show(await lookUp(asking("example.org"))), "0 age 61 stale 30");
  resolve();
  await new Promise(setImmediate);
  assert.equal(show(await lookUp(asking("example.org"))), "0 age 0");
  assert.equal(state.asked, 2);
});

test("resolver() asks again before the time of an answer in use is over", async () => {
  const { state, lookUp, later } = start();
  await lookUp(asking("example.org"));
  later(10);
  await lookUp(asking("example.org"));
  later(45);
  assert.equal(show(await lookUp(asking("example.org"))), "0 age 55");
  await new Promise(setImmediate);
  assert.equal(state.asked, 2);
  later(10);
  assert.equal(show(await lookUp(asking("example.org"))), "0 age 10");
});

test("resolver() does not ask again for what was asked for once", async () => {
  const { state, lookUp, later } = start();
  await lookUp(asking("example.org"));
  later(55);
  await lookUp(asking("example.org"));
  assert.equal(state.asked, 1);
});

test("resolver() keeps what it may keep, and what is used stays longest", async () => {
  const { state, made, lookUp } = start({ maxBytes: 100_000 });
  await lookUp(asking("used.example.org"));
  for (let n = 0; n < 2000; n++) {
    await lookUp(asking(`n${n}.example.org`));
    await lookUp(asking("used.example.org"));
    assert.ok(made.size().bytes <= 100_000);
  }
  assert.equal(state.asked, 2001);
  assert.ok(made.size().entries > 100);
});

test("resolver() keeps nothing where it may not", async () => {
  const { state, made, lookUp } = start({ maxBytes: 0 });
  for (let n = 0; n < 3; n++) await lookUp(asking("example.org"));
  assert.equal(state.asked, 3);
  assert.deepEqual(made.size(), { entries: 0, bytes: 0 });
});

test("resolver() remembers nothing of a question that was given up for others", async () => {
  const asked: Asked[] = [];
  const forwarder = {
    ask: (one: Asked, _: unknown, signal?: AbortSignal) => {
      asked.push(one);
      return new Promise<undefined>((resolve) => signal?.addEventListener("abort", () => resolve(undefined)));
    },
  };
  const made = resolver({ forwarder, maxQuestions: 1 });
  const first = made.ask(asking("n1.example.org"), upstreams, "192.0.2.1");
  void made.ask(asking("n2.example.org"), upstreams, "192.0.2.2");
  assert.equal(show(await first), "none age 0");
  assert.equal(made.find(asking("n1.example.org").key), undefined);
  assert.equal(asked.length, 2);
});
