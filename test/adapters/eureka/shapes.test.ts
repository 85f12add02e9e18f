import assert from "node:assert/strict";
import { test } from "node:test";
import { toService } from "../../../adapters/eureka/mapping.ts";
import { type EurekaOptions, eurekaOptions } from "../../../adapters/eureka/options.ts";
import { parseApps } from "../../../adapters/eureka/reply.ts";
import { intern } from "../../../adapters/intern.ts";
import { compileRules } from "../../../adapters/shapes/rules.ts";
import type { Service } from "../../../src/model/service.ts";
import { registration } from "./registration.ts";

const one = (fields: object = {}, address = "192.0.2.1") =>
  registration({ app: "orders", address, fields: { ...fields } });
const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const answer = (application: unknown) => ({ applications: { versions__delta: "1", apps__hashcode: "", application } });
const options = (fields: object = {}) => eurekaOptions.parse({ address: "http://192.0.2.9:8761/eureka", ...fields });

function made(instances: unknown, given: EurekaOptions = options()): Service {
  const [app] = parseApps(json(answer([{ name: "ORDERS", instance: instances }])));
  assert.ok(app?.instances !== undefined, JSON.stringify(app));
  const place = { registry: "spring", namespace: "default", name: "orders", source: "a test" };
  const service = toService(place, app.instances, { ...given, rules: compileRules(given, true) }, intern());
  return service ?? assert.fail("all of its instances are left out");
}

const http = { name: "http", number: 8080, protocol: "HTTP", observed: true };
const https = { name: "https", number: 8443, protocol: "HTTPS", observed: true };
const SECURE = { securePort: { $: 8443, "@enabled": "true" } };
const PLAIN_OFF = { port: { $: 8080, "@enabled": "false" } };
const at = (address: string, fields: object = {}) => ({ address, ...fields });
const out = ({ leftOut }: Service) => leftOut.map(({ address, kind, reason }) => [address, kind, reason]);

interface Shape {
  readonly name: string;
  readonly instances: unknown;
  readonly options?: object;
  readonly ports?: readonly object[];
  readonly endpoints: readonly object[];
  readonly out?: readonly (readonly string[])[];
  readonly aliases?: readonly string[];
  readonly notes?: RegExp;
}

const shapes: readonly Shape[] = [
  { name: "Spring Cloud's", instances: [one()], endpoints: [at("192.0.2.1")] },
  { name: "one instance that is no list, as old servers write", instances: one(), endpoints: [at("192.0.2.1")] },
  {
    name: "numbers and booleans as texts",
    instances: [one({ port: { $: "8080", "@enabled": true }, leaseInfo: { durationInSecs: "90" } })],
    endpoints: [at("192.0.2.1")],
  },
  {
    name: "Java's empty map as metadata",
    instances: [one({ metadata: { "@class": "java.util.Collections$EmptyMap" } })],
    endpoints: [at("192.0.2.1")],
  },
  { name: "no metadata at all, as by `compact`", instances: [one({ metadata: null })], endpoints: [at("192.0.2.1")] },
  {
    name: "the secure port alone: TLS goes there",
    instances: [one({ ...PLAIN_OFF, ...SECURE })],
    ports: [https],
    endpoints: [at("192.0.2.1")],
  },
  { name: "both ports", instances: [one(SECURE)], ports: [http, https], endpoints: [at("192.0.2.1")] },
  {
    name: "a secure port that not all have",
    instances: [one(SECURE), one({}, "192.0.2.2")],
    endpoints: [at("192.0.2.1"), at("192.0.2.2")],
    notes: /the secure port is dropped/,
  },
  {
    name: "one that has the other port only",
    instances: [one(), one({}, "192.0.2.2"), one({ ...PLAIN_OFF, ...SECURE }, "192.0.2.3")],
    endpoints: [at("192.0.2.1"), at("192.0.2.2")],
    out: [["192.0.2.3:8443", "port", "it has no plain port, as others have"]],
    notes: /the secure port is dropped/,
  },
  {
    name: "both numbers, none enabled",
    instances: [one(PLAIN_OFF)],
    ports: [],
    endpoints: [],
    out: [["192.0.2.1:0", "port", "it has no port that is enabled"]],
  },
  {
    name: "ports of their own on each machine",
    instances: [
      one({ port: { $: 9001, "@enabled": "true" } }),
      one({ port: { $: 9000, "@enabled": "true" } }, "192.0.2.2"),
    ],
    ports: [{ ...http, number: 9000 }],
    endpoints: [at("192.0.2.1", { ports: { http: 9001 } }), at("192.0.2.2")],
  },
  {
    name: "two on one machine",
    instances: [one(), one({ instanceId: "second", port: { $: 8081, "@enabled": "true" } })],
    endpoints: [at("192.0.2.1"), at("192.0.2.1", { ports: { http: 8081 } })],
  },
  {
    name: "the same twice",
    instances: [one(), one({ instanceId: "again" })],
    endpoints: [at("192.0.2.1")],
    out: [["192.0.2.1:8080", "duplicate", "registered more than once"]],
  },
  ...["DOWN", "STARTING", "UNKNOWN"].map((status) => ({
    name: `one that is ${status}`,
    instances: [one(), one({ status }, "192.0.2.2")],
    endpoints: [at("192.0.2.1")],
    out: [["192.0.2.2:8080", "health", status]],
  })),
  {
    name: "one that an operator took out",
    instances: [one({ status: "OUT_OF_SERVICE", overriddenStatus: "OUT_OF_SERVICE" }), one({}, "192.0.2.2")],
    endpoints: [at("192.0.2.2")],
    out: [["192.0.2.1:8080", "disabled", "OUT_OF_SERVICE, by an override"]],
  },
  {
    name: "none that is UP",
    instances: [one({ status: "DOWN" })],
    endpoints: [],
    out: [["192.0.2.1:8080", "health", "DOWN"]],
  },
  {
    name: "none that is UP, all wanted",
    instances: [one({ status: "DOWN" }), one({ status: "STARTING" }, "192.0.2.2")],
    options: { allUnhealthy: "keep" },
    endpoints: [at("192.0.2.1")],
    out: [["192.0.2.2:8080", "health", "STARTING"]],
    notes: /allUnhealthy: keep/,
  },
  {
    name: "IPv6 in brackets, as Spring writes it",
    instances: [one({ ipAddr: "[2001:db8::31]" })],
    endpoints: [at("2001:db8::31")],
  },
  {
    name: "a host name where the address is none",
    instances: [one({ ipAddr: "unknown", hostName: "Orders-1.corp.example.com" })],
    endpoints: [at("orders-1.corp.example.com.")],
  },
  {
    name: "neither an address nor a name",
    instances: [one({ ipAddr: "", hostName: "localhost" })],
    endpoints: [],
    out: [
      [
        "localhost:8080",
        "address",
        "its address must be an IPv4 or IPv6 address, or a host name of two labels or more",
      ],
    ],
  },
  {
    name: "Amazon's data centre",
    instances: [
      one({
        instanceId: undefined,
        dataCenterInfo: { name: "Amazon", metadata: { "availability-zone": "us-east-1c", "instance-id": "i-0123" } },
      }),
    ],
    endpoints: [at("192.0.2.1", { region: "us-east-1", zone: "us-east-1c" })],
  },
  {
    name: "Spring's zone with the operator's region",
    instances: [one({ metadata: { zone: "hall-1" } })],
    options: { region: "eu" },
    endpoints: [at("192.0.2.1", { region: "eu", zone: "hall-1" })],
  },
  {
    name: "Spring's zone alone",
    instances: [one({ metadata: { zone: "hall-1" } })],
    endpoints: [at("192.0.2.1")],
    notes: /zones are dropped/,
  },
  {
    name: "a version and a protocol in metadata",
    instances: [one({ metadata: { version: "v2", protocol: "grpc" } })],
    ports: [{ ...http, name: "grpc", protocol: "GRPC" }],
    endpoints: [at("192.0.2.1", { labels: { version: "v2" } })],
  },
  {
    name: "a protocol that nobody knows",
    instances: [one({ metadata: { protocol: "carrier-pigeon" } })],
    endpoints: [at("192.0.2.1")],
    notes: /protocol carrier-pigeon is not known to Istio: HTTP/,
  },
  {
    name: "several VIP addresses",
    instances: [one({ vipAddress: "Orders,Order-API , ", secureVipAddress: "orders-secure" })],
    endpoints: [at("192.0.2.1")],
    aliases: ["order-api", "orders-secure"],
  },
  {
    name: "a VIP address of the minority",
    instances: [one(), one({}, "192.0.2.2"), one({ vipAddress: "payments" }, "192.0.2.3")],
    endpoints: [at("192.0.2.1"), at("192.0.2.2"), at("192.0.2.3")],
    aliases: [],
  },
  {
    name: "leases that end in nothing, as in self-preservation",
    instances: [
      one({ leaseInfo: { durationInSecs: 90, lastRenewalTimestamp: 1_800_000_000_000 } }),
      one({ leaseInfo: { durationInSecs: 90, lastRenewalTimestamp: 1_800_000_000_000 - 361_000 } }, "192.0.2.2"),
    ],
    endpoints: [at("192.0.2.1"), at("192.0.2.2")],
    notes: /self-preservation/,
  },
  {
    name: "leases that are as old as answers can be",
    instances: [
      one({ leaseInfo: { durationInSecs: 90, lastRenewalTimestamp: 1_800_000_000_000 } }),
      one({ leaseInfo: { durationInSecs: 90, lastRenewalTimestamp: 1_800_000_000_000 - 360_000 } }, "192.0.2.2"),
    ],
    endpoints: [at("192.0.2.1"), at("192.0.2.2")],
  },
];

for (const shape of shapes)
  test(`an application: ${shape.name}`, () => {
    const service = made(shape.instances, options(shape.options));
    assert.deepEqual(service.ports, shape.ports ?? [http]);
    assert.deepEqual(service.endpoints, shape.endpoints);
    assert.deepEqual(out(service), shape.out ?? []);
    if (shape.aliases !== undefined)
      assert.deepEqual(
        service.aliases?.map(({ name }) => name),
        shape.aliases,
      );
    if (shape.notes === undefined) assert.deepEqual(service.notes, []);
    else assert.match(service.notes.join("\n"), shape.notes);
    assert.deepEqual(made([shape.instances].flat().toReversed(), options(shape.options)), service, "in any order");
  });

test("an answer: no applications are an empty list, and what is no answer is none", () => {
  assert.deepEqual(parseApps(json(answer([]))), []);
  assert.deepEqual(parseApps(json({ applications: { versions__delta: "1" } })), []);
  const single = parseApps(json(answer({ name: "A", instance: one() })));
  assert.deepEqual(
    single.map(({ name }) => name),
    ["A"],
  );
  for (const bad of [{}, [], null, "x", { applications: null }, answer([{}]), answer([{ name: 5 }])])
    assert.throws(() => parseApps(json(bad)), /has no list of applications|without a name/, JSON.stringify(bad));
  assert.throws(() => parseApps(Buffer.from("<applications/>")), /is no JSON/);
});

test("an answer: an application that cannot be understood is told alone", () => {
  const apps = parseApps(
    json(
      answer([
        { name: "BAD", instance: [one({ port: "x" })] },
        { name: "GOOD", instance: [one()] },
      ]),
    ),
  );
  assert.deepEqual(
    apps.map(({ name, instances }) => [name, instances?.length]),
    [
      ["BAD", undefined],
      ["GOOD", 1],
    ],
  );
  assert.match((apps[0] as { readonly fault: string }).fault, /^port of an instance: /);
});

test("an application: the operator's rules count, as in every registry", () => {
  const shown = ({ ports, endpoints }: Service) => [
    ports.map(({ name, number, protocol }) => `${name} ${number} ${protocol}`),
    endpoints.map(({ address, labels = {} }) => [address, ...Object.entries(labels).flat()].join(" ")),
  ];
  const both = [one({ ...SECURE, metadata: { team: "shop" } }), one({}, "192.0.2.2")];
  assert.deepEqual(
    shown(made(both, options({ ports: [{ number: 80, name: "api", protocol: "h2c" }], labels: { team: "owner" } }))),
    [
      ["api 80 HTTP2", "https 8443 HTTPS"],
      ["192.0.2.1 owner shop", "192.0.2.2"],
    ],
  );
  assert.deepEqual(shown(made([one()], options({ protocols: [{ service: "ORD*", protocol: "grpc" }] }))), [
    ["grpc 8080 GRPC"],
    ["192.0.2.1"],
  ]);
  const excluded = made(both, options({ instances: { exclude: [{ meta: "team=shop" }] } }));
  assert.deepEqual(out(excluded), [["192.0.2.1:8080", "filter", "instances.exclude[0] of the registry leaves it out"]]);
  const pods = made([one({ metadata: { "external-source": "kubernetes" } })]);
  assert.deepEqual([pods.podsOnly, pods.endpoints], [true, []]);
});
