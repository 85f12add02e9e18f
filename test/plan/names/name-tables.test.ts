import assert from "node:assert/strict";
import { test } from "node:test";
import { finish } from "../../../src/async/slices.ts";
import type { StandingObject } from "../../../src/model/standing.ts";
import { nameTables } from "../../../src/plan/names/name-tables.ts";
import { alias, entry, standing } from "../build.ts";

const OPTIONS = { settleMs: 0, nowMs: 1_000_000 };
const names = (list: readonly string[]) => ({ "x2istio.dev/names": JSON.stringify(list.map((name) => ({ name }))) });
const web = entry("dc1/shop/web", { addresses: ["240.241.0.1"] });

const cases: readonly { name: string; now: StandingObject | undefined; isSame: boolean }[] = [
  {
    name: "stays when an entry has other endpoints",
    now: entry("dc1/shop/web", { addresses: ["240.241.0.1"], endpoints: [{ address: "192.0.2.9" }] }),
    isSame: true,
  },
  { name: "is made anew for another VIP", now: entry("dc1/shop/web", { addresses: ["240.241.0.2"] }), isSame: false },
  {
    name: "is made anew for a further name",
    now: entry("dc1/shop/web", { addresses: ["240.241.0.1"], annotations: names(["web.example.org"]) }),
    isSame: false,
  },
  {
    name: "is made anew for another host",
    now: entry("dc1/shop/web", { addresses: ["240.241.0.1"], host: "other.example.org" }),
    isSame: false,
  },
  { name: "is made anew when an entry has gone", now: undefined, isSame: false },
];
for (const { name, now, isSame } of cases) {
  test(`nameTables(): the table ${name}`, () => {
    const tables = nameTables();
    const before = finish(tables.renew(standing({ objects: [web] }), undefined, OPTIONS));
    const objects = now === undefined ? [] : [{ ...now, key: web.key }];
    const after = finish(tables.renew(standing({ objects }), new Set([web.key]), OPTIONS));
    assert.equal(after === before, isSame);
    assert.deepEqual(
      [...after.names.keys()],
      [...finish(nameTables().renew(standing({ objects }), undefined, OPTIONS)).names.keys()],
    );
  });
}

test("nameTables(): the table stays when what changed is no entry, and is made anew when that is not known", () => {
  const tables = nameTables();
  const objects = [web, alias("dc1/shop/web", "shop/web")];
  const first = finish(tables.renew(standing({ objects }), undefined, OPTIONS));
  assert.equal(finish(tables.renew(standing({ objects }), new Set(["Service/shop/web"]), OPTIONS)), first);
  assert.notEqual(finish(tables.renew(standing({ objects }), undefined, OPTIONS)), first);
});

test("nameTables(): a table whose making was broken off is made anew", () => {
  const tables = nameTables();
  finish(tables.renew(standing({ objects: [web] }), undefined, OPTIONS));
  const many = Array.from({ length: 100 }, (_, n) => entry(`dc1/shop/s${n}`, { addresses: [`240.241.1.${n}`] }));
  const changed = new Set(many.map(({ key }) => key));
  tables.renew(standing({ objects: many }), changed, OPTIONS).next();
  const { names: rows } = finish(tables.renew(standing({ objects: many }), new Set(), OPTIONS));
  assert.equal(rows.size, 100);
});

test("nameTables(): rows have endpoints where they are wanted, and the table follows them", () => {
  const tables = nameTables();
  const options = { ...OPTIONS, endpoints: true };
  const places = [
    { address: "192.0.2.9", ports: { HTTP: 9080 }, locality: "eu/eu-1/rack" },
    { address: "192.0.2.10", locality: "eu" },
    { address: "vm.example.org" },
  ];
  const now = (endpoints: typeof places) => ({
    ...entry("dc1/shop/web", { addresses: ["240.241.0.1"], endpoints }),
    key: web.key,
  });
  const host = web.manifest.kind === "ServiceEntry" ? (web.manifest.spec.hosts[0] ?? "") : "";
  const first = finish(tables.renew(standing({ objects: [now(places)] }), undefined, options));
  assert.deepEqual(first.names.get(host)?.endpoints, [
    { address: "192.0.2.9", ports: { http: 9080 }, region: "eu", zone: "eu-1" },
    { address: "192.0.2.10", region: "eu" },
  ]);
  const same = finish(tables.renew(standing({ objects: [now(places)] }), new Set([web.key]), options));
  assert.equal(same, first);
  const second = finish(tables.renew(standing({ objects: [now([])] }), new Set([web.key]), options));
  assert.deepEqual(second.names.get(host)?.endpoints, []);
  assert.equal(second.names.get(host)?.settledAtMs, first.names.get(host)?.settledAtMs);
});

test("nameTables(): a table tells which names differ from the one before", () => {
  const tables = nameTables();
  const other = entry("dc1/shop/other", { addresses: ["240.241.0.2"] });
  const hostOf = (object: StandingObject) =>
    object.manifest.kind === "ServiceEntry" ? (object.manifest.spec.hosts[0] ?? "") : "";
  const first = finish(tables.renew(standing({ objects: [web, other] }), undefined, OPTIONS));
  assert.equal(first.changes, undefined);
  const moved = { ...entry("dc1/shop/web", { addresses: ["240.241.0.9"] }), key: web.key };
  const second = finish(tables.renew(standing({ objects: [moved] }), undefined, OPTIONS));
  assert.equal(second.changes?.since, first.serial);
  assert.deepEqual([...(second.changes?.names ?? [])].sort(), [hostOf(web), hostOf(other)].sort());
  const third = finish(tables.renew(standing({ objects: [moved] }), undefined, OPTIONS));
  assert.deepEqual(third.changes, { since: second.serial, names: [] });
});

test("nameTables(): the table is made anew when endpoints, or other names that wait, are wanted", () => {
  const tables = nameTables();
  const renewed = (options: object) =>
    finish(tables.renew(standing({ objects: [web] }), new Set(), { ...OPTIONS, ...options }));
  const first = finish(tables.renew(standing({ objects: [web] }), undefined, OPTIONS));
  const row = { name: "late.example.org", host: "late.example.org", service: "dc1/shop/late" };
  const waiting = [row];
  const second = renewed({ waiting });
  assert.notEqual(second, first);
  assert.equal(second.names.get(row.name)?.waits, true);
  assert.equal(renewed({ waiting }), second);
  const third = renewed({ waiting: [] });
  assert.equal(third.names.has(row.name), false);
  assert.deepEqual(third.changes?.names, [row.name]);
  const fourth = renewed({ endpoints: true });
  assert.equal(fourth.hasEndpoints, true);
  assert.equal(renewed({ endpoints: true }).names.size, 1);
  assert.equal(renewed({}).hasEndpoints, undefined);
});

test("nameTables(): the table is made anew when the mesh has the new VIP of a name that moved", () => {
  const tables = nameTables();
  const options = { settleMs: 1000, nowMs: 1_000_000 };
  const a = entry("dc1/shop/a", { addresses: ["240.241.0.2"], annotations: names(["n.example.org"]) });
  finish(tables.renew(standing({ objects: [a] }), undefined, options));
  const taker = entry("dc1/shop/b", { addresses: ["240.241.0.3"], annotations: names(["n.example.org"]) });
  const left = entry("dc1/shop/a", { addresses: ["240.241.0.2"] });
  const now = standing({ objects: [left, taker] });
  const addressAt = (nowMs: number, changed: readonly string[]) =>
    finish(tables.renew(now, new Set(changed), { ...options, nowMs }))
      .names.get("n.example.org")
      ?.a.join();
  assert.equal(addressAt(1_000_000, [left.key, taker.key]), "240.241.0.2");
  assert.equal(addressAt(1_000_999, []), "240.241.0.2");
  assert.equal(addressAt(1_001_000, []), "240.241.0.3");
});
