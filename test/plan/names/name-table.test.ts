import assert from "node:assert/strict";
import { test } from "node:test";
import type { NameTable } from "../../../src/model/name-table.ts";
import { AUTO_ALLOCATE_LABEL, GONE_SINCE_ANNOTATION, NAMES_ANNOTATION } from "../../../src/model/objects.ts";
import type { StandingObject } from "../../../src/model/standing.ts";
import { writeNames } from "../../../src/plan/names/names-annotation.ts";
import { buildNameTable } from "../at-once.ts";
import { alias, at, type EntryFields, entry, NOW_MS, ourLabels, standing } from "../build.ts";

const HOST = "orders.shop.dc1.mesh.internal";
const vip = { addresses: ["240.241.0.7"] };
const names = (...list: string[]) => ({ [NAMES_ANNOTATION]: writeNames(list.map((name) => ({ name }))) });
const orders = (fields: EntryFields = {}) => entry("dc1/shop/orders", { ...vip, ...fields });

function table(objects: readonly StandingObject[], previous?: NameTable, nowMs = NOW_MS): NameTable {
  return buildNameTable(standing({ objects }), { settleMs: 1000, nowMs }, previous);
}

const rows: { name: string; objects: readonly StandingObject[]; want: Readonly<Record<string, string>> }[] = [
  { name: "answers a host with its VIP", objects: [orders()], want: { [HOST]: "240.241.0.7" } },
  {
    name: "answers legacy names with the host's VIP, in lower case",
    objects: [orders({ annotations: names("A.example.org", "64001.65536", "db1") })],
    want: { [HOST]: "240.241.0.7", "a.example.org": "240.241.0.7", "64001.65536": "240.241.0.7", db1: "240.241.0.7" },
  },
  {
    name: "tells the families apart, IPv6 in canonical text",
    objects: [orders({ addresses: ["240.241.0.7", "FD00:241:0::7"] })],
    want: { [HOST]: "240.241.0.7 | fd00:241::7" },
  },
  {
    name: "answers with the addresses that Istio gave",
    objects: [entry("dc1/shop/orders", { object: { statusAddresses: ["240.240.0.9", "2001:2::9"] } })],
    want: { [HOST]: "240.240.0.9 | 2001:2::9" },
  },
  { name: "has no row for an entry without address", objects: [entry("dc1/shop/orders")], want: {} },
  {
    name: "has no row for an address that is none",
    objects: [orders({ addresses: ["nonsense", "10.0.0.0/24"] })],
    want: {},
  },
  {
    name: "answers a tombstone",
    objects: [orders({ endpoints: [], annotations: { ...names("a.example.org"), [GONE_SINCE_ANNOTATION]: at(0) } })],
    want: { [HOST]: "240.241.0.7", "a.example.org": "240.241.0.7" },
  },
  {
    name: "takes nothing from aliases and companions",
    objects: [
      alias("dc1/shop/orders", "apps/orders"),
      entry("dc1/shop/orders", {
        ...vip,
        host: `${HOST}-legacy`,
        labels: { ...ourLabels("dc1"), [AUTO_ALLOCATE_LABEL]: "false" },
      }),
    ],
    want: {},
  },
  {
    name: "answers an entry of which nobody can tell the service any more",
    objects: [orders({ object: { service: undefined } })],
    want: { [HOST]: "240.241.0.7" },
  },
  {
    name: "answers a host that ends like a companion's name",
    objects: [orders({ host: "orders.corp-legacy" })],
    want: { "orders.corp-legacy": "240.241.0.7" },
  },
  {
    name: "lets the entry whose key sorts first answer a name that two have",
    objects: [
      entry("dc1/shop/stock", { addresses: ["240.241.0.8"], annotations: names("n.example.org") }),
      orders({ annotations: names("n.example.org") }),
    ],
    want: { [HOST]: "240.241.0.7", "n.example.org": "240.241.0.7", "stock.shop.dc1.mesh.internal": "240.241.0.8" },
  },
  ...[
    { what: "to which it came last", mine: { since: at(2000) }, theirs: { since: at(1000) }, marks: {} },
    {
      what: "to which it came, though another is listed",
      mine: { since: at(2000) },
      theirs: {},
      marks: { [GONE_SINCE_ANNOTATION]: at(0) },
    },
    { what: "whose service is listed", mine: {}, theirs: {}, marks: {}, others: { [GONE_SINCE_ANNOTATION]: at(0) } },
  ].map(({ what, mine, theirs, marks, others = {} }) => ({
    name: `lets that of two entries answer a name ${what}`,
    objects: [
      entry("dc1/shop/stock", {
        addresses: ["240.241.0.8"],
        annotations: { ...marks, [NAMES_ANNOTATION]: writeNames([{ name: "n.example.org", ...mine }]) },
      }),
      orders({ annotations: { ...others, [NAMES_ANNOTATION]: writeNames([{ name: "n.example.org", ...theirs }]) } }),
    ],
    want: { [HOST]: "240.241.0.7", "stock.shop.dc1.mesh.internal": "240.241.0.8", "n.example.org": "240.241.0.8" },
  })),
  {
    name: "lets the entry answer a name whose host it is",
    objects: [entry("dc1/shop/a", { addresses: ["240.241.0.8"], annotations: names(HOST) }), orders()],
    want: { [HOST]: "240.241.0.7", "a.shop.dc1.mesh.internal": "240.241.0.8" },
  },
  {
    name: "answers what it can where the names cannot be read",
    objects: [orders({ annotations: { [NAMES_ANNOTATION]: "{" } })],
    want: { [HOST]: "240.241.0.7" },
  },
];
for (const { name, objects, want } of rows) {
  test(`buildNameTable() ${name}`, () => {
    const given = [...table(objects).names].map(([key, { name, a, aaaa }]) => {
      assert.equal(key, name);
      return [name, [a.join(), ...(aaaa.length === 0 ? [] : [aaaa.join()])].join(" | ")];
    });
    assert.deepEqual(Object.fromEntries(given), want);
  });
}

test("buildNameTable() knows the names that only have names below them", () => {
  const objects = [
    orders({ annotations: names("a.b.example.org", "b.example.org", "db1") }),
    entry("dc1/shop/stock", { addresses: ["240.241.0.8"] }),
  ];
  const { parents } = table(objects);
  assert.deepEqual([...parents].toSorted(), [
    "dc1.mesh.internal",
    "example.org",
    "internal",
    "mesh.internal",
    "org",
    "shop.dc1.mesh.internal",
  ]);
  assert.equal(parents.has("b.example.org"), false, "it has a row of its own");
});

test("buildNameTable() has all parents below a name that has a row", () => {
  for (const list of [
    ["a.b.c.d", "b.c.d"],
    ["b.c.d", "a.b.c.d"],
  ]) {
    const { parents } = table([orders({ host: "x.y", annotations: names(...list) })]);
    assert.deepEqual([...parents].toSorted(), ["c.d", "d", "y"]);
  }
});

test("buildNameTable() takes everything as settled that stands at the start", () => {
  assert.equal(table([orders()]).names.get(HOST)?.settledAtMs, 0);
});

test("buildNameTable() lets a new name and a new VIP settle, and nothing else", () => {
  const first = table([]);
  const second = table([orders()], first);
  assert.equal(second.names.get(HOST)?.settledAtMs, NOW_MS + 1000);
  const third = table(
    [orders({ endpoints: [] }), entry("dc1/shop/stock", { addresses: ["240.241.0.8"] })],
    second,
    NOW_MS + 400,
  );
  assert.equal(third.names.get(HOST), second.names.get(HOST), "the same row");
  assert.equal(third.names.get("stock.shop.dc1.mesh.internal")?.settledAtMs, NOW_MS + 1400);
  const moved = table([orders({ addresses: ["240.241.0.9"] })], third, NOW_MS + 9000);
  assert.equal(moved.names.get(HOST)?.settledAtMs, NOW_MS + 10_000);
});

test("buildNameTable() lets a new IPv6 VIP settle beside an old IPv4 VIP, and one that went", () => {
  const four = table([orders()], table([]), NOW_MS - 9000);
  const both = table([orders({ addresses: ["240.241.0.7", "fd00:241::7"] })], four);
  assert.equal(both.names.get(HOST)?.settledAtMs, NOW_MS + 1000);
  const other = table([orders({ addresses: ["240.241.0.7", "fd00:241::8"] })], both, NOW_MS + 5000);
  assert.equal(other.names.get(HOST)?.settledAtMs, NOW_MS + 6000);
  const same = table([orders({ addresses: ["240.241.0.7", "FD00:241:0::8"] })], other, NOW_MS + 7000);
  assert.equal(same.names.get(HOST), other.names.get(HOST), "the same address in another spelling");
});

test("buildNameTable() keeps the time of a row of which only ports or service changed", () => {
  const first = table([orders()], table([]));
  const ports = [
    { name: "tcp-DB", number: 5432, protocol: "tcp" },
    { name: "dns", number: 53, protocol: "udp" },
  ];
  const second = table([orders({ ports })], first, NOW_MS + 400);
  assert.equal(second.names.get(HOST)?.settledAtMs, NOW_MS + 1000);
  assert.deepEqual(second.names.get(HOST)?.ports, [
    { name: "tcp-db", number: 5432, transport: "tcp" },
    { name: "dns", number: 53, transport: "udp" },
  ]);
  assert.deepEqual(second.changes?.names, [HOST]);
});

test("buildNameTable() answers names of a service that is inside with the claimant's addresses, and its host with its VIP", () => {
  const inside = {
    ...names("a.example.org"),
    "x2istio.dev/effective-stage": "inside",
    "x2istio.dev/effective-claimant": "shop/orders-v2",
    "x2istio.dev/inside-addresses": "10.96.0.7,FD00:96:0::7,nonsense",
  };
  const addressesOf = (annotations: Readonly<Record<string, string>>) => {
    const rows = table([orders({ annotations })]).names;
    return [HOST, "a.example.org"].map((name) => [...(rows.get(name)?.a ?? []), ...(rows.get(name)?.aaaa ?? [])]);
  };
  const vip = ["240.241.0.7"];
  assert.deepEqual(addressesOf(inside), [vip, ["10.96.0.7", "fd00:96::7"]]);
  assert.deepEqual(addressesOf({ ...inside, "x2istio.dev/inside-addresses": "nonsense" }), [vip, vip]);
  assert.deepEqual(addressesOf({ ...inside, "x2istio.dev/effective-stage": "split" }), [vip, vip]);
  assert.deepEqual(addressesOf({ ...inside, "x2istio.dev/effective-claimant": "shop" }), [vip, vip]);
});

const NAME = "n.example.org";
const old = (fields: EntryFields = {}) =>
  entry("dc1/shop/a", { addresses: ["240.241.0.8"], annotations: names(NAME), ...fields });
const gone = { annotations: { [GONE_SINCE_ANNOTATION]: at(0) } };

test("buildNameTable() leads a name that moved to a new entry where it led before, until the mesh has the new VIP", () => {
  const before = table([old()]);
  const moved = [old(gone), orders({ annotations: names(NAME) })];
  const first = table(moved, before);
  assert.deepEqual(first.names.get(NAME)?.a, ["240.241.0.8"]);
  assert.ok((first.names.get(NAME)?.settledAtMs ?? NOW_MS) <= NOW_MS, "it is not held");
  assert.equal(first.renewAtMs, NOW_MS + 1000);
  const second = table(moved, first, NOW_MS + 500);
  assert.deepEqual([second.names.get(NAME)?.a, second.renewAtMs], [["240.241.0.8"], NOW_MS + 1000]);
  const third = table(moved, second, NOW_MS + 1000);
  assert.deepEqual([third.names.get(NAME)?.a, third.renewAtMs], [["240.241.0.7"], undefined]);
  assert.ok((third.names.get(NAME)?.settledAtMs ?? 0) <= NOW_MS + 1000);
});

test("buildNameTable() lets a name that moved settle where nothing is left that it led to", () => {
  const before = table([old()]);
  for (const rest of [[], [old({ ...gone, endpoints: [] })], [old({ ...gone, addresses: ["240.241.0.9"] })]]) {
    const after = table([...rest, orders({ annotations: names(NAME) })], before);
    assert.deepEqual(after.names.get(NAME)?.a, ["240.241.0.7"]);
    assert.equal(after.names.get(NAME)?.settledAtMs, NOW_MS + 1000);
  }
});

test("buildNameTable() leads a name that moved to an entry which the mesh has there at once", () => {
  const before = table([old(), orders()]);
  const after = table([old({ annotations: {} }), orders({ annotations: names(NAME) })], before);
  assert.deepEqual([after.names.get(NAME)?.a, after.names.get(NAME)?.settledAtMs], [["240.241.0.7"], 0]);
});

test("buildNameTable() answers the names of an entry that was being deleted for ten more seconds, as it may be made anew", () => {
  const ending = { object: { terminating: "finalizer example.org/keep keeps it" } };
  const before = table([orders(ending)]);
  assert.equal(before.names.get(HOST)?.ends, true);
  const gone = table([], before);
  assert.deepEqual([gone.names.get(HOST)?.a, gone.renewAtMs], [["240.241.0.7"], NOW_MS + 10_000]);
  const again = table([orders()], gone, NOW_MS + 500);
  assert.deepEqual([again.names.get(HOST)?.ends, again.names.get(HOST)?.settledAtMs], [undefined, 0]);
  const still = table([], gone, NOW_MS + 9999);
  assert.equal(still.names.get(HOST), gone.names.get(HOST));
  assert.equal(table([], still, NOW_MS + 10_000).names.get(HOST), undefined);
  assert.equal(
    table([], table([orders()])).names.get(HOST),
    undefined,
    "one that was simply deleted is denied at once",
  );
});

test("buildNameTable() has the first 4000 endpoints that have an address", () => {
  const list = Array.from({ length: 4001 }, (_, n) => ({ address: `192.0.${n >> 8}.${n & 255}` }));
  const options = { settleMs: 0, nowMs: 0, endpoints: true };
  const row = buildNameTable(standing({ objects: [orders({ endpoints: list })] }), options).names.get(HOST);
  assert.deepEqual(
    row?.endpoints?.map(({ address }) => address),
    list.slice(0, 4000).map(({ address }) => address),
  );
});

test("buildNameTable() lets a name settle that went and came back", () => {
  const gone = table([], table([orders()]));
  assert.equal(table([orders()], gone, NOW_MS + 5000).names.get(HOST)?.settledAtMs, NOW_MS + 6000);
});

const serials = [
  { name: "is the time at the start", before: undefined, nowMs: NOW_MS, want: Math.floor(NOW_MS / 1000) },
  { name: "follows the time", before: 5, nowMs: NOW_MS, want: Math.floor(NOW_MS / 1000) },
  {
    name: "goes up within a second",
    before: Math.floor(NOW_MS / 1000),
    nowMs: NOW_MS + 10,
    want: Math.floor(NOW_MS / 1000) + 1,
  },
  {
    name: "goes up when the clock goes back",
    before: Math.floor(NOW_MS / 1000) + 500,
    nowMs: NOW_MS,
    want: Math.floor(NOW_MS / 1000) + 501,
  },
  { name: "fits into 32 bits", before: undefined, nowMs: 2 ** 32 * 1000 + 7000, want: 7 },
];
for (const { name, before, nowMs, want } of serials) {
  test(`buildNameTable() has a serial that ${name}`, () => {
    const previous =
      before === undefined ? undefined : { names: new Map(), parents: new Set<string>(), serial: before };
    assert.equal(table([], previous, nowMs).serial, want);
  });
}

test("buildNameTable() answers Istio's addresses of the families that are wanted, and all of ours", () => {
  const statusAddresses = ["240.240.0.9", "2001:2::9"];
  const addressesOf = (fields: EntryFields) => {
    const objects = [entry("dc1/shop/orders", fields)];
    const row = buildNameTable(standing({ objects }), { settleMs: 0, nowMs: 0, families: ["v4"] }).names.get(HOST);
    return [row?.a, row?.aaaa];
  };
  assert.deepEqual(addressesOf({ object: { statusAddresses } }), [["240.240.0.9"], []]);
  assert.deepEqual(addressesOf({ addresses: ["240.241.0.7", "fd00:241::7"], object: { statusAddresses } }), [
    ["240.241.0.7"],
    ["fd00:241::7"],
  ]);
});
