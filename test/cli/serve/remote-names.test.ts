import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { remoteNames } from "../../../src/cli/serve/remote-names.ts";
import { ConfigError } from "../../../src/errors.ts";
import { createLog } from "../../../src/log.ts";
import { securityRow } from "../../security/row.ts";

interface Reply {
  readonly status?: number;
  readonly serial?: number;
  readonly names?: readonly object[];
  readonly body?: string;
  readonly date?: Date;
}

const rowOf = (name: string, fields: object = {}) => ({
  ...{ name, host: name, a: ["240.241.0.7"], aaaa: [], settledAtMs: 0 },
  ...fields,
});

/** Another x2istio that gives these replies, one after the other, and then none. */
async function start(t: TestContext, replies: readonly Reply[], { path = "", suffixes = ["example.org"] } = {}) {
  const asked: { readonly url: string; readonly etag: string | undefined }[] = [];
  let given = 0;
  const server = createServer(async (request: IncomingMessage, response: ServerResponse) => {
    const number = asked.push({ url: request.url ?? "", etag: request.headers["if-none-match"] });
    while (given < number) await new Promise((resolve) => setTimeout(resolve, 5).unref());
    const reply = replies[number - 1];
    if (reply === undefined) return; // as if nothing changed
    const { status = 200, serial = 1, names = [], body, date = new Date() } = reply;
    response.writeHead(status, { etag: `"${number}"`, date: date.toUTCString() });
    response.end(status === 304 ? undefined : (body ?? JSON.stringify({ serial, hasEndpoints: false, names })));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const end = new AbortController();
  const leftOut: number[] = [];
  const warnings: object[] = [];
  const log = {
    ...createLog({ level: "silent", pretty: false }),
    warn: (fields: object) => void warnings.push(fields),
  };
  let tables = 0;
  const remote = remoteNames(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`, {
    ...{ log, endpoints: false, dns: { zones: [], names: { suffixes } } },
    onTable: () => tables++,
    onCurrent: (count) => leftOut.push(count),
  });
  const followed = remote.follow(end.signal);
  t.after(async () => {
    end.abort();
    await followed;
    server.closeAllConnections();
    server.close();
  });
  return {
    ...{ remote, asked, leftOut, warnings },
    counts: () => ({ tables, current: leftOut.length }),
    /** Give so many replies, and wait until it asks for what comes after them. */
    async until(count: number) {
      given = count;
      while (asked.length <= count) await new Promise((resolve) => setTimeout(resolve, 5));
    },
  };
}

test("remoteNames() follows the other side, and keeps what is unchanged", async (t) => {
  const a = rowOf("a.example.org");
  const { remote, asked, counts, until } = await start(t, [
    { serial: 5, names: [a, rowOf("b.example.org")] },
    { status: 304 },
    { serial: 6, names: [a, rowOf("b.example.org", { a: ["240.241.0.9"] })] },
  ]);
  await until(1);
  const first = remote.table();
  assert.deepEqual([first?.serial, first?.parents.has("example.org")], [5, true]);
  await until(2);
  assert.deepEqual([remote.table() === first, counts()], [true, { tables: 1, current: 2 }]);
  await until(3);
  const second = remote.table();
  assert.equal(second?.names.get("a.example.org"), first?.names.get("a.example.org"));
  assert.deepEqual(second?.names.get("b.example.org")?.a, ["240.241.0.9"]);
  assert.deepEqual(
    asked.map(({ etag }) => etag),
    [undefined, '"1"', '"1"', '"3"'],
  );
  assert.ok(asked.every(({ url }) => url === "/api/names?wait=20&endpoints=false"));
});

for (const [title, reply] of [
  ["fails", { status: 500, body: "no" }],
  ["sends no JSON", { body: "{" }],
  ["sends an IPv6 address as IPv4", { names: [rowOf("a.example.org", { a: ["2001:db8::7"] })] }],
  ["sends an address that is none", { names: [rowOf("a.example.org", { a: ["240.241.0"] })] }],
] as const)
  test(`remoteNames() answers on from the last names where the other side ${title}`, async (t) => {
    const { remote, counts, until } = await start(t, [{ names: [rowOf("a.example.org")] }, reply]);
    await until(2);
    assert.deepEqual(remote.table()?.names.get("a.example.org")?.a, ["240.241.0.7"]);
    assert.deepEqual(counts(), { tables: 1, current: 1 });
  });

test("remoteNames() has addresses in canonical text, and serials that only go up", async (t) => {
  const names = [rowOf("a.example.org", { a: [], aaaa: ["2001:DB8:0:0::7"] })];
  const { remote, until } = await start(t, [
    { serial: 9, names },
    { serial: 2, names: [] },
  ]);
  await until(1);
  assert.deepEqual(remote.table()?.names.get("a.example.org")?.aaaa, ["2001:db8::7"]);
  await until(2);
  assert.deepEqual([remote.table()?.serial, remote.table()?.names.size], [10, 0]);
});

test("remoteNames() takes times by the other side's clock", async (t) => {
  const aheadMs = 3_600_000;
  const date = new Date(Date.now() + aheadMs);
  const settledAtMs = date.getTime() + 1000;
  const names = [rowOf("a.example.org", { settledAtMs }), rowOf("b.example.org")];
  const { remote, until } = await start(t, [{ names, date }]);
  await until(1);
  const found = remote.table()?.names.get("a.example.org")?.settledAtMs ?? 0;
  // The date has whole seconds, and some time has passed on the way.
  assert.ok(found >= settledAtMs - aheadMs - 1 && found < settledAtMs - aheadMs + 60_000, `${found - settledAtMs}`);
  assert.equal(remote.table()?.names.get("b.example.org")?.settledAtMs, 0);
});

test("remoteNames() asks for endpoints at once when they are wanted, below the path that it was given", async (t) => {
  const { remote, asked, until } = await start(t, [{ names: [] }], { path: "/x2istio/" });
  await until(1);
  remote.wantEndpoints();
  await until(2);
  remote.wantEndpoints();
  assert.deepEqual(
    asked.map(({ url }) => url),
    ["false", "false", "true"].map((endpoints) => `/x2istio/api/names?wait=20&endpoints=${endpoints}`),
  );
});

test(
  securityRow({
    who: "network",
    attack: "gives names to x2istio dns --from that are outside of its zones and suffixes",
    outcome: "they are not answered, counted, and named in one warning; the others are taken",
  }),
  async (t) => {
    const good = rowOf("a.example.org");
    const outside = ["example.com", "xexample.org", "org", "", "a.example.org.", "A.EXAMPLE.ORG", "x".repeat(1000)];
    const foreign = outside.map((name) => rowOf(name));
    const { remote, leftOut, warnings, until } = await start(t, [
      { names: [good, ...foreign, rowOf("example.org")] },
      { serial: 2, names: [good, ...foreign] },
      { serial: 3, names: [good, rowOf("new.example.com")] },
      { serial: 4, names: [good] },
    ]);
    await until(1);
    assert.deepEqual([...(remote.table()?.names.keys() ?? [])], ["a.example.org", "example.org"]);
    await until(4);
    assert.deepEqual(leftOut, [7, 7, 1, 0]);
    assert.equal(warnings.length, 1, "further ones are said a minute later at the earliest");
    assert.ok(JSON.stringify(warnings).length < 1000, JSON.stringify(warnings));
  },
);

test("remoteNames() asks ten times a second at most, however often there is news", async (t) => {
  const replies = Array.from({ length: 5 }, (_, at) => ({ serial: at + 1, names: [rowOf(`n${at}.example.org`)] }));
  const startedMs = performance.now();
  const { until } = await start(t, replies);
  await until(5);
  assert.ok(performance.now() - startedMs >= 4 * 95, "each fetch after the first came 100 ms later");
});

test("remoteNames() takes all names where the suffix is the root, and those of zones", async (t) => {
  const { remote, until } = await start(t, [{ names: [rowOf("64001.65536"), rowOf("orders")] }], { suffixes: [""] });
  await until(1);
  assert.deepEqual([...(remote.table()?.names.keys() ?? [])], ["64001.65536", "orders"]);
});

for (const from of ["x2istio", "ftp://x2istio.example.org", "127.0.0.1:8080"])
  test(`remoteNames() refuses ${from}`, () => {
    const dns = { zones: [], names: { suffixes: [] } };
    const options = { log: createLog({ level: "silent", pretty: false }), endpoints: false, dns };
    assert.throws(() => remoteNames(from, { ...options, onTable() {}, onCurrent() {} }), ConfigError);
  });
