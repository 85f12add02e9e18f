import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { linesOf } from "../../../src/kube/watch/lines.ts";

test("linesOf() gives the same lines however the stream is cut", async () => {
  const line = fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 }).filter((text) => !text.includes("\n"));
  await fc.assert(
    fc.asyncProperty(fc.array(line), fc.array(fc.nat({ max: 20 })), async (lines, cuts) => {
      const bytes = Buffer.from(lines.map((text) => `${text}\n`).join(""));
      assert.deepEqual(await collect(linesOf(chunked(bytes, cuts))), lines);
    }),
  );
});

test("linesOf() gives what comes after the last line feed", async () => {
  assert.deepEqual(await collect(linesOf(chunked(Buffer.from("a\nb"), []))), ["a", "b"]);
});

test("linesOf() refuses a line that does not end, and none that is long", async () => {
  const mebibyte = Buffer.alloc(1024 * 1024, "x");
  async function* stream(count: number, last: string): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < count; at++) yield mebibyte;
    yield Buffer.from(last);
  }
  const [line = ""] = await collect(linesOf(stream(16, "\n")));
  assert.equal(line.length, 16 * 1024 * 1024);
  await assert.rejects(collect(linesOf(stream(16, "x"))), /a line must not exceed 16777216 bytes/);
  const [, second = ""] = await collect(linesOf(stream(16, `\n${"y".repeat(10)}`)));
  assert.equal(second, "y".repeat(10), "each line is counted anew");
});

async function* chunked(bytes: Buffer, cuts: readonly number[]): AsyncGenerator<Uint8Array> {
  let from = 0;
  for (const length of cuts) {
    yield bytes.subarray(from, from + length);
    from += length;
  }
  yield bytes.subarray(from);
}

async function collect(lines: AsyncIterable<string>): Promise<string[]> {
  const collected: string[] = [];
  for await (const line of lines) collected.push(line);
  return collected;
}
