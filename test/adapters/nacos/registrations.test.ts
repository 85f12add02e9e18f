import assert from "node:assert/strict";
import { test } from "node:test";
import { intern } from "../../../adapters/intern.ts";
import { parseService } from "../../../adapters/nacos/client/reply.ts";
import { toService } from "../../../adapters/nacos/mapping.ts";
import { aliasesOf, dubboName, isNacosName, meshName, nacosName } from "../../../adapters/nacos/names.ts";
import { nacosFields } from "../../../adapters/nacos/options.ts";
import { compileRules } from "../../../adapters/shapes/rules.ts";
import type { Service } from "../../../src/model/service.ts";
import { entryOf } from "../entry.ts";

const at = { registry: "dc1", namespace: "default", name: "web", source: "here" };
const SPRING = { "preserved.register.source": "SPRING_CLOUD" };
const DUBBO = "providers:com.example.OrderService:1.0.0:shop";
const dubbo = (fields: object = {}) => ({
  port: 20880,
  metadata: {
    ...{
      side: "provider",
      release: "2.7.8",
      dubbo: "2.0.2",
      protocol: "dubbo",
      category: "providers",
      anyhost: "true",
    },
    ...{ interface: "com.example.OrderService", path: "com.example.OrderService", version: "1.0.0", group: "shop" },
    ...fields,
  },
});
const application = (endpoints: unknown) => ({
  port: 20880,
  metadata: {
    "dubbo.endpoints": typeof endpoints === "string" ? endpoints : JSON.stringify(endpoints),
    "dubbo.metadata-service.url-params": '{"version":"1.0.0","release":"3.2.0","port":"20880","protocol":"dubbo"}',
    "dubbo.metadata.revision": "7c65b86f6f680876cbb333cb7c92c6f6",
    "dubbo.metadata.storage-type": "local",
  },
});

/** What a server says of a service with these instances, as the mesh has it. */
function nacos(options: object, ...hosts: readonly object[]): Service | undefined {
  return named("web", options, ...hosts);
}

function named(name: string, options: object, ...hosts: readonly object[]): Service | undefined {
  const fields = nacosFields.parse({ address: "http://nacos.example.org:8848", ...options });
  const read = (ones: readonly object[]) =>
    parseService({
      serviceInfo: {
        name,
        groupName: "DEFAULT_GROUP",
        hosts: ones.map((one) => ({ ip: "192.0.2.1", port: 80, ...one })),
      },
    }).hosts;
  const made = (ones: readonly object[]) =>
    toService(at, name, read(ones), { ...fields, rules: compileRules(fields) }, intern());
  assert.deepEqual(made(hosts.toReversed()), made(hosts), "in any order");
  return made(hosts);
}

const shapes: readonly (readonly [name: string, service: Service | undefined, want: string])[] = [
  ["the least that a client sends", nacos({}, {}), "tcp 80 TCP | 192.0.2.1 w100"],
  ["Spring Cloud Alibaba's", nacos({}, { metadata: SPRING }), "http 80 HTTP | 192.0.2.1 w100"],
  [
    "Spring Cloud Alibaba's behind TLS",
    nacos({}, { metadata: { ...SPRING, secure: "true" } }),
    "https 80 HTTPS | 192.0.2.1 w100",
  ],
  [
    "Spring Cloud Alibaba's IPv6, with the other address in the metadata",
    nacos({}, { ip: "[2001:db8::31]", metadata: { ...SPRING, IPv6: "[2001:db8::31]" } }),
    "http 80 HTTP | 2001:db8::31 w100",
  ],
  [
    "Spring's with a gRPC server beside it (grpc-spring-boot-starter)",
    nacos({}, { metadata: { ...SPRING, gRPC_port: "9090" } }),
    "http 80 HTTP, grpc 9090 GRPC | 192.0.2.1 w100",
  ],
  [
    "the same in the spelling of old versions",
    nacos({}, { metadata: { ...SPRING, "gRPC.port": "9090" } }),
    "http 80 HTTP, grpc 9090 GRPC | 192.0.2.1 w100",
  ],
  [
    "go-zero's, which has one port",
    nacos({}, { port: 8081, metadata: { gRPC_port: "8081", "preserved.register.source": "go-zero" } }),
    "grpc 8081 GRPC | 192.0.2.1 w100",
  ],
  [
    "a port of gRPC that is none",
    nacos({}, { metadata: { ...SPRING, gRPC_port: "-1" } }),
    "http 80 HTTP | 192.0.2.1 w100",
  ],
  [
    "Kratos', whose metadata say the kind",
    nacos({ protocolMeta: "kind" }, { port: 9000, metadata: { kind: "grpc", version: "v1.2" } }),
    "grpc 9000 GRPC | 192.0.2.1 w100 version=v1.2",
  ],
  [
    "an SDK's own mark, which says nothing of the protocol",
    nacos({}, { metadata: { secure: "false", "preserved.register.source": "GO_NACOS_SETTING" } }),
    "tcp 80 TCP | 192.0.2.1 w100",
  ],
  [
    "Dubbo 2.7's interface",
    named(DUBBO, {}, dubbo()),
    "tcp-metaprotocol-dubbo-dubbo 20880 TCP | 192.0.2.1 w100 version=1.0.0",
  ],
  [
    "Dubbo's own weights: the console's says nothing to its callers",
    named(DUBBO, {}, { ...dubbo({ weight: "300" }), weight: 7 }, { ...dubbo(), ip: "192.0.2.2", weight: 7 }),
    "tcp-metaprotocol-dubbo-dubbo 20880 TCP | 192.0.2.1 w300 version=1.0.0, 192.0.2.2 w100 version=1.0.0",
  ],
  [
    "Dubbo's weight 0",
    named(DUBBO, {}, dubbo({ weight: "0" }), { ...dubbo({ weight: "x" }), ip: "192.0.2.2" }),
    "tcp-metaprotocol-dubbo-dubbo 20880 TCP | 192.0.2.2 w100 version=1.0.0 | out: weight 192.0.2.1:20880",
  ],
  [
    "Dubbo's interface by two protocols on each machine",
    named(
      DUBBO,
      { versionMeta: "none" },
      dubbo(),
      { ...dubbo({ protocol: "tri" }), port: 50051 },
      { ...dubbo(), ip: "192.0.2.2" },
      { ...dubbo({ protocol: "tri" }), ip: "192.0.2.2", port: 50051 },
    ),
    "tcp-metaprotocol-dubbo-dubbo 20880 TCP, grpc 50051 GRPC | 192.0.2.1 w100, 192.0.2.2 w100",
  ],
  [
    "Dubbo 3's application",
    nacos({}, application([{ port: 20880, protocol: "dubbo" }])),
    "tcp-metaprotocol-dubbo-dubbo 20880 TCP | 192.0.2.1 w100",
  ],
  [
    "Dubbo 3's application with Triple and REST beside it",
    nacos(
      {},
      application([
        { port: 20880, protocol: "dubbo" },
        { port: 50051, protocol: "tri" },
        { port: 8090, protocol: "rest" },
      ]),
    ),
    "tcp-metaprotocol-dubbo-dubbo 20880 TCP, http-rest 8090 HTTP, grpc-tri 50051 GRPC | 192.0.2.1 w100",
  ],
  ["Dubbo's endpoints that are no JSON", nacos({}, application("[{")), "tcp 20880 TCP | 192.0.2.1 w100"],
  [
    "Dubbo's endpoints that are anything",
    nacos({}, application([null, 5, { port: "20880" }, { port: 99_999, protocol: "dubbo" }])),
    "tcp 20880 TCP | 192.0.2.1 w100",
  ],
  [
    "weights of the console, in hundredths",
    nacos({}, { weight: 0.5 }, { ip: "192.0.2.2", weight: 2 }, { ip: "192.0.2.3", weight: 0.001 }),
    "tcp 80 TCP | 192.0.2.1 w50, 192.0.2.2 w200, 192.0.2.3 w1",
  ],
  [
    "weights that are none",
    nacos({}, { weight: 0 }, { ip: "192.0.2.2", weight: -1 }, { ip: "192.0.2.3", weight: 10_001 }, { ip: "192.0.2.4" }),
    "tcp 80 TCP | 192.0.2.4 w100 | out: weight 192.0.2.1:80, weight 192.0.2.2:80, weight 192.0.2.3:80",
  ],
  [
    "unhealthy and disabled ones",
    nacos({}, { healthy: false }, { ip: "192.0.2.2", enabled: false }, { ip: "192.0.2.3" }),
    "tcp 80 TCP | 192.0.2.3 w100 | out: health 192.0.2.1:80, disabled 192.0.2.2:80",
  ],
  [
    "none that is healthy, all wanted",
    nacos({ allUnhealthy: "keep" }, { healthy: false }, { ip: "192.0.2.2", enabled: false, healthy: false }),
    "tcp 80 TCP | 192.0.2.1 w100 | out: disabled 192.0.2.2:80",
  ],
  [
    "numbers of a scheduler: to Nacos' clients all are the same",
    nacos({}, { port: 8080 }, { port: 8081 }, { ip: "192.0.2.2", port: 8080 }, { ip: "192.0.2.2", port: 8081 }),
    "tcp 8080 TCP | 192.0.2.1 tcp:8081 w100, 192.0.2.1 w100, 192.0.2.2 tcp:8081 w100, 192.0.2.2 w100",
  ],
  [
    "the same one in two clusters",
    nacos({}, { clusterName: "hangzhou" }, { clusterName: "shanghai" }),
    "tcp 80 TCP | 192.0.2.1 w100 | out: duplicate 192.0.2.1:80",
  ],
  [
    "one cluster of two",
    nacos({ clusters: ["hangzhou"] }, { clusterName: "hangzhou" }, { ip: "192.0.2.2", clusterName: "shanghai" }),
    "tcp 80 TCP | 192.0.2.1 w100 | out: filter 192.0.2.2:80",
  ],
  [
    "the cluster as a label, which no registrant can imitate",
    nacos({ labels: { "nacos.cluster": "cluster" } }, { clusterName: "hz", metadata: { "nacos.cluster": "sh" } }),
    "tcp 80 TCP | 192.0.2.1 w100 cluster=hz",
  ],
  [
    "not those of a cluster, by a rule",
    nacos({ instances: { exclude: [{ meta: "nacos.cluster=hz" }] } }, { clusterName: "hz" }, { ip: "192.0.2.2" }),
    "tcp 80 TCP | 192.0.2.2 w100 | out: filter 192.0.2.1:80",
  ],
  ["none of a cluster", nacos({ clusters: ["hz"] }, {}), "not listed"],
  [
    "labels of metadata, and no other",
    nacos({ labels: { team: "example.org/team" } }, { metadata: { team: "shop", env: "prod", version: "v2" } }),
    "tcp 80 TCP | 192.0.2.1 w100 example.org/team=shop version=v2",
  ],
  [
    "control characters in metadata",
    nacos({ labels: { team: "team" } }, { metadata: { team: "a\u0007b", version: "v\n2", protocol: "\u001b[31m" } }),
    "tcp 80 TCP | 192.0.2.1 w100",
  ],
  ["metadata that are no texts", nacos({}, { metadata: { version: 5, protocol: {} } }), "tcp 80 TCP | 192.0.2.1 w100"],
  ["no metadata at all", nacos({}, { metadata: null }), "tcp 80 TCP | 192.0.2.1 w100"],
  ["a host name", nacos({}, { ip: "DB-1.example.net" }), "tcp 80 TCP | db-1.example.net w100 | DNS"],
  [
    "a name of one label, and no address",
    nacos({}, { ip: "db" }, { ip: "" }, { ip: "192.0.2.2" }),
    "tcp 80 TCP | 192.0.2.2 w100 | out: address :80, address db:80",
  ],
  ["port 0", nacos({}, { port: 0 }), "held: none of its instances states a port | out: port 192.0.2.1:0"],
  ["port 0 with a rule", nacos({ ports: [{ number: 5432 }] }, { port: 0 }), "tcp 5432 TCP | 192.0.2.1 w100"],
  [
    "the operator's protocol before Spring's",
    nacos({ protocols: [{ service: "w*", protocol: "grpc" }] }, { metadata: SPRING }),
    "grpc 80 GRPC | 192.0.2.1 w100",
  ],
  [
    "nacos-k8s-sync's and x2istio's own",
    nacos({}, { metadata: { "external-source": "x2istio" } }, { ip: "192.0.2.2" }),
    "tcp 80 TCP | 192.0.2.2 w100 | out: kubernetes 192.0.2.1:80",
  ],
];

for (const [name, service, want] of shapes)
  test(`a registration becomes its entry: ${name}`, () => assert.equal(entryOf(service), want));

test("names: the group stands before those of other groups, and Dubbo's say their interface", () => {
  for (const [group, name, mesh] of [
    ["DEFAULT_GROUP", "orders", "orders"],
    ["payments", "orders", "payments@@orders"],
  ] as const) {
    assert.equal(meshName({ group, name }), mesh);
    assert.deepEqual(nacosName(mesh), { group, name });
  }
  const named = (name: string, group = "DEFAULT_GROUP", isOnly = false) =>
    aliasesOf("public", { group, name }, isOnly).map((one) => `${one.name}${one.asked === true ? " (asked)" : ""}`);
  assert.deepEqual(named("orders"), ["DEFAULT_GROUP@@orders (asked)"]);
  assert.deepEqual(named("orders", "payments"), []);
  assert.deepEqual(named("orders", "payments", true), ["orders"]);
  assert.deepEqual(named(DUBBO), [`DEFAULT_GROUP@@${DUBBO} (asked)`, "com.example.OrderService"]);
  for (const [name, category] of [
    ["providers:com.example.OrderService", "providers"],
    ["providers:com.example.OrderService::", "providers"],
    ["consumers:com.example.OrderService:1.0.0:", "consumers"],
    ["routers:com.example.OrderService:1.0.0:g", "routers"],
  ] as const)
    assert.deepEqual(dubboName(name), { category, interfaceName: "com.example.OrderService" });
  for (const name of ["orders", "providers:", "providers:a b:1:2", "providers:com.example.A:1:2:3", "x:com.example.A"])
    assert.equal(dubboName(name), undefined, name);
  assert.deepEqual([isNacosName({ group: "g", name: "a@@b" }), isNacosName({ group: "g", name: "a" })], [false, true]);
});

test("a service's group may stand in its name, as old servers write it", () => {
  const { group, name } = parseService({ serviceInfo: { name: "g@@orders", hosts: [] } });
  assert.deepEqual({ group, name }, { group: "g", name: "orders" });
});
