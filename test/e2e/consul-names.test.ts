import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { type TestContext, test } from "node:test";
import { TYPE } from "../../src/dns/wire/codes.ts";
import { ask, startServer } from "../dns/sockets.ts";
import { decode, query, table, wireName } from "../dns/wire.ts";
import { securityRow } from "../security/row.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { consulServers, startConsul } from "../servers/consul.ts";
import { until } from "../servers/kube-admin.ts";
import { freePorts, startReplica } from "./cli.ts";
import { apiServices } from "./embedded.ts";
import { fixture } from "./fixture.ts";

const skip = (await ensureServers(consulServers)) === undefined && noServers;

const hashOf = (name: string) => createHash("sha256").update(`dc1/default/${name}`).digest("hex").slice(0, 16);
const hostOf = (label: string) => `${label}.default.dc1.mesh.internal`;
const CORP = "corp.example.com";

/** Services that other people's callers rely on. */
const VICTIMS = ["web", "cache", "kafka", "orders_v2", "订单"];

/** What a tenant of Consul registers, and whose answer it is after: `vip of SERVICE`, or what Consul or the company says. */
const attacks: readonly (readonly [service: string, question: string, type: "A" | "SRV", want: string])[] = [
  ["primary.web", "primary.web.service.consul", "A", "192.0.2.11"],
  ["web.", "web.service.consul", "A", "vip of web"],
  ["_web._tcp", "_web._tcp.service.consul", "SRV", "8080"],
  ["_http._tcp.web", "_http._tcp.web.service.consul", "SRV", "8080"],
  ["_http", `_http._tcp.${hostOf("web")}`, "SRV", "8080"],
  ["192-0-2-11.web", `192-0-2-11.${hostOf("web")}`, "A", "NXDOMAIN"],
  ["10-1-2-3", `10-1-2-3.${CORP}`, "A", "198.51.100.3"],
  ["Cache", "cache.service.consul", "A", "vip of cache"],
  ["CACHE", hostOf("cache"), "A", "vip of cache"],
  ["\u212Aafka", "kafka.service.consul", "A", "vip of kafka"],
  [`orders-v2-${hashOf("orders_v2")}`, hostOf(`orders-v2-${hashOf("orders_v2")}`), "A", "vip of orders_v2"],
  [hashOf("订单"), hostOf(hashOf("订单")), "A", "vip of 订单"],
  ["mail.eu", `mail.eu.${CORP}`, "A", "198.51.100.25"],
  ["_ldap._tcp.dir", `_ldap._tcp.dir.${CORP}`, "SRV", "389"],
  ["_tcp.dir", `_ldap._tcp.dir.${CORP}`, "SRV", "389"],
  ["*", `nobody.${CORP}`, "A", "NXDOMAIN"],
  ["CONSUL", hostOf("consul"), "A", "NXDOMAIN"],
  ["web.default.dc1.mesh.internal", hostOf("web"), "A", "vip of web"],
];

const victim = (service: string, at: number) => ({
  ...{ service, id: `victim-${at}`, address: `192.0.2.${11 + at}`, port: 8080 },
  ...{ tags: ["primary"], meta: { protocol: "http" } },
});
const attacker = (service: string, at: number) => ({
  ...{ service, id: `attacker-${at}`, node: "tenant", address: "192.0.2.66", port: 6666 },
  meta: { protocol: "http" },
});
const VICTIM_INSTANCES = VICTIMS.map(victim);
const ATTACKER_INSTANCES = attacks.map(([service], at) => attacker(service, at));

/** A Consul with its DNS, a company's DNS, and X2Istio before both. */
async function start(t: TestContext) {
  const { dns } = await freePorts();
  const consul = await startConsul({ config: { ports: { dns } } });
  t.after(() => consul.stop());
  const company = await startServer(t, {
    zones: [{ name: CORP, forward: [] }],
    table: () =>
      table({
        [`mail.eu.${CORP}`]: { a: ["198.51.100.25"] },
        [`10-1-2-3.${CORP}`]: { a: ["198.51.100.3"] },
        [`dir.${CORP}`]: { a: ["198.51.100.7"], ports: [{ name: "ldap", number: 389, transport: "tcp" }] },
      }),
  });
  const place = await fixture(t, [], {
    registries: [
      {
        ...{ kind: "consul", name: "dc1", address: consul.address },
        legacyNames: ["{service}.service.consul", `{service}.${CORP}`],
      },
    ],
    aliases: [],
    target: { kind: "directory", path: "out" },
  });
  await place.setConfig({
    dns: {
      listen: [`127.0.0.1:${place.ports.dns}`],
      zones: [
        "mesh.internal",
        { name: "consul", forward: [`127.0.0.1:${dns}`] },
        { name: CORP, forward: [`127.0.0.1:${company.at.port}`] },
      ],
    },
  });
  const replica = startReplica(t, place);
  /** Everything that is registered until now has been taken over. */
  const isSettled = async (name: string) => {
    await consul.register({ service: name, address: "192.0.2.99", port: 80 });
    await until(`${name} has a VIP`, async () => {
      const services = await apiServices(replica.http).catch(() => []);
      return services.some(({ service, vips }) => service === `dc1/default/${name}` && vips.length > 0);
    });
  };
  return { consul, replica, isSettled, consulDns: { address: "127.0.0.1", port: dns } };
}

type Estate = Awaited<ReturnType<typeof start>>;

/** What X2Istio answers each question, in the words of the table. */
async function answers({ replica }: Estate): Promise<readonly string[]> {
  const vips = new Map(
    (await apiServices(replica.http)).flatMap(({ service, vips: own }) =>
      own.map((vip): [string, string] => [vip, `vip of ${service.slice("dc1/default/".length)}`]),
    ),
  );
  const found: string[] = [];
  for (const [, name, type] of attacks) {
    const reply = decode(await ask({ address: "127.0.0.1", port: replica.dns }, query(name, { type: TYPE[type] })));
    const data = reply.answers.flatMap((record) => {
      if (record.type === TYPE.A) return [[...record.data].join(".")];
      return record.type === TYPE.SRV ? [String(record.data.readUInt16BE(4))] : [];
    });
    const rcode = reply.rcode === 3 ? "NXDOMAIN" : reply.rcode === 0 ? "nothing" : `rcode ${reply.rcode}`;
    found.push(data.length === 0 ? rcode : data.map((one) => vips.get(one) ?? one).join());
  }
  return found;
}

const told = (got: readonly string[]) => attacks.map(([service, name], at) => `${service}: ${name} ${got[at]}`);
const WANT = told(attacks.map(([, , , want]) => want));

test(securityRow({
  who: "registry tenant",
  attack: "registers names with dots, `_` and other letters, or of the form of others' names, after them",
  outcome: "no answer of another service, of Consul's DNS or of the company's changes",
}), { skip }, async (t) => {
  const estate = await start(t);
  await estate.consul.register(...VICTIM_INSTANCES);
  await estate.isSettled("before");
  assert.deepEqual(told(await answers(estate)), WANT, "before");
  await estate.consul.register(...ATTACKER_INSTANCES);
  await estate.isSettled("after");
  assert.deepEqual(told(await answers(estate)), WANT, "after");
});

test(securityRow({
  who: "registry tenant",
  attack: "registers names with dots, `_` and other letters, or of the form of others' names, before them",
  outcome: "no answer of another service, of Consul's DNS or of the company's changes",
}), { skip }, async (t) => {
  const estate = await start(t);
  await estate.consul.register(...ATTACKER_INSTANCES);
  await estate.isSettled("before");
  await estate.consul.register(...VICTIM_INSTANCES);
  await estate.isSettled("after");
  const got = told(await answers(estate));
  // Two ways to write one name are one service for Consul: which of them stands is kept.
  const spelled = got.map((one) =>
    one.replace(/vip of (.*)$/, (_, name: string) => `vip of ${SAME.get(name) ?? name}`),
  );
  assert.deepEqual(spelled, WANT);
  const plan = (await (await fetch(`${estate.replica.http}/api/plan`)).json()) as {
    readonly holds: readonly { readonly reason: string; readonly service?: string }[];
  };
  const held = plan.holds.flatMap(({ reason, service }) =>
    reason === "name" && service !== undefined ? [service] : [],
  );
  const imitations = [`orders-v2-${hashOf("orders_v2")}`, hashOf("订单")].map((name) => `dc1/default/${name}`);
  assert.deepEqual([...new Set(held)].sort(), imitations.sort());
});

const SAME = new Map([
  ["CACHE", "cache"],
  ["Cache", "cache"],
]);

test("SRV and other types of Consul's names are what Consul answers", { skip }, async (t) => {
  const { consul, replica, isSettled, consulDns } = await start(t);
  const meta = { protocol: "http", port_admin: "9090" };
  await consul.register({ service: "shop", address: "192.0.2.21", port: 8080, meta });
  await isSettled("last");
  const us = { address: "127.0.0.1", port: replica.dns };
  const told = async (from: typeof us, name: string, type: number) => {
    const { rcode, answers, authority } = decode(await ask(from, query(name, { type })));
    const own = answers.filter((record) => record.type === type);
    const places = own.map(({ data }) => (type === TYPE.SRV ? data.subarray(0, 6).toString("hex") : "a record"));
    const soas = authority.filter((record) => record.type === TYPE.SOA).map(({ name: zone }) => zone);
    return [rcode, places, soas];
  };
  for (const [name, type] of [
    ["shop.service.consul", TYPE.SRV],
    ["SHOP.service.consul", TYPE.SRV],
    ["_shop._tcp.service.consul", TYPE.SRV],
    ["shop.service.consul", TYPE.MX],
    ["shop.service.consul", TYPE.TXT],
    ["consul", TYPE.SOA],
    ["consul", TYPE.NS],
  ] as const)
    assert.deepEqual(await told(us, name, type), await told(consulDns, name, type), `${name} ${type}`);
  // What is forwarded names nodes in the case in which Consul knows them, and the domain in that of the client.
  const tagged = await ask(us, query("primary.web.Service.Consul", { type: TYPE.SRV }));
  await consul.register(...VICTIM_INSTANCES);
  await isSettled("later");
  const { answers } = decode(await ask(us, query("primary.orders_v2.Service.CONSUL", { type: TYPE.SRV })));
  assert.equal(decode(tagged).rcode, 3);
  assert.ok(answers.length > 0);
  for (const { name, data } of answers) {
    assert.equal(name, "primary.orders_v2.Service.CONSUL");
    // Behind priority, weight, port and a label of eight digits.
    assert.deepEqual(data.subarray(6 + 9), wireName("addr.dc1.CONSUL"));
  }
});
