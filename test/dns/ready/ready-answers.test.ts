import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { answer } from "../../../src/dns/answer/answer.ts";
import { type Zone, zonesByName } from "../../../src/dns/answer/zones.ts";
import { questionCounts } from "../../../src/dns/observe/question-counts.ts";
import { followedNames } from "../../../src/dns/ready/followed-names.ts";
import { OF_OTHERS, readyAnswers } from "../../../src/dns/ready/ready-answers.ts";
import { receivedNames } from "../../../src/dns/ready/received-names.ts";
import { decodeQuery } from "../../../src/dns/wire/query.ts";
import { encodeReply } from "../../../src/dns/wire/reply.ts";
import type { NameRow, NameTable } from "../../../src/model/name-table.ts";
import { sized } from "../../size.ts";
import { addresses, decode, opt, query, table } from "../wire.ts";

const zoneList: readonly Zone[] = [
  { name: "mesh.internal", forward: [] },
  { name: "consul", forward: [{ address: "192.0.2.2", port: 8600 }] },
  { name: "deep.below.mesh.internal", forward: [] },
];
const zones = { byName: zonesByName(zoneList) };
const ttlSeconds = 30;
const rows = table({
  "orders.shop.mesh.internal": { a: ["240.241.0.7"], aaaa: ["fd00::7", "::ffff:192.0.2.1"] },
  "v4.mesh.internal": { a: ["240.241.0.8", "240.241.0.9"] },
  "v6.mesh.internal": { aaaa: ["fd00::8"] },
  "many.mesh.internal": { a: Array.from({ length: 40 }, (_, n) => `240.241.1.${n}`) },
  "most.mesh.internal": { a: Array.from({ length: 28 }, (_, n) => `240.241.1.${n}`) },
  "alias.mesh.internal": { cname: "v4.mesh.internal" },
  "web.service.consul": { a: ["240.241.0.12"] },
  "orders.corp.example.com": { a: ["240.241.0.7"] },
  "a\\046b.mesh.internal": { a: ["240.241.0.13"] },
  "mesh.internal": { a: ["240.241.0.14"] },
  "*.wild.mesh.internal": { a: ["240.241.0.15"] },
  "*.calls.corp.example.com": { a: ["240.241.0.15"] },
});
const out = Buffer.alloc(512);

function ready(now: NameTable | (() => NameTable), { recursionAvailable = true } = {}) {
  const counted: string[] = [];
  const others: Buffer[] = [];
  const names = followedNames(typeof now === "function" ? now : () => now)((state) =>
    readyAnswers({
      zones,
      ttlSeconds,
      recursionAvailable,
      table: state,
      onAnswer: (type, rcode) => counted.push(`${type}:${rcode}`),
    }),
  );
  const ask = (packet: Buffer): Buffer | undefined => {
    const length = names.current()?.ready.answer(packet, out) ?? 0;
    if (length === OF_OTHERS) others.push(packet);
    return length <= 0 ? undefined : Buffer.from(out.subarray(0, length));
  };
  return { ask, counted, others };
}

/** What the full path answers. */
function full(packet: Buffer, now: NameTable): Buffer | undefined {
  const read = decodeQuery(packet);
  if (read === undefined || read.fault !== undefined) return undefined;
  const found = answer(
    read.question,
    { ...now, hasWildcards: true },
    { ...zones, forward: [{ address: "192.0.2.53", port: 53 }], ttlSeconds, nowMs: 1_000_000 },
  );
  if (found.kind !== "reply") return undefined;
  const maxBytes = Math.min(Math.max(read.edns?.udpBytes ?? 0, 512), 1232);
  return encodeReply(read, found, { maxBytes, recursionAvailable: true });
}

const { ask, others } = ready(rows);

test("readyAnswers() answers as the full path does, octet by octet, or not at all", () => {
  const label = fc.constantFrom(
    "orders",
    "shop",
    "V4",
    "v6",
    "many",
    "most",
    "alias",
    "MESH",
    "internal",
    "consul",
    "a.b",
  );
  const known = fc.constantFrom(
    ...rows.names.keys(),
    "shop.mesh.internal",
    "below.mesh.internal",
    "nope.mesh.internal",
    "x.wild.mesh.internal",
    "x.y.calls.corp.example.com",
    "wild.mesh.internal",
  );
  const name = fc.oneof(
    known.map((text) => text.replace("a\\046b", "nope")),
    known.map((text) => text.toUpperCase()),
    fc.array(label, { maxLength: 5 }).map((labels) => labels.map((text) => Buffer.from(text))),
  );
  const edns = fc.option(
    fc.record({
      version: fc.constantFrom(0, 0, 0, 0, 0, 1),
      dnssecOk: fc.boolean(),
      size: fc.nat(0xffff),
      data: fc.constantFrom("", "", "fde90000").map((hex) => Buffer.from(hex, "hex")),
    }),
    { nil: undefined },
  );
  const packets = fc.record({
    name,
    id: fc.nat(0xffff),
    type: fc.oneof(fc.constantFrom(1, 1, 28, 28, 65, 64, 15, 5, 6, 2, 16, 33, 255, 41, 0), fc.nat(70)),
    class: fc.constantFrom(1, 1, 1, 1, 1, 1, 1, 1, 3, 255),
    flags: fc.constantFrom(
      0x0100,
      0x0100,
      0x0100,
      0x0100,
      0x0100,
      0x0100,
      0,
      0,
      0,
      0x0110,
      0x0020,
      0x0040,
      0x0800,
      0x8000,
      0x0200,
      0x0400,
      0x0080,
    ),
    edns,
    tail: fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 1, -1),
  });
  let answered = 0;
  fc.assert(
    fc.property(packets, ({ name, edns, tail, ...options }) => {
      const whole = query(name, { ...options, records: edns === undefined ? [] : [opt(edns)] });
      const packet = tail > 0 ? Buffer.concat([whole, Buffer.alloc(1)]) : whole.subarray(0, whole.length + tail);
      const quick = ask(packet);
      // What is said to be others' is forwarded by the full path.
      for (const one of others.splice(0)) assert.equal(full(one, rows), undefined);
      if (quick === undefined) return;
      answered++;
      assert.equal(quick.toString("hex"), full(packet, rows)?.toString("hex"));
    }),
    { numRuns: sized(50_000) },
  );
  assert.ok(answered > sized(2000), `only ${answered} were answered`);
});

const usual: readonly (readonly [title: string, packet: Buffer, want: string])[] = [
  ["A", query("orders.shop.mesh.internal"), "0: 1 240.241.0.7"],
  ["AAAA", query("orders.shop.mesh.internal", { type: 28 }), "0: 28 28,28 28"],
  ["NODATA (RFC 2308 §2.2)", query("v4.mesh.internal", { type: 28 }), "0: | mesh.internal"],
  ["NODATA for HTTPS (RFC 9460)", query("v4.mesh.internal", { type: 65 }), "0: | mesh.internal"],
  ["NODATA at an empty non-terminal (RFC 8020 §2)", query("shop.mesh.internal"), "0: | mesh.internal"],
  ["NXDOMAIN (RFC 2308 §2.1)", query("nope.shop.mesh.internal"), "3: | mesh.internal"],
  ["NODATA outside of our zones", query("orders.corp.example.com", { type: 28 }), "0: | orders.corp.example.com"],
  [
    "NODATA for HTTPS outside of our zones",
    query("orders.corp.example.com", { type: 65 }),
    "0: | orders.corp.example.com",
  ],
  ["NODATA for mail in our zone", query("v4.mesh.internal", { type: 15 }), "0: | mesh.internal"],
  ["a name in an overlay", query("web.service.consul"), "0: 1 240.241.0.12"],
];

for (const [title, packet, want] of usual) {
  test(`readyAnswers() has ${title}`, () => {
    const found = ask(packet);
    assert.ok(found !== undefined);
    const { rcode, answers, authority } = decode(found);
    const given = answers.map(({ type }) => `${type} ${type === 1 ? addresses(found).join() : type}`).join();
    const denied = authority.map(({ name }) => `| ${name}`).join();
    assert.equal(`${rcode}: ${given}${denied}`, want);
  });
}

const left: readonly (readonly [title: string, packet: Buffer])[] = [
  ["an alias", query("alias.mesh.internal")],
  ["an answer over 512 octets", query("many.mesh.internal")],
  ["names of others", query("example.org")],
  ["unknown names of an overlay", query("db.service.consul")],
  ["what a wildcard stands for", query("x.wild.mesh.internal")],
  ["a dot inside a label", query([Buffer.from("orders.shop"), Buffer.from("mesh"), Buffer.from("internal")].reverse())],
  [
    "EDNS options, as cookies",
    query("v4.mesh.internal", { records: [opt({ data: Buffer.from("000a00080102030405060708", "hex") })] }),
  ],
  ["EDNS version 1", query("v4.mesh.internal", { records: [opt({ version: 1 })] })],
  ["another class", query("v4.mesh.internal", { class: 3 })],
  ["another opcode", query("v4.mesh.internal", { flags: 0x2800 })],
  ["an answer", query("v4.mesh.internal", { flags: 0x8000 })],
  ["ANY", query("v4.mesh.internal", { type: 255 })],
  ["mail of a name in someone else's zone", query("orders.corp.example.com", { type: 15 })],
  ["mail of a name in an overlay", query("web.service.consul", { type: 15 })],
  ["two questions", query("v4.mesh.internal", { counts: [2, 0, 0, 0] })],
];

for (const [title, packet] of left) {
  test(`readyAnswers() leaves ${title} to the full path`, () => assert.equal(ask(packet), undefined));
}

test("readyAnswers() denies nothing while names are missing", () => {
  const { ask } = ready({ ...rows, isPartial: true });
  assert.equal(ask(query("nope.mesh.internal")), undefined);
  assert.notEqual(ask(query("v4.mesh.internal")), undefined);
});

test("receivedNames() are told with the last part whether names are missing", () => {
  const received = receivedNames();
  const names = received.maker((state) =>
    readyAnswers({ zones, ttlSeconds, recursionAvailable: false, table: state, onAnswer: () => {} }),
  );
  received.take({ all: true, put: [], gone: [], serial: 1, isPartial: true });
  assert.equal(names.current()?.table.isPartial, true);
  received.take({ all: false, put: [], gone: [], serial: 2, isPartial: false });
  assert.equal(names.current()?.table.isPartial, false);
});

test("readyAnswers() counts what it answers", () => {
  const { ask, counted } = ready(rows);
  ask(query("v4.mesh.internal"));
  ask(query("nope.mesh.internal", { type: 28 }));
  ask(query("alias.mesh.internal"));
  assert.deepEqual(counted, ["1:0", "28:3"]);
});

test("readyAnswers() gives an unsettled name once it has settled", () => {
  const settledAtMs = Date.now() + 50;
  const later = { a: ["240.241.0.8"], settledAtMs: settledAtMs + 600_000 };
  const { ask } = ready(
    table({ "new.mesh.internal": { a: ["240.241.0.9"], settledAtMs }, "later.mesh.internal": later }),
  );
  assert.equal(ask(query("later.mesh.internal")), undefined);
  while (Date.now() < settledAtMs);
  assert.ok(ask(query("new.mesh.internal")) !== undefined);
  assert.equal(ask(query("later.mesh.internal")), undefined);
});

test("readyAnswers() gives as many addresses as 512 octets have room for, and leaves more to the full path", () => {
  const counts = Array.from({ length: 36 }, (_, n) => n + 1);
  const many = table(
    Object.fromEntries(
      counts.map((n) => [`n${n}.mesh.internal`, { a: Array.from({ length: n }, (_, last) => `240.241.0.${last}`) }]),
    ),
  );
  const { ask } = ready(many);
  const given = counts.filter((n) => {
    const quick = ask(query(`n${n}.mesh.internal`));
    if (quick !== undefined) assert.deepEqual(quick, full(query(`n${n}.mesh.internal`), many));
    return quick !== undefined;
  });
  // Header 12, question 23 octets, OPT 11, each record 16.
  assert.equal(given.length, Math.floor((512 - 12 - 23 - 11) / 16));
});

test("readyAnswers() does not give an unsettled address of a name without A", () => {
  const row = { aaaa: ["fd00::9"], settledAtMs: Date.now() + 600_000 };
  const { ask } = ready(table({ "new.mesh.internal": row }));
  assert.equal(ask(query("new.mesh.internal", { type: 28 })), undefined);
});

for (const type of [1, 28])
  test(`readyAnswers() does not give an unsettled address of type ${type}`, () => {
    const settledAtMs = Date.now() + 600_000;
    const { ask } = ready(table({ "new.mesh.internal": { a: ["240.241.0.9"], aaaa: ["fd00::9"], settledAtMs } }));
    assert.equal(ask(query("new.mesh.internal", { type })), undefined);
  });

test("readyAnswers() gives an address from the millisecond on in which it settles", (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: 1_000_000 });
  const { ask } = ready(table({ "new.mesh.internal": { a: ["240.241.0.9"], settledAtMs: 1_000_050 } }));
  t.mock.timers.setTime(1_000_049);
  assert.equal(ask(query("new.mesh.internal")), undefined);
  t.mock.timers.setTime(1_000_050);
  assert.ok(ask(query("new.mesh.internal")) !== undefined);
});

const changed: readonly (readonly [title: string, row: Partial<NameRow>])[] = [
  ["an alias", { cname: "v4.mesh.internal" }],
  ["one that waits", { waits: true, service: "vms/shop/orders" }],
  ["one with more addresses than fit", { a: Array.from({ length: 40 }, (_, n) => `240.241.1.${n}`) }],
  ["one whose address is none", { a: ["no address"] }],
  ["one that has not settled", { a: ["240.241.0.10"], settledAtMs: Date.now() + 600_000 }],
];
const nameOf = "Orders.mesh.internal";
const before = table({ "orders.mesh.internal": { a: ["240.241.0.9"] } }, 1);
for (const [title, row] of changed) {
  const after = table({ "orders.mesh.internal": row }, 2);
  const rowOf = (from: NameTable) => from.names.get("orders.mesh.internal") ?? assert.fail();

  test(`readyAnswers() no longer has the old address of a name that became ${title}`, () => {
    const made = readyAnswers({ zones, ttlSeconds, recursionAvailable: true, table: () => after, onAnswer: () => {} });
    made.put(rowOf(before));
    assert.ok(made.answer(query(nameOf), out) > 0);
    made.put(rowOf(after));
    assert.equal(made.answer(query(nameOf), out), 0);
    made.put(rowOf(before));
    assert.ok(made.answer(query(nameOf), out) > 0);
    made.delete("orders.mesh.internal");
    assert.ok(made.answer(query(nameOf), out) <= 0);
  });

  test(`followedNames() no longer has the old address of a name that became ${title}`, () => {
    let now = before;
    const { ask } = ready(() => now);
    assert.ok(ask(query(nameOf)) !== undefined);
    now = after;
    assert.equal(ask(query(nameOf)), undefined);
  });

  test(`receivedNames() no longer have the old address of a name that became ${title}`, () => {
    const received = receivedNames();
    const names = received.maker((state) =>
      readyAnswers({ zones, ttlSeconds, recursionAvailable: true, table: state, onAnswer: () => {} }),
    );
    received.take({ all: true, put: [rowOf(before)], gone: [], serial: 1 });
    assert.ok((names.current()?.ready.answer(query(nameOf), out) ?? 0) > 0);
    received.take({ all: false, put: [rowOf(after)], gone: [], serial: 2 });
    assert.equal(names.current()?.ready.answer(query(nameOf), out), 0);
    assert.deepEqual(names.current()?.table.names.get("orders.mesh.internal"), rowOf(after));
  });
}

test("readyAnswers() has the addresses of a name that it had as others", () => {
  let now = before;
  const { ask } = ready(() => now);
  for (const a of [["240.241.0.9"], ["240.241.0.10", "240.241.0.11"], ["240.241.0.12"]]) {
    now = table({ "orders.mesh.internal": { a } }, now.serial + 1);
    assert.deepEqual(addresses(ask(query(nameOf)) ?? assert.fail()), a);
  }
});

test("readyAnswers() counts questions of a name, apart from those of another", () => {
  const questions = questionCounts();
  const made = readyAnswers({
    ...{ zones, ttlSeconds, recursionAvailable: true, table: () => rows, onAnswer: () => {} },
    questions,
  });
  for (const row of rows.names.values()) made.put(row);
  for (let n = 0; n < 3; n++) made.answer(query("V4.mesh.internal"), out, `192.0.2.${n}`);
  made.answer(query("v6.mesh.internal", { type: 28 }), out, "192.0.2.9");
  assert.deepEqual(questions.flush(made.takeCount), [
    { name: "v4.mesh.internal", view: "mesh", client: "192.0.2.0", count: 3 },
    { name: "v6.mesh.internal", view: "mesh", client: "192.0.2.9", count: 1 },
  ]);
  assert.deepEqual(["v4.mesh.internal", "nope.mesh.internal"].map(made.takeCount), [0, 0]);
});

test("readyAnswers() leaves a row whose address is none to the full path, and answers the others", () => {
  const { ask } = ready(
    table({ "bad.mesh.internal": { a: ["no address"] }, "good.mesh.internal": { a: ["240.241.0.9"] } }),
  );
  assert.equal(ask(query("bad.mesh.internal")), undefined);
  assert.ok(ask(query("good.mesh.internal")) !== undefined);
});

const host = fc.constantFrom("a.x", "b.x", "c.y", "x", "d.e.y").map((text) => `${text}.mesh.internal`);
const row = fc.record({
  a: fc.array(
    fc.nat(255).map((n) => `240.241.0.${n}`),
    { maxLength: 3 },
  ),
});
const states = fc.array(fc.dictionary(host, row, { maxKeys: 5 }), { minLength: 1, maxLength: 8 });
const asked = ["a.x", "b.x", "c.y", "x", "d.e.y", "e.y", "y", "nope"].map((text) => query(`${text}.mesh.internal`));

/** Rows that stay the same keep their identity, as the plan keeps it. */
function series(all: readonly Readonly<Record<string, Partial<NameRow>>>[], tellsChanges: boolean): NameTable[] {
  let before: NameTable | undefined;
  return all.map((state, index) => {
    const now = table(state, index + 1);
    const kept = [...now.names].map(([name, made]): [string, NameRow] => {
      const old = before?.names.get(name);
      return [name, old !== undefined && old.a.join() === made.a.join() ? old : made];
    });
    const names = new Map(kept);
    const all = new Set([...names.keys(), ...(before?.names.keys() ?? [])]);
    const changed = [...all].filter((name) => names.get(name) !== before?.names.get(name));
    const changes = { since: index, names: changed };
    before = tellsChanges ? { ...now, names, changes } : { ...now, names };
    return before;
  });
}

for (const tellsChanges of [true, false]) {
  test(`followedNames() is in step with every table${tellsChanges ? " that tells its changes" : ""}`, () => {
    fc.assert(
      fc.property(states, (all) => {
        let now: NameTable = table({});
        const { ask } = ready(() => now);
        for (now of series(all, tellsChanges))
          for (const packet of asked) assert.equal(ask(packet)?.toString("hex"), full(packet, now)?.toString("hex"));
      }),
      { numRuns: sized(300) },
    );
  });
}

test("receivedNames() is in step with what it is sent, and does not mix states", () => {
  fc.assert(
    fc.property(states, fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }), (all, anew) => {
      const received = receivedNames();
      const names = received.maker((state) =>
        readyAnswers({ zones, ttlSeconds, recursionAvailable: true, table: state, onAnswer: () => {} }),
      );
      let before: NameTable | undefined;
      const check = (now: NameTable | undefined) => {
        for (const packet of asked) {
          const length = names.current()?.ready.answer(packet, out) ?? 0;
          const want = now === undefined ? "" : full(packet, now)?.toString("hex");
          assert.equal(out.toString("hex", 0, length), want);
        }
      };
      for (const [index, now] of series(all, false).entries()) {
        if (before === undefined || anew[index] === true) {
          for (const row of now.names.values()) {
            received.take({ all: true, put: [row], gone: [], serial: undefined });
            check(before);
          }
          received.take({ all: true, put: [], gone: [], serial: now.serial });
        } else {
          const last = before;
          const gone = [...last.names.keys()].filter((name) => !now.names.has(name));
          const put = [...now.names.values()].filter((row) => last.names.get(row.name) !== row);
          received.take({ all: false, put, gone, serial: now.serial });
        }
        check(now);
        before = now;
      }
    }),
    { numRuns: sized(200) },
  );
});

test("receivedNames() knows nothing before all names were sent", () => {
  const received = receivedNames();
  const names = received.maker((state) =>
    readyAnswers({ zones, ttlSeconds, recursionAvailable: false, table: state, onAnswer: () => {} }),
  );
  received.take({ all: false, put: [...rows.names.values()], gone: [], serial: 7 });
  assert.equal(names.current(), undefined);
});
