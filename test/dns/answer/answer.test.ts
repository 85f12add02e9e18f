import assert from "node:assert/strict";
import { test } from "node:test";
import { type Answer, answer } from "../../../src/dns/answer/answer.ts";
import type { AnswerTable } from "../../../src/dns/answer/table.ts";
import { type Zone, zonesByName } from "../../../src/dns/answer/zones.ts";
import type { Upstream } from "../../../src/dns/forward/upstream.ts";
import { RCODE, TYPE } from "../../../src/dns/wire/codes.ts";
import type { ResourceRecord } from "../../../src/dns/wire/records.ts";
import { table } from "../wire.ts";

const nowMs = 1_000_000;
const upstream: Upstream = { address: "192.0.2.53", port: 53 };
const consul: Upstream = { address: "192.0.2.2", port: 8600 };
const allZones: readonly Zone[] = [
  { name: "mesh.internal", forward: [] },
  { name: "consul", forward: [consul] },
  { name: "Ours.Consul.", forward: [] },
  { name: "theirs.mesh.internal", forward: [consul] },
  { name: "deep.below.mesh.internal", forward: [consul] },
];

const names = table({
  "orders.shop.mesh.internal": { a: ["240.241.0.7"], aaaa: ["fd00::7"] },
  "v4.shop.mesh.internal": { a: ["240.241.0.8", "240.241.0.9"] },
  "ports.shop.mesh.internal": {
    a: ["240.241.0.20"],
    aaaa: ["fd00::20"],
    service: "vms/shop/ports",
    ports: [
      { name: "http", number: 8080, transport: "tcp" },
      { name: "grpc", number: 9090, transport: "tcp" },
      { name: "dns", number: 53, transport: "udp" },
    ],
  },
  "alias.mesh.internal": { cname: "orders.shop.mesh.internal" },
  "upper.mesh.internal": { cname: "Orders.Shop.Mesh.Internal" },
  "twice.mesh.internal": { cname: "alias.mesh.internal" },
  "dangling.mesh.internal": { cname: "gone.mesh.internal" },
  "outward.mesh.internal": { cname: "orders.shop.svc.cluster.local" },
  "half.mesh.internal": { cname: "v4.shop.mesh.internal" },
  "loop-a.mesh.internal": { cname: "loop-b.mesh.internal" },
  "loop-b.mesh.internal": { cname: "loop-a.mesh.internal" },
  "empty.mesh.internal": {},
  "new.mesh.internal": { a: ["240.241.0.10"], settledAtMs: nowMs + 500 },
  "new6.mesh.internal": { aaaa: ["fd00::10"], settledAtMs: nowMs + 500 },
  "newboth.mesh.internal": { a: ["240.241.0.13"], aaaa: ["fd00::13"], settledAtMs: nowMs + 1 },
  "newports.mesh.internal": {
    a: ["240.241.0.14"],
    settledAtMs: nowMs + 500,
    ports: [{ name: "http", number: 8080, transport: "tcp" }],
  },
  "newalias6.mesh.internal": { cname: "new6.mesh.internal" },
  "newalias.mesh.internal": { cname: "new.mesh.internal" },
  "settled.mesh.internal": { a: ["240.241.0.11"], settledAtMs: nowMs },
  "web.service.consul": { a: ["240.241.0.12"] },
  "orders.corp.example.com": { a: ["240.241.0.7"] },
  ...Object.fromEntries(
    Array.from({ length: 9 }, (_, n) => [
      `c${n}.mesh.internal`,
      { cname: n === 8 ? "v4.shop.mesh.internal" : `c${n + 1}.mesh.internal` },
    ]),
  ),
});

const hosts: Readonly<Record<string, string>> = {
  "240.241.0.20": "ports.shop.mesh.internal",
  "fd00::20": "ports.shop.mesh.internal",
};
const service = (address: string, port: number) => ({
  a: [address],
  ports: [{ name: "main", number: port, transport: "tcp" as const }],
});
const legacy = table({
  "*.wild.mesh.internal": service("240.241.0.30", 8080),
  "known.wild.mesh.internal": { aaaa: ["fd00::31"] },
  "a.between.wild.mesh.internal": { a: ["240.241.0.32"] },
  "*.calls.service.consul": { a: ["240.241.0.34"] },
  "db.service.consul": service("240.241.0.35", 3306),
  "db.service.dc2.consul": service("240.241.0.38", 3306),
  "many.service.consul": {
    a: ["240.241.0.39"],
    ports: [...service("", 8080).ports, { name: "admin", number: 8081, transport: "tcp" }],
  },
  "corp.example.com": { a: ["240.241.0.40"], service: "vms/shop/corp" },
  "ldap.corp.example.com": service("240.241.0.41", 389),
  "*.calls.corp.example.com": service("240.241.0.42", 80),
  "later.corp.example.com": { waits: true, service: "vms/shop/later" },
  "hop.mesh.internal": { cname: "ldap.corp.example.com" },
  "64001.65536": service("240.241.0.36", 80),
  "orders.production": service("240.241.0.37", 9090),
});
const withWildcards: AnswerTable = { ...legacy, hasWildcards: true };
const askLegacy = (name: string, type: number = TYPE.A): Answer =>
  answer({ name, type, class: 1 }, withWildcards, {
    byName: zonesByName([
      ...allZones,
      { name: "zone.wild.mesh.internal", forward: [consul] },
      { name: "corp.example.com", forward: [{ address: "192.0.2.99", port: 53 }] },
    ]),
    ...{ forward: [upstream], ttlSeconds: 30, tellsServices: true, nowMs },
  });

const withHosts: AnswerTable = { ...names, hostOf: (address) => hosts[address] };

function ask(
  name: string,
  type: number = TYPE.A,
  { qclass = 1, forward = [upstream] as readonly Upstream[], zones = allZones, tellsServices = false } = {},
): Answer {
  const how = { byName: zonesByName(zones), forward, ttlSeconds: 30, tellsServices, nowMs };
  return answer({ name, type, class: qclass }, withHosts, how);
}

/** While a registry was never read. */
const askPartial = (name: string, type: number = TYPE.A): Answer =>
  answer(
    { name, type, class: 1 },
    { ...withHosts, isPartial: true },
    { byName: zonesByName(allZones), forward: [upstream], ttlSeconds: 30, nowMs },
  );

/** An answer as one line: code, answers, authority. */
function show(found: Answer): string {
  if (found.kind === "forward")
    return `forward${found.isKnown ? ", of a known name," : ""} ${found.to.map(({ address }) => address).join()}`;
  if (found.kind === "chain")
    return `chain of ${found.answers.length} to ${found.target}, forward ${found.to.map(({ address }) => address).join()}`;
  if (found.kind === "held") return `held ${found.untilMs - nowMs}`;
  const code = Object.entries(RCODE).find(([, value]) => value === found.rcode)?.[0];
  const data = (record: ResourceRecord) => {
    switch (record.type) {
      case "A":
      case "AAAA":
        return record.address;
      case "CNAME":
      case "NS":
      case "PTR":
        return record.target;
      case "SRV":
        return `${record.priority} ${record.weight} ${record.port} ${record.target}`;
      case "TXT":
        return record.texts.join();
      case "SOA":
        return `${record.primary} ${record.serial} ${record.minimumSeconds}`;
    }
  };
  const lines = [...found.answers, ...found.authority].map(
    (record, index) =>
      `${index < found.answers.length ? "" : "authority "}${record.name} ${record.ttlSeconds} ${record.type} ${data(record)}`,
  );
  return [`${code}${found.authoritative ? " AA" : ""}`, ...lines].join("; ");
}

const meshSoa = "authority mesh.internal 5 SOA mesh.internal 7 5";

const cases: readonly (readonly [title: string, found: () => Answer, want: string])[] = [
  [
    "gives A records with the configured TTL",
    () => ask("v4.shop.mesh.internal"),
    "NOERROR AA; v4.shop.mesh.internal 30 A 240.241.0.8; v4.shop.mesh.internal 30 A 240.241.0.9",
  ],
  [
    "gives AAAA records (RFC 3596 §2.2)",
    () => ask("orders.shop.mesh.internal", TYPE.AAAA),
    "NOERROR AA; orders.shop.mesh.internal 30 AAAA fd00::7",
  ],
  [
    "gives NODATA with SOA for a host without AAAA (RFC 2308 §2.2)",
    () => ask("v4.shop.mesh.internal", TYPE.AAAA),
    `NOERROR AA; ${meshSoa}`,
  ],
  [
    "gives NODATA for types that no name has (RFC 2308 §2.2)",
    () => ask("v4.shop.mesh.internal", TYPE.HTTPS),
    `NOERROR AA; ${meshSoa}`,
  ],
  ["gives NODATA for a name without addresses", () => ask("empty.mesh.internal"), `NOERROR AA; ${meshSoa}`],
  [
    "gives NXDOMAIN with SOA for an unknown name in our zone (RFC 2308 §2.1)",
    () => ask("nope.mesh.internal"),
    `NXDOMAIN AA; ${meshSoa}`,
  ],
  ["denies nothing while names are missing", () => askPartial("nobody.mesh.internal"), "SERVFAIL"],
  ["denies no type of it either", () => askPartial("nobody.mesh.internal", TYPE.TXT), "SERVFAIL"],
  [
    "answers what it knows while names are missing",
    () => askPartial("v4.shop.mesh.internal"),
    "NOERROR AA; v4.shop.mesh.internal 30 A 240.241.0.8; v4.shop.mesh.internal 30 A 240.241.0.9",
  ],
  [
    "denies other types of what it knows",
    () => askPartial("v4.shop.mesh.internal", TYPE.AAAA),
    `NOERROR AA; ${meshSoa}`,
  ],
  ["asks others for theirs while names are missing", () => askPartial("www.example.org"), "forward 192.0.2.53"],
  ["gives NXDOMAIN below a name that exists", () => ask("x.v4.shop.mesh.internal"), `NXDOMAIN AA; ${meshSoa}`],
  ["gives NODATA for an empty non-terminal (RFC 8020 §2)", () => ask("shop.mesh.internal"), `NOERROR AA; ${meshSoa}`],
  ["gives NODATA above another zone (RFC 8020 §2)", () => ask("below.mesh.internal"), `NOERROR AA; ${meshSoa}`],
  ["does not take a name that ends like a zone for one inside it", () => ask("notmesh.internal"), "forward 192.0.2.53"],
  [
    "answers the SOA of an apex without a row (RFC 1035 §3.3.13)",
    () => ask("mesh.internal", TYPE.SOA),
    "NOERROR AA; mesh.internal 5 SOA mesh.internal 7 5",
  ],
  [
    "answers the NS of an apex with the zone itself (RFC 6303 §3)",
    () => ask("mesh.internal", TYPE.NS),
    "NOERROR AA; mesh.internal 30 NS mesh.internal",
  ],
  ["gives NODATA for addresses of an apex", () => ask("mesh.internal"), `NOERROR AA; ${meshSoa}`],
  [
    "gives NODATA, not NXDOMAIN, at an apex without any name below",
    () => ask("ours.consul"),
    "NOERROR AA; authority ours.consul 5 SOA ours.consul 7 5",
  ],
  ["gives NODATA for SOA and NS below an apex", () => ask("v4.shop.mesh.internal", TYPE.SOA), `NOERROR AA; ${meshSoa}`],
  [
    "answers ANY with the A records (RFC 8482 §4.1)",
    () => ask("orders.shop.mesh.internal", TYPE.ANY),
    "NOERROR AA; orders.shop.mesh.internal 30 A 240.241.0.7",
  ],
  ["holds an address that ANY would give, too", () => ask("new.mesh.internal", TYPE.ANY), "held 500"],
  ["holds the IPv6 address that ANY would give, too", () => ask("new6.mesh.internal", TYPE.ANY), "held 500"],
  [
    "answers ANY with the AAAA records where there is no A",
    () => askLegacy("known.wild.mesh.internal", TYPE.ANY),
    "NOERROR AA; known.wild.mesh.internal 30 AAAA fd00::31",
  ],
  [
    "answers ANY at a name of ports with SRV",
    () => ask("_http._tcp.ports.shop.mesh.internal", TYPE.ANY),
    "NOERROR AA; _http._tcp.ports.shop.mesh.internal 30 SRV 0 100 8080 ports.shop.mesh.internal",
  ],
  [
    "answers ANY at a reverse name with PTR",
    () => ask("20.0.241.240.in-addr.arpa", TYPE.ANY),
    "NOERROR AA; 20.0.241.240.in-addr.arpa 30 PTR ports.shop.mesh.internal",
  ],
  [
    "answers ANY at an apex with SOA",
    () => ask("mesh.internal", TYPE.ANY),
    "NOERROR AA; mesh.internal 5 SOA mesh.internal 7 5",
  ],
  [
    "answers ANY at a legacy name in someone else's zone with its addresses",
    () => ask("orders.corp.example.com", TYPE.ANY),
    "NOERROR AA; orders.corp.example.com 30 A 240.241.0.7",
  ],
  [
    "answers ANY at an alias with its CNAME (RFC 8482 §4.1)",
    () => ask("alias.mesh.internal", TYPE.ANY),
    "NOERROR AA; alias.mesh.internal 30 CNAME orders.shop.mesh.internal",
  ],
  [
    "answers ANY at an unknown name with NXDOMAIN",
    () => ask("nope.mesh.internal", TYPE.ANY),
    `NXDOMAIN AA; ${meshSoa}`,
  ],
  [
    "answers ANY at an empty non-terminal with NODATA",
    () => ask("shop.mesh.internal", TYPE.ANY),
    `NOERROR AA; ${meshSoa}`,
  ],
  [
    "follows a CNAME (RFC 1034 §3.6.2)",
    () => ask("alias.mesh.internal"),
    "NOERROR AA; alias.mesh.internal 30 CNAME orders.shop.mesh.internal; orders.shop.mesh.internal 30 A 240.241.0.7",
  ],
  [
    "follows a CNAME whose target is written in upper case (RFC 4343 §3)",
    () => ask("upper.mesh.internal"),
    "NOERROR AA; upper.mesh.internal 30 CNAME Orders.Shop.Mesh.Internal; orders.shop.mesh.internal 30 A 240.241.0.7",
  ],
  [
    "follows a CNAME to a CNAME",
    () => ask("twice.mesh.internal", TYPE.AAAA),
    "NOERROR AA; twice.mesh.internal 30 CNAME alias.mesh.internal; alias.mesh.internal 30 CNAME orders.shop.mesh.internal; orders.shop.mesh.internal 30 AAAA fd00::7",
  ],
  [
    "gives the CNAME alone when it is what is asked",
    () => ask("twice.mesh.internal", TYPE.CNAME),
    "NOERROR AA; twice.mesh.internal 30 CNAME alias.mesh.internal",
  ],
  [
    "gives NODATA after a CNAME (RFC 2308 §2.2)",
    () => ask("half.mesh.internal", TYPE.AAAA),
    `NOERROR AA; half.mesh.internal 30 CNAME v4.shop.mesh.internal; ${meshSoa}`,
  ],
  [
    "gives the code of the last name of a chain (RFC 6604 §3)",
    () => ask("dangling.mesh.internal"),
    `NXDOMAIN AA; dangling.mesh.internal 30 CNAME gone.mesh.internal; ${meshSoa}`,
  ],
  [
    "asks others for addresses when a CNAME's target is not ours",
    () => ask("outward.mesh.internal"),
    "chain of 1 to orders.shop.svc.cluster.local, forward 192.0.2.53",
  ],
  [
    "gives only the CNAME when there is nobody to ask",
    () => ask("outward.mesh.internal", TYPE.A, { forward: [] }),
    "NOERROR AA; outward.mesh.internal 30 CNAME orders.shop.svc.cluster.local",
  ],
  [
    "gives only the CNAME for other types",
    () => ask("outward.mesh.internal", TYPE.TXT),
    "NOERROR AA; outward.mesh.internal 30 CNAME orders.shop.svc.cluster.local",
  ],
  ["gives SERVFAIL for a loop of CNAMEs", () => ask("loop-a.mesh.internal"), "SERVFAIL"],
  ["gives SERVFAIL for a chain of nine", () => ask("c0.mesh.internal"), "SERVFAIL"],
  ["holds an address that the mesh may not have yet", () => ask("new.mesh.internal"), "held 500"],
  ["holds it behind a CNAME too", () => ask("newalias.mesh.internal"), "held 500"],
  ["holds an IPv6 address, too", () => ask("new6.mesh.internal", TYPE.AAAA), "held 500"],
  ["holds it behind a CNAME, too", () => ask("newalias6.mesh.internal", TYPE.AAAA), "held 500"],
  ["does not hold its A, of which there is none", () => ask("new6.mesh.internal"), `NOERROR AA; ${meshSoa}`],
  ["holds A of both until it has settled", () => ask("newboth.mesh.internal"), "held 1"],
  ["holds AAAA of both until it has settled", () => ask("newboth.mesh.internal", TYPE.AAAA), "held 1"],
  [
    "does not hold its ports, which give no address away",
    () => ask("_http._tcp.newports.mesh.internal", TYPE.SRV),
    "NOERROR AA; _http._tcp.newports.mesh.internal 30 SRV 0 100 8080 newports.mesh.internal",
  ],
  ["does not hold what gives no address away", () => ask("new.mesh.internal", TYPE.AAAA), `NOERROR AA; ${meshSoa}`],
  [
    "gives a settled address",
    () => ask("settled.mesh.internal"),
    "NOERROR AA; settled.mesh.internal 30 A 240.241.0.11",
  ],
  [
    "answers a known name in an overlay zone",
    () => ask("web.service.consul"),
    "NOERROR AA; web.service.consul 30 A 240.241.0.12",
  ],
  ["asks the servers of an overlay for what is unknown in it", () => ask("db.service.consul"), "forward 192.0.2.2"],
  ["asks them for names between its apex and names of ours", () => ask("service.consul"), "forward 192.0.2.2"],
  ["asks them for its apex", () => ask("consul", TYPE.SOA), "forward 192.0.2.2"],
  [
    "denies in our zone below an overlay: the longest match wins",
    () => ask("db.ours.consul"),
    "NXDOMAIN AA; authority ours.consul 5 SOA ours.consul 7 5",
  ],
  ["asks the servers of an overlay below our zone", () => ask("x.theirs.mesh.internal"), "forward 192.0.2.2"],
  [
    "answers a legacy name outside of all zones",
    () => ask("orders.corp.example.com"),
    "NOERROR AA; orders.corp.example.com 30 A 240.241.0.7",
  ],
  [
    "gives NODATA for it with an SOA of its own name (RFC 2308 §5)",
    () => ask("orders.corp.example.com", TYPE.AAAA),
    "NOERROR AA; authority orders.corp.example.com 5 SOA orders.corp.example.com 7 5",
  ],
  [
    "answers that SOA when asked for it, with nobody else to ask",
    () => ask("orders.corp.example.com", TYPE.SOA, { forward: [] }),
    "NOERROR AA; orders.corp.example.com 5 SOA orders.corp.example.com 7 5",
  ],
  [
    "names no server for a legacy name, with nobody else to ask",
    () => ask("orders.corp.example.com", TYPE.NS, { forward: [] }),
    "NOERROR AA; authority orders.corp.example.com 5 SOA orders.corp.example.com 7 5",
  ],
  ["forwards names near a legacy name", () => ask("corp.example.com"), "forward 192.0.2.53"],
  ["forwards the root", () => ask("", TYPE.NS), "forward 192.0.2.53"],
  ["refuses names of others without forward", () => ask("example.org", TYPE.A, { forward: [] }), "REFUSED"],
  [
    "denies everything where the root is ours",
    () => ask("example.org", TYPE.A, { zones: [{ name: ".", forward: [] }] }),
    "NXDOMAIN AA; authority  5 SOA  7 5",
  ],
  [
    "answers what a wildcard stands for with the name that was asked (RFC 4592 §3.3.1)",
    () => askLegacy("x.wild.mesh.internal"),
    "NOERROR AA; x.wild.mesh.internal 30 A 240.241.0.30",
  ],
  [
    "lets a wildcard stand for several labels (RFC 4592 §2.2.1)",
    () => askLegacy("x.y.wild.mesh.internal"),
    "NOERROR AA; x.y.wild.mesh.internal 30 A 240.241.0.30",
  ],
  ["gives NODATA for its other types", () => askLegacy("x.wild.mesh.internal", TYPE.AAAA), `NOERROR AA; ${meshSoa}`],
  [
    "does not let it stand for a name that exists (RFC 4592 §2.2.1)",
    () => askLegacy("known.wild.mesh.internal"),
    `NOERROR AA; ${meshSoa}`,
  ],
  [
    "nor for an empty non-terminal (RFC 4592 §2.2.2)",
    () => askLegacy("between.wild.mesh.internal"),
    `NOERROR AA; ${meshSoa}`,
  ],
  [
    "nor for names below another name (RFC 4592 §2.2.1)",
    () => askLegacy("b.between.wild.mesh.internal"),
    `NXDOMAIN AA; ${meshSoa}`,
  ],
  ["nor for the domain that it is in", () => askLegacy("wild.mesh.internal"), `NOERROR AA; ${meshSoa}`],
  ["nor for names of another zone", () => askLegacy("x.zone.wild.mesh.internal"), "forward 192.0.2.2"],
  [
    "answers for the wildcard itself (RFC 4592 §2.1.2)",
    () => askLegacy("*.wild.mesh.internal"),
    "NOERROR AA; *.wild.mesh.internal 30 A 240.241.0.30",
  ],
  [
    "answers SRV below a wildcard with the name that was asked",
    () => askLegacy("_main._tcp.x.wild.mesh.internal", TYPE.SRV),
    "NOERROR AA; _main._tcp.x.wild.mesh.internal 30 SRV 0 100 8080 x.wild.mesh.internal",
  ],
  [
    "answers a wildcard in an overlay",
    () => askLegacy("x.calls.service.consul"),
    "NOERROR AA; x.calls.service.consul 30 A 240.241.0.34",
  ],
  [
    "answers SRV at a name of Consul's with the port that it is registered with, as Consul does",
    () => askLegacy("db.service.consul", TYPE.SRV),
    "NOERROR AA; db.service.consul 30 SRV 1 1 3306 db.service.consul",
  ],
  [
    "answers Consul's _name._tcp.service.consul",
    () => askLegacy("_db._tcp.service.consul", TYPE.SRV),
    "NOERROR AA; _db._tcp.service.consul 30 SRV 1 1 3306 db.service.consul",
  ],
  [
    "answers Consul's names with a datacenter",
    () => askLegacy("_db._tcp.service.dc2.consul", TYPE.SRV),
    "NOERROR AA; _db._tcp.service.dc2.consul 30 SRV 1 1 3306 db.service.dc2.consul",
  ],
  [
    "asks Consul for a service by tag: a VIP stands for all instances",
    () => askLegacy("primary.db.service.consul"),
    "forward 192.0.2.2",
  ],
  ["asks Consul for SRV by tag", () => askLegacy("_db._primary.service.consul", TYPE.SRV), "forward 192.0.2.2"],
  ["asks Consul for its nodes", () => askLegacy("n1.node.dc1.consul"), "forward 192.0.2.2"],
  ["asks Consul for prepared queries", () => askLegacy("nearest-db.query.consul"), "forward 192.0.2.2"],
  ["asks Consul for other datacenters", () => askLegacy("db.service.dc9.consul"), "forward 192.0.2.2"],
  ["answers an L5 name of two numbers", () => askLegacy("64001.65536"), "NOERROR AA; 64001.65536 30 A 240.241.0.36"],
  [
    "answers Polaris's service.namespace",
    () => askLegacy("orders.production"),
    "NOERROR AA; orders.production 30 A 240.241.0.37",
  ],
  [
    "asks others for SRV at Polaris's service.namespace: of several ports nobody knows which is meant",
    () => askLegacy("orders.production", TYPE.SRV),
    "forward, of a known name, 192.0.2.53",
  ],
  ["gives NODATA for SRV at a host", () => ask("ports.shop.mesh.internal", TYPE.SRV), `NOERROR AA; ${meshSoa}`],
  [
    "gives NODATA for SRV at a plain name, with nobody else to ask",
    () => ask("orders.corp.example.com", TYPE.SRV, { forward: [] }),
    "NOERROR AA; authority orders.corp.example.com 5 SOA orders.corp.example.com 7 5",
  ],
  [
    "asks others for _name._tcp outside of Consul's names: it is no port",
    () => askLegacy("_ldap._tcp.corp.example.com", TYPE.SRV),
    "forward 192.0.2.99",
  ],
  [
    "answers SRV for a port of a name in someone else's zone",
    () => askLegacy("_main._tcp.ldap.corp.example.com", TYPE.SRV),
    "NOERROR AA; _main._tcp.ldap.corp.example.com 30 SRV 0 100 389 ldap.corp.example.com",
  ],
  [
    "asks others for what else there may be by the name of a port",
    () => askLegacy("_main._tcp.ldap.corp.example.com", TYPE.TXT),
    "forward, of a known name, 192.0.2.99",
  ],
  [
    "asks others for all types of a port that there is not",
    () => askLegacy("_25._tcp.ldap.corp.example.com", 52),
    "forward 192.0.2.99",
  ],
  [
    "gives one record where Consul's service has several ports",
    () => askLegacy("many.service.consul", TYPE.SRV),
    "NOERROR AA; many.service.consul 30 SRV 1 1 8080 many.service.consul",
  ],
  [
    "gives one record for Consul's _name._tcp, too",
    () => askLegacy("_many._tcp.service.consul", TYPE.SRV),
    "NOERROR AA; _many._tcp.service.consul 30 SRV 1 1 8080 many.service.consul",
  ],
  ["refuses classes other than IN", () => ask("version.bind", TYPE.TXT, { qclass: 3 }), "REFUSED"],
  ["refuses AXFR (RFC 5936 §2.2.1)", () => ask("mesh.internal", TYPE.AXFR), "REFUSED"],
  ["refuses IXFR", () => ask("mesh.internal", TYPE.IXFR), "REFUSED"],
  ["gives FORMERR for OPT as a question (RFC 6891 §6.1.1)", () => ask("mesh.internal", TYPE.OPT), "FORMERR"],
  ["gives NOTIMP for MAILB", () => ask("mesh.internal", TYPE.MAILB), "NOTIMP"],
  [
    "answers SRV for a port by its name (RFC 2782)",
    () => ask("_http._tcp.ports.shop.mesh.internal", TYPE.SRV),
    "NOERROR AA; _http._tcp.ports.shop.mesh.internal 30 SRV 0 100 8080 ports.shop.mesh.internal",
  ],
  [
    "answers SRV for a UDP port only below _udp (RFC 2782)",
    () => ask("_dns._udp.ports.shop.mesh.internal", TYPE.SRV),
    "NOERROR AA; _dns._udp.ports.shop.mesh.internal 30 SRV 0 100 53 ports.shop.mesh.internal",
  ],
  [
    "gives NODATA for an address of a port's name",
    () => ask("_http._tcp.ports.shop.mesh.internal", TYPE.A),
    `NOERROR AA; ${meshSoa}`,
  ],
  [
    "gives NODATA between a host and its ports' names (RFC 8020 §2)",
    () => ask("_tcp.ports.shop.mesh.internal", TYPE.SRV),
    `NOERROR AA; ${meshSoa}`,
  ],
  [
    "gives NXDOMAIN for a port that there is not",
    () => ask("_https._tcp.ports.shop.mesh.internal", TYPE.SRV),
    `NXDOMAIN AA; ${meshSoa}`,
  ],
  [
    "gives NXDOMAIN for ports of a host that tells none",
    () => ask("_http._tcp.v4.shop.mesh.internal", TYPE.SRV),
    `NXDOMAIN AA; ${meshSoa}`,
  ],
  [
    "answers PTR for a VIP (RFC 1035 §3.5)",
    () => ask("20.0.241.240.in-addr.arpa", TYPE.PTR),
    "NOERROR AA; 20.0.241.240.in-addr.arpa 30 PTR ports.shop.mesh.internal",
  ],
  [
    "answers PTR for an IPv6 VIP (RFC 3596 §2.5)",
    () => ask("0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", TYPE.PTR),
    "NOERROR AA; 0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa 30 PTR ports.shop.mesh.internal",
  ],
  [
    "gives NODATA for other types of a reverse name",
    () => ask("20.0.241.240.in-addr.arpa"),
    "NOERROR AA; authority 20.0.241.240.in-addr.arpa 5 SOA 20.0.241.240.in-addr.arpa 7 5",
  ],
  ["forwards reverse names of others", () => ask("21.0.241.240.in-addr.arpa", TYPE.PTR), "forward 192.0.2.53"],
  [
    "does not take 020 for 20 in a reverse name",
    () => ask("020.0.241.240.in-addr.arpa", TYPE.PTR),
    "forward 192.0.2.53",
  ],
  [
    "tells the service by TXT where that is wanted",
    () => ask("ports.shop.mesh.internal", TYPE.TXT, { tellsServices: true }),
    "NOERROR AA; ports.shop.mesh.internal 30 TXT service=vms/shop/ports",
  ],
  ["gives NODATA for TXT where it is not", () => ask("ports.shop.mesh.internal", TYPE.TXT), `NOERROR AA; ${meshSoa}`],
  [
    "does not find a name by the dots inside a label",
    () => ask("orders\\046shop.mesh.internal"),
    `NXDOMAIN AA; ${meshSoa}`,
  ],
];

/** A name in an overlay, its apex, one outside of all zones, and one of a wildcard: what is asked where the zone is, by type. */
const theirs = ["ldap.corp.example.com", "corp.example.com", "orders.production", "x.calls.corp.example.com"];
const isTheirs: Readonly<Record<string, boolean>> = {
  ...{ A: false, AAAA: false, CNAME: false, SVCB: false, HTTPS: false, ANY: false },
  ...{ MX: true, TXT: true, NS: true, SOA: true, SRV: true, NAPTR: true, DS: true, PTR: true },
  257: true,
};
for (const name of theirs)
  for (const [type, want] of Object.entries(isTheirs))
    test(`answer() ${want ? "asks others for" : "answers"} ${type} of ${name}, whose zone is someone else's`, () => {
      const found = show(askLegacy(name, TYPE[type as keyof typeof TYPE] ?? Number(type)));
      const to = name === "orders.production" ? "192.0.2.53" : "192.0.2.99";
      if (want) assert.equal(found, `forward, of a known name, ${to}`);
      else assert.match(found, type === "A" || type === "ANY" ? / 30 A / : /^NOERROR AA; authority .* SOA /);
    });

for (const [title, found, want] of [
  ["an address", () => askLegacy("later.corp.example.com"), "held 20"],
  ["ANY", () => askLegacy("later.corp.example.com", TYPE.ANY), "held 20"],
  ["mail", () => askLegacy("later.corp.example.com", TYPE.MX), "forward, of a known name, 192.0.2.99"],
  ["a text", () => askLegacy("later.corp.example.com", TYPE.TXT), "forward, of a known name, 192.0.2.99"],
] as const)
  test(`answer() to a question for ${title} of a waiting name in someone else's zone`, () =>
    assert.equal(show(found()), want));

test("answer() gives only our CNAME for mail where it leads to a name in someone else's zone", () => {
  const want = "NOERROR AA; hop.mesh.internal 30 CNAME ldap.corp.example.com";
  assert.equal(show(askLegacy("hop.mesh.internal", TYPE.MX)), want);
  assert.equal(show(askLegacy("hop.mesh.internal")), `${want}; ldap.corp.example.com 30 A 240.241.0.41`);
});

for (const [title, found, want] of cases) {
  test(`answer() ${title}`, () => assert.equal(show(found()), want));
}

test("answer() follows eight CNAMEs", () => {
  const found = ask("c1.mesh.internal");
  assert.equal(found.kind === "reply" && found.answers.length, 10);
});

test("answer() keeps the SOA serial within 32 bits (RFC 1035 §3.3.13)", () => {
  const found = answer(
    { name: "mesh.internal", type: TYPE.SOA, class: 1 },
    { ...names, serial: 2 ** 32 + 5 },
    { byName: zonesByName(allZones), forward: [], ttlSeconds: 30, nowMs },
  );
  assert.equal(show(found), "NOERROR AA; mesh.internal 5 SOA mesh.internal 5 5");
});

test("answer() tells a service of any length by TXT, in strings of at most 255 octets", () => {
  const service = `vms/shop/${"ü".repeat(300)}`;
  const names = table({ "long.mesh.internal": { a: ["240.241.0.9"], service } });
  const found = answer({ name: "long.mesh.internal", type: TYPE.TXT, class: 1 }, names, {
    byName: zonesByName([{ name: "mesh.internal", forward: [] }]),
    forward: [],
    ttlSeconds: 30,
    tellsServices: true,
    nowMs: 0,
  });
  assert.ok(found.kind === "reply");
  const [record] = found.answers;
  assert.ok(record?.type === "TXT");
  assert.equal(record.texts.join(""), `service=${service}`);
  assert.ok(record.texts.every((text) => Buffer.byteLength(text) <= 255));
});
