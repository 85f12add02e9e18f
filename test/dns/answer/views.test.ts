import assert from "node:assert/strict";
import { test } from "node:test";
import { type Answer, answer } from "../../../src/dns/answer/answer.ts";
import { endpointsFor, type View } from "../../../src/dns/answer/views.ts";
import { zonesByName } from "../../../src/dns/answer/zones.ts";
import { answeredSubnet, readClientSubnet } from "../../../src/dns/wire/client-subnet.ts";
import { TYPE } from "../../../src/dns/wire/codes.ts";
import type { NameEndpoint } from "../../../src/model/name-table.ts";
import { ask, askUdp, openTcp, startServer } from "../sockets.ts";
import { addresses, decode, opt, query, table } from "../wire.ts";

const endpoints: readonly NameEndpoint[] = [
  { address: "192.0.2.1", region: "eu", zone: "eu-1" },
  { address: "192.0.2.2", region: "eu", zone: "eu-2", ports: { http: 9999 } },
  { address: "192.0.2.3", region: "us", zone: "us-1" },
  { address: "192.0.2.4", region: "us", zone: "us-1" },
  { address: "fd00::7" },
];
const rows = table({
  "orders.mesh.internal": {
    a: ["240.241.0.7"],
    aaaa: ["fd01::7"],
    endpoints,
    ports: [{ name: "http", number: 8080, transport: "tcp" }],
    settledAtMs: 2_000_000,
  },
  "orders.corp.example.com": { a: ["240.241.0.7"], endpoints },
  "*.wild.mesh.internal": { a: ["240.241.0.8"], endpoints },
  "many.mesh.internal": {
    a: ["240.241.0.9"],
    endpoints: Array.from({ length: 40 }, (_, n) => ({ address: `198.51.100.${n}` })),
  },
  "192-0-2-1.orders.mesh.internal": { a: ["240.241.0.66"], endpoints: [{ address: "192.0.2.66" }] },
  "192-0-2-77.orders.mesh.internal": { a: ["240.241.0.67"], endpoints: [{ address: "192.0.2.67" }] },
  "emptied.mesh.internal": { a: ["240.241.0.10"], endpoints: [] },
  "db.corp.example.com": {
    a: ["240.241.0.11"],
    endpoints: [{ address: "db-1.example.net." }, { address: "db-2.example.net." }],
    ports: [{ name: "tcp", number: 5432, transport: "tcp" }],
  },
  "mixed.mesh.internal": {
    a: ["240.241.0.12"],
    endpoints: [{ address: "db-1.example.net." }, { address: "192.0.2.9" }],
  },
  "alias.mesh.internal": { cname: "orders.mesh.internal" },
});

const vms: View = { name: "vms", clients: ["10.8.0.0/16"], answer: "endpoints" };

function lookUp(name: string, { type = TYPE.A as number, view = vms, client = "10.8.0.1" } = {}): string {
  const how = { byName: zonesByName([{ name: "mesh.internal", forward: [] }]), forward: [], ttlSeconds: 30 };
  const found: Answer = answer(
    { name, type, class: 1 },
    { ...rows, hasWildcards: true },
    { ...how, nowMs: 1_000_000, view, given: { client, most: Number.POSITIVE_INFINITY } },
  );
  if (found.kind !== "reply") return found.kind;
  const data = found.answers.map((record) =>
    record.type === "A" || record.type === "AAAA"
      ? record.address
      : record.type === "SRV"
        ? `${record.port} ${record.target}`
        : record.type === "CNAME" && record.target.endsWith(".example.net")
          ? record.target
          : record.type,
  );
  return [found.rcode, ...data].join(" ");
}

const ALL = "0 192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4";

/** Without the order that the client has. */
function sorted(text: string, between = / /): string {
  return text.split(between).sort().join(" ");
}

const cases: readonly (readonly [title: string, found: () => string, want: string])[] = [
  ["lets no other service take the name of an endpoint", () => lookUp("192-0-2-1.orders.mesh.internal"), "0 192.0.2.1"],
  [
    "gives a name that only looks like an endpoint's what it has",
    () => lookUp("192-0-2-77.orders.mesh.internal"),
    "0 192.0.2.67",
  ],
  ["gives the endpoints, unsettled VIPs or not", () => sorted(lookUp("orders.mesh.internal")), ALL],
  ["gives endpoints by IPv6, too", () => lookUp("orders.mesh.internal", { type: TYPE.AAAA }), "0 fd00::7"],
  ["gives legacy names that way", () => sorted(lookUp("orders.corp.example.com")), ALL],
  ["gives wildcards that way", () => lookUp("x.wild.mesh.internal", { type: TYPE.AAAA }), "0 fd00::7"],
  ["gives what an alias leads to that way", () => sorted(lookUp("alias.mesh.internal")), `${ALL} CNAME`],
  ["gives NODATA for a service without endpoints", () => lookUp("emptied.mesh.internal"), "0"],
  [
    "gives SRV with each endpoint's port and name",
    () => sorted(lookUp("_http._tcp.orders.mesh.internal", { type: TYPE.SRV }), / (?=\d+ )/),
    "0 8080 192-0-2-1.orders.mesh.internal 8080 192-0-2-3.orders.mesh.internal 8080 192-0-2-4.orders.mesh.internal 8080 fd00--7.orders.mesh.internal 9999 192-0-2-2.orders.mesh.internal",
  ],
  ["gives the host name of an endpoint, as registries do", () => lookUp("db.corp.example.com"), "0 db-2.example.net"],
  ["gives addresses where there are some", () => lookUp("mixed.mesh.internal"), "0 192.0.2.9"],
  [
    "gives SRV that leads to host names themselves",
    () => lookUp("_tcp._tcp.db.corp.example.com", { type: TYPE.SRV }),
    "0 5432 db-2.example.net 5432 db-1.example.net",
  ],
  ["knows an endpoint's name", () => lookUp("192-0-2-2.orders.mesh.internal"), "0 192.0.2.2"],
  ["knows it by IPv6", () => lookUp("fd00--7.orders.mesh.internal", { type: TYPE.AAAA }), "0 fd00::7"],
  ["denies the name of what is no endpoint", () => lookUp("192-0-2-9.orders.mesh.internal"), "3"],
  [
    "gives a gateway's addresses",
    () => lookUp("orders.mesh.internal", { view: { ...vms, answer: ["198.51.100.7", "fd00::99"] } }),
    "0 198.51.100.7",
  ],
  [
    "gives VIPs where a view says so",
    () => lookUp("many.mesh.internal", { view: { ...vms, answer: "vips" } }),
    "0 240.241.0.9",
  ],
  [
    "holds VIPs back, whatever the view is called",
    () => lookUp("orders.mesh.internal", { view: { ...vms, answer: "vips" } }),
    "held",
  ],
];

const given = (client: string, view = vms, name = "many.mesh.internal") =>
  lookUp(name, { client, view }).split(" ").slice(1);
const clients = Array.from({ length: 200 }, (_, n) => `10.8.0.${n}`);

test("a view gives each client all endpoints, in the same order each time", () => {
  for (const client of clients) {
    assert.equal(new Set(given(client)).size, 40);
    assert.deepEqual(given(client), given(client));
  }
});

test("a view spreads clients over the endpoints", () => {
  const firsts = Map.groupBy(clients, (client) => given(client)[0]);
  assert.equal(new Set(clients.map((client) => given(client).join())).size, clients.length);
  // 200 clients, 40 endpoints: 5 each on average.
  assert.ok(firsts.size > 35, `${firsts.size} endpoints come first for anyone`);
  assert.ok([...firsts.values()].every(({ length }) => length < 20));
});

test("a view moves no other endpoint of a client when one goes", () => {
  const row = rows.names.get("many.mesh.internal") ?? assert.fail();
  for (const client of clients) {
    const before = endpointsFor(vms, row, client);
    const gone = before[7];
    const after = endpointsFor(vms, { ...row, endpoints: (row.endpoints ?? []).filter((one) => one !== gone) }, client);
    assert.deepEqual(
      after,
      before.filter((one) => one !== gone),
    );
  }
});

test("a view gives a client's zone first, then its region, then the others, each in its order", () => {
  for (const client of clients) {
    const [first, second, ...others] = given(client, { ...vms, region: "eu", zone: "eu-2" }, "orders.mesh.internal");
    assert.deepEqual([first, second, others.toSorted()], ["192.0.2.2", "192.0.2.1", ["192.0.2.3", "192.0.2.4"]]);
    const near = given(client, { ...vms, region: "us" }, "orders.mesh.internal");
    assert.deepEqual(near.slice(0, 2).sort(), ["192.0.2.3", "192.0.2.4"]);
  }
});

for (const [title, found, want] of cases) test(`a view ${title}`, () => assert.equal(found(), want));

/** CLIENT-SUBNET option (RFC 7871 §6). */
function subnet(address: readonly number[], bits: number, { family = 1, scope = 0 } = {}): Buffer {
  const data = Buffer.from([0, family, bits, scope, ...address]);
  return Buffer.concat([Buffer.from([0, 8, 0, data.length]), data]);
}

const big = () =>
  table({
    "big.mesh.internal": {
      endpoints: Array.from({ length: 300 }, (_, n) => ({ address: `198.51.${100 + (n >> 8)}.${n % 256}` })),
      ports: [{ name: "http", number: 8080, transport: "tcp" }],
    },
  });

for (const [type, title] of [
  [TYPE.A, "addresses"],
  [TYPE.SRV, "ports"],
] as const)
  test(`dnsServer() gives ${title} of all endpoints by TCP, and by UDP always the same ones, as many as fit`, async (t) => {
    const views = [{ name: "vms", clients: ["127.0.0.0/8"], answer: "endpoints" as const }];
    const { at } = await startServer(t, { views, table: big });
    const name = type === TYPE.SRV ? "_http._tcp.big.mesh.internal" : "big.mesh.internal";
    const packet = query(name, { type, records: [opt({ size: 1400 })] });
    const tcp = await openTcp(at);
    tcp.send(packet);
    const all = decode((await tcp.take(1))[0] ?? assert.fail());
    tcp.socket.destroy();
    assert.deepEqual([all.tc, all.answers.length], [false, 300]);
    const message = await ask(at, packet);
    const some = decode(message);
    const texts = (from: typeof all) => from.answers.map(({ data }) => data.toString("hex"));
    assert.equal(some.tc, true);
    assert.ok(message.length <= 1232 && message.length > 1232 - 70, `${message.length} octets`);
    assert.deepEqual(texts(some), texts(all).slice(0, some.answers.length));
    assert.deepEqual(texts(decode(await ask(at, packet))), texts(some));
    const other = await askUdp(at, [packet], { from: "127.0.0.9" });
    assert.notDeepEqual(texts(decode(other[0] ?? assert.fail())), texts(some));
  });

const settled = () => table({ "orders.mesh.internal": { a: ["240.241.0.7"], endpoints: [{ address: "192.0.2.1" }] } });
const onlyVms = [{ name: "vms", clients: ["10.8.0.0/16"], answer: "endpoints" as const }];

for (const workers of [0, 2])
  test(`dnsServer() answers by the client's address, ${workers} workers`, async (t) => {
    const views = [
      { name: "first", clients: ["127.0.0.1/32"], answer: "endpoints" as const },
      { name: "second", clients: ["127.0.0.0/8"], answer: "vips" as const },
    ];
    const { at } = await startServer(t, { views, table: settled, workers });
    assert.deepEqual(addresses(await ask(at, query("orders.mesh.internal"))), ["192.0.2.1"]);
    const others = await startServer(t, { views: views.slice(1), table: settled, workers });
    assert.deepEqual(addresses(await ask(others.at, query("orders.mesh.internal"))), ["240.241.0.7"]);
  });

const told: readonly (readonly [title: string, data: Buffer, from: string, want: string])[] = [
  ["by a trusted resolver's word", subnet([10, 8, 1], 24), "127.0.0.0/8", "192.0.2.1 000118180a0801"],
  ["by that word, for others too", subnet([10, 9, 1], 24), "127.0.0.0/8", "240.241.0.7 000118180a0901"],
  ["not by anyone's word", subnet([10, 8, 1], 24), "192.0.2.53/32", "240.241.0.7 "],
  ["by no address at all", subnet([], 0), "127.0.0.0/8", "240.241.0.7 00010000"],
];
test("dnsServer() answers a resolver that tells no subnet as itself (RFC 7871 §7.1.2)", async (t) => {
  const views = [{ name: "vms", clients: ["127.0.0.0/8"], answer: "endpoints" as const }];
  const { at } = await startServer(t, { views, table: settled, clientSubnetFrom: ["127.0.0.0/8"] });
  const reply = await ask(at, query("orders.mesh.internal", { records: [opt({ data: subnet([], 0) })] }));
  assert.deepEqual(addresses(reply), ["192.0.2.1"]);
});

for (const [title, data, from, want] of told)
  test(`dnsServer() answers for a client subnet ${title} (RFC 7871 §7.2.1, §11)`, async (t) => {
    const { at } = await startServer(t, { views: onlyVms, table: settled, clientSubnetFrom: [from] });
    const reply = await ask(at, query("orders.mesh.internal", { records: [opt({ data })] }));
    const option = decode(reply).additional[0]?.data.subarray(4).toString("hex");
    assert.equal(`${addresses(reply).join()} ${option}`, want);
  });

const broken: readonly (readonly [title: string, data: Buffer])[] = [
  ["an unknown family", subnet([10, 8, 1], 24, { family: 3 })],
  ["too many bits", subnet([10, 8, 1, 1, 1], 33)],
  ["bits behind the prefix", subnet([10, 8, 1], 23)],
  ["a scope", subnet([10, 8, 1], 24, { scope: 24 })],
  ["missing octets", subnet([10, 8], 24)],
  ["no data", Buffer.from("00080000", "hex")],
];
for (const [title, data] of broken)
  test(`a trusted client subnet with ${title} is FORMERR (RFC 7871 §7.1.2)`, async (t) => {
    assert.equal(readClientSubnet(data.subarray(4)), undefined);
    const { at } = await startServer(t, { views: onlyVms, table: settled, clientSubnetFrom: ["127.0.0.0/8"] });
    assert.equal(decode(await ask(at, query("orders.mesh.internal", { records: [opt({ data })] }))).rcode, 1);
  });

test("readClientSubnet() reads IPv6, and answers say what they hold for", () => {
  const read = readClientSubnet(subnet([0xfd, 0, 0, 0, 0, 0, 1], 56, { family: 2 }).subarray(4));
  assert.ok(read !== undefined);
  assert.equal(read.address, "fd00:0:0:100::");
  assert.deepEqual([answeredSubnet(read, true)[3], answeredSubnet(read, false)[3]], [56, 0]);
});
