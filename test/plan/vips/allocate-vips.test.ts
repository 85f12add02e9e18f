import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { addressRange, ledgerSpot } from "../../../src/istio/addresses.ts";
import type { ForeignObject, StandingLedgerBlock } from "../../../src/model/standing.ts";
import type { VipOptions } from "../../../src/plan/vips/allocate-vips.ts";
import { allocateVips } from "../at-once.ts";
import { at, entry, foreign, HOUR_MS, ledgerBlock, NOW_MS, standing } from "../build.ts";

const BLOCK = "x2istio-vips-240-241-0-0";
const options: VipOptions = {
  owner: "east",
  ranges: ["240.241.0.0/28"],
  registries: [{ name: "dc1" }],
  quarantineMs: HOUR_MS,
  nowMs: NOW_MS,
};
const later = (ms: number, fields: Partial<VipOptions> = {}) => ({ ...options, ...fields, nowMs: NOW_MS + ms });

function hosts(...names: string[]): ReadonlyMap<string, string> {
  return new Map(names.map((name) => [name, `dc1/shop/${name}`]));
}

/** Where a host would go if everything were free. */
function first(host: string, cidr = "240.241.0.0/28"): string {
  const { size, at } = addressRange(cidr);
  return at(createHash("sha256").update(host).digest().readUInt32BE(0) % size);
}

/** Where it would go if that were taken. */
function second(host: string, cidr: string): string {
  const { size, at } = addressRange(cidr);
  return at((createHash("sha256").update(host).digest().readUInt32BE(0) + 1) % size);
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
/** What is said of a claimant of one VIP. */
const claims = (address: string, host = "orders") =>
  `also claims VIP ${address} of ${host}; what X2Istio gave stays: remove it there`;
const inFull = (six: string) => ledgerSpot(six).key;
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

/** Where `orders` would go in a range of IPv6, and where it goes when that is taken. */
const SIX_RANGE = "fd00:241::/120";
const SIX = first("orders", SIX_RANGE);
const SIX_NEXT = second("orders", SIX_RANGE);

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
  ...[
    ["upper case", SIX.toUpperCase()],
    ["all its zeros", SIX.replace("::", ":0:0:0:0:0:")],
    ["some of its zeros", SIX.replace("::", ":0::")],
  ].flatMap(([spelling, address = ""]) =>
    ["ServiceEntry", "Service"].map((kind) => ({
      name: `does not hand out an IPv6 address that someone's ${kind} has with ${spelling}`,
      foreign: [foreign(kind, "shop/web", { addresses: [address] })],
      options: { ranges: [SIX_RANGE] },
      want: { vips: { orders: [SIX_NEXT] }, holds: [], writes: 1 },
    })),
  ),
  {
    name: "keeps an IPv6 address that an older entry of someone has in another spelling",
    objects: [held("orders", { addresses: [SIX], object: { createdMs: 2000 } })],
    ledger: [ledgerBlock("x2istio-vips-fd00-0241-0000-0000-0000-0000-0000-0000", { [inFull(SIX)]: used("orders") })],
    foreign: [foreign("ServiceEntry", "shop/web", { addresses: [SIX.toUpperCase()], createdMs: 1000 })],
    options: { ranges: [SIX_RANGE] },
    want: { vips: { orders: [SIX] }, holds: [`ServiceEntry shop/web ${claims(SIX)}`], writes: 0 },
  },
  {
    name: "imports what stands on an entry though another owner has a host of that name",
    ledger: [block({ "240.241.0.10": used("orders", "west") })],
    objects: [held("orders", { addresses: ["240.241.0.9"] })],
    want: { vips: { orders: ["240.241.0.9"] }, holds: [], writes: 1 },
  },
  {
    name: "imports what stands on an entry though an address of its host rests",
    ledger: [block({ "240.241.0.10": resting("orders", NOW_MS - 60_000) })],
    objects: [held("orders", { addresses: ["240.241.0.9"] })],
    want: { vips: { orders: ["240.241.0.9"] }, holds: [], writes: 1 },
  },
  ...[0, 1000, 1001, 2000].flatMap((createdMs) =>
    ["ServiceEntry", "Service"].map((kind) => ({
      name: `never yields what the ledger gave, to a ${kind} made at ${createdMs} either`,
      objects: [held("orders", { addresses: ["240.241.0.9"], object: { createdMs: 1000 } })],
      ledger: [block({ "240.241.0.9": used("orders") })],
      foreign: [foreign(kind, "shop/web", { addresses: ["240.241.0.9"], createdMs })],
      want: { vips: { orders: ["240.241.0.9"] }, holds: [`${kind} shop/web ${claims("240.241.0.9")}`], writes: 0 },
    })),
  ),
  {
    name: "imports what stands on an entry into a lost ledger though someone older claims it",
    objects: [held("orders", { addresses: ["240.241.0.9"], object: { createdMs: 2000 } })],
    foreign: [foreign("Service", "shop/web", { askedAddresses: ["240.241.0.9"], createdMs: 1000 })],
    want: { vips: { orders: ["240.241.0.9"] }, holds: [`Service shop/web ${claims("240.241.0.9")}`], writes: 1 },
  },
  {
    name: "does not yield what was only claimed in the ledger",
    ledger: [block({ "240.241.0.9": used("orders") })],
    foreign: [foreign("Service", "shop/web", { addresses: ["240.241.0.9"] })],
    want: { vips: { orders: ["240.241.0.9"] }, holds: [`Service shop/web ${claims("240.241.0.9")}`], writes: 0 },
  },
  {
    name: "gives a returning host its own back though someone claimed it meanwhile",
    ledger: [block({ "240.241.0.9": resting("orders", NOW_MS - 60_000) })],
    foreign: [foreign("ServiceEntry", "shop/web", { addresses: ["240.241.0.9"] })],
    want: { vips: { orders: ["240.241.0.9"] }, holds: [`ServiceEntry shop/web ${claims("240.241.0.9")}`], writes: 1 },
  },
  {
    name: "gives an address that a Service only asks for",
    hosts: [early],
    foreign: [foreign("Service", "shop/web", { askedAddresses: [spot] })],
    want: { vips: { [early]: [spot] }, holds: [`Service shop/web ${claims(spot, early)}`], writes: 1 },
  },
  {
    name: "names one of several claimants of a VIP, whatever their order",
    ledger: [block({ "240.241.0.9": used("orders") })],
    foreign: ["shop/web", "apps/web", "shop/also"].map((name) =>
      foreign("Service", name, { askedAddresses: ["240.241.0.9"] }),
    ),
    want: { vips: { orders: ["240.241.0.9"] }, holds: [`Service apps/web ${claims("240.241.0.9")}`], writes: 0 },
  },
  {
    name: "keeps what stands on an entry whose line cannot be read",
    ledger: [block({ "240.241.0.9": "orders" })],
    objects: [held("orders", { addresses: ["240.241.0.9"] })],
    want: { vips: { orders: ["240.241.0.9"] }, holds: [], writes: 1 },
  },
  {
    name: "prefers what the ledger says is used to what rests",
    ledger: [block({ "240.241.0.2": resting("orders", NOW_MS - 60_000), "240.241.0.9": used("orders") })],
    want: { vips: { orders: ["240.241.0.9"] }, holds: [], writes: 0 },
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

test("allocateVips() lets no address of a new host rest that waits for another family", () => {
  const six = { ...options, ranges: ["fd00:241::/126"] };
  const full = allocateVips(hosts("a", "b"), standing(), six).writes.map(({ name, data }) => ledgerBlock(name, data));
  const stands = standing({ ledger: [...full, block({ "240.241.0.9": used("orders") })] });
  const both = { ...options, ranges: [...options.ranges, ...six.ranges] };
  const { vips, holds, writes } = allocateVips(hosts("a", "b", "orders"), stands, both);
  assert.deepEqual([...vips.keys()], ["a", "b"]);
  assert.equal(holds.length, 1);
  assert.equal(writes.find(({ name }) => name === BLOCK)?.data["240-241-0-9"], "orders east used");
});

test("allocateVips() gives the last free address, wherever the search begins", () => {
  const { size, at } = addressRange("240.241.0.0/28");
  for (let free = 0; free < size; free++) {
    const rows = Array.from({ length: size }, (_, n) => [at(n), used(`h${n}`)] as const).filter((_, n) => n !== free);
    const stands = standing({ ledger: [block(Object.fromEntries(rows))] });
    const names = rows.map(([, row]) => row.split(" ")[0] ?? "");
    const { vips, holds } = allocateVips(hosts(...names, "orders"), stands, options);
    assert.deepEqual([vips.get("orders"), holds], [[at(free)], []]);
  }
});

/** All addresses of the range. */
const whole = Array.from({ length: 14 }, (_, n) => `240.241.0.${n + 1}`);

test("allocateVips() names one object that claims all once, with every service that it concerns, and moves none", () => {
  const names = whole.map((_, n) => `h${n}`);
  const rows = whole.map((address, n) => [address, used(names[n] ?? "")] as const);
  const stands = standing({
    objects: rows.map(([address], n) => held(`h${n}`, { addresses: [address], object: { createdMs: 2000 } })),
    foreign: [foreign("Service", "shop/thief", { askedAddresses: whole, createdMs: 1000 })],
    ledger: [block(Object.fromEntries(rows))],
  });
  const { vips, holds, writes } = allocateVips(hosts(...names), stands, options);
  assert.deepEqual(Object.fromEntries(vips), Object.fromEntries(rows.map(([address], n) => [`h${n}`, [address]])));
  assert.deepEqual(writes, []);
  const [hold, ...more] = holds;
  assert.deepEqual(more, []);
  assert.equal(hold?.regarding, "Service/shop/thief");
  assert.equal(hold?.service, undefined);
  assert.deepEqual(hold?.services, names.map((name) => `dc1/shop/${name}`).toSorted());
  assert.match(hold?.message ?? "", /^Service shop\/thief also claims 14 VIPs, such as VIP 240\.241\.0\.1 of h0; /);
});

test("allocateVips() names an object that claims more of its ranges than can be known, whichever VIPs are among them", () => {
  const { at } = addressRange("240.241.0.0/16");
  const thousand = Array.from({ length: 1000 }, (_, n) => at(n));
  const far = { ...options, ranges: ["240.241.0.0/16"] };
  const stands = (askedAddresses: readonly string[]) =>
    standing({
      foreign: [foreign("Service", "shop/thief", { askedAddresses })],
      ledger: [ledgerBlock("x2istio-vips-240-241-240-0", { [key("240.241.240.9")]: used("orders") })],
    });
  const saidOf = (askedAddresses: readonly string[], ranges = far.ranges) =>
    allocateVips(hosts("orders"), stands(askedAddresses), { ...far, ranges }).holds.map(({ message }) => message);
  assert.deepEqual(saidOf(thousand), [
    "Service shop/thief also claims 1000 or more addresses that VIPs come from; what X2Istio gave stays: remove it there",
  ]);
  assert.deepEqual(saidOf(thousand.slice(1)), []);
  assert.deepEqual(saidOf(thousand, ["10.9.0.0/16"]), [], "none of them is ours");
});

test("allocateVips() gives addresses that others claim where no other is free, so that nobody uses up a range by claims", () => {
  const claimed = whole.filter((address) => address !== "240.241.0.5");
  const stands = standing({ foreign: [foreign("ServiceEntry", "shop/thief", { addresses: claimed })] });
  const names = whole.map((_, n) => `h${n}`);
  const { vips, holds } = allocateVips(hosts(...names), stands, options);
  assert.deepEqual([...vips.values()].flat().toSorted(), whole.toSorted());
  assert.equal(vips.get("h0")?.[0], "240.241.0.5", "what nobody claims goes first");
  assert.equal(holds.length, 1);
});

test("allocateVips() lets what stands go on with its address when the ledger has that for someone else and nothing is free", () => {
  const ranges = ["10.9.0.0/30"];
  const rows = { "10.9.0.1": used("web", "west"), "10.9.0.2": used("a", "west") };
  const stands = standing({
    objects: [held("orders", { addresses: ["10.9.0.1"] }), held("bare", { addresses: [] })],
    ledger: [block(rows, "x2istio-vips-10-9-0-0")],
  });
  const { vips, holds, writes } = allocateVips(hosts("orders", "bare", "new"), stands, { ...options, ranges });
  assert.deepEqual(Object.fromEntries(vips), { orders: ["10.9.0.1"], bare: [] });
  assert.deepEqual(
    holds.map(({ subject }) => subject),
    ["bare", "new", "orders"],
  );
  assert.deepEqual(writes, []);
});

test("allocateVips() lets a family that is in question stay as it stands, and gives the other", () => {
  const stands = standing({
    objects: [held("orders", { addresses: ["10.9.0.1"] })],
    ledger: [block({ "10.9.0.1": used("web", "west"), "10.9.0.2": used("a", "west") }, "x2istio-vips-10-9-0-0")],
  });
  const both = { ...options, ranges: ["10.9.0.0/30", SIX_RANGE] };
  const { vips, holds } = allocateVips(hosts("orders"), stands, both);
  assert.deepEqual([vips.get("orders"), holds.length], [["10.9.0.1", SIX], 1]);
});

test("allocateVips() lets what stands go on with its address when its family is not configured any more and the other is full", () => {
  const stands = standing({
    objects: [held("orders", { addresses: ["240.241.0.9"] })],
    ledger: [
      block({ "240.241.0.9": used("orders") }),
      ledgerBlock("x2istio-vips-fd00-0241-0000-0000-0000-0000-0000-0000", {
        [inFull("fd00:241::1")]: used("a", "west"),
        [inFull("fd00:241::2")]: used("b", "west"),
      }),
    ],
  });
  const six = { ...options, ranges: ["fd00:241::/126"] };
  const { vips, writes } = allocateVips(hosts("orders"), stands, six);
  assert.deepEqual([vips.get("orders"), writes], [["240.241.0.9"], []]);
});

test("allocateVips() gives VIPs by the order of registries, then by service", () => {
  const registries = [{ name: "dc2" }, { name: "dc1" }];
  const two = { ...options, ranges: ["10.9.0.0/30"], registries };
  const wanted = new Map([
    ["a", "dc1/shop/a"],
    ["z", "dc2/shop/z"],
    ["b", "dc2/shop/b"],
    ["0", "gone/shop/0"],
  ]);
  for (const order of [wanted, new Map([...wanted].toReversed())])
    assert.deepEqual([...allocateVips(order, standing(), two).vips.keys()].toSorted(), ["b", "z"]);
});

test("allocateVips() decides alike which of two entries of ours keeps an address that no ledger has", () => {
  const both = ["b", "a"].map((host) => held(host, { addresses: ["240.241.0.9"] }));
  for (const objects of [both, both.toReversed()])
    for (const names of [["a", "b"], ["b", "a"]]) // biome-ignore format: a pair a line
      assert.deepEqual(allocateVips(hosts(...names), standing({ objects }), options).vips.get("a"), ["240.241.0.9"]);
});

test("allocateVips() gives a registry's new services VIPs of its own ranges, and nobody else", () => {
  const registries = [{ name: "dc1", ranges: ["10.9.0.0/30"] }, { name: "dc2" }];
  const wanted = new Map([
    ...["a", "b", "c"].map((name) => [name, `dc1/shop/${name}`] as const),
    ...whole.map((_, n) => [`h${n}`, `dc2/shop/h${n}`] as const),
    ["kept", "dc1/shop/kept"] as const,
  ]);
  const stands = standing({ ledger: [block({ "10.8.0.1": used("kept") }, "x2istio-vips-10-8-0-0")] });
  const { vips, holds } = allocateVips(wanted, stands, { ...options, registries });
  assert.deepEqual(["a", "b"].flatMap((host) => vips.get(host) ?? []).toSorted(), ["10.9.0.1", "10.9.0.2"]);
  assert.deepEqual(whole.flatMap((_, n) => vips.get(`h${n}`) ?? []).toSorted(), whole.toSorted());
  assert.deepEqual(vips.get("kept"), ["10.8.0.1"], "what was given before stays");
  assert.deepEqual(
    holds.map(({ subject, message }) => [subject, message]),
    [["c", 'Cannot allocate a VIP as range "10.9.0.0/30" must have a free address: 2 of 2 are held']],
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
