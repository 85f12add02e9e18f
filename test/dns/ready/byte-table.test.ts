import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { byteTable } from "../../../src/dns/ready/byte-table.ts";
import { encodeName } from "../../../src/dns/wire/wire-name.ts";
import { sized } from "../../size.ts";

const keyOf = (name: string) => encodeName(name) ?? assert.fail(`no name: ${name}`);

test("byteTable() holds what a Map would hold, whatever is put and deleted", () => {
  const name = fc.nat(40).map((n) => `${"x".repeat(1 + (n % 7))}-${n}.mesh.internal`);
  const step = fc.record({ name, value: fc.option(fc.uint8Array({ maxLength: 300 }), { nil: undefined }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const entries = byteTable();
      const model = new Map<string, Uint8Array>();
      for (const { name, value } of steps) {
        if (value === undefined) entries.delete(keyOf(name));
        else entries.put(keyOf(name), value);
        if (value === undefined) model.delete(name);
        else model.set(name, value);
      }
      assert.equal(entries.size(), model.size);
      for (let n = 0; n <= 40; n++) {
        const name = `${"x".repeat(1 + (n % 7))}-${n}.mesh.internal`;
        const key = keyOf(name);
        const want = model.get(name);
        assert.equal(entries.find(key, 0, key.length), want !== undefined);
        const { bytes, at } = entries.cursor;
        if (want !== undefined) assert.deepEqual([...bytes.subarray(at, at + want.length)], [...want]);
      }
    }),
    { numRuns: sized(300) },
  );
});

test("byteTable() finds ASCII letters in any case and no other octets (RFC 4343 §3)", () => {
  const entries = byteTable();
  entries.put(keyOf("orders.mesh.internal"), Uint8Array.of(1));
  entries.put(Uint8Array.of(2, 0x5b, 0xc9, 0), Uint8Array.of(2));
  const found = (octets: Uint8Array) => entries.find(octets, 0, octets.length);
  const upper = keyOf("orders.mesh.internal").map((octet) => (octet >= 0x61 && octet <= 0x7a ? octet - 0x20 : octet));
  assert.ok(found(upper));
  entries.put(Uint8Array.of(2, 0x7c, 0xe9, 0), Uint8Array.of(3));
  assert.ok(!found(Uint8Array.of(2, 0x5c, 0xe9, 0)));
  assert.ok(!found(Uint8Array.of(2, 0x7c, 0xc9, 0)));
  assert.ok(!found(Uint8Array.of(2, 0x7b, 0xc9, 0)));
  assert.ok(!found(Uint8Array.of(2, 0x5b, 0xe9, 0)));
});

test("byteTable() uses again what deleted entries took", () => {
  const entries = byteTable();
  const value = new Uint8Array(100);
  for (let n = 0; n < 20_000; n++) entries.put(keyOf(`service-${n}.mesh.internal`), value);
  const before = entries.memoryBytes();
  for (let n = 0; n < sized(400_000); n++) {
    entries.delete(keyOf(`service-${n}.mesh.internal`));
    entries.put(keyOf(`service-${n + 20_000}.mesh.internal`), value.subarray(0, 60 + (n % 40)));
  }
  assert.equal(entries.size(), 20_000);
  assert.ok(entries.memoryBytes() <= before + 2 ** 20, `${before} octets became ${entries.memoryBytes()}`);
});

test("byteTable() uses again what an entry took that now has another size", () => {
  const entries = byteTable();
  const value = new Uint8Array(400);
  for (let n = 0; n < 100_000; n++) entries.put(keyOf(`service-${n % 100}.mesh.internal`), value.subarray(0, n % 401));
  assert.equal(entries.size(), 100);
  assert.ok(entries.memoryBytes() <= 2 * 2 ** 20, `${entries.memoryBytes()} octets`);
});

test("byteTable() uses what a large entry took for several small ones", () => {
  const entries = byteTable();
  const value = new Uint8Array(600);
  for (let n = 0; n < 5000; n++) entries.put(keyOf(`large-${n}.mesh.internal`), value);
  for (let n = 0; n < 5000; n++) entries.delete(keyOf(`large-${n}.mesh.internal`));
  const heapBytes = entries.memoryBytes();
  for (let n = 0; n < 40_000; n++) entries.put(keyOf(`s${n}.mesh.internal`), value.subarray(0, 30));
  // The slots of 40,000 names take 1 MiB.
  assert.ok(entries.memoryBytes() <= heapBytes + 2 ** 20, `${heapBytes} octets became ${entries.memoryBytes()}`);
});
