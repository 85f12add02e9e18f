import assert from "node:assert/strict";
import { test } from "node:test";
import type { HeldResult, Wanted } from "../../../src/dns/observe/hooks.ts";
import { reportWanted } from "../../../src/dns/observe/report-wanted.ts";
import type { NameTable } from "../../../src/model/name-table.ts";
import { ask, askUdp, startServer } from "../sockets.ts";
import { addresses, decode, query, table } from "../wire.ts";

const SERVICE = "prod/shop/orders";
const HOST = "orders.mesh.internal";
const waiting = {
  [HOST]: { service: SERVICE, waits: true as const },
  "orders.corp.example.com": { host: HOST, service: SERVICE, waits: true as const },
  "*.wild.mesh.internal": { host: HOST, service: SERVICE, waits: true as const },
};
const standing = {
  [HOST]: { a: ["240.241.0.9"], service: SERVICE },
  "orders.corp.example.com": { host: HOST, a: ["240.241.0.9"] },
};
const views = [
  { name: "vms", clients: ["127.0.0.2/32"], answer: ["198.51.100.7"] },
  { name: "office", clients: ["127.0.0.3/32"], answer: "endpoints" as const },
];

for (const workers of [0, 1]) {
  const asked: readonly (readonly [name: string, type: number])[] = [
    [HOST, 1],
    ["orders.corp.example.com", 1],
    ["orders.corp.example.com", 28],
    ["any.wild.mesh.internal", 1],
    [HOST, 33],
    [`_http._tcp.${HOST}`, 33],
  ];
  test(`dnsServer() with ${workers} workers tells who wants a service, and never denies its names`, async (t) => {
    const wanted: Wanted[] = [];
    const held: HeldResult[] = [];
    const { at } = await startServer(t, {
      ...{ workers, table: () => table(waiting) },
      hooks: {
        onWanted: (one) => void wanted.push(one),
        onHeld: (result, count = 1) => held.push(...Array<HeldResult>(count).fill(result)),
      },
    });
    const packets = asked.map(([name, type], id) => query(name, { type, id }));
    const answers = await askUdp(at, packets);
    assert.deepEqual(new Set(answers.map((one) => decode(one).rcode)), new Set([2]));
    assert.equal(answers.length, asked.length);
    assert.deepEqual(wanted.slice(0, 1), [{ service: SERVICE, view: "mesh", client: "127.0.0.1" }]);
    assert.ok(wanted.length <= 3, "the same service is told of once a second");
    // Of types that it will not have either, there is nothing to wait for.
    assert.deepEqual(decode(await ask(at, query(HOST, { type: 15 }))).rcode, 0);
  });

  test(`dnsServer() with ${workers} workers answers as soon as the service has a VIP`, async (t) => {
    let now: NameTable = table(waiting, 7);
    const { server, at } = await startServer(t, {
      ...{ workers, table: () => now },
      hooks: {
        onWanted() {
          now = table(standing, 8);
          server.refresh();
        },
      },
    });
    const answer = await ask(at, query("orders.corp.example.com"));
    assert.deepEqual([decode(answer).rcode, addresses(answer)], [0, ["240.241.0.9"]]);
    assert.deepEqual(addresses(await ask(at, query(HOST))), ["240.241.0.9"], "also from what lies ready");
  });
}

for (const { name, view } of views.map((view) => ({ name: view.name, view: { ...view, clients: ["127.0.0.0/8"] } })))
  test(`dnsServer() lets the clients of view ${name} wait, too`, async (t) => {
    const wanted: Wanted[] = [];
    const { at } = await startServer(t, {
      ...{ views: [view], table: () => table(waiting) },
      hooks: { onWanted: (one) => void wanted.push(one) },
    });
    assert.equal(decode(await ask(at, query(HOST))).rcode, 2);
    assert.equal(wanted[0]?.view, name);
  });

test("reportWanted() reports each service once a second, and few under a flood", () => {
  const told: string[] = [];
  let now = 0;
  const tell = reportWanted(
    ({ service }) => void told.push(service),
    () => now,
  );
  const want = (service: string) => tell({ service, view: "mesh", client: "127.0.0.1" });
  for (let n = 0; n < 5; n++) want("a");
  want("b");
  assert.deepEqual(told, ["a", "b"]);
  now += 1000;
  want("a");
  assert.deepEqual(told, ["a", "b", "a"]);
  for (let n = 0; n < 50_000; n++) want(`service-${n}`);
  assert.ok(told.length < 11_000);
});
