import assert from "node:assert/strict";
import { test } from "node:test";
import { RCODE } from "../../../src/dns/wire/codes.ts";
import { decodeQuery, type Query } from "../../../src/dns/wire/query.ts";
import { opt, query, record, wireName } from "../wire.ts";

function read(packet: Buffer): Query {
  const found = decodeQuery(packet);
  assert.ok(found !== undefined, "dropped");
  return found;
}

const faults: readonly (readonly [title: string, packet: Buffer, fault: number | undefined])[] = [
  ["accepts a plain question", query("orders.mesh.internal"), undefined],
  ["accepts the root", query(""), undefined],
  ["accepts a label of 63 octets (RFC 1035 §2.3.4)", query(`${"a".repeat(63)}.org`), undefined],
  [
    "accepts a name of 255 octets (RFC 1035 §2.3.4)",
    query([63, 63, 63, 61].map((length) => Buffer.alloc(length, "a"))),
    undefined,
  ],
  [
    "gives FORMERR for a name of 256 octets (RFC 1035 §2.3.4)",
    query([63, 63, 63, 62].map((length) => Buffer.alloc(length, "a"))),
    RCODE.FORMERR,
  ],
  ["gives FORMERR for no question (RFC 9619 §4)", query("", { counts: [0, 0, 0, 0] }).subarray(0, 12), RCODE.FORMERR],
  [
    "gives FORMERR for two questions (RFC 9619 §4)",
    Buffer.concat([query("a", { counts: [2, 0, 0, 0] }), wireName("b"), Buffer.from([0, 1, 0, 1])]),
    RCODE.FORMERR,
  ],
  ["gives FORMERR for a question cut short", query("orders.mesh.internal").subarray(0, 30), RCODE.FORMERR],
  ["gives FORMERR for a missing class", query("a").subarray(0, -1), RCODE.FORMERR],
  [
    "gives FORMERR for a pointer to itself (RFC 1035 §4.1.4)",
    Buffer.from("123401000001000000000000c00c00010001", "hex"),
    RCODE.FORMERR,
  ],
  [
    "gives FORMERR for a pointer forwards (RFC 1035 §4.1.4)",
    Buffer.from("123401000001000000000000c012000100010161000000", "hex"),
    RCODE.FORMERR,
  ],
  [
    "gives FORMERR for a reserved label type (RFC 6891 §5)",
    Buffer.from("12340100000100000000000041610000010001", "hex"),
    RCODE.FORMERR,
  ],
  ["gives FORMERR for bytes after the message", Buffer.concat([query("a"), Buffer.from([0])]), RCODE.FORMERR],
  ["gives FORMERR for records that are counted but missing", query("a", { counts: [1, 0, 0, 65535] }), RCODE.FORMERR],
  [
    "accepts records that a query may carry",
    query("a", { records: [record("a", 6, 1, 0, Buffer.alloc(22))], counts: [1, 0, 1, 0] }),
    undefined,
  ],
  ["accepts EDNS (RFC 6891 §6.1.1)", query("a", { records: [opt()] }), undefined],
  [
    "ignores unknown EDNS options (RFC 6891 §6.1.2)",
    query("a", { records: [opt({ data: Buffer.from("fde900030102030003 0000".replace(" ", ""), "hex") })] }),
    undefined,
  ],
  [
    "ignores a known EDNS option of odd content",
    query("a", { records: [opt({ data: Buffer.from("000f0001aa", "hex") })] }),
    undefined,
  ],
  [
    "ignores the upper bits of a code in a query's OPT",
    query("a", { records: [opt({ extendedRcode: 0x80 })] }),
    undefined,
  ],
  ["gives FORMERR for two OPT records (RFC 6891 §6.1.1)", query("a", { records: [opt(), opt()] }), RCODE.FORMERR],
  [
    "gives FORMERR for OPT below the root (RFC 6891 §6.1.2)",
    query("a", { records: [opt({ name: "a" })] }),
    RCODE.FORMERR,
  ],
  [
    "gives FORMERR for OPT among the answers (RFC 6891 §6.1.1)",
    query("a", { records: [opt()], counts: [1, 1, 0, 0] }),
    RCODE.FORMERR,
  ],
  [
    "gives FORMERR for options that overrun (RFC 6891 §6.1.2)",
    query("a", { records: [opt({ data: Buffer.from("000a0008aa", "hex") })] }),
    RCODE.FORMERR,
  ],
  ["gives BADVERS for EDNS version 1 (RFC 6891 §6.1.3)", query("a", { records: [opt({ version: 1 })] }), RCODE.BADVERS],
  ["gives NOTIMP for NOTIFY (RFC 1035 §4.1.1)", query("a", { flags: 4 << 11 }), RCODE.NOTIMP],
  ["gives NOTIMP for UPDATE", query("a", { flags: 5 << 11 }), RCODE.NOTIMP],
  [
    "gives NOTIMP for an opcode without question",
    query("", { flags: 6 << 11, counts: [0, 0, 0, 0] }).subarray(0, 12),
    RCODE.NOTIMP,
  ],
];

for (const [title, packet, fault] of faults) {
  test(`decodeQuery() ${title}`, () => assert.equal(read(packet).fault, fault));
}

test("decodeQuery() drops an answer: QR = 1 (RFC 1035 §4.1.1)", () =>
  assert.equal(decodeQuery(query("a", { flags: 0x8000 })), undefined));
test("decodeQuery() drops what has no whole header", () =>
  assert.equal(decodeQuery(query("a").subarray(0, 11)), undefined));

const questionNames: readonly (readonly [labels: readonly string[], name: string])[] = [
  [["OrDers", "MESH", "internal"], "orders.mesh.internal"],
  [["a.b", "org"], "a\\046b.org"],
  [["a\\b", "org"], "a\\092b.org"],
  [["\u00c9\u00e9", "org"], "\\201\\233.org"],
  [["a b", "\u0000"], "a\\032b.\\000"],
  [["_http", "_tcp", "*"], "_http._tcp.*"],
];

for (const [labels, name] of questionNames) {
  test(`decodeQuery() reads ${JSON.stringify(labels)} as ${name} (RFC 4343 §2.1, §3)`, () => {
    assert.equal(read(query(labels.map((label) => Buffer.from(label, "latin1")))).question?.name, name);
  });
}
