import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { signed } from "../../../adapters/nacos/client/auth.ts";
import { decodePayload, encodePayload } from "../../../adapters/nacos/client/payload.ts";
import { sized } from "../../size.ts";

test("a message is written as Nacos' own definition has it", () => {
  // Payload {metadata: {type: "A", headers: {"k": "v"}}, body: {value: "{}"}}, field by field.
  const want = ["120b", "1a0141", "3a060a016b120176", "1a04", "12027b7d"].join("");
  assert.equal(encodePayload({ type: "A", body: Buffer.from("{}") }, { k: "v" }).toString("hex"), want);
});

test("what is written is read again, whatever its length", () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), fc.uint8Array({ maxLength: 1000 }), fc.string(), (type, body, header) => {
      const read = decodePayload(encodePayload({ type, body }, { header }));
      assert.equal(read.type, Buffer.from(type).toString());
      assert.deepEqual(Buffer.from(read.body), Buffer.from(body));
    }),
    { numRuns: sized(500) },
  );
  for (const length of [0, 1, 63, 64, 120, 127, 128, 16_383, 16_384, 300_000])
    assert.equal(decodePayload(encodePayload({ type: "A", body: Buffer.alloc(length, 1) })).body.length, length);
});

test("fields that are not known are passed over", () => {
  const known = encodePayload({ type: "A", body: Buffer.from("{}") });
  const further = Buffer.from("0801" + "1101020304050607081d01020304" + "2202ffff", "hex"); // of every form
  assert.equal(decodePayload(Buffer.concat([further, known, further])).type, "A");
});

test("rubbish is refused, and never read past its end", () => {
  const whole = encodePayload({ type: "A", body: Buffer.alloc(100, 1) });
  for (let end = 1; end < whole.length; end++)
    // The first five are a message without a body.
    if (end !== 5) assert.throws(() => decodePayload(whole.subarray(0, end)), /is no message of Nacos/, `${end}`);
  for (const text of ["", "12", "1205", "12ffffffffffffffffffff", "13", "0e", "1a0412", "1d01", "11", "08"])
    assert.throws(() => decodePayload(Buffer.from(text, "hex")), /is no message of Nacos/, text);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => {
      try {
        decodePayload(octets);
      } catch (error) {
        assert.match((error as Error).message, /is no message of Nacos/);
      }
    }),
    { numRuns: sized(2000) },
  );
});

test("a request is signed as clouds want it", () => {
  // openssl: printf '1700000000000@@DEFAULT_GROUP@@orders' | openssl dgst -sha1 -hmac secret -binary | base64
  assert.deepEqual(signed("key", "secret", "DEFAULT_GROUP@@orders", 1_700_000_000_000), {
    ak: "key",
    data: "1700000000000@@DEFAULT_GROUP@@orders",
    signature: "M2kcI6q+u/mbeEqpJkEfvnz+S+0=",
  });
  assert.deepEqual(signed("key", "secret", "", 1_700_000_000_000).data, "1700000000000");
});
