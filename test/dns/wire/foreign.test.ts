import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type ForeignAnswer, readForeign } from "../../../src/dns/wire/foreign.ts";
import { decodeQuery, type Query } from "../../../src/dns/wire/query.ts";
import { encodeForeign } from "../../../src/dns/wire/reply.ts";
import { sized } from "../../size.ts";
import { upstreamAnswer } from "../sockets.ts";
import { decode, opt, query, record } from "../wire.ts";

const a = (ttl: number) => record("example.org", 1, 1, ttl, Buffer.from([192, 0, 2, 1]));
const read = (packet: Buffer): Query => decodeQuery(packet) as Query;
const asked = query("OrDers.example.org", { id: 5 });

function foreign(message: Buffer, questionEnd = asked.length): ForeignAnswer {
  const found = readForeign(message, questionEnd);
  assert.ok(found !== undefined);
  return found;
}

const options = { ageSeconds: 0, recursionAvailable: true, maxBytes: 512 };

test("encodeForeign() gives the query's ID, RD, CD and case, clears AA, and counts the TTL down (RFC 1035 §4.1.1)", () => {
  const lower = query("orders.example.org", { id: 999 });
  const answer = foreign(upstreamAnswer(lower, { flags: 0x8580, answers: [a(60), a(5)] }));
  const reply = decode(encodeForeign(read(asked), answer, { ...options, ageSeconds: 10 }));
  assert.deepEqual([reply.id, reply.aa, reply.rd, reply.ra], [5, false, true, true]);
  assert.equal(reply.questions[0]?.name, "OrDers.example.org");
  assert.deepEqual(
    reply.answers.map(({ ttl }) => ttl),
    [50, 0],
  );
  const checked = encodeForeign(read(query("orders.example.org", { flags: 0x0010 })), answer, options);
  assert.equal(checked.readUInt16BE(2), 0x8090);
});

test("encodeForeign() gives a stale answer its TTL (RFC 8767 §4)", () => {
  const answer = foreign(upstreamAnswer(asked, { answers: [a(60)] }));
  const reply = decode(encodeForeign(read(asked), answer, { ...options, ageSeconds: 100, staleTtlSeconds: 30 }));
  assert.equal(reply.answers[0]?.ttl, 30);
});

for (const [title, how, want] of [
  ["AD", { flags: 0x0120 }, true],
  ["DO", { records: [opt({ dnssecOk: true })] }, true],
  ["neither", {}, false],
] as const)
  test(`encodeForeign() passes AD on to who asks with ${title}: ${want} (RFC 6840 §5.8)`, () => {
    const answer = foreign(upstreamAnswer(asked, { flags: 0x81a0, answers: [a(60)] }));
    const reply = encodeForeign(read(query("OrDers.example.org", how)), answer, options);
    assert.equal((reply.readUInt8(3) & 0x20) !== 0, want);
  });

test("encodeForeign() gives as many whole records as UDP may carry, with TC and OPT (RFC 2181 §9, RFC 6891 §7)", () => {
  const long = foreign(upstreamAnswer(asked, { answers: Array.from({ length: 40 }, (_, n) => a(60 + n)) }));
  const message = encodeForeign(read(query("OrDers.example.org", { records: [opt()] })), long, options);
  const reply = decode(message);
  const room = Math.floor((512 - asked.length - 11) / a(60).length);
  assert.deepEqual(
    [reply.tc, reply.id, reply.aa, reply.ra, reply.answers.length, reply.additional.length],
    [true, 0x1234, false, true, room, 1],
  );
  assert.ok(message.length <= 512);
  assert.deepEqual(
    reply.answers.map(({ ttl }) => ttl),
    Array.from({ length: room }, (_, n) => 60 + n),
  );
});

test("encodeForeign() leaves additional records out that do not fit, without TC (RFC 2181 §9)", () => {
  const message = upstreamAnswer(asked, { answers: Array.from({ length: 40 }, () => a(60)) });
  message.writeUInt16BE(2, 6);
  message.writeUInt16BE(1, 8);
  message.writeUInt16BE(37, 10);
  const reply = decode(encodeForeign(read(asked), foreign(message), options));
  assert.deepEqual([reply.tc, reply.answers.length, reply.authority.length], [false, 2, 1]);
  assert.ok(reply.additional.length > 0 && reply.additional.length < 37);
});

test("readForeign() leaves the upstream's OPT out, and what comes after it", () => {
  const message = upstreamAnswer(asked, { answers: [a(60), opt({ extendedRcode: 1 }), a(3)] });
  message.writeUInt16BE(1, 6);
  message.writeUInt16BE(2, 10);
  const { rcode, ttlSeconds, message: kept } = foreign(message);
  const { answers, additional } = decode(kept);
  assert.deepEqual([rcode, ttlSeconds, answers.length, additional.length], [16, 1, 1, 0]);
});

test("readForeign() takes no message whose records do not fit", () => {
  const good = upstreamAnswer(asked, { answers: [a(60), a(60)] });
  for (let length = asked.length; length < good.length; length++)
    assert.equal(readForeign(good.subarray(0, length), asked.length), undefined);
  const many = Buffer.from(good);
  many.writeUInt16BE(0xffff, 6);
  assert.equal(readForeign(many, asked.length), undefined);
});

test("whatever an upstream sends after the question is passed on well-formed, or not at all", () => {
  const records = fc.array(
    fc.oneof(
      fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes)),
      fc
        .tuple(fc.nat(0xffffffff), fc.nat(70))
        .map(([ttl, type]) => record("x.example.org", type, 1, ttl, Buffer.alloc(4))),
    ),
    { maxLength: 5 },
  );
  const counts = fc.tuple(fc.nat(4), fc.nat(3), fc.nat(3));
  fc.assert(
    fc.property(records, counts, fc.nat(0xffff), (parts, [answers, authority, additional], flags) => {
      const message = upstreamAnswer(asked, { flags: flags | 0x8000, answers: parts });
      for (const [index, count] of [answers, authority, additional].entries())
        message.writeUInt16BE(count, 6 + index * 2);
      const found = readForeign(message, asked.length);
      if (found === undefined) return;
      const reply = encodeForeign(read(asked), found, { ...options, ageSeconds: 7 });
      assert.deepEqual([reply.readUInt16BE(0), reply.length <= 512], [5, true]);
      assert.equal(reply.readUInt16BE(6), answers);
    }),
    { numRuns: sized(20_000) },
  );
});
