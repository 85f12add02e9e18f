import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { TYPE } from "../../../src/dns/wire/codes.ts";
import { ask, startServer, startUpstream, upstreamAnswer } from "../sockets.ts";
import { decode, opt, query, record, table, wireName } from "../wire.ts";

const ORDERS = "orders.corp.example.com";
const mx = (name: string, host: string, ttl = 300) =>
  record(name, TYPE.MX, 1, ttl, Buffer.concat([Buffer.from([0, 10]), wireName(host)]));
const cname = (name: string, target: string, ttl = 60) => record(name, TYPE.CNAME, 1, ttl, wireName(target));
const soaData = Buffer.concat([wireName("ns.example.com"), wireName("admin.example.com"), Buffer.alloc(20, 1)]);
const soa = record("corp.example.com", TYPE.SOA, 1, 900, soaData);

/** A server with one legacy name in an overlay, or outside of all zones, before an upstream that says the same to everything. */
async function start(
  t: TestContext,
  { flags = 0x8180, answers = [] as readonly Buffer[], authority = 0, isOverlay = true, workers = 0 } = {},
) {
  const upstream = await startUpstream(t, (packet) => {
    const message = upstreamAnswer(packet, { flags, answers });
    message.writeUInt16BE(answers.length - authority, 6);
    message.writeUInt16BE(authority, 8);
    return [message];
  });
  const to = [{ address: upstream.address, port: upstream.port }];
  const zones = [
    { name: "mesh.internal", forward: [] },
    ...(isOverlay ? [{ name: "corp.example.com", forward: to }] : []),
  ];
  const now = table({
    [ORDERS]: { a: ["240.241.0.7"] },
    "corp.example.com": { a: ["240.241.0.8"] },
    "orders.mesh.internal": { a: ["240.241.0.7"] },
  });
  const { at } = await startServer(t, { zones, forward: isOverlay ? [] : to, workers, table: () => now });
  return { at, seen: upstream.seen };
}

for (const workers of [0, 2])
  for (const isOverlay of [true, false])
    test(`mail of a legacy name is asked where its zone is: ${isOverlay ? "an overlay" : "outside of all zones"}, ${workers} workers`, async (t) => {
      const { at, seen } = await start(t, { answers: [mx(ORDERS, "mail.example.com")], isOverlay, workers });
      for (const name of [ORDERS, "corp.example.com"]) {
        const reply = decode(await ask(at, query(name, { type: TYPE.MX })));
        assert.deepEqual([reply.rcode, reply.aa, reply.answers.map(({ type }) => type)], [0, false, [TYPE.MX]]);
        const address = decode(await ask(at, query(name)));
        assert.deepEqual([address.rcode, address.aa, address.answers.length], [0, true, 1]);
        for (const type of [TYPE.AAAA, TYPE.HTTPS, TYPE.SVCB, TYPE.CNAME]) {
          const denied = decode(await ask(at, query(name, { type })));
          assert.deepEqual([denied.rcode, denied.answers.length, denied.authority.length], [0, 0, 1]);
        }
      }
      assert.deepEqual(
        new Set(seen.map(({ packet }) => packet.readUInt16BE(packet.indexOf(0, 12) + 1))),
        new Set([TYPE.MX]),
      );
    });

test("mail of a name in a zone of ours is denied, and nobody is asked", async (t) => {
  const { at, seen } = await start(t, { answers: [mx(ORDERS, "mail.example.com")] });
  const reply = decode(await ask(at, query("orders.mesh.internal", { type: TYPE.MX })));
  assert.deepEqual(
    [reply.rcode, reply.answers.length, reply.authority[0]?.name, seen.length],
    [0, 0, "mesh.internal", 0],
  );
});

test("a name of ours that its zone does not know is not denied: caches would deny its addresses (RFC 2308 §2.1)", async (t) => {
  const { at, seen } = await start(t, { flags: 0x8183, answers: [soa], authority: 1 });
  for (let n = 0; n < 2; n++) {
    const reply = decode(await ask(at, query(ORDERS, { type: TYPE.MX })));
    assert.deepEqual([reply.rcode, reply.answers.length, reply.authority[0]?.name], [0, 0, "corp.example.com"]);
  }
  assert.equal(seen.length, 1);
  assert.equal(decode(await ask(at, query("nobody.corp.example.com", { type: TYPE.MX }))).rcode, 3);
});

test("records behind an alias of its zone become the name's own: caches would follow the alias for its addresses, too", async (t) => {
  // The last two names are pointers: to lb.example.com, in the CNAME, and to example.com, in it.
  const alias = cname(ORDERS, "lb.example.com");
  const question = query(ORDERS).length;
  const target = question + alias.length - wireName("lb.example.com").length;
  const pointer = (at: number) => Buffer.from([0xc0 | (at >> 8), at & 0xff]);
  const data = Buffer.concat([Buffer.from([0, 10, 4]), Buffer.from("mail"), pointer(target + 3)]);
  const tail = Buffer.from([0, TYPE.MX, 0, 1, 0, 0, 1, 44, 0, data.length]);
  const { at } = await start(t, { flags: 0x81a0, answers: [alias, Buffer.concat([pointer(target), tail, data])] });
  for (const size of [512, 4096]) {
    const message = await ask(
      at,
      query("Orders.Corp.example.com", { type: TYPE.MX, flags: 0x0120, records: [opt({ size })] }),
    );
    const { answers, rcode } = decode(message);
    assert.deepEqual([rcode, answers.length, answers[0]?.name, answers[0]?.ttl], [0, 1, "Orders.Corp.example.com", 60]);
    assert.deepEqual(answers[0]?.data.subarray(2), wireName("mail.example.com"));
    assert.equal(message.readUInt8(3) & 0x20, 0, "what was changed is not authentic (AD)");
  }
});

test("an alias of its zone that leads to nothing of that type is NODATA", async (t) => {
  const { at } = await start(t, { answers: [cname(ORDERS, "lb.example.com"), soa], authority: 1 });
  const reply = decode(await ask(at, query(ORDERS, { type: TYPE.MX })));
  assert.deepEqual([reply.rcode, reply.answers.length], [0, 0]);
  assert.deepEqual([reply.authority[0]?.name, reply.authority[0]?.data], ["corp.example.com", soaData]);
});

for (const [title, answers] of [
  [
    "points to itself",
    [
      record(ORDERS, TYPE.CNAME, 1, 60, Buffer.alloc(2)),
      record(ORDERS, TYPE.MX, 1, 60, Buffer.from("000ac0ff", "hex")),
    ],
  ],
  ["is cut", [cname(ORDERS, "lb.example.com"), record(ORDERS, TYPE.MX, 1, 60, Buffer.from([0]))]],
] as const)
  test(`an answer behind an alias whose data ${title} is passed on as SERVFAIL, or well-formed`, async (t) => {
    const { at } = await start(t, { answers });
    const reply = decode(await ask(at, query(ORDERS, { type: TYPE.MX })));
    assert.ok(reply.rcode === 2 || reply.answers.every(({ type }) => type === TYPE.MX));
    assert.equal(decode(await ask(at, query(ORDERS))).answers.length, 1);
  });

test("nobody answers for the zone: SERVFAIL for its types, and addresses as before", async (t) => {
  const { at } = await start(t, { flags: 0x8182 });
  assert.equal(decode(await ask(at, query(ORDERS, { type: TYPE.TXT }))).rcode, 2);
  assert.equal(decode(await ask(at, query(ORDERS))).answers.length, 1);
});
