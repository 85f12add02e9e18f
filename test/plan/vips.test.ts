import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import type { ForeignObject, StandingLedgerBlock } from "../../src/model/standing.ts";
import { addressRange } from "../../src/plan/addresses.ts";
import { allocateVips, type VipOptions } from "../../src/plan/vips.ts";
import { at, entry, foreign, HOUR_MS, ledgerBlock, NOW_MS, standing } from "./build.ts";

const BLOCK = "x2istio-vips-240-241-0-0";
const options: VipOptions = { owner: "east", ranges: ["240.241.0.0/28"], quarantineMs: HOUR_MS, nowMs: NOW_MS };
const later = (ms: number, fields: Partial<VipOptions> = {}) => ({ ...options, ...fields, nowMs: NOW_MS + ms });

function hosts(...names: string[]): ReadonlyMap<string, string> {
  return new Map(names.map((name) => [name, `dc1/shop/${name}`]));
}

/** Where a host would go if everything were free. */
function first(host: string, cidr = "240.241.0.0/28"): string {
  const { size, at } = addressRange(cidr);
  return at(createHash("sha256").update(host).digest().readUInt32BE(0) % size);
}

function next(address: string): string {
  const last = Number(address.split(".")[3]);
  return `240.241.0.${last === 14 ? 1 : last + 1}`;
}

const key = (address: string) => address.replaceAll(".", "-");
const used = (host: string, owner = "east") => `${host} ${owner} used`;
const resting = (host: string, ms: number, owner = "east") => `${host} ${owner} resting ${new Date(ms).toISOString()}`;
const block = (rows: Record<string, string>, name = BLOCK) =>
  ledgerBlock(name, Object.fromEntries(Object.entries(rows).map(([address, row]) => [key(address), row])));
const held = (host: string, fields: Parameters<typeof entry>[1] = {}) => entry(`dc1/shop/${host}`, { host, ...fields });
const summary = ({ vips, holds, writes }: ReturnType<typeof allocateVips>) => ({
  vips: Object.fromEntries(vips),
  holds: holds.map(({ message }) => message),
  writes: writes.length,
});

// Two hosts whose first candidate is the same address, found by trying.
const rivals = Array.from({ length: 100 }, (_, n) => `h${n}`)
  .filter((host) => first(host) === first("h0"))
  .slice(0, 2);
const [early = "", late = ""] = rivals.toSorted();
const spot = first(early);

test("allocateVips() begins with a hash of the host and claims it in the ledger", () => {
  const { vips, holds, writes } = allocateVips(hosts("orders"), standing(), options);
  assert.deepEqual(vips, new Map([["orders", [first("orders")]]]));
  assert.deepEqual(holds, []);
  assert.deepEqual(writes, [
    { name: BLOCK, resourceVersion: "", data: { [key(first("orders"))]: "orders east used" } },
  ]);
});

test("allocateVips() goes to the next address when that of the hash is taken", () => {
  assert.deepEqual(
    allocateVips(hosts(late, early), standing(), options).vips,
    new Map([
      [early, [spot]],
      [late, [next(spot)]],
    ]),
  );
});

const given: {
  name: string;
  hosts?: string[];
  ledger?: StandingLedgerBlock[];
  objects?: ReturnType<typeof entry>[];
  foreign?: ForeignObject[];
  options?: Partial<VipOptions>;
  want: object;
}[] = [
  {
    name: "keeps what the ledger holds and writes nothing",
    ledger: [block({ "240.241.0.9": used("orders") })],
    want: { vips: { orders: ["240.241.0.9"] }, holds: [], writes: 0 },
  },
  {
    name: "imports what stands on an entry into a lost ledger",
    objects: [held("orders", { addresses: ["240.241.0.9"] })],
    want: { vips: { orders: ["240.241.0.9"] }, holds: [], writes: 1 },
  },
  {
    name: "keeps an address outside a changed range",
    objects: [held("orders", { addresses: ["240.99.0.1"] })],
    want: { vips: { orders: ["240.99.0.1"] }, holds: [], writes: 1 },
  },
  {
    name: "keeps the ledger's address when someone gave the entry another",
    ledger: [block({ "240.241.0.9": used("orders") })],
    objects: [held("orders", { addresses: ["203.0.113.9", "240.241.0.10"] })],
    want: { vips: { orders: ["240.241.0.9"] }, holds: [], writes: 0 },
  },
  {
    name: "gives two entries with one address each its own",
    hosts: ["a", "b"],
    objects: [held("a", { addresses: ["240.241.0.9"] }), held("b", { addresses: ["240.241.0.9"] })],
    want: { vips: { a: ["240.241.0.9"], b: [first("b")] }, holds: [], writes: 1 },
  },
  {
    name: "gives an entry another address when the ledger has its for someone else",
    ledger: [block({ "240.241.0.9": used("web", "west") })],
    objects: [held("orders", { addresses: ["240.241.0.9"] })],
    want: { vips: { orders: [first("orders")] }, holds: [], writes: 1 },
  },
  {
    name: "gives a returning host its own back",
    ledger: [block({ "240.241.0.9": resting("orders", NOW_MS - 60_000) })],
    want: { vips: { orders: ["240.241.0.9"] }, holds: [], writes: 1 },
  },
  {
    name: "gives a returning host its own back even after the rest",
    ledger: [block({ "240.241.0.9": resting("orders", NOW_MS - 9 * HOUR_MS) })],
    want: { vips: { orders: ["240.241.0.9"] }, holds: [], writes: 1 },
  },
  {
    name: "does not hand out an address that rests",
    hosts: [early],
    ledger: [block({ [spot]: resting("gone", NOW_MS - HOUR_MS + 1) })],
    want: { vips: { [early]: [next(spot)] }, holds: [], writes: 1 },
  },
  {
    name: "hands out an address whose rest is over",
    hosts: [early],
    ledger: [block({ [spot]: resting("gone", NOW_MS - HOUR_MS) })],
    want: { vips: { [early]: [spot] }, holds: [], writes: 1 },
  },
  {
    name: "does not hand out what another owner uses",
    hosts: [early],
    ledger: [block({ [spot]: used("web", "west") })],
    want: { vips: { [early]: [next(spot)] }, holds: [], writes: 1 },
  },
  {
    name: "does not hand out what another owner lets rest",
    hosts: [early],
    ledger: [block({ [spot]: resting("web", NOW_MS - 1, "west") })],
    want: { vips: { [early]: [next(spot)] }, holds: [], writes: 1 },
  },
  {
    name: "does not take the line of another owner's host of the same name",
    hosts: [early],
    ledger: [block({ [spot]: used(early, "west") })],
    want: { vips: { [early]: [next(spot)] }, holds: [], writes: 1 },
  },
  ...["", "orders", "orders east", "orders east gone", "orders east resting", "orders east resting yesterday"].map(
    (row) => ({
      name: `never hands out the address of the line "${row}"`,
      hosts: [early],
      ledger: [block({ [spot]: row })],
      want: { vips: { [early]: [next(spot)] }, holds: [], writes: 1 },
    }),
  ),
  {
    name: "does not hand out an address of someone's ServiceEntry",
    hosts: [early],
    foreign: [foreign("ServiceEntry", "shop/web", { addresses: [spot] })],
    want: { vips: { [early]: [next(spot)] }, holds: [], writes: 1 },
  },
  {
    name: "does not hand out someone's ClusterIP",
    hosts: [early],
    foreign: [foreign("Service", "shop/web", { addresses: ["10.0.0.1", spot] })],
    want: { vips: { [early]: [next(spot)] }, holds: [], writes: 1 },
  },
  {
    name: "yields when ours is the younger",
    objects: [held("orders", { addresses: ["240.241.0.9"], object: { createdMs: 2000 } })],
    ledger: [block({ "240.241.0.9": used("orders") })],
    foreign: [foreign("ServiceEntry", "shop/web", { addresses: ["240.241.0.9"], createdMs: 1000 })],
    want: { vips: { orders: [first("orders")] }, holds: [], writes: 1 },
  },
  {
    name: "yields when both are of one age",
    objects: [held("orders", { addresses: ["240.241.0.9"], object: { createdMs: 1000 } })],
    ledger: [block({ "240.241.0.9": used("orders") })],
    foreign: [foreign("Service", "shop/web", { addresses: ["240.241.0.9"], createdMs: 1000 })],
    want: { vips: { orders: [first("orders")] }, holds: [], writes: 1 },
  },
  {
    name: "yields what was only claimed",
    ledger: [block({ "240.241.0.9": used("orders") })],
    foreign: [foreign("Service", "shop/web", { addresses: ["240.241.0.9"] })],
    want: { vips: { orders: [first("orders")] }, holds: [], writes: 1 },
  },
  {
    name: "reports a younger claimant of ours",
    objects: [held("orders", { addresses: ["240.241.0.9"], object: { createdMs: 1000 } })],
    ledger: [block({ "240.241.0.9": used("orders") })],
    foreign: [foreign("ServiceEntry", "shop/web", { addresses: ["240.241.0.9"], createdMs: 2000 })],
    want: {
      vips: { orders: ["240.241.0.9"] },
      holds: ["VIP 240.241.0.9 is also claimed by ServiceEntry shop/web, which is the younger: remove it there"],
      writes: 0,
    },
  },
  {
    name: "lets no address rest while nothing is known to have freed it",
    hosts: [],
    want: { vips: {}, holds: [], writes: 0 },
  },
  {
    name: "lets no address rest while the file of its host's entry cannot be read",
    hosts: [],
    ledger: [block({ "240.241.0.9": used("orders") })],
    foreign: [foreign("ServiceEntry", "mesh-services/orders")],
    want: { vips: {}, holds: [], writes: 0 },
  },
  {
    name: "leaves another owner's lines alone",
    hosts: [],
    ledger: [block({ "240.241.0.9": used("web", "west") })],
    want: { vips: {}, holds: [], writes: 0 },
  },
  {
    name: "writes nothing only because a rest is over",
    hosts: [],
    ledger: [block({ "240.241.0.9": resting("gone", 0) })],
    want: { vips: {}, holds: [], writes: 0 },
  },
  ...["nonsense", "240.241.0.999", "10.0.0.0/24", "240.241.0.9/32"].map((address) => ({
    name: `takes no address from an entry whose address was edited to "${address}"`,
    objects: [held("orders", { addresses: [address] })],
    want: { vips: { orders: [first("orders")] }, holds: [], writes: 1 },
  })),
];
for (const {
  name,
  hosts: names = ["orders"],
  ledger = [],
  objects = [],
  foreign: others = [],
  options: more = {},
  want,
} of given) {
  test(`allocateVips() ${name}`, () => {
    const stands = standing({ objects, foreign: others, ledger });
    assert.deepEqual(summary(allocateVips(hosts(...names), stands, { ...options, ...more })), want);
  });
}

test("allocateVips() lets a freed address rest from now on, and drops it with the first write after that", () => {
  const before = standing({ ledger: [block({ "240.241.0.9": used("orders") })] });
  const freed = allocateVips(hosts(), before, options);
  assert.deepEqual(freed.writes, [
    {
      name: BLOCK,
      resourceVersion: "7",
      data: { "240-241-0-9": `orders east resting ${new Date(NOW_MS).toISOString()}` },
    },
  ]);
  const rests = standing({ ledger: [ledgerBlock(BLOCK, freed.writes[0]?.data ?? {})] });
  assert.deepEqual(allocateVips(hosts(), rests, later(60_000)).writes, [], "the rest began once");
  const after = allocateVips(hosts("stock"), rests, later(HOUR_MS));
  assert.deepEqual(Object.values(after.writes[0]?.data ?? {}), ["stock east used"]);
});

test("allocateVips() keeps unreadable lines as they are when it writes their block", () => {
  const stands = standing({ ledger: [block({ "240.241.0.9": "what is this", "240.241.0.10": "" })] });
  const { writes } = allocateVips(hosts("orders"), stands, options);
  assert.equal(writes[0]?.data["240-241-0-9"], "what is this");
  assert.equal(writes[0]?.data["240-241-0-10"], "");
});

test("allocateVips() frees the address that ours yields", () => {
  const stands = standing({
    objects: [held("orders", { addresses: ["240.241.0.9"], object: { createdMs: 2000 } })],
    ledger: [block({ "240.241.0.9": used("orders") })],
    foreign: [foreign("Service", "shop/web", { addresses: ["240.241.0.9"], createdMs: 1000 })],
  });
  assert.match(
    allocateVips(hosts("orders"), stands, options).writes[0]?.data["240-241-0-9"] ?? "",
    /^orders east resting /,
  );
});

test("allocateVips() gives an address whose rest is over to nobody else while its host returns", () => {
  const stands = standing({ ledger: [block({ [spot]: resting(late, NOW_MS - HOUR_MS) })] });
  const { vips } = allocateVips(hosts(early, late), stands, options);
  assert.deepEqual(
    vips,
    new Map([
      [early, [next(spot)]],
      [late, [spot]],
    ]),
  );
});

test("allocateVips() holds only the new hosts when a range is full, and says which", () => {
  const ranges = ["10.9.0.0/30"];
  const stands = standing({
    ledger: [block({ "10.9.0.1": used("a"), "10.9.0.2": used("b") }, "x2istio-vips-10-9-0-0")],
  });
  const { vips, holds, writes } = allocateVips(hosts("a", "b", "c"), stands, { ...options, ranges });
  assert.deepEqual(
    vips,
    new Map([
      ["a", ["10.9.0.1"]],
      ["b", ["10.9.0.2"]],
    ]),
  );
  assert.deepEqual(holds, [
    {
      reason: "address",
      subject: "c",
      service: "dc1/shop/c",
      registry: "dc1",
      message: 'Cannot allocate a VIP as range "10.9.0.0/30" must have a free address: 2 of 2 are held',
    },
  ]);
  assert.deepEqual(writes, []);
});

test("allocateVips() counts the addresses of a full /24 as people do", () => {
  const rows = Object.fromEntries(Array.from({ length: 254 }, (_, n) => [`10.9.0.${n + 1}`, used(`h${n}`, "west")]));
  const { holds } = allocateVips(hosts("orders"), standing({ ledger: [block(rows, "x2istio-vips-10-9-0-0")] }), {
    ...options,
    ranges: ["10.9.0.0/24"],
  });
  assert.deepEqual(
    holds.map(({ message }) => message),
    ['Cannot allocate a VIP as range "10.9.0.0/24" must have a free address: 254 of 254 are held'],
  );
});

test("allocateVips() goes on in the next range of the family", () => {
  const ranges = ["10.9.0.0/30", "10.9.1.0/30"];
  const { vips } = allocateVips(hosts("a", "b", "c", "d"), standing(), { ...options, ranges });
  assert.deepEqual([...vips.values()].flat().toSorted(), ["10.9.0.1", "10.9.0.2", "10.9.1.1", "10.9.1.2"]);
});

for (const ranges of [
  ["240.241.0.0/16", "fd00:241::/64"],
  ["fd00:241::/64", "240.241.0.0/16"],
]) {
  test(`allocateVips() gives one address per family, IPv4 first, of ${ranges.join(" and ")}`, () => {
    const both = allocateVips(hosts("orders"), standing(), { ...options, ranges });
    const [v4, v6] = both.vips.get("orders") ?? [];
    assert.match(v4 ?? "", /^240\.241\./);
    assert.match(v6 ?? "", /^fd00:241::/);
    assert.equal(both.writes.length, 2);
  });
}

test("allocateVips() lets an entry that stands go on with its VIP when a family that came later is full", () => {
  const stands = standing({
    objects: [held("orders", { addresses: ["240.241.0.9"] })],
    ledger: [block({ "240.241.0.9": used("orders") })],
  });
  // A /126 has two addresses.
  const { vips, holds } = allocateVips(hosts("orders", "a", "b", "new"), stands, {
    ...options,
    ranges: ["240.241.0.0/28", "fd00:241::/126"],
  });
  assert.deepEqual(vips.get("orders"), ["240.241.0.9"]);
  assert.deepEqual(
    ["a", "b", "new"].map((host) => vips.get(host)?.length),
    [2, 2, undefined],
  );
  assert.deepEqual(
    holds.map(({ subject }) => subject),
    ["new", "orders"],
  );
});

test("allocateVips() adds a family that is configured later and keeps the first", () => {
  const stands = standing({
    objects: [held("orders", { addresses: ["240.241.0.9"] })],
    ledger: [block({ "240.241.0.9": used("orders") })],
  });
  const { vips, writes } = allocateVips(hosts("orders"), stands, {
    ...options,
    ranges: ["240.241.0.0/28", "fd00:241::/64"],
  });
  assert.equal(vips.get("orders")?.[0], "240.241.0.9");
  assert.match(vips.get("orders")?.[1] ?? "", /^fd00:241::/);
  assert.match(writes.map(({ name }) => name).join(), /^x2istio-vips-fd00(-[0-9a-f]{4}){7}$/);
});

test("allocateVips() reads an entry's IPv6 address in any spelling", () => {
  const stands = standing({ objects: [held("orders", { addresses: ["FD00:241:0:0::9"] })] });
  assert.deepEqual(
    allocateVips(hosts("orders"), stands, { ...options, ranges: ["fd00:241::/64"] }).vips.get("orders"),
    ["fd00:241::9"],
  );
});

test("allocateVips() survives a restart: the same ledger gives the same answer", () => {
  const names = Array.from({ length: 10 }, (_, n) => `h${n}`);
  const before = allocateVips(hosts(...names), standing(), options);
  const ledger = before.writes.map(({ name, data }) => ledgerBlock(name, data));
  const after = allocateVips(hosts(...names.toReversed()), standing({ ledger }), later(9 * HOUR_MS));
  assert.deepEqual(after.vips, before.vips);
  assert.deepEqual(after.writes, []);
});

test("allocateVips() rebuilds a lost ledger by hash", () => {
  const before = allocateVips(hosts("orders", "stock"), standing(), { ...options, ranges: ["240.241.0.0/16"] });
  assert.deepEqual(
    allocateVips(hosts("stock", "orders"), standing(), { ...options, ranges: ["240.241.0.0/16"] }).vips,
    before.vips,
  );
});

test("allocateVips() writes lines that say host, owner and since when", () => {
  const { writes } = allocateVips(
    hosts("orders"),
    standing({ ledger: [block({ "240.241.0.9": used("gone"), "240.241.0.2": used("web", "west") })] }),
    options,
  );
  const { [key(first("orders"))]: own, ...rest } = writes[0]?.data ?? {};
  assert.equal(own, "orders east used");
  assert.deepEqual(rest, {
    "240-241-0-2": "web west used",
    "240-241-0-9": `gone east resting ${at(NOW_MS).replace("Z", ".000Z")}`,
  });
  assert.deepEqual(Object.keys(writes[0]?.data ?? {}), Object.keys(writes[0]?.data ?? {}).toSorted());
});
