import assert from "node:assert/strict";
import { mkdtemp, rename, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileText } from "../../adapters/file-text.ts";
import { nameFilter } from "../../adapters/globs.ts";
import { failureOfStatus } from "../../adapters/http-status.ts";
import { intern } from "../../adapters/intern.ts";
import { endpointOf, fewNotes } from "../../adapters/mapping.ts";
import { duration, isDistinct, isServerUrl } from "../../adapters/options.ts";
import { few, shorten } from "../../adapters/text.ts";

const globs: readonly { readonly glob: string; readonly fits: readonly string[]; readonly not: readonly string[] }[] = [
  { glob: "*", fits: ["", "a", "a\nb"], not: [] },
  { glob: "web", fits: ["web"], not: ["Web", "web2", "aweb", ""] },
  { glob: "web*", fits: ["web", "web-2", "web\n2"], not: ["aweb", "we"] },
  { glob: "*web", fits: ["web", "a.web"], not: ["web2"] },
  { glob: "w?b", fits: ["web", "w.b"], not: ["wb", "weeb"] },
  { glob: "w**b", fits: ["wb", "web"], not: ["we"] },
  { glob: "a.b", fits: ["a.b"], not: ["axb"] },
  { glob: "a+(b)[c]{d}|e^f$g\\h", fits: ["a+(b)[c]{d}|e^f$g\\h"], not: ["aa(b)[c]{d}|e^f$g\\h"] },
];
for (const { glob, fits, not } of globs)
  test(`nameFilter() takes ${glob} for what it says`, () => {
    const include = nameFilter({ include: [glob], exclude: [] });
    const exclude = nameFilter({ include: ["*"], exclude: [glob] });
    for (const name of fits) assert.deepEqual([include(name), exclude(name)], [true, false], name);
    for (const name of not) assert.deepEqual([include(name), exclude(name)], [false, true], name);
  });

test("nameFilter() wants one of those included, and none of those excluded", () => {
  const filter = nameFilter({ include: ["web*", "db"], exclude: ["*-canary", "web-x"] });
  const names = ["web", "web-1", "db", "db-1", "web-canary", "web-x", "other"];
  assert.deepEqual(names.filter(filter), ["web", "web-1", "db"]);
  assert.deepEqual(names.filter(nameFilter({ include: [], exclude: [] })), []);
});

for (const [status, want] of [
  [400, "answer"],
  [401, "denied"],
  [403, "denied"],
  [404, "answer"],
  [428, "answer"],
  [429, "server"],
  [499, "answer"],
  [500, "server"],
  [503, "server"],
] as const)
  test(`failureOfStatus() of ${status} is ${want}`, () => assert.equal(failureOfStatus(status), want));

for (const [url, want] of [
  ["http://consul.example.org:8500", true],
  ["https://[2001:db8::1]:8501/consul/", true],
  ["http://user@consul.example.org", false],
  ["http://:secret@consul.example.org", false],
  ["http://consul.example.org/?a=b", false],
  ["http://consul.example.org/#a", false],
  ["ftp://consul.example.org", false],
  ["consul.example.org:8500", false],
  ["", false],
] as const)
  test(`isServerUrl() is ${want} of "${url}"`, () => assert.equal(isServerUrl(url), want));

test("duration() takes what is at its bounds, and nothing beyond", () => {
  const form = duration("100ms", "1h");
  for (const [text, want] of [
    ["100ms", 100],
    ["1h", 3_600_000],
    ["60m", 3_600_000],
  ] as const)
    assert.equal(form.parse(text), want);
  for (const text of ["99ms", "3601s", "1d", "", "1"]) assert.equal(form.safeParse(text).success, false, text);
});

test("isDistinct() is false where a value stands twice", () => {
  assert.deepEqual([isDistinct([]), isDistinct(["a", "A"]), isDistinct(["a", "b", "a"])], [true, true, false]);
});

test("shorten() gives one line of at most 120 characters that can be shown", () => {
  assert.equal(shorten("x".repeat(120)), "x".repeat(120));
  assert.equal(shorten("x".repeat(121)), `${"x".repeat(119)}…`);
  assert.equal(shorten("a\r\n\u0000b\u2028c\u200bd"), "a?b?c?d");
});

test("few() and fewNotes() say how many there would be besides", () => {
  const texts = (count: number) => Array.from({ length: count }, (_, at) => `t${at}`);
  assert.deepEqual(
    few(texts(2), 2, (rest) => `${rest} more`),
    ["t0", "t1"],
  );
  assert.deepEqual(
    few(texts(4), 2, (rest) => `${rest} more`),
    ["t0", "t1", "2 more"],
  );
  assert.equal(fewNotes(texts(20)).length, 20);
  assert.deepEqual(fewNotes(texts(21)).slice(-2), ["t19", "1 further notes are left out"]);
});

test("endpointOf() has the fields that were given, and no others", () => {
  assert.deepEqual(endpointOf("192.0.2.1", { weight: undefined, labels: undefined }), { address: "192.0.2.1" });
  const all = { ports: { a: 1 }, weight: 0, labels: {}, region: "r", zone: "z", subzone: "s" };
  assert.deepEqual(endpointOf("192.0.2.1", all), { address: "192.0.2.1", ...all });
});

test("intern() gives one object for equal ones, and never one for others", () => {
  const pool = intern();
  const first = pool.record({ a: "1", b: "2" });
  assert.equal(pool.record({ a: "1", b: "2" }), first);
  assert.notEqual(pool.record({ a: "1" }), first);
  assert.deepEqual(pool.record({ a: 1 }), { a: 1 });
  for (let at = 0; at < 20_001; at++) assert.deepEqual(pool.record({ at }), { at });
  for (let at = 0; at < 20_001; at++) assert.equal(pool.text(`t${at}`), `t${at}`);
  assert.deepEqual(pool.record({ a: "1", b: "2" }), first, "what was handed out stays good");
});

test("fileText() reads a file again when it was written or exchanged, and only then", async (t) => {
  const dir = await mkdtemp(join(tmpdir(), "x2istio-file-text-"));
  t.after(() => rm(dir, { recursive: true }));
  const file = join(dir, "token");
  await writeFile(file, "one");
  await utimes(file, 1000, 1000);
  const first = await fileText(file, undefined);
  assert.equal(await fileText(file, first), first);
  await writeFile(`${file}~`, "two");
  await utimes(`${file}~`, 1000, 1000);
  await rename(`${file}~`, file);
  const second = await fileText(file, first);
  assert.equal(second.text, "two", "of the same size and time");
  await writeFile(file, "three");
  assert.equal((await fileText(file, second)).text, "three");
  await rm(file);
  await assert.rejects(fileText(file, second), { code: "ENOENT" });
});
