import assert from "node:assert/strict";
import { test } from "node:test";
import { questionCounts } from "../../../src/dns/observe/question-counts.ts";
import type { NameQuestions } from "../../../src/model/usage.ts";
import { until } from "../../until.ts";
import { ask, askUdp, openTcp, orders, startServer } from "../sockets.ts";
import { query, table } from "../wire.ts";

const none = () => 0;
const HEADER = 12;

/** Numbers by name and view of all that was told. */
function sums(told: readonly NameQuestions[]): Record<string, number> {
  const by: Record<string, number> = {};
  for (const { name, view, count } of told) by[`${view} ${name}`] = (by[`${view} ${name}`] ?? 0) + count;
  return by;
}

test("questionCounts() tells each name once, with who asked first", () => {
  const counts = questionCounts();
  assert.equal(counts.begin(query("Orders.mesh.internal"), HEADER, "192.0.2.1"), true);
  assert.equal(counts.begin(query("orders.mesh.internal"), HEADER, "192.0.2.2"), true);
  counts.add("orders.mesh.internal", "vms", "198.51.100.1");
  counts.add("orders.mesh.internal", "vms", "198.51.100.2");
  assert.deepEqual(
    counts.flush(() => 5),
    [
      { name: "orders.mesh.internal", view: "mesh", client: "192.0.2.1", count: 5 },
      { name: "orders.mesh.internal", view: "vms", client: "198.51.100.1", count: 2 },
    ],
  );
  assert.deepEqual(counts.flush(none), []);
});

test("questionCounts() counts once a name whose answer was made anew meanwhile", () => {
  const counts = questionCounts();
  counts.begin(query("orders.mesh.internal"), HEADER, "192.0.2.1");
  assert.deepEqual(
    counts.flush(none).map(({ count }) => count),
    [1],
  );
});

test("questionCounts() takes 1,000 names in one interval, and further ones in the next", () => {
  const counts = questionCounts();
  const begun = Array.from({ length: 1100 }, (_, n) => counts.begin(query(`s${n}.mesh.internal`), HEADER, "192.0.2.1"));
  for (let n = 0; n < 1100; n++) counts.add(`s${n}.mesh.internal`, "vms", "192.0.2.1");
  assert.equal(begun.filter(Boolean).length, 1000);
  assert.equal(counts.flush(none).length, 2000);
  assert.equal(counts.begin(query("s1099.mesh.internal"), HEADER, "192.0.2.1"), true);
});

for (const workers of [0, 2])
  test(`dnsServer() with ${workers} workers tells which of its names were asked for, however they were answered`, async (t) => {
    const told: NameQuestions[] = [];
    const rows = {
      "orders.mesh.internal": { a: ["240.241.0.7"] },
      "stock.mesh.internal": { a: ["240.241.0.8"] },
      "alias.mesh.internal": { cname: "stock.mesh.internal" },
    };
    const now = table(rows);
    const { at } = await startServer(t, {
      workers,
      table: () => now,
      views: [{ name: "elsewhere", clients: ["203.0.113.0/24"], answer: ["198.51.100.1"] }],
      hooks: { onQuestions: (questions) => told.push(...questions) },
    });
    for (let n = 0; n < 30; n++) await ask(at, orders({ id: n }));
    await askUdp(at, [orders({ type: 28 }), query("alias.mesh.internal"), query("nope.mesh.internal")]);
    const client = await openTcp(at);
    client.send(query("stock.mesh.internal"));
    await client.take(1);
    client.socket.destroy();
    const want = { "mesh orders.mesh.internal": 31, "mesh alias.mesh.internal": 1, "mesh stock.mesh.internal": 1 };
    await until(() => Object.values(sums(told)).reduce((sum, count) => sum + count, 0) >= 33);
    assert.deepEqual(sums(told), want);
    assert.ok(told.every((one) => one.client === "127.0.0.1"));
  });
