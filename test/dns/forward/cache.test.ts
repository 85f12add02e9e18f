import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { boundedCache } from "../../../src/dns/forward/cache.ts";
import { sized } from "../../size.ts";

test("boundedCache() counts a key that is put again once, whatever its size was", () => {
  const cache = boundedCache<number>(10_000);
  cache.put("other", 0, 10);
  const before = cache.bytes();
  cache.put("key", 1, 100);
  const one = cache.bytes() - before;
  for (let n = 0; n < 1000; n++) cache.put("key", n, n % 3 === 0 ? 200 : 100);
  assert.equal(cache.bytes() - before, one + 100);
  assert.deepEqual([cache.size(), cache.get("key"), cache.get("other")], [2, 999, 0]);
});

test("boundedCache() keeps what just fits, and of what does not fit nothing, not even the value before", () => {
  const measured = boundedCache<number>(1_000_000);
  measured.put("k", 0, 0);
  const least = measured.bytes();
  const cache = boundedCache<number>(least + 50);
  cache.put("k", 1, 50);
  assert.equal(cache.get("k"), 1);
  cache.put("k", 2, 51);
  assert.deepEqual([cache.get("k"), cache.size(), cache.bytes()], [undefined, 0, 0]);
});

test("boundedCache() makes room by what was not asked for, the oldest first", () => {
  const measured = boundedCache<number>(1_000_000);
  measured.put("a", 0, 0);
  const cache = boundedCache<number>(measured.bytes() * 3);
  for (const [at, key] of ["a", "b", "c"].entries()) cache.put(key, at, 0);
  cache.get("a");
  cache.put("d", 3, 0); // a stays for another round, b goes
  cache.put("e", 4, 0); // c goes
  cache.put("f", 5, 0); // d goes
  cache.put("g", 6, 0); // a, which was not asked for again
  assert.deepEqual(
    ["a", "b", "c", "d", "e", "f", "g"].filter((key) => cache.get(key) !== undefined),
    ["e", "f", "g"],
  );
});

test("boundedCache() never holds more than it may, and counts what it holds", () => {
  const step = fc.record({ key: fc.constantFrom("a", "b", "c", "dd", "ee"), bytes: fc.nat(900), isRead: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const cache = boundedCache<number>(2500);
      for (const { key, bytes, isRead } of steps) {
        if (isRead) cache.get(key);
        else cache.put(key, bytes, bytes);
        assert.ok(cache.bytes() <= 2500);
        const held = ["a", "b", "c", "dd", "ee"].flatMap((one) => {
          const value = cache.get(one);
          return value === undefined ? [] : [{ key: one, bytes: value }];
        });
        let sum = 0;
        for (const one of held) {
          const alone = boundedCache<number>(1_000_000);
          alone.put(one.key, one.bytes, one.bytes);
          sum += alone.bytes();
        }
        assert.deepEqual([cache.size(), cache.bytes()], [held.length, sum]);
      }
    }),
    { numRuns: sized(300) },
  );
});
