import assert from "node:assert/strict";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { type PublishedNames, publishedNames } from "../../src/http/names.ts";
import { answerFor, type StatusSource } from "../../src/http/routes.ts";
import { httpServer } from "../../src/http/server.ts";
import type { NameTable } from "../../src/model/name-table.ts";

function tableWith(...names: string[]): NameTable {
  const rows = names.map((name) => ({ name, host: name, a: ["240.241.0.7"], aaaa: [], settledAtMs: 0 }));
  return { names: new Map(rows.map((row) => [row.name, row])), parents: new Set(), serial: names.length };
}

function start(first: NameTable | undefined) {
  let table = first;
  let wanted = 0;
  const names = publishedNames({
    table: () => table,
    wantEndpoints: () => void wanted++,
    secretFile: () => undefined,
  });
  const source: StatusSource = {
    ready: () => ({ ready: true, reasons: [] }),
    services: () => [],
    plan: () => ({}),
    metrics: async () => "",
    names,
  };
  const change = (next: NameTable) => {
    table = next;
    names.refresh();
  };
  return {
    source,
    change,
    wanted: () => wanted,
    get: (query = "", asked = {}) => answerFor("GET", `/api/names${query}`, source, asked),
  };
}

test("/api/names gives the names, and 304 to who has them", async () => {
  const { get } = start(tableWith("a.example.org"));
  const { status, etag, body } = await get();
  assert.equal(status, 200);
  assert.deepEqual(JSON.parse(String(body)), {
    serial: 1,
    hasEndpoints: false,
    names: [{ name: "a.example.org", host: "a.example.org", a: ["240.241.0.7"], aaaa: [], settledAtMs: 0 }],
  });
  const again = await get("?wait=0", { ifNoneMatch: etag });
  assert.deepEqual([again.status, again.etag, String(again.body)], [304, etag, ""]);
});

test("/api/names gives them compressed to who can take it", async () => {
  const { get } = start(tableWith("a.example.org"));
  const { encoding, body } = await get("", { acceptEncoding: "br, gzip" });
  assert.equal(encoding, "gzip");
  assert.ok(gunzipSync(body as Buffer).includes("a.example.org"));
});

test("/api/names waits for another state, and not longer than it is told", async () => {
  const { get, change } = start(tableWith("a.example.org"));
  const { etag } = await get();
  const waiting = get("?wait=20", { ifNoneMatch: etag });
  change(tableWith("a.example.org", "b.example.org"));
  const next = await waiting;
  assert.equal(next.status, 200);
  assert.ok(String(next.body).includes("b.example.org"));
  assert.equal((await get("?wait=0.05", { ifNoneMatch: next.etag })).status, 304);
});

test("/api/names misses no change that comes while the state before is written", async (t) => {
  const { get, change } = start(tableWith("a.example.org"));
  const { etag } = await get();
  t.mock.timers.enable({ apis: ["setTimeout"] }); // its 20 s do not pass
  const waiting = get("?wait=20", { ifNoneMatch: etag });
  change(tableWith("a.example.org", "b.example.org"));
  assert.equal((await waiting).status, 200);
});

test("/api/names lets nobody wait for more than 25 s", async (t) => {
  const { get } = start(tableWith("a.example.org"));
  const { etag } = await get();
  let now = performance.now();
  t.mock.method(performance, "now", () => now);
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const pass = async (ms: number) => {
    await new Promise((resolve) => setImmediate(resolve));
    now += ms;
    t.mock.timers.tick(ms);
  };
  let isAnswered = false;
  const waiting = get("?wait=3600", { ifNoneMatch: etag }).finally(() => {
    isAnswered = true;
  });
  await pass(24_999);
  await new Promise((resolve) => setImmediate(resolve));
  assert.ok(!isAnswered);
  await pass(1);
  assert.equal((await waiting).status, 304);
});

test("/api/names does not wake who waits for a state that is the same", async () => {
  const { get, change } = start(tableWith("a.example.org"));
  const { etag } = await get();
  const waiting = get("?wait=0.3", { ifNoneMatch: etag });
  change(tableWith("a.example.org"));
  assert.equal((await waiting).status, 304);
});

test("/api/names says that the names are not known yet", async () => {
  const { get, change } = start(undefined);
  assert.equal((await get()).status, 503);
  // Whatever state a client has: nothing is known of it.
  assert.equal((await get("", { ifNoneMatch: '"0123456789abcdef"' })).status, 503);
  assert.equal((await get("?wait=0.01", { ifNoneMatch: '"0123456789abcdef"' })).status, 503);
  const waiting = get("?wait=20");
  change(tableWith("a.example.org"));
  assert.equal((await waiting).status, 200);
});

test("/api/names waits for endpoints where they are wanted", async () => {
  const { get, change, wanted } = start(tableWith("a.example.org"));
  assert.equal((await get("?endpoints=true")).status, 503);
  assert.equal(wanted(), 1);
  const { etag } = await get();
  const waiting = get("?wait=20&endpoints=true", { ifNoneMatch: etag });
  change({ ...tableWith("a.example.org"), hasEndpoints: true });
  assert.equal(JSON.parse(String((await waiting).body)).hasEndpoints, true);
});

for (const wait of ["x", "-1", "Infinity"])
  test(`/api/names refuses to wait for ${wait}`, async () => {
    assert.equal((await start(tableWith()).get(`?wait=${wait}`)).status, 400);
  });

test("/api/names does not wait before it refuses what is no nonce", async () => {
  const { get } = start(undefined);
  assert.equal((await get("?wait=20", { nonce: "AB" })).status, 400);
});

test("stop() answers at once who waits for names", async (t) => {
  const { source } = start(tableWith("a.example.org"));
  const begun = Promise.withResolvers<void>();
  const names: PublishedNames = {
    refresh() {},
    secrets: async () => undefined,
    read(known, how) {
      if (known !== undefined) begun.resolve();
      return source.names?.read(known, how) ?? assert.fail();
    },
  };
  const server = await httpServer({ listen: { address: "127.0.0.1", port: 0 }, source: { ...source, names } });
  const url = `http://127.0.0.1:${server.port}/api/names`;
  const etag = (await fetch(url)).headers.get("etag") ?? "";
  // Neither its 20 s nor the time after which the server would drop it pass.
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const waiting = fetch(`${url}?wait=20`, { headers: { "if-none-match": etag } });
  await begun.promise;
  await server.stop();
  assert.equal((await waiting).status, 304);
});
