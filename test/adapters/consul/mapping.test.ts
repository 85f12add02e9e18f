import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseEntries, parseServices } from "../../../adapters/consul/client/reply.ts";
import { toInstance } from "../../../adapters/consul/mapping/instance.ts";
import { consulFields } from "../../../adapters/consul/options.ts";
import { intern } from "../../../adapters/intern.ts";
import { compileRules } from "../../../adapters/shapes/rules.ts";
import { toService } from "../../../adapters/shapes/service.ts";
import type { Service } from "../../../src/model/service.ts";

interface Raw {
  readonly node?: object;
  readonly service?: object;
  readonly checks?: readonly object[];
}

function entry({ node = {}, service = {}, checks = [] }: Raw) {
  return {
    Node: { Node: "vm", Address: "192.0.2.1", Datacenter: "dc1", ...node },
    Service: { ID: "web", Service: "web", Port: 80, Weights: { Passing: 1, Warning: 1 }, ...service },
    Checks: checks,
  };
}

function map(raw: readonly Raw[], options: object = {}): Service {
  const fields = consulFields.parse({ address: "http://consul.example.org:8500", ...options });
  const pool = intern();
  const rules = compileRules(fields, true);
  const found = parseEntries(Buffer.from(JSON.stringify(raw.map(entry)))).map((one) =>
    toInstance(one, { ...fields, rules }, pool, "web"),
  );
  const instances = found.flatMap(({ instance }) => instance ?? []);
  const besides = found.flatMap((one) => (one.instance === undefined ? (one.out ?? []) : []));
  const place = { registry: "dc1", namespace: "default", name: "web", source: "" };
  return toService(place, instances, besides, { pool, rules, allUnhealthy: fields.allUnhealthy });
}

const at = (address: string, service: object = {}): Raw => ({ service: { Address: address, ID: address, ...service } });
const check = (Status: string, CheckID = "web-check") => ({ CheckID, Status });
const tcp80 = { name: "tcp", number: 80, protocol: "TCP", observed: true };
const plain = { address: "192.0.2.1", weight: 1, region: "dc1" };
const out = (kind: string, reason: string, address = "192.0.2.1:80") => ({ address, kind, reason });

const cases: {
  name: string;
  raw: readonly Raw[];
  options?: object;
  want: Partial<Record<"ports" | "endpoints" | "leftOut" | "notes", unknown>>;
}[] = [
  { name: "gives no ports and endpoints without instances", raw: [], want: { ports: [], endpoints: [] } },
  { name: "takes the node's address", raw: [{}], want: { ports: [tcp80], endpoints: [plain], leftOut: [], notes: [] } },
  {
    name: "takes the service's own address first",
    raw: [at("2001:DB8::1")],
    want: { endpoints: [{ ...plain, address: "2001:db8::1" }] },
  },
  {
    name: "takes the tagged address of the service, and its port",
    raw: [at("192.0.2.9", { TaggedAddresses: { wan: { Address: "198.51.100.1", Port: 81 } } })],
    options: { taggedAddress: "wan" },
    want: { ports: [{ ...tcp80, number: 81 }], endpoints: [{ ...plain, address: "198.51.100.1" }] },
  },
  {
    name: "takes the tagged address of the node",
    raw: [{ node: { TaggedAddresses: { wan: "198.51.100.2" } } }, at("192.0.2.9")],
    options: { taggedAddress: "wan" },
    want: {
      endpoints: [
        { ...plain, address: "192.0.2.9" },
        { ...plain, address: "198.51.100.2" },
      ],
    },
  },
  {
    name: "names a port by its protocol",
    raw: [at("192.0.2.1", { Meta: { protocol: "HTTP" } })],
    want: { ports: [{ ...tcp80, name: "http", protocol: "HTTP" }] },
  },
  {
    name: "knows Aeraki's protocols",
    raw: [at("192.0.2.1", { Meta: { protocol: "metaprotocol-dubbo" } })],
    want: { ports: [{ ...tcp80, name: "dubbo", protocol: "metaprotocol-dubbo" }] },
  },
  {
    name: "takes an unknown protocol as TCP",
    raw: [at("192.0.2.1", { Meta: { protocol: "carrier\npigeon" } })],
    want: { ports: [tcp80], notes: ["protocol carrier?pigeon is not known to Istio: TCP"] },
  },
  {
    name: "takes the protocol that most instances state",
    raw: [
      at("192.0.2.1", { Meta: { protocol: "grpc" } }),
      at("192.0.2.2", { Meta: { protocol: "http" } }),
      at("192.0.2.3", { Meta: { protocol: "grpc" } }),
      at("192.0.2.4"),
    ],
    want: {
      ports: [{ ...tcp80, name: "grpc", protocol: "GRPC" }],
      notes: ["instances disagree on the protocol: GRPC, not HTTP"],
    },
  },
  {
    name: "has the lowest number of all instances, and others by endpoint",
    raw: [
      at("192.0.2.1", { Port: 82 }),
      at("192.0.2.2", { Port: 81 }),
      { ...at("192.0.2.3"), checks: [check("critical")] },
    ],
    want: {
      ports: [tcp80],
      endpoints: [
        { ...plain, ports: { tcp: 82 } },
        { ...plain, address: "192.0.2.2", ports: { tcp: 81 } },
      ],
    },
  },
  {
    name: "has the ports that meta declares",
    raw: [
      at("192.0.2.1", { Meta: { port_grpc: "9090", port_admin: "9000", protocol_admin: "http", protocol: "http" } }),
    ],
    want: {
      ports: [
        { ...tcp80, name: "http", protocol: "HTTP" },
        { name: "admin", number: 9000, protocol: "HTTP" },
        { name: "grpc", number: 9090, protocol: "GRPC" },
      ],
      endpoints: [plain],
    },
  },
  {
    name: "has a port that is declared and the service's own once",
    raw: [at("192.0.2.1", { Meta: { "port_http-web": "80" } })],
    want: { ports: [{ name: "http-web", number: 80, protocol: "HTTP" }] },
  },
  {
    name: "drops a port that cannot be",
    raw: [at("192.0.2.1", { Meta: { port_Big: "1", port_x: "70000", port_y: "0x1" } })],
    want: {
      ports: [tcp80],
      notes: [
        "meta port_Big: 1 is dropped: its name is not a DNS label",
        "meta port_x: 70000 is dropped: it is not a port number",
        "meta port_y: 0x1 is dropped: it is not a port number",
      ],
    },
  },
  {
    name: "gives ports of one number different numbers where instances have them",
    raw: [at("192.0.2.1", { Port: 1, Meta: { port_x: "2" } }), at("192.0.2.2", { Port: 2, Meta: { port_x: "1" } })],
    want: {
      ports: [
        { ...tcp80, number: 1 },
        { name: "x", number: 2, protocol: "TCP", observed: true },
      ],
      endpoints: [plain, { ...plain, address: "192.0.2.2", ports: { tcp: 2, x: 1 } }],
    },
  },
  {
    name: "says where an instance lacks a port",
    raw: [at("192.0.2.1", { Meta: { port_x: "81" } }), at("192.0.2.2")],
    want: {
      notes: ["not every instance says where its port x is: taken as 81"],
      endpoints: [plain, { ...plain, address: "192.0.2.2" }],
    },
  },
  {
    name: "leaves out what has no port",
    raw: [at("192.0.2.1", { Port: 0 })],
    want: { ports: [], endpoints: [], leftOut: [out("port", "it has no port", "192.0.2.1:0")] },
  },
  ...(
    [
      ["db", "its address must be an IPv4 or IPv6 address, or a host name of two labels or more"],
      ["10.1", "its address must be an IPv4 or IPv6 address, or a host name of two labels or more"],
    ] as const
  ).map(([address, reason]) => ({
    name: `leaves out ${address}`,
    raw: [at(address)],
    want: { endpoints: [], leftOut: [out("address", reason, `${address}:80`)] },
  })),
  {
    name: "takes a host name, in lower case and absolute",
    raw: [at("DB.example.org"), at("192.0.2.1")],
    want: { endpoints: [plain, { ...plain, address: "db.example.org." }], leftOut: [] },
  },
  {
    name: "leaves out what is registered by another name, with its ports",
    raw: [at("192.0.2.1"), at("192.0.2.2", { Service: "web-admin", Port: 8080, Meta: { port_x: "1" } })],
    want: {
      endpoints: [plain],
      ports: [tcp80],
      leftOut: [out("name", "registered as web-admin", "192.0.2.2:8080")],
    },
  },
  {
    name: "takes what is registered by the same name in other letters",
    raw: [at("192.0.2.1", { Service: "WEB" })],
    want: { endpoints: [plain] },
  },
  {
    name: "takes the weight of the state",
    raw: [
      at("192.0.2.1", { Weights: { Passing: 10, Warning: 2 } }),
      { ...at("192.0.2.2", { Weights: { Passing: 10, Warning: 2 } }), checks: [check("passing"), check("warning")] },
    ],
    want: {
      endpoints: [
        { ...plain, weight: 10 },
        { ...plain, address: "192.0.2.2", weight: 2 },
      ],
    },
  },
  {
    name: "leaves out weight 0",
    raw: [{ service: { Weights: { Passing: 5, Warning: 0 } }, checks: [check("warning")] }],
    want: { endpoints: [], leftOut: [out("weight", "weight 0 while warning")] },
  },
  {
    name: "leaves out critical, with the check",
    raw: [{ checks: [check("warning", "disk"), check("critical", "serfHealth")] }],
    want: { ports: [tcp80], endpoints: [], leftOut: [out("health", "critical: serfHealth")] },
  },
  {
    name: "names maintenance before other checks",
    raw: [{ checks: [check("critical", "disk"), check("critical", "_service_maintenance:web")] }],
    want: { leftOut: [out("health", "critical: _service_maintenance:web")] },
  },
  {
    name: "counts a state nobody knows as critical",
    raw: [{ checks: [check("unknown", "disk")] }],
    want: { leftOut: [out("health", "critical: disk")] },
  },
  {
    name: "leaves out warning by option",
    raw: [{ checks: [check("warning", "disk")] }],
    options: { warning: "exclude" },
    want: { endpoints: [], leftOut: [out("health", "warning: disk")] },
  },
  {
    name: "makes labels of tags and of the version",
    raw: [
      at("192.0.2.1", {
        Tags: ["env=prod", "tier|web=1", "plain", "=x", "a b=c", "version=old", "security.istio.io/tlsMode=istio"],
        Meta: { version: "v1" },
      }),
    ],
    want: {
      endpoints: [{ ...plain, labels: { env: "prod", version: "v1" } }],
      notes: [
        "label tier: web=1 is dropped: its value is not a Kubernetes label value",
        "label a b: c is dropped: its key is not a Kubernetes label key",
        "label security.istio.io/tlsMode: istio is dropped: only the mesh's own operator may set it",
      ],
    },
  },
  {
    name: "makes at most 64 labels",
    raw: [at("192.0.2.1", { Tags: Array.from({ length: 3000 }, (_, n) => `k${1000 + n}=v`) })],
    want: {
      endpoints: [
        { ...plain, labels: Object.fromEntries(Array.from({ length: 64 }, (_, n) => [`k${1000 + n}`, "v"])) },
      ],
      notes: ["of 3000 labels of an instance 64 are kept"],
    },
  },
  {
    name: "makes no labels of tags by option",
    raw: [at("192.0.2.1", { Tags: ["env=prod"], Meta: { rev: "2" } })],
    options: { labelSeparators: [], versionMeta: "rev" },
    want: { endpoints: [{ ...plain, labels: { version: "2" } }] },
  },
  {
    name: "takes region and zone of the node",
    raw: [{ node: { Meta: { r: "eu", z: "eu-1a" } } }, { ...at("192.0.2.2"), node: { Meta: { z: "a/b" } } }],
    options: { regionMeta: "r", zoneMeta: "z" },
    want: {
      endpoints: [
        { ...plain, region: "eu", zone: "eu-1a" },
        { ...plain, address: "192.0.2.2" },
      ],
    },
  },
  {
    name: "counts what is registered twice once",
    raw: [at("192.0.2.1", { ID: "a" }), at("192.0.2.1", { ID: "b" })],
    want: { endpoints: [plain], leftOut: [out("duplicate", "registered more than once")] },
  },
  {
    name: "takes the healthy one of two at one place",
    raw: [{ ...at("192.0.2.1", { ID: "a" }), checks: [check("critical")] }, at("192.0.2.1", { ID: "b" })],
    want: { endpoints: [plain], leftOut: [out("health", "critical: web-check")] },
  },
  ...["external-source", "external-k8s-ns", "managed-by"].map((key) => ({
    name: `leaves out what comes from Kubernetes, by ${key}`,
    raw: [
      at("192.0.2.1", { Meta: { [key]: key === "managed-by" ? "consul-k8s-endpoints-controller" : "kubernetes" } }),
      at("192.0.2.2"),
    ],
    want: {
      endpoints: [{ ...plain, address: "192.0.2.2" }],
      leftOut: [out("kubernetes", "registered from Kubernetes by consul-k8s")],
    },
  })),
  ...["external-source", "external-k8s-ns", "managed-by"].map((key) => ({
    name: `leaves out what is on a node that comes from Kubernetes, by ${key} of the node`,
    raw: [
      { node: { Meta: { [key]: key === "managed-by" ? "consul-k8s-endpoints-controller" : "kubernetes" } } },
      at("192.0.2.2"),
    ],
    want: {
      endpoints: [{ ...plain, address: "192.0.2.2" }],
      leftOut: [out("kubernetes", "registered from Kubernetes by consul-k8s")],
    },
  })),
  {
    name: "takes what another source registered",
    raw: [
      { ...at("192.0.2.1", { Meta: { "external-source": "nomad", "managed-by": "terraform" } }) },
      { ...at("192.0.2.2"), node: { Meta: { "external-source": "nomad", "not-external-k8s-ns": "x" } } },
    ],
    want: { endpoints: [plain, { ...plain, address: "192.0.2.2" }], leftOut: [] },
  },
  {
    name: "passes over proxies",
    raw: [at("192.0.2.1", { Kind: "connect-proxy" }), at("192.0.2.2", { Kind: "typical" })],
    want: { endpoints: [{ ...plain, address: "192.0.2.2" }], leftOut: [] },
  },
  {
    name: "passes over what the filters do not want",
    raw: [
      { ...at("192.0.2.1", { Tags: ["mesh"], Meta: { a: "1" } }), node: { Meta: { b: "2" } } },
      { ...at("192.0.2.2", { Meta: { a: "1" } }), node: { Meta: { b: "2" } } },
      { ...at("192.0.2.3", { Tags: ["mesh"] }), node: { Meta: { b: "2" } } },
      at("192.0.2.4", { Tags: ["mesh"], Meta: { a: "1" } }),
    ],
    options: { tags: ["mesh"], serviceMeta: { a: "1" }, nodeMeta: { b: "2" } },
    want: { endpoints: [plain], leftOut: [] },
  },
  {
    name: "reads fields that are null as missing",
    raw: [
      {
        node: { Meta: null, TaggedAddresses: null },
        service: { Tags: null, Meta: null, Weights: null, TaggedAddresses: null },
      },
    ],
    want: { endpoints: [{ address: "192.0.2.1", region: "dc1" }] },
  },
];

for (const { name, raw, options, want } of cases) {
  test(`toService() ${name}`, () => {
    const service = map(raw, options);
    const found = Object.fromEntries(Object.keys(want).map((key) => [key, service[key as keyof Service]]));
    assert.deepEqual(found, want);
  });
}

test("toService() uses instances of which none is healthy only where allUnhealthy says so, and none under maintenance", () => {
  const raw = [
    { ...at("192.0.2.1"), checks: [check("critical")] },
    { ...at("192.0.2.2"), checks: [check("critical", "_service_maintenance:web")] },
    { ...at("192.0.2.3", { Weights: { Passing: 0, Warning: 1 } }), checks: [check("critical")] },
  ];
  const used = (all: object, ...more: readonly Raw[]) =>
    map([...raw, ...more], all).endpoints.map((one) => one.address);
  assert.deepEqual(used({}), []);
  assert.deepEqual(used({ allUnhealthy: "keep" }), ["192.0.2.1"]);
  assert.match(map(raw, { allUnhealthy: "keep" }).notes.join(), /no instance is healthy, so all are used/);
  assert.deepEqual(used({ allUnhealthy: "keep" }, at("192.0.2.4")), ["192.0.2.4"]);
});

test("toService() does not depend on the order of the answer", () => {
  const raw = fc.record({
    address: fc.constantFrom("192.0.2.1", "192.0.2.2", "192.0.2.10", "127.0.0.1"),
    port: fc.integer({ min: -1, max: 4 }),
    id: fc.uuid(),
    protocol: fc.constantFrom("http", "tcp", "grpc", "x"),
    status: fc.constantFrom("passing", "warning", "critical"),
  });
  fc.assert(
    fc.property(
      fc.uniqueArray(raw, { selector: ({ id }) => id, maxLength: 8 }),
      fc.infiniteStream(fc.nat()),
      (list, random) => {
        const instances = list.map(({ address, port, id, protocol, status }) => ({
          ...at(address, { ID: id, Port: port, Meta: { protocol } }),
          checks: [check(status)],
        }));
        const shuffled = instances
          .map((one) => [random.next().value, one] as const)
          .sort(([a], [b]) => a - b)
          .map(([, one]) => one);
        const [service, other] = [map(instances), map(shuffled)];
        assert.deepEqual(
          { ...other, notes: [...other.notes].sort() },
          { ...service, notes: [...service.notes].sort() },
        );
        const told = [...service.endpoints, ...service.leftOut].map((one) => one.address.replace(/:-?\d+$/, ""));
        assert.deepEqual(new Set(told), new Set(list.map(({ address }) => address)));
        const names = service.ports.map(({ name }) => name);
        assert.equal(new Set(names).size, names.length);
      },
    ),
  );
});

const unreadable: readonly { readonly name: string; readonly text: string; readonly message: RegExp }[] = [
  { name: "no JSON", text: "[{", message: /is no JSON/ },
  { name: "a mapping", text: "{}", message: /must be a list of instances/ },
  { name: "null", text: "null", message: /must be a list of instances/ },
  { name: "an entry that is null", text: "[null]", message: /\[0\] must be an instance/ },
  {
    name: "an entry without checks",
    text: '[{"Node":{"Address":""},"Service":{}}]',
    message: /\[0\]\.Checks must be a list/,
  },
  {
    name: "an address that is a number",
    text: '[{"Node":{"Address":1},"Service":{},"Checks":[]}]',
    message: /Node\.Address/,
  },
  {
    name: "a port that is a text",
    text: '[{"Node":{"Address":""},"Service":{"Port":"80"},"Checks":[]}]',
    message: /Service\.Port/,
  },
  {
    name: "a check without status",
    text: '[{"Node":{"Address":""},"Service":{},"Checks":[{}]}]',
    message: /status each/,
  },
];
for (const { name, text, message } of unreadable)
  test(`parseEntries() refuses ${name}`, () => assert.throws(() => parseEntries(Buffer.from(text)), message));

test("parseServices() refuses what is no mapping", () => {
  for (const text of ["[]", "null", "1", "", "\xff"])
    assert.throws(() => parseServices(Buffer.from(text, "latin1")), /must be a mapping|is no JSON/);
  assert.deepEqual(parseServices(Buffer.from('{"a":[],"__proto__":[]}')), ["a", "__proto__"]);
});
