import assert from "node:assert/strict";
import { test } from "node:test";
import { type AnswerLimits, answerBody, answerBudget } from "../../adapters/answer-body.ts";
import { jsonScan } from "../../adapters/json-scan.ts";
import { isHeavy, parseApart } from "../../adapters/parse.ts";
import { jsonReader, parseJson } from "../../adapters/read-json.ts";
import { ReadError } from "../../src/errors.ts";
import { ODD_PARSER } from "./odd-parser.ts";

const KIB = 1024;
const LIMITS: AnswerLimits = { bytes: 200 * KIB, depth: 3, values: 10 };
const signal = new AbortController().signal;

function gathered(pieces: Iterable<string | Uint8Array>, { limits = LIMITS, status = 200, headers = {} } = {}) {
  const body = answerBody(limits, answerBudget());
  body.begin(status, headers);
  for (const piece of pieces) body.add(Buffer.from(piece));
  return body;
}

function* repeated(piece: string, times: number): Generator<string> {
  for (let at = 0; at < times; at++) yield piece;
}

for (const { name, pieces, want } of [
  { name: "nothing", pieces: [], want: "" },
  { name: "one piece", pieces: ["[1]"], want: "[1]" },
  { name: "many pieces", pieces: ["[", "1,", "2", "]"], want: "[1,2]" },
  { name: "as much as there may be", pieces: repeated("a".repeat(KIB), 200), want: "a".repeat(200 * KIB) },
])
  test(`answerBody() gathers ${name}`, () => assert.equal(String(gathered(pieces).whole()), want));

for (const { name, pieces, headers = {}, why } of [
  { name: "an octet too much", pieces: [...repeated("a".repeat(KIB), 200), "a"], why: /larger than 204800 bytes/ },
  { name: "what is nested too deep", pieces: ["[[[", "["], why: /nested more than 3 deep/ },
  { name: "too many values", pieces: ["[", ...repeated("{},", 10)], why: /more than 10 values/ },
  { name: "single octets", pieces: repeated(" ", 20_000), why: /pieces of less than 64 bytes/ },
  { name: "what is compressed", pieces: [], headers: { "content-encoding": "gzip" }, why: /is compressed/ },
  { name: "half of it", pieces: ["[1"], headers: { "content-length": "4" }, why: /ended early/ },
])
  test(`answerBody() refuses ${name}`, () =>
    assert.throws(
      () => gathered(pieces, { headers }).whole(),
      (error) => {
        assert.ok(error instanceof ReadError && error.failure === "answer");
        assert.match(error.message, why);
        return true;
      },
    ));

test("answerBody() keeps the first words of an error, however long it is", () => {
  const body = gathered(repeated("[".repeat(KIB), 1000), { status: 500 });
  assert.ok(body.whole().length <= 65 * KIB);
  assert.match(String(body.whole()), /^\[{100}/);
});

test("the answers of a registry share their memory, and give it back", () => {
  const budget = answerBudget(300 * KIB);
  const limits = { ...LIMITS, bytes: 1024 * KIB };
  const gather = (kib: number) => {
    const body = answerBody(limits, budget);
    body.begin(200, {});
    for (let at = 0; at < kib; at++) body.add(Buffer.alloc(KIB));
    return body;
  };
  const first = gather(200);
  assert.throws(() => gather(200), /one of several that together are larger than 307200 bytes/);
  first.drop();
  first.add(Buffer.alloc(500 * KIB)); // more of it comes: nobody wants it any more
  gather(200).drop();
  gather(200).drop();
});

for (const { name, text, values } of [
  { name: "a number", text: "7", values: 0 },
  { name: "lists and mappings", text: '[{"a":[]},{}]', values: 5 },
  { name: "what is in a text", text: '["[{,\\"[[[{,","\\\\",[]]', values: 4 },
])
  test(`jsonScan() counts ${name}, also octet by octet`, () => {
    const limits = { depth: 9, values: 9 };
    const [atOnce, byOctet] = [jsonScan(limits), jsonScan(limits)];
    atOnce.add(Buffer.from(text));
    for (const octet of Buffer.from(text)) byOctet.add(Uint8Array.of(octet));
    assert.deepEqual([atOnce.values(), byOctet.values()], [values, values]);
  });

for (const { name, bytes, values, want } of [
  { name: "8 MiB", bytes: 8 * KIB * KIB, values: 0, want: false },
  { name: "more than 8 MiB", bytes: 8 * KIB * KIB + 1, values: 0, want: true },
  { name: "a quarter of a million values", bytes: 9, values: 250_000, want: false },
  { name: "more values than that", bytes: 9, values: 250_001, want: true },
])
  test(`${name} is ${want ? "" : "not "}heavy`, () => assert.equal(isHeavy(new Uint8Array(bytes), values), want));

const apart = (text: string, end = signal) => parseApart(ODD_PARSER, Buffer.from(text) as Buffer<ArrayBuffer>, end);

test("parseApart() gives what the parser does, and its errors", async () => {
  assert.deepEqual((await apart("a")).result, { text: "a" });
  await assert.rejects(apart("refuse"), { failure: "denied", message: "is refused" });
});

test("parseApart() that needs too much memory fails, and nothing else does", async () => {
  await assert.rejects(apart("devour"), { failure: "answer", message: /needs more memory/ });
});

test("parseApart() ends with its signal", async () => {
  const end = new AbortController();
  const parsed = apart("hang", end.signal);
  end.abort(new Error("stopped"));
  await assert.rejects(parsed, /stopped/);
});

for (const { name, text, want } of [
  { name: "JSON", text: '{"a":[1]}', want: { a: [1] } },
  { name: "a heavy JSON", text: `[${"[],".repeat(150_000)}1]`, want: undefined },
])
  test(`readJson() reads ${name}`, async () => {
    const value = await jsonReader()(new Response(text), signal);
    if (want === undefined) assert.equal((value as unknown[]).length, 150_001);
    else assert.deepEqual(value, want);
  });

for (const { name, text, why } of [
  { name: "no JSON", text: "<html>", why: /the answer of the registry is no JSON \(syntax\)/ },
  { name: "nothing", text: null, why: /is no JSON/ },
  { name: "brackets", text: "[".repeat(1e6), why: /nested more than 64 deep/ },
  { name: "too many values", text: `[${"{},".repeat(1e6)}1]`, why: /more than 1000000 values/ },
])
  test(`readJson() refuses ${name}`, () => assert.rejects(jsonReader()(new Response(text)), { message: why }));

test("parseJson() takes no text that is no UTF-8", () =>
  assert.throws(() => parseJson(Uint8Array.of(0x22, 0xff, 0x22)), /encoding/));
