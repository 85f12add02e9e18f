import assert from "node:assert/strict";
import { test } from "node:test";
import { Packet } from "dns2";
import fc from "fast-check";
import { allowList } from "../../../src/dns/serve/allow.ts";
import { decodeQuery } from "../../../src/dns/wire/query.ts";
import { sized } from "../../size.ts";
import { decode, opt, query, record, table } from "../wire.ts";
import { plainResponder } from "./responder.ts";

const names = table({
  "orders.mesh.internal": { a: ["240.241.0.7"], aaaa: ["fd00::7"] },
  "alias.mesh.internal": { cname: "orders.mesh.internal" },
  "a.b.c.mesh.internal": { a: ["240.241.0.8"] },
});
const exceptions: unknown[] = [];
const respond = plainResponder(exceptions, { table: () => names, isAllowed: allowList(["127.0.0.0/8"]) });

/** Every answer is a message that two other decoders can read, and echoes ID, opcode, RD and question. */
function check(packet: Buffer, transport: "udp" | "tcp") {
  const before = Buffer.from(packet);
  const reply = respond(packet, "127.0.0.1", transport);
  assert.deepEqual(packet, before, "the query was written to");
  assert.deepEqual(exceptions, []);
  if (reply === undefined) {
    assert.ok(packet.length < 12 || (packet.readUInt8(2) & 0x80) !== 0);
    return;
  }
  assert.ok(reply instanceof Buffer);
  const decoded = decode(reply);
  const second = Packet.parse(reply);
  assert.deepEqual(second.errors, []);
  assert.deepEqual(
    [second.answers.length, second.authorities.length],
    [decoded.answers.length, decoded.authority.length],
  );
  assert.ok(decoded.qr && decoded.z === 0);
  assert.equal(decoded.id, packet.readUInt16BE(0));
  assert.equal(reply.readUInt8(2) & 0x79, packet.readUInt8(2) & 0x79, "opcode and RD");
  const query = decodeQuery(packet);
  if (query?.question !== undefined)
    assert.deepEqual(reply.subarray(12, query.questionEnd), packet.subarray(12, query.questionEnd));
  else assert.equal(decoded.questions.length, 0);
  if (transport === "udp") assert.ok(reply.length <= 512);
}

const transports = fc.constantFrom("udp" as const, "tcp" as const);
const bytes = (constraints: fc.IntArrayConstraints) => fc.uint8Array(constraints).map((array) => Buffer.from(array));

test("any packet is answered with a readable answer or not at all", () => {
  fc.assert(fc.property(bytes({ maxLength: 600 }), transports, check), { numRuns: sized(3000) });
});

test("any packet that looks like a query is", () => {
  const header = fc.tuple(
    fc.nat(0xffff),
    fc.constantFrom(0x0100, 0, 0x2000, 0x7fff, 0x0130),
    fc.constantFrom(0, 1, 1, 1, 2),
    fc.nat(2),
    fc.nat(2),
    fc.nat(3),
  );
  const packets = fc.tuple(header, bytes({ maxLength: 300 })).map(([words, rest]) => {
    const head = Buffer.alloc(12);
    for (const [index, word] of words.entries()) head.writeUInt16BE(word, index * 2);
    return Buffer.concat([head, rest]);
  });
  fc.assert(fc.property(packets, transports, check), { numRuns: sized(5000) });
});

const label = fc.oneof(
  bytes({ minLength: 1, maxLength: 63 }),
  fc.constantFrom("Orders", "alias", "a.b", "c", "mesh", "INTERNAL").map((text) => Buffer.from(text)),
);
const name = fc.oneof(
  fc.array(label, { maxLength: 6 }),
  fc.array(label, { maxLength: 2 }).map((labels) => [...labels, Buffer.from("mesh"), Buffer.from("internal")]),
  fc
    .constantFrom("orders", "ALIAS", "b.c", "nope")
    .map((text) => `${text}.mesh.internal`.split(".").map((part) => Buffer.from(part))),
);
const extra = fc.oneof(
  fc
    .record({
      version: fc.constantFrom(0, 0, 1, 255),
      dnssecOk: fc.boolean(),
      size: fc.nat(0xffff),
      extendedRcode: fc.nat(255),
      data: bytes({ maxLength: 12 }),
    })
    .map(opt),
  fc.tuple(fc.nat(0xffff), bytes({ maxLength: 20 })).map(([type, data]) => record("x.mesh.internal", type, 1, 0, data)),
);

test("any name, type and class is, whatever its labels hold", () => {
  const packets = fc
    .tuple(
      name,
      fc.oneof(fc.constantFrom(1, 28, 5, 6, 2, 255), fc.nat(0xffff)),
      fc.constantFrom(1, 1, 1, 3, 255),
      fc.array(extra, { maxLength: 3 }),
    )
    .map(([labels, type, qclass, records]) => query(labels, { type, class: qclass, records }));
  fc.assert(fc.property(packets, transports, check), { numRuns: sized(5000) });
});

test("a good query with one octet changed is", () => {
  const good = query("alias.mesh.internal", {
    type: 255,
    records: [opt({ data: Buffer.from("000a00080102030405060708", "hex") })],
  });
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.nat(255), fc.nat(good.length), transports, (at, octet, end, transport) => {
      const packet = Buffer.from(good);
      packet[at] = octet;
      check(packet.subarray(0, end), transport);
      check(packet, transport);
    }),
    { numRuns: sized(5000) },
  );
});

/** The least time that `work` takes, in milliseconds, of many. */
function quickest(work: () => void): number {
  const times = Array.from({ length: 100 }, () => {
    const startedMs = performance.now();
    work();
    return performance.now() - startedMs;
  });
  return Math.min(...times);
}

test("a packet of nothing but pointers costs no more than its length", () => {
  const pointers = (length: number) => {
    const packet = Buffer.alloc(length);
    for (let at = 12; at + 2 <= packet.length; at += 2) packet.writeUInt16BE(0xc000 | ((at + 2) & 0x3fff), at);
    return packet;
  };
  for (const counts of [
    [0xffff, 0xffff, 0xffff, 0xffff],
    [1, 0xffff, 0xffff, 0xffff],
  ]) {
    const times = [8_125, 65_000].map((length) => {
      const packet = pointers(length);
      for (const [index, count] of [0x1234, 0x0100, ...counts].entries()) packet.writeUInt16BE(count, index * 2);
      return quickest(() => check(packet, "udp"));
    });
    const [short = 0, long = 0] = times;
    // Eight times as long: sixteen times as much, and the least that can be measured, is far from its square.
    assert.ok(long <= 16 * short + 1, `${short} ms became ${long} ms`);
  }
});
