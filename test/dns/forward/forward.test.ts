import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { DnsLimits } from "../../../src/dns/serve/options.ts";
import { faultRow } from "../../faults/row.ts";
import { until } from "../../until.ts";
import { ask, askUdp, type Behaviour, openTcp, startServer, startUpstream, upstreamAnswer } from "../sockets.ts";
import { addresses, decode, opt, query, record, table } from "../wire.ts";

const address = (last: number) => record("example.org", 1, 1, 60, Buffer.from([192, 0, 2, last]));
const good = (packet: Buffer, last = 1) => upstreamAnswer(packet, { answers: [address(last)] });
const failing = (rcode: number) => (packet: Buffer) => [upstreamAnswer(packet, { flags: 0x8180 | rcode })];
const silence: Behaviour = () => [];

/** A server that forwards everything to upstreams with these behaviours; nobody is given up for being slow. */
async function startForwarding(t: TestContext, behaviours: readonly Behaviour[], limits: Partial<DnsLimits> = {}) {
  const upstreams = await Promise.all(behaviours.map((behaviour) => startUpstream(t, behaviour)));
  const forward = upstreams.map(({ address, port }) => ({ address, port }));
  return { upstreams, ...(await startServer(t, { forward, limits: { upstreamTimeoutMs: 30_000, ...limits } })) };
}

test("forward relays an answer with the client's ID and RA, without AA (RFC 1035 §4.1.1)", async (t) => {
  const { at, upstreams, events } = await startForwarding(t, [(packet) => [good(packet)]]);
  const reply = await ask(at, query("ExAmple.org", { id: 4242 }));
  const decoded = decode(reply);
  assert.deepEqual(
    [decoded.id, decoded.aa, decoded.ra, decoded.questions[0]?.name],
    [4242, false, true, "ExAmple.org"],
  );
  assert.deepEqual(addresses(reply), ["192.0.2.1"]);
  const sent = decode(upstreams[0]?.seen[0]?.packet as Buffer);
  assert.equal(sent.questions[0]?.name.toLowerCase(), "example.org");
  assert.deepEqual(events, [{ transport: "udp", rcode: "NOERROR", type: "A", source: "forward", view: "mesh" }]);
});

test("forward keeps EDNS options between neighbours (RFC 6891 §6.1.1)", async (t) => {
  const theirs = opt({ size: 1400, dnssecOk: true, data: Buffer.from("000f00020016", "hex") });
  const { at, upstreams } = await startForwarding(t, [
    (packet) => {
      const message = Buffer.concat([upstreamAnswer(packet, { answers: [address(1)] }), theirs]);
      message.writeUInt16BE(1, 10);
      return [message];
    },
  ]);
  const cookie = Buffer.from("000a00080102030405060708", "hex");
  const reply = decode(await ask(at, query("example.org", { records: [opt({ dnssecOk: true, data: cookie })] })));
  const sent = decode(upstreams[0]?.seen[0]?.packet as Buffer);
  const options = (message: ReturnType<typeof decode>) =>
    message.additional.map(({ type, ttl, data }) => [type, ttl, data.toString("hex").slice(0, 8)]);
  assert.deepEqual(options(sent), [[41, 0x8000, ""]]);
  assert.deepEqual(options(reply), [[41, 0x8000, "000a0018"]]);
  assert.equal(reply.answers.length, 1);
});

test("forward uses a new ID and a new port for every question (RFC 5452 §9.2)", async (t) => {
  const { at, upstreams } = await startForwarding(t, [(packet) => [good(packet)]]);
  for (let n = 0; n < 12; n++) await ask(at, query(`n${n}.example.org`, { id: 1 }));
  const seen = upstreams[0]?.seen ?? [];
  assert.ok(new Set(seen.map(({ port }) => port)).size >= 10, "ports");
  assert.ok(new Set(seen.map(({ packet }) => packet.readUInt16BE(0))).size >= 10, "IDs");
});

test("forward asks an overlay's own servers", async (t) => {
  const overlay = await startUpstream(t, (packet) => [good(packet, 8)]);
  const rest = await startUpstream(t, (packet) => [good(packet, 9)]);
  const { at } = await startServer(t, {
    forward: [rest],
    zones: [
      { name: "mesh.internal", forward: [] },
      { name: "consul", forward: [overlay] },
    ],
  });
  assert.deepEqual(addresses(await ask(at, query("db.service.consul"))), ["192.0.2.8"]);
  assert.deepEqual(addresses(await ask(at, query("db.service.consul.example.org"))), ["192.0.2.9"]);
});

const forged: readonly (readonly [title: string, forge: (packet: Buffer) => Buffer])[] = [
  [
    "another ID",
    (packet) => {
      const message = good(packet, 66);
      message.writeUInt16BE(packet.readUInt16BE(0) ^ 1, 0);
      return message;
    },
  ],
  ["another question", (packet) => good(Buffer.concat([packet.subarray(0, 2), query("evil.example").subarray(2)]), 66)],
  [
    "another type",
    (packet) => good(Buffer.concat([packet.subarray(0, 2), query("Example.org", { type: 28 }).subarray(2)]), 66),
  ],
  ["QR = 0", (packet) => packet],
  ["no header", () => Buffer.from([1, 2, 3])],
];

for (const [title, forge] of forged) {
  test(
    faultRow(
      {
        target: "DNS upstream",
        fault: "someone forges its answers",
        expect: "they are ignored, the genuine one is used (RFC 5452 §9.1)",
      },
      title,
    ),
    async (t) => {
      const { at } = await startForwarding(t, [(packet) => [forge(packet), good(packet)]]);
      assert.deepEqual(addresses(await ask(at, query("Example.org"))), ["192.0.2.1"]);
    },
  );
}

const long = "a-name-of-so-many-letters-that-chance-does-not-keep-its-case.example.org";
const lower = (packet: Buffer) =>
  Buffer.concat([packet.subarray(0, 12), Buffer.from(packet.toString("latin1", 12).toLowerCase(), "latin1")]);

test("forward asks in random case, and asks by TCP where the answer has another (0x20)", async (t) => {
  const { at, upstreams } = await startForwarding(t, [
    (packet, transport) => [good(transport === "udp" ? lower(packet) : packet, transport === "udp" ? 66 : 1)],
  ]);
  assert.deepEqual(addresses(await ask(at, query(long))), ["192.0.2.1"]);
  const names = upstreams[0]?.seen.map(({ packet }) => decode(packet).questions[0]?.name) ?? [];
  assert.equal(names.length, 2);
  for (const name of names) assert.ok(name !== long && name?.toLowerCase() === long, name);
});

test("forward asks in lower case from then on where an answer by TCP has another case, too", async (t) => {
  const { at, upstreams } = await startForwarding(t, [(packet) => [good(lower(packet))]]);
  assert.deepEqual(addresses(await ask(at, query(long))), ["192.0.2.1"]);
  assert.deepEqual(addresses(await ask(at, query(`b.${long}`))), ["192.0.2.1"]);
  assert.deepEqual(
    upstreams[0]?.seen.map(({ transport }) => transport),
    ["udp", "tcp", "udp"],
  );
});

const failovers: readonly (readonly [title: string, first: Behaviour])[] = [
  ["is silent", silence],
  [
    "only sends forgeries",
    (packet) => [Buffer.concat([Buffer.from([packet.readUInt8(0) ^ 1]), good(packet, 66).subarray(1)])],
  ],
  ["answers SERVFAIL", failing(2)],
  ["answers REFUSED", failing(5)],
];

for (const [title, first] of failovers) {
  test(
    faultRow(
      {
        target: "DNS upstream",
        fault: "it is silent, refuses, or answers incorrectly",
        expect: "the next one is asked",
      },
      title,
    ),
    async (t) => {
      const { at } = await startForwarding(t, [first, (packet) => [good(packet, 2)]]);
      assert.deepEqual(addresses(await ask(at, query("example.org"))), ["192.0.2.2"]);
    },
  );
}

test(
  faultRow({ target: "DNS upstream", fault: "its port is closed", expect: "the next one is asked at once" }),
  async (t) => {
    const second = await startUpstream(t, (packet) => [good(packet, 2)]);
    const { at, server } = await startServer(t);
    await server.stop(); // its port is closed now
    const forwarding = await startServer(t, { forward: [at, second] });
    assert.deepEqual(addresses(await ask(forwarding.at, query("example.org"))), ["192.0.2.2"]);
  },
);

test(
  faultRow({ target: "DNS upstream", fault: "all are silent", expect: "SERVFAIL in time, never NXDOMAIN" }),
  async (t) => {
    const { at, events } = await startForwarding(t, [silence, silence], { upstreamTimeoutMs: 300 });
    const started = performance.now();
    assert.equal(decode(await ask(at, query("example.org"))).rcode, 2);
    const took = performance.now() - started;
    assert.ok(took > 550, `${took} ms`);
    assert.deepEqual(events, [{ transport: "udp", rcode: "SERVFAIL", type: "A", source: "forward", view: "mesh" }]);
  },
);

test("forward passes on the last upstream's REFUSED when none answers better", async (t) => {
  const { at } = await startForwarding(t, [failing(2), failing(5)]);
  assert.equal(decode(await ask(at, query("example.org"))).rcode, 5);
});

test("forward passes NXDOMAIN on without asking another", async (t) => {
  const { at, upstreams } = await startForwarding(t, [failing(3), (packet) => [good(packet)]]);
  assert.equal(decode(await ask(at, query("example.org"))).rcode, 3);
  assert.equal(upstreams[1]?.seen.length, 0);
});

/** Truncated by UDP, 40 records by TCP. */
const truncating: Behaviour = (packet, transport) =>
  transport === "udp"
    ? [upstreamAnswer(packet, { flags: 0x8380 })]
    : [upstreamAnswer(packet, { answers: Array.from({ length: 40 }, (_, n) => address(n)) })];

test("forward asks by TCP for what UDP truncates, whatever its client uses (RFC 7766 §5)", async (t) => {
  const { at, upstreams } = await startForwarding(t, [truncating]);
  assert.equal(decode(await ask(at, query("example.org"))).tc, true);
  const client = await openTcp(at);
  client.send(query("example.org", { id: 7 }));
  const [reply] = await client.take(1);
  const decoded = decode(reply as Buffer);
  assert.deepEqual([decoded.id, decoded.tc, decoded.answers.length], [7, false, 40]);
  assert.deepEqual(
    upstreams[0]?.seen.map(({ transport }) => transport),
    ["udp", "tcp"],
  );
  client.socket.destroy();
});

test(
  faultRow({
    target: "DNS upstream",
    fault: "it truncates by UDP and is silent by TCP",
    expect: "the next one is asked",
  }),
  async (t) => {
    const { at } = await startForwarding(t, [
      (packet, transport) => (transport === "udp" ? [upstreamAnswer(packet, { flags: 0x8380 })] : []),
      (packet) => [good(packet, 2)],
    ]);
    const client = await openTcp(at);
    client.send(query("example.org"));
    const [reply] = await client.take(1);
    assert.deepEqual(addresses(reply as Buffer), ["192.0.2.2"]);
    client.socket.destroy();
  },
);

for (const [size, most] of [
  [undefined, 512],
  [512, 512],
  [900, 900],
  [4096, 1232],
] as const)
  test(`forward gives a UDP client that takes ${size ?? "nothing said of"} octets at most ${most}, with as many records as fit (RFC 2181 §9)`, async (t) => {
    const { at } = await startForwarding(t, [
      (packet) => [upstreamAnswer(packet, { answers: Array.from({ length: 60 }, (_, n) => address(n)) })],
    ]);
    const records = size === undefined ? [] : [opt({ size })];
    const packet = query("example.org", { records });
    const room = Math.floor((most - packet.length) / address(0).length);
    for (const path of ["an upstream", "the cache"]) {
      const reply = await ask(at, packet);
      const { tc, answers, additional } = decode(reply);
      assert.ok(reply.length <= most, path);
      assert.deepEqual([tc, answers.length, additional.length], [room < 60, Math.min(room, 60), records.length], path);
    }
  });

test(
  faultRow({
    target: "DNS upstream",
    fault: "it is slow and questions pile up",
    expect: "SERVFAIL at once beyond the limit, for who has most of them",
  }),
  async (t) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const slow: Behaviour = async (packet) => {
      await promise;
      return [good(packet)];
    };
    const { at, upstreams } = await startForwarding(t, [slow], { maxForwarded: 1 });
    const first = ask(at, query("one.example.org"));
    await until(() => (upstreams[0]?.seen.length ?? 0) > 0);
    const second = ask(at, query("two.example.org"));
    assert.equal(decode(await Promise.race([first, second])).rcode, 2);
    resolve();
    const codes = (await Promise.all([first, second])).map((answer) => decode(answer).rcode);
    assert.deepEqual(codes.toSorted(), [0, 2]);
  },
);

test("forward asks one question once, however many want to know", async (t) => {
  const { at, upstreams } = await startForwarding(t, [
    async (packet) => {
      await new Promise((resolve) => setTimeout(resolve, 100)); // the others ask meanwhile; later ones have the cache
      return [good(packet)];
    },
  ]);
  const packets = Array.from({ length: 50 }, (_, id) => query(id % 2 ? "example.org" : "EXAMPLE.org", { id }));
  const startedMs = performance.now();
  const replies = await askUdp(at, packets);
  assert.deepEqual(new Set(replies.map((reply) => reply.readUInt16BE(0))).size, 50);
  assert.deepEqual(new Set(replies.flatMap(addresses)), new Set(["192.0.2.1"]));
  // One that is not answered for 400 ms is asked again.
  const most = 1 + Math.floor((performance.now() - startedMs) / 400);
  assert.ok((upstreams[0]?.seen.length ?? 0) <= most, `${upstreams[0]?.seen.length} questions`);
});

test("forward does not wait for a silent upstream alone", async (t) => {
  const { at } = await startForwarding(t, [silence, (packet) => [good(packet, 2)]], { upstreamTimeoutMs: 3_600_000 });
  assert.deepEqual(addresses(await ask(at, query("example.org"))), ["192.0.2.2"]);
});

/** Whether an upstream was asked for a name itself, not for one below it as a probe. */
function wasAsked(seen: readonly { readonly packet: Buffer }[] = [], name: string): boolean {
  return seen.some(({ packet }) => decode(packet).questions[0]?.name.toLowerCase() === name);
}

test("forward asks an upstream that is down last, and first again when it is back", async (t) => {
  let isUp = false;
  const { at, upstreams } = await startForwarding(t, [
    (packet) => (isUp ? [good(packet, 1)] : []),
    (packet) => [good(packet, 2)],
  ]);
  const next = async (n: number) => addresses(await ask(at, query(`n${n}.example.org`)))[0];
  for (let n = 0; n < 3; n++) assert.equal(await next(n), "192.0.2.2");
  assert.equal(await next(3), "192.0.2.2");
  assert.ok(!wasAsked(upstreams[0]?.seen, "n3.example.org"), "it was asked although it is down");
  isUp = true;
  for (let n = 4; (await next(n)) !== "192.0.2.1"; n++) await new Promise((resolve) => setTimeout(resolve, 100));
});

test(faultRow({ target: "DNS upstream", fault: "one of two is killed", expect: "no answer changes" }), async (t) => {
  const first = await startUpstream(t, (packet) => [good(packet)]);
  const second = await startUpstream(t, (packet) => [good(packet)]);
  const { at } = await startServer(t, { forward: [first, second] });
  for (let n = 0; n < 40; n++) {
    if (n === 10) first.close();
    assert.deepEqual(addresses(await ask(at, query(`n${n}.example.org`))), ["192.0.2.1"], String(n));
  }
});

test(
  faultRow({ target: "DNS upstream", fault: "it leads back to us", expect: "it is detected and no longer asked" }),
  async (t) => {
    const warnings: string[] = [];
    const log = { warn: (_: unknown, message: string) => void warnings.push(message) };
    let back = { address: "127.0.0.1", port: 1 };
    const between = await startUpstream(t, async (packet) => [await ask(back, packet).catch(() => packet)]);
    const { at } = await startServer(t, { forward: [between], log, limits: { upstreamTimeoutMs: 200 } });
    back = at;
    for (let n = 0; n < 3; n++) assert.equal(decode(await ask(at, query(`n${n}.example.org`))).rcode, 2);
    await until(() => warnings.some((one) => one.includes("leads back")));
    assert.equal(decode(await ask(at, query("late.example.org"))).rcode, 2);
    assert.ok(!wasAsked(between.seen, "late.example.org"));
  },
);

const movedIn = table({
  "orders.corp.example.com": { cname: "orders.shop.svc.cluster.local" },
  "twice.corp.example.com": { cname: "orders.corp.example.com" },
});
const target = (packet: Buffer, rcode = 0) =>
  upstreamAnswer(packet, {
    flags: 0x8180 | rcode,
    answers: rcode === 0 ? [record("x", 5, 1, 9, Buffer.from([0])), address(7), address(8)] : [],
  });

for (const transport of ["udp", "tcp"] as const)
  test(`a CNAME to a name of others comes with its addresses, by ${transport}`, async (t) => {
    const upstream = await startUpstream(t, (packet) => [target(packet)]);
    const { at } = await startServer(t, { forward: [upstream], table: () => movedIn });
    const tcp = await openTcp(at);
    const ask1 = async (packet: Buffer) => {
      if (transport === "udp") return ask(at, packet);
      tcp.send(packet);
      return (await tcp.take(1))[0] as Buffer;
    };
    for (const name of ["twice.corp.example.com", "Orders.corp.example.com", "twice.corp.example.com"]) {
      const reply = decode(await ask1(query(name)));
      const records = reply.answers.map(
        ({ name, type, target, data }) => `${name} ${target ?? (type === 1 && data.join("."))}`,
      );
      assert.deepEqual([reply.rcode, reply.aa, reply.ra], [0, true, true]);
      assert.deepEqual(
        records.slice(-3).map((line) => line.toLowerCase()),
        [
          "orders.corp.example.com orders.shop.svc.cluster.local",
          "orders.shop.svc.cluster.local 192.0.2.7",
          "orders.shop.svc.cluster.local 192.0.2.8",
        ],
      );
    }
    tcp.socket.destroy();
    assert.deepEqual(
      upstream.seen.map(({ packet }) => decode(packet).questions[0]?.name.toLowerCase()),
      ["orders.shop.svc.cluster.local"],
    );
  });

test("a CNAME to a name that others deny has their code (RFC 6604 §3)", async (t) => {
  const upstream = await startUpstream(t, (packet) => [target(packet, 3)]);
  const { at } = await startServer(t, { forward: [upstream], table: () => movedIn });
  const reply = decode(await ask(at, query("orders.corp.example.com")));
  assert.deepEqual([reply.rcode, reply.answers.length], [3, 1]);
});

test("a CNAME to a name that nobody can tell is SERVFAIL", async (t) => {
  const { at } = await startServer(t, { forward: [{ address: "127.0.0.1", port: 1 }], table: () => movedIn });
  assert.equal(decode(await ask(at, query("orders.corp.example.com"))).rcode, 2);
});
