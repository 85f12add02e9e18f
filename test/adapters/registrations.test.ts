import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEntries } from "../../adapters/consul/client/reply.ts";
import { toInstance } from "../../adapters/consul/mapping/instance.ts";
import { consulFields } from "../../adapters/consul/options.ts";
import { intern } from "../../adapters/intern.ts";
import { parseReply as parsePolaris } from "../../adapters/polaris/client/reply.ts";
import { toService as polarisService } from "../../adapters/polaris/mapping/service.ts";
import { polarisFields } from "../../adapters/polaris/options.ts";
import { compileRules } from "../../adapters/shapes/rules.ts";
import { toService } from "../../adapters/shapes/service.ts";
import { parseFile } from "../../adapters/static/file.ts";
import type { Service } from "../../src/model/service.ts";
import { entryOf } from "./entry.ts";

const at = { registry: "dc1", namespace: "default", name: "web", source: "here" };

/** What Consul answers about `web`, with these instances. */
function consul(options: object, ...instances: readonly object[]): Service {
  const fields = consulFields.parse({ address: "http://consul.example.org:8500", ...options });
  const rules = compileRules(fields, true);
  const pool = intern();
  const entries = instances.map((one, id) => {
    const { node = {}, checks = [], ...service } = one as { node?: object; checks?: readonly object[] };
    return {
      Node: { Node: "vm", Address: "192.0.2.1", Datacenter: "dc1", ...node },
      Service: { ID: `${id}`, Service: "web", Port: 80, ...service },
      Checks: checks,
    };
  });
  const found = parseEntries(Buffer.from(JSON.stringify(entries))).map((one) =>
    toInstance(one, { ...fields, rules }, pool, "web"),
  );
  const of = found.flatMap(({ instance }) => instance ?? []);
  const besides = found.flatMap((one) => (one.instance === undefined ? (one.out ?? []) : []));
  return toService(at, of, besides, { pool, rules, allUnhealthy: fields.allUnhealthy });
}

/** The same of Polaris. */
function polaris(options: object, ports: string, ...instances: readonly object[]): Service | undefined {
  const fields = polarisFields.parse({ address: "http://polaris.example.org:8090", ...options });
  const reply = parsePolaris(
    Buffer.from(
      JSON.stringify({
        ...{
          code: 200000,
          info: "",
          type: "INSTANCE",
          service: { namespace: "default", name: "web", revision: "1", ports },
        },
        instances: instances.map((one, id) => ({ id: `${id}`, host: "192.0.2.1", port: 80, ...one })),
      }),
    ),
  );
  return polarisService(at, reply.instances, { ...fields, rules: compileRules(fields) }, intern(), reply.ports);
}

/** A file with one service `web`. */
function file(text: string): Service {
  const [item] = parseFile(`services:\n  - {name: web, ${text}}\n`, "services.yaml", at).items;
  return item?.service ?? assert.fail(item?.problems.join());
}

const NATIVE = { Connect: { Native: true } };
const several = (...places: readonly (readonly [string, number, ...string[]])[]) =>
  places.map(([Address, Port, ...Tags]) => ({ Address, Port, Tags }));
const pod = { metadata: { source: "polaris-controller", clusterName: "east" } };
const HTTP = "ports: [{name: http, number: 80, protocol: http}]";

const shapes: readonly (readonly [name: string, service: Service | undefined, want: string])[] = [
  ["consul: the node's address", consul({}, {}), "tcp 80 TCP | 192.0.2.1"],
  ["consul: an address of its own", consul({}, { Address: "192.0.2.9" }), "tcp 80 TCP | 192.0.2.9"],
  ["consul: brackets, as Spring writes IPv6", consul({}, { Address: "[2001:db8::31]" }), "tcp 80 TCP | 2001:db8::31"],
  ["consul: IPv6 in capitals", consul({}, { Address: "2001:DB8:0:0::31" }), "tcp 80 TCP | 2001:db8::31"],
  ["consul: IPv4 in IPv6", consul({}, { Address: "::ffff:192.0.2.7" }), "tcp 80 TCP | 192.0.2.7"],
  [
    "consul: IPv6 with a zone",
    consul({}, { Address: "fe80::1%eth0" }, {}),
    "tcp 80 TCP | 192.0.2.1 | out: address [fe80::1%eth0]:80",
  ],
  [
    "consul: brackets with a zone",
    consul({}, { Address: "[fe80::1%eth0]" }, {}),
    "tcp 80 TCP | 192.0.2.1 | out: address [fe80::1%eth0]:80",
  ],
  [
    "consul: a host name",
    consul({}, { Address: "DB-1.cluster.example.net" }),
    "tcp 80 TCP | db-1.cluster.example.net | DNS",
  ],
  [
    "consul: a host name among addresses",
    consul({}, { Address: "db-1.cluster.example.net" }, {}),
    "tcp 80 TCP | 192.0.2.1, db-1.cluster.example.net | DNS",
  ],
  ["consul: a name of one label", consul({}, { Address: "db" }, {}), "tcp 80 TCP | 192.0.2.1 | out: address db:80"],
  [
    "consul: an address in brackets that is none",
    consul({}, { Address: "[db]" }, {}),
    "tcp 80 TCP | 192.0.2.1 | out: address [db]:80",
  ],
  ["polaris: brackets", polaris({}, "", { host: "[2001:db8::31]" }), "tcp 80 TCP | 2001:db8::31 w100"],
  [
    "polaris: IPv6 with a zone",
    polaris({}, "", { host: "fe80::1%eth0" }, {}),
    "tcp 80 TCP | 192.0.2.1 w100 | out: address [fe80::1%eth0]:80",
  ],
  ["polaris: IPv4 in IPv6", polaris({}, "", { host: "::ffff:192.0.2.7" }), "tcp 80 TCP | 192.0.2.7 w100"],
  ["polaris: a host name", polaris({}, "", { host: "db-1.example.net" }), "tcp 80 TCP | db-1.example.net w100 | DNS"],
  ["static: brackets", file(`${HTTP}, endpoints: [{address: "[2001:db8::31]"}]`), "http 80 HTTP | 2001:db8::31"],
  ["static: IPv4 in IPv6", file(`${HTTP}, endpoints: [{address: "::ffff:192.0.2.7"}]`), "http 80 HTTP | 192.0.2.7"],
  [
    "static: a host name beside an address",
    file(`${HTTP}, endpoints: [{address: db.example.net}, {address: 192.0.2.1}]`),
    "http 80 HTTP | 192.0.2.1, db.example.net | DNS",
  ],
  ["consul: protocol http/1.1", consul({}, { Meta: { protocol: "http/1.1" } }), "http 80 HTTP | 192.0.2.1"],
  ["consul: protocol HTTP1", consul({}, { Meta: { protocol: "HTTP1" } }), "http 80 HTTP | 192.0.2.1"],
  ["consul: protocol h2", consul({}, { Meta: { protocol: "h2" } }), "http2 80 HTTP2 | 192.0.2.1"],
  ["consul: protocol H2C", consul({}, { Meta: { protocol: " H2C " } }), "http2 80 HTTP2 | 192.0.2.1"],
  [
    "consul: protocol dubbo",
    consul({}, { Meta: { protocol: "Dubbo" } }),
    "tcp-metaprotocol-dubbo-dubbo 80 TCP | 192.0.2.1",
  ],
  [
    "consul: protocol trpc",
    consul({}, { Meta: { protocol: "trpc" } }),
    "tcp-metaprotocol-trpc-trpc 80 TCP | 192.0.2.1",
  ],
  ["consul: protocol grpc-web", consul({}, { Meta: { protocol: "gRPC-Web" } }), "grpc-web 80 GRPC-WEB | 192.0.2.1"],
  [
    "consul: a protocol that nobody knows",
    consul({}, { Meta: { protocol: "carrier pigeon" } }),
    "tcp 80 TCP | 192.0.2.1",
  ],
  ["polaris: protocol http/1.1", polaris({}, "", { protocol: "HTTP/1.1" }), "http 80 HTTP | 192.0.2.1 w100"],
  ["polaris: protocol h2c", polaris({}, "", { protocol: "h2c" }), "http2 80 HTTP2 | 192.0.2.1 w100"],
  [
    "polaris: protocol dubbo",
    polaris({}, "", { protocol: "dubbo" }),
    "tcp-metaprotocol-dubbo-dubbo 80 TCP | 192.0.2.1 w100",
  ],
  [
    "polaris: protocol trpc",
    polaris({}, "", { protocol: "tRPC" }),
    "tcp-metaprotocol-trpc-trpc 80 TCP | 192.0.2.1 w100",
  ],
  [
    "polaris: a protocol that nobody knows",
    polaris({}, "", { protocol: "carrier pigeon" }),
    "tcp-carrier-pigeon 80 TCP | 192.0.2.1 w100",
  ],
  [
    "polaris: two protocols on each address",
    polaris({}, "", { protocol: "http" }, { protocol: "grpc", port: 90 }),
    "grpc 90 GRPC, http 80 HTTP | 192.0.2.1 w100",
  ],
  [
    "static: protocol h2",
    file("ports: [{name: api, number: 80, protocol: h2}], endpoints: [{address: 192.0.2.1}]"),
    "http2-api 80 HTTP2 | 192.0.2.1",
  ],
  [
    "static: protocol Dubbo",
    file("ports: [{name: api, number: 80, protocol: Dubbo}], endpoints: [{address: 192.0.2.1}]"),
    "tcp-metaprotocol-dubbo-api 80 TCP | 192.0.2.1",
  ],
  [
    "consul: the default protocol",
    consul({ protocols: [{ service: "W*", protocol: "h2" }] }, {}),
    "http2 80 HTTP2 | 192.0.2.1",
  ],
  [
    "consul: the default protocol, where one is stated",
    consul({ protocols: [{ protocol: "http" }] }, { Meta: { protocol: "tcp" } }),
    "tcp 80 TCP | 192.0.2.1",
  ],
  [
    "consul: what the operator says of the protocol, where one is stated",
    consul({ ports: [{ protocol: "http" }] }, { Meta: { protocol: "tcp" } }),
    "http 80 HTTP | 192.0.2.1",
  ],
  [
    "polaris: the default protocol",
    polaris({ protocols: [{ protocol: "grpc" }] }, "", {}),
    "grpc 80 GRPC | 192.0.2.1 w100",
  ],
  [
    "consul: Connect-native",
    consul({}, NATIVE, { Address: "192.0.2.2" }),
    "tcp 80 TCP | 192.0.2.2 | out: mesh 192.0.2.1:80",
  ],
  ["consul: Connect-native alone", consul({}, NATIVE), "tcp 80 TCP |  | out: mesh 192.0.2.1:80"],
  [
    "consul: Connect-native, as the operator wants",
    consul({ connectNative: "keep" }, NATIVE),
    "tcp 80 TCP | 192.0.2.1",
  ],
  [
    "consul: a pod beside a VM",
    consul({}, { Meta: { "external-source": "kubernetes" }, Address: "10.1.0.1" }, {}),
    "tcp 80 TCP | 192.0.2.1 | out: kubernetes 10.1.0.1:80",
  ],
  [
    "consul: pods alone",
    consul({}, { Meta: { "external-k8s-ns": "shop" }, Address: "10.1.0.1" }),
    "nothing | out: kubernetes 10.1.0.1:80",
  ],
  [
    "consul: an entry of x2istio's beside a VM",
    consul({}, { Meta: { "x2istio-owner": "west" }, Address: "10.1.0.1" }, {}),
    "tcp 80 TCP | 192.0.2.1 | out: kubernetes 10.1.0.1:80",
  ],
  [
    "consul: a VM that Nomad registered",
    consul({}, { Meta: { "external-source": "nomad" } }),
    "tcp 80 TCP | 192.0.2.1",
  ],
  [
    "polaris: a VM that states its cluster",
    polaris({ labels: {} }, "", { metadata: { clusterName: "east" } }),
    "tcp 80 TCP | 192.0.2.1 w100",
  ],
  [
    "polaris: a pod beside a VM",
    polaris({}, "", { ...pod, host: "10.1.0.1" }, {}),
    "tcp 80 TCP | 192.0.2.1 w100 | out: kubernetes 10.1.0.1:80",
  ],
  [
    "polaris: a pod of an old controller beside a VM",
    polaris({}, "", { host: "10.1.0.1", metadata: { platform: "polaris-controller" } }, {}),
    "tcp 80 TCP | 192.0.2.1 w100 | out: kubernetes 10.1.0.1:80",
  ],
  ["polaris: pods alone", polaris({}, "80", pod), "nothing | out: kubernetes 192.0.2.1:80"],
  ["consul: no port", consul({}, { Port: 0 }), "held: none of its instances states a port | out: port 192.0.2.1:0"],
  [
    "consul: no port on one of two",
    consul({}, { Port: 0, Address: "192.0.2.2" }, {}),
    "tcp 80 TCP | 192.0.2.1 | out: port 192.0.2.2:0",
  ],
  [
    "consul: no port, and the operator's",
    consul({ ports: [{ service: "web", number: 5432 }] }, { Port: 0 }),
    "tcp 5432 TCP | 192.0.2.1",
  ],
  [
    "consul: no port but declared ones",
    consul({}, { Port: 0, Meta: { port_http: "8080", port_grpc: "9090" } }),
    "grpc 9090 GRPC, http 8080 HTTP | 192.0.2.1",
  ],
  [
    "consul: Ports of newer servers",
    consul(
      {},
      {
        Port: 0,
        Ports: [
          { Name: "http", Port: 8080, Default: true },
          { Name: "admin", Port: 9000 },
        ],
        Meta: { protocol_admin: "h2" },
      },
    ),
    "http2-admin 9000 HTTP2, http 8080 HTTP | 192.0.2.1",
  ],
  [
    "consul: Ports with the default's number as the port",
    consul({}, { Port: 8080, Ports: [{ Name: "http", Port: 8080, Default: true }] }),
    "http 8080 HTTP | 192.0.2.1",
  ],
  ["consul: Ports of a bad name", consul({}, { Ports: [{ Name: "Big Port", Port: 8080 }] }), "tcp 80 TCP | 192.0.2.1"],
  [
    "polaris: port 0",
    polaris({}, "", { port: 0 }, { host: "192.0.2.2" }),
    "tcp 80 TCP | 192.0.2.2 w100 | out: port 192.0.2.1:0",
  ],
  [
    "polaris: port 0, and the operator's",
    polaris({ ports: [{ number: 5432, protocol: "mysql" }] }, "", { port: 0 }),
    "mysql 5432 MYSQL | 192.0.2.1 w100",
  ],
  [
    "polaris: declared ports without an instance",
    polaris({}, "8080,8080,9090"),
    "tcp-p8080 8080 TCP, tcp-p9090 9090 TCP | ",
  ],
  [
    "polaris: one declared port with the default protocol",
    polaris({ protocols: [{ protocol: "http" }] }, "8080"),
    "http 8080 HTTP | ",
  ],
  ["polaris: declared ports that are none", polaris({}, "x,0,70000"), "held: it has no port"],
  ["polaris: nothing at all", polaris({}, ""), "held: it has no port"],
  [
    "consul: Nomad",
    consul(
      {},
      ...several(
        ["192.0.2.1", 4646, "http"],
        ["192.0.2.1", 4647, "rpc"],
        ["192.0.2.2", 4646, "http"],
        ["192.0.2.2", 4647, "rpc"],
      ),
    ),
    "tcp-http 4646 TCP, tcp-rpc 4647 TCP | 192.0.2.1, 192.0.2.2",
  ],
  [
    "consul: RabbitMQ without tags",
    consul({}, ...several(["192.0.2.1", 5672], ["192.0.2.1", 15672], ["192.0.2.2", 5672], ["192.0.2.2", 15672])),
    "held: its instances have the ports 5672",
  ],
  [
    "consul: the same by a rule",
    consul(
      { ports: [{ registered: 15672, name: "management", protocol: "http" }, { name: "amqp" }] },
      ...several(["192.0.2.1", 5672], ["192.0.2.1", 15672]),
    ),
    "tcp-amqp 5672 TCP, http-management 15672 HTTP | 192.0.2.1",
  ],
  [
    "polaris: etcd, whose ports are the same to its clients",
    polaris({}, "", ...["192.0.2.1", "192.0.2.2"].flatMap((host) => [2379, 2380].map((port) => ({ host, port })))),
    "tcp 2379 TCP | 192.0.2.1 tcp:2380 w100, 192.0.2.1 w100, 192.0.2.2 tcp:2380 w100, 192.0.2.2 w100",
  ],
  [
    "polaris: etcd by rules",
    polaris(
      {
        ports: [
          { registered: 2379, name: "client", protocol: "grpc" },
          { registered: 2380, name: "peer" },
        ],
      },
      "",
      ...["192.0.2.1", "192.0.2.2"].flatMap((host) => [2379, 2380].map((port) => ({ host, port }))),
    ),
    "grpc-client 2379 GRPC, tcp-peer 2380 TCP | 192.0.2.1 w100, 192.0.2.2 w100",
  ],
  [
    "consul: port 80 beside what is registered",
    consul({ ports: [{ also: [80] }] }, { Port: 9080 }, { Port: 9081, Address: "192.0.2.2" }),
    "tcp 9080 TCP, tcp-p80 80 TCP | 192.0.2.1 tcp-p80:9080, 192.0.2.2 tcp:9081 tcp-p80:9081",
  ],
  [
    "consul: the operator's number",
    consul(
      { ports: [{ number: 80, name: "web", protocol: "http" }] },
      { Port: 9080 },
      { Port: 9081, Address: "192.0.2.2" },
    ),
    "http-web 80 HTTP | 192.0.2.1 http-web:9080, 192.0.2.2 http-web:9081",
  ],
  [
    "consul: left out by address",
    consul({ instances: { exclude: [{ cidr: "192.0.2.0/30" }] } }, {}, { Address: "192.0.2.9" }),
    "tcp 80 TCP | 192.0.2.9 | out: filter 192.0.2.1:80",
  ],
  [
    "consul: left out by tag and metadata",
    consul(
      { instances: { exclude: [{ tag: "canary", meta: "env=prod" }] } },
      { Tags: ["canary"] },
      { Tags: ["canary"], Meta: { env: "prod" }, Address: "192.0.2.2" },
    ),
    "tcp 80 TCP | 192.0.2.1 | out: filter 192.0.2.2:80",
  ],
  [
    "polaris: only those of a team",
    polaris(
      { labels: {}, instances: { include: [{ meta: ["team=shop", "!old"] }] } },
      "",
      { metadata: { team: "shop" } },
      { host: "192.0.2.2", metadata: { team: "shop", old: "1" } },
      { host: "192.0.2.3" },
    ),
    "tcp 80 TCP | 192.0.2.1 w100 | out: filter 192.0.2.2:80, filter 192.0.2.3:80",
  ],
  ["polaris: none of a team", polaris({ instances: { include: [{ meta: "team" }] } }, "", {}), "not listed"],
  [
    "polaris: not those of a team",
    polaris(
      { labels: {}, instances: { include: [{ meta: "team!=shop" }] } },
      "",
      { metadata: { team: "shop" } },
      { host: "192.0.2.2" },
    ),
    "tcp 80 TCP | 192.0.2.2 w100 | out: filter 192.0.2.1:80",
  ],
  [
    "consul: labels of metadata, renamed",
    consul(
      { labels: { team: "example.org/team", env: "env" } },
      { Meta: { team: "shop", env: "a b", other: "x" }, Tags: ["tier=web"] },
    ),
    "tcp 80 TCP | 192.0.2.1 example.org/team=shop tier=web",
  ],
  [
    "polaris: labels of metadata, and no other",
    polaris({ labels: { team: "owner" } }, "", { metadata: { team: "shop", env: "prod" }, version: "v1" }),
    "tcp 80 TCP | 192.0.2.1 w100 owner=shop version=v1",
  ],
  [
    "consul: a tag with = in its value",
    consul({}, { Tags: ["04=to", "key=dG8=", "env=prod"] }),
    "tcp 80 TCP | 192.0.2.1 04=to env=prod",
  ],
  [
    "consul: weights",
    consul({}, { Weights: { Passing: 0, Warning: 1 } }, { Address: "192.0.2.2", Weights: { Passing: 7, Warning: 1 } }),
    "tcp 80 TCP | 192.0.2.2 w7 | out: weight 192.0.2.1:80",
  ],
  [
    "polaris: weights",
    polaris({}, "", { weight: 0 }, { host: "192.0.2.2", weight: 7 }, { host: "192.0.2.3" }),
    "tcp 80 TCP | 192.0.2.2 w7, 192.0.2.3 w100 | out: weight 192.0.2.1:80",
  ],
  [
    "static: weights",
    file(`${HTTP}, endpoints: [{address: 192.0.2.1, weight: 0}, {address: 192.0.2.2, weight: 7}]`),
    "http 80 HTTP | 192.0.2.2 w7 | out: weight 192.0.2.1:80",
  ],
  [
    "static: ports of an endpoint",
    file(
      "ports: [{name: http, number: 80, protocol: http}, {name: admin, number: 90, protocol: tcp}], endpoints: [{address: 192.0.2.1, ports: {admin: 91}}]",
    ),
    "http 80 HTTP, tcp-admin 90 TCP | 192.0.2.1 tcp-admin:91",
  ],
  [
    "consul: critical and maintained",
    consul(
      {},
      { checks: [{ CheckID: "a", Status: "critical" }] },
      { Address: "192.0.2.2", checks: [{ CheckID: "_node_maintenance", Status: "critical" }] },
      { Address: "192.0.2.3" },
    ),
    "tcp 80 TCP | 192.0.2.3 | out: health 192.0.2.1:80, health 192.0.2.2:80",
  ],
];

for (const [name, service, want] of shapes)
  test(`a registration becomes its entry: ${name}`, () => assert.equal(entryOf(service), want));

test("there are shapes enough, each once", () => {
  assert.ok(shapes.length >= 60);
  assert.equal(new Set(shapes.map(([name]) => name)).size, shapes.length);
});
