import assert from "node:assert/strict";
import { test } from "node:test";
import { Packet } from "dns2";
import { RCODE } from "../../../src/dns/wire/codes.ts";
import { decodeQuery, type Query } from "../../../src/dns/wire/query.ts";
import type { ResourceRecord } from "../../../src/dns/wire/records.ts";
import { encodeReply, type Reply } from "../../../src/dns/wire/reply.ts";
import { decode, opt, query } from "../wire.ts";

function read(packet: Buffer): Query {
  const found = decodeQuery(packet);
  assert.ok(found !== undefined, "dropped");
  return found;
}

const noError: Reply = { rcode: 0, authoritative: true, answers: [], authority: [] };
const plain = { maxBytes: 512, recursionAvailable: false };
const a = (name: string, address: string): ResourceRecord => ({ name, type: "A", ttlSeconds: 30, address });
const soa: ResourceRecord = {
  name: "mesh.internal",
  type: "SOA",
  ttlSeconds: 5,
  primary: "mesh.internal",
  mailbox: "nobody.invalid",
  serial: 2 ** 32 - 1,
  refreshSeconds: 3600,
  retrySeconds: 1200,
  expireSeconds: 604800,
  minimumSeconds: 5,
};

test("encodeReply() keeps ID, RD and the question's case (RFC 1035 §4.1.1, RFC 4343 §4.1)", () => {
  const decoded = decode(
    encodeReply(
      read(query("OrDeRs.Mesh.internal", { id: 0xbeef })),
      { ...noError, answers: [a("orders.mesh.internal", "240.241.0.7")] },
      plain,
    ),
  );
  assert.deepEqual(
    { id: decoded.id, qr: decoded.qr, aa: decoded.aa, rd: decoded.rd, ra: decoded.ra, tc: decoded.tc },
    { id: 0xbeef, qr: true, aa: true, rd: true, ra: false, tc: false },
  );
  assert.deepEqual(decoded.questions, [{ name: "OrDeRs.Mesh.internal", type: 1, class: 1 }]);
  assert.equal(decoded.answers[0]?.name, "OrDeRs.Mesh.internal");
});

test("encodeReply() clears RD, Z, AD and CD unless asked (RFC 1035 §4.1.1)", () => {
  const decoded = decode(encodeReply(read(query("a", { flags: 0x0070 })), noError, plain));
  assert.deepEqual([decoded.rd, decoded.z], [false, 0]);
});

test("encodeReply() sets RA only when told (RFC 1035 §4.1.1)", () => {
  assert.equal(decode(encodeReply(read(query("a")), noError, { ...plain, recursionAvailable: true })).ra, true);
});

test("encodeReply() echoes names that are not text, byte by byte", () => {
  const packet = query([Buffer.from("a.b"), Buffer.from([0xff, 0, 0x5c]), Buffer.from("org")]);
  const reply = encodeReply(
    read(packet),
    { ...noError, rcode: RCODE.NXDOMAIN, authority: [{ ...soa, name: "org" }] },
    plain,
  );
  assert.deepEqual(reply.subarray(12, packet.length), packet.subarray(12));
  assert.equal(decode(reply).authority[0]?.name, "org");
});

const records: readonly ResourceRecord[] = [
  a("orders.mesh.internal", "240.241.0.7"),
  { name: "orders.mesh.internal", type: "AAAA", ttlSeconds: 30, address: "fd00::7" },
  { name: "orders.mesh.internal", type: "AAAA", ttlSeconds: 30, address: "::ffff:192.0.2.1" },
  { name: "orders.mesh.internal", type: "CNAME", ttlSeconds: 30, target: "web.mesh.internal" },
  { name: "mesh.internal", type: "NS", ttlSeconds: 30, target: "mesh.internal" },
  soa,
];

test("encodeReply() writes every type so that two decoders read it alike (RFC 1035 §3.3, §3.4; RFC 3596 §2.2)", () => {
  const message = encodeReply(
    read(query("orders.mesh.internal")),
    { ...noError, answers: records },
    { ...plain, maxBytes: 0xffff },
  );
  const decoded = decode(message);
  const second = Packet.parse(message);
  assert.deepEqual(second.errors, []);
  assert.deepEqual(
    decoded.answers.map(({ name, type, ttl }) => [name, type, ttl]),
    second.answers.map(({ name, type, ttl }) => [name, type, ttl]),
  );
  assert.deepEqual(
    decoded.answers.map(({ name }) => name),
    records.map(({ name }) => name),
  );
  assert.equal(second.answers[1]?.address, "fd00::7");
  assert.equal(decoded.answers[2]?.data.toString("hex"), "00000000000000000000ffffc0000201");
  assert.equal(decoded.answers[3]?.target, "web.mesh.internal");
  assert.equal(second.answers[5]?.admin, "nobody.invalid");
  assert.equal(second.answers[5]?.serial, 2 ** 32 - 1);
});

test("encodeReply() answers OPT with OPT: version 0, our size, DO copied, no options (RFC 6891 §6.1.1, RFC 3225 §3)", () => {
  const packet = query("a", {
    records: [opt({ dnssecOk: true, data: Buffer.from("000a00080102030405060708", "hex") })],
  });
  const [found, ...others] = decode(encodeReply(read(packet), noError, plain)).additional;
  assert.deepEqual(
    { ...found, data: found?.data.length },
    { name: "", type: 41, class: 1232, ttl: 0x8000, data: 0, target: undefined },
  );
  assert.equal(others.length, 0);
});

test("encodeReply() writes no OPT when the query had none (RFC 6891 §7)", () => {
  assert.equal(decode(encodeReply(read(query("a")), noError, plain)).additional.length, 0);
});

test("encodeReply() writes BADVERS as 1 in OPT and 0 in the header (RFC 6891 §6.1.3)", () => {
  const decoded = decode(
    encodeReply(read(query("a", { records: [opt({ version: 1 })] })), { ...noError, rcode: RCODE.BADVERS }, plain),
  );
  assert.deepEqual([decoded.rcode, decoded.additional[0]?.ttl], [0, 0x01000000]);
});

test("encodeReply() writes OPT with a FORMERR for two OPTs (RFC 6891 §6.1.1)", () => {
  const decoded = decode(
    encodeReply(read(query("a", { records: [opt(), opt()] })), { ...noError, rcode: RCODE.FORMERR }, plain),
  );
  assert.deepEqual([decoded.rcode, decoded.additional.length], [1, 1]);
});

test("encodeReply() gives as many whole records as fit and sets TC, and OPT stays (RFC 2181 §9, RFC 6891 §7)", () => {
  const many = Array.from({ length: 60 }, (_, n) => a("orders.mesh.internal", `240.241.0.${n}`));
  const found = read(query("orders.mesh.internal", { records: [opt()] }));
  const message = encodeReply(found, { ...noError, answers: many, authority: [soa] }, plain);
  const cut = decode(message);
  const room = Math.floor((512 - 12 - 26 - 11) / 16);
  assert.deepEqual([cut.tc, cut.answers.length, cut.authority.length, cut.additional.length], [true, room, 0, 1]);
  assert.ok(message.length <= 512 && message.length > 512 - 16);
  assert.deepEqual(
    cut.answers.map(({ data }) => [...data].join(".")),
    many.slice(0, room).map((record) => record.type === "A" && record.address),
  );
  const whole = decode(encodeReply(found, { ...noError, answers: many }, { ...plain, maxBytes: 0xffff }));
  assert.deepEqual([whole.tc, whole.answers.length], [false, 60]);
});

test("encodeReply() sets TC where the authority section does not fit (RFC 2181 §9)", () => {
  const many = Array.from({ length: 28 }, (_, n) => a("orders.mesh.internal", `240.241.0.${n}`));
  const cut = decode(
    encodeReply(read(query("orders.mesh.internal")), { ...noError, answers: many, authority: [soa] }, plain),
  );
  assert.deepEqual([cut.tc, cut.answers.length, cut.authority.length], [true, 28, 0]);
});

test("encodeReply() does not set TC by TCP, where there is no further way to ask", () => {
  const many = Array.from({ length: 5000 }, (_, n) => a("orders.mesh.internal", `240.${n >> 8}.0.${n % 256}`));
  const most = decode(
    encodeReply(read(query("orders.mesh.internal")), { ...noError, answers: many }, { ...plain, maxBytes: 0xffff }),
  );
  assert.deepEqual([most.tc, most.answers.length], [false, Math.floor((0xffff - 12 - 26) / 16)]);
});

test("encodeReply() writes records of a name that is no text, as a wildcard may stand for it", () => {
  const labels = [Buffer.alloc(40, 0x20), Buffer.from("a.b"), Buffer.from("wild"), Buffer.from("internal")];
  const { name } = read(query(labels)).question ?? assert.fail("no question");
  const records: readonly ResourceRecord[] = [
    a(name, "240.241.0.9"),
    { name, type: "SRV", ttlSeconds: 30, priority: 0, weight: 100, port: 8080, target: name },
    { ...soa, name, primary: name },
  ];
  const reply = { ...noError, answers: records.slice(0, 2), authority: records.slice(2) };
  const message = encodeReply(read(query(labels)), reply, { maxBytes: 512, recursionAvailable: false });
  const asked = query(labels).subarray(12, -4);
  const { answers, authority } = decode(message);
  for (const record of [...answers, ...authority])
    assert.equal(record.name, `${asked.toString("latin1", 1, 41)}.a.b.wild.internal`);
  assert.deepEqual(answers[1]?.data.subarray(6), asked);
  assert.equal(authority[0]?.target, answers[0]?.name);
});

test("encodeReply() answers without question where none could be read", () => {
  const decoded = decode(
    encodeReply(read(query("a", { id: 77 }).subarray(0, 13)), { ...noError, rcode: RCODE.FORMERR }, plain),
  );
  assert.deepEqual([decoded.id, decoded.rcode, decoded.questions.length], [77, 1, 0]);
});
