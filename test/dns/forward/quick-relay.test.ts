import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { quickRelay } from "../../../src/dns/forward/quick-relay.ts";
import { type ForeignAnswer, readForeign } from "../../../src/dns/wire/foreign.ts";
import { decodeQuery, type Query } from "../../../src/dns/wire/query.ts";
import { encodeForeign } from "../../../src/dns/wire/reply.ts";
import { upstreamAnswer } from "../sockets.ts";
import { opt, query, record } from "../wire.ts";

const a = (ttl: number) => record("example.org", 1, 1, ttl, Buffer.from([192, 0, 2, 1]));
const read = (packet: Buffer): Query => decodeQuery(packet) as Query;
const asked = query("OrDers.example.org", { id: 5 });

function foreign(message: Buffer, questionEnd = asked.length): ForeignAnswer {
  const found = readForeign(message, questionEnd);
  assert.ok(found !== undefined);
  return found;
}

const options = { ageSeconds: 0, recursionAvailable: true, maxBytes: 512 };

test("quickRelay() answers as the full path does, octet by octet", () => {
  const packets = fc.record({
    name: fc.constantFrom("orders.example.org", "ORDERS.example.org"),
    id: fc.nat(0xffff),
    flags: fc.constantFrom(0x0100, 0, 0x0120, 0x0110),
    edns: fc.option(fc.record({ dnssecOk: fc.boolean(), size: fc.nat(0xffff) }), { nil: undefined }),
  });
  const bodies = fc.tuple(fc.array(fc.nat(100), { maxLength: 25 }), fc.nat(40), fc.nat(0xffff));
  const out = Buffer.alloc(512);
  fc.assert(
    fc.property(packets, bodies, ({ name, edns, ...how }, [ttls, ageSeconds, flags]) => {
      const packet = query(name, { ...how, records: edns === undefined ? [] : [opt(edns)] });
      const answer = foreign(upstreamAnswer(asked, { flags: flags | 0x8000, answers: ttls.map(a) }));
      const found = { answer, ageSeconds, staleTtlSeconds: undefined };
      const quickly = quickRelay({ resolver: { find: () => found }, recursionAvailable: true, onAnswer: () => {} });
      const length = quickly(packet, out);
      const want = encodeForeign(read(packet), answer, { ...options, ageSeconds });
      if (length > 0) assert.equal(out.toString("hex", 0, length), want.toString("hex"));
      else assert.ok(want.length >= 512 - 11 || (want.readUInt8(2) & 2) !== 0);
    }),
    { numRuns: 5000 },
  );
});
