import assert from "node:assert/strict";
import { test } from "node:test";
import { reversedAddress } from "../../../src/dns/wire/reverse.ts";
import { frame, frameReader } from "../../../src/dns/wire/tcp-frame.ts";
import { encodeName, labelsOf, parentOf, readName, skipName } from "../../../src/dns/wire/wire-name.ts";
import { wireName } from "../wire.ts";

/** A name of labels of these lengths. */
const named = (...lengths: readonly number[]) => lengths.map((length) => "x".repeat(length)).join(".");

const lengths: readonly (readonly [title: string, name: string, isName: boolean])[] = [
  ["the root", "", true],
  ["a label of 63 octets", named(63), true],
  ["a label of 64 octets", named(64), false],
  ["a label of 64 octets behind another", named(1, 64), false],
  ["a name of 255 octets", named(63, 63, 63, 61), true],
  ["a name of 256 octets", named(63, 63, 63, 62), false],
  ["a name of many labels in 255 octets", named(...Array<number>(127).fill(1)), true],
  ["a name of many labels in 257 octets", named(...Array<number>(128).fill(1)), false],
  ["an empty label", "a..b", false],
  ["a dot at the end", "a.", false],
];
for (const [title, name, isName] of lengths)
  test(`encodeName() ${isName ? "writes" : "does not write"} ${title} (RFC 1035 §2.3.4)`, () => {
    const octets = encodeName(name);
    assert.equal(octets !== undefined, isName);
    if (octets === undefined) return;
    assert.deepEqual(Buffer.from(octets), wireName(name));
    assert.deepEqual(readName(octets, 0), { name, end: octets.length });
    assert.equal(skipName(Buffer.from(octets), 0), octets.length);
  });

test("names on the wire keep all octets but the case of ASCII letters (RFC 4343 §3)", () => {
  const labels = [Buffer.from([0x41, 0x5a, 0x5b, 0x40]), Buffer.from([0, 0x20, 0x2e, 0x5c, 0x7f, 0xc1, 0xff])];
  const { name = "" } = readName(wireName(labels), 0) ?? {};
  assert.equal(name, "az[@.\\000\\032\\046\\092\\127\\193\\255");
  assert.deepEqual(readName(encodeName(name) ?? Buffer.alloc(0), 0)?.name, name);
  assert.deepEqual(encodeName("ORDERS.Example"), Uint8Array.from(wireName("orders.example")));
  assert.deepEqual([labelsOf(name), parentOf(parentOf(name)), labelsOf("")], [2, "", 0]);
});

test("skipName() follows no pointer, and takes one backwards only", () => {
  const packet = (pointer: number) => Buffer.from([0, 0, 0, 0, 1, 0x61, 0xc0 | (pointer >> 8), pointer & 0xff]);
  for (const [pointer, want] of [
    [0, 8],
    [3, 8],
    [4, undefined],
    [6, undefined],
  ] as const)
    assert.equal(skipName(packet(pointer), 4), want, String(pointer));
  assert.equal(skipName(packet(0).subarray(0, 7), 4), undefined, "half a pointer");
});

for (const [length, isTaken] of [
  [9, true],
  [10, true],
  [11, false],
] as const)
  test(`frameReader() ${isTaken ? "takes" : "does not take"} ${length} octets of at most 10`, () => {
    const message = Buffer.alloc(length, 7);
    assert.deepEqual(frameReader(10)(frame(message)), isTaken ? [message] : undefined);
  });

for (const [name, want] of [
  ["7.0.241.240.in-addr.arpa", "240.241.0.7"],
  ["07.0.241.240.in-addr.arpa", undefined],
  ["256.0.241.240.in-addr.arpa", undefined],
  ["0.241.240.in-addr.arpa", undefined],
  ["1.7.0.241.240.in-addr.arpa", undefined],
  [`${"0.".repeat(31)}0.ip6.arpa`, "::"],
  [`1.${"0.".repeat(23)}8.b.d.0.1.0.0.2.ip6.arpa`, "2001:db8::1"],
  [`${"0.".repeat(30)}0.ip6.arpa`, undefined],
  ["7.0.241.240.in-addr.arpa.example.org", undefined],
] as const)
  test(`reversedAddress() of ${name} is ${want ?? "none"}`, () => assert.equal(reversedAddress(name), want));
