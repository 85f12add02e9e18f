import assert from "node:assert/strict";
import { test } from "node:test";
import { entryFault } from "../../src/istio/entry-rules.ts";
import type { EntryEndpoint, EntryPort, ServiceEntrySpec } from "../../src/model/objects.ts";
import { entry } from "../plan/build.ts";

const { manifest } = entry();
const http: EntryPort = { name: "http", number: 80, protocol: "HTTP" };
const many = <Item>(count: number, item: (n: number) => Item) => Array.from({ length: count }, (_, n) => item(n));
const withPort = (fields: Partial<EntryPort>, ...more: EntryPort[]) => ({ ports: [{ ...http, ...fields }, ...more] });
const withEndpoint = (fields: Partial<EntryEndpoint>) => ({
  ports: [http],
  endpoints: [{ address: "192.0.2.1", ...fields }],
});
const own = (count: number) => Object.fromEntries(many(count, (n) => [`p${n}`, 1]));
const address = (n: number) => `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`;

const cases: { name: string; spec: Partial<ServiceEntrySpec>; want?: string }[] = [
  {
    name: "what is right",
    spec: withEndpoint({
      ports: { http: 8080 },
      weight: 1,
      labels: { "topology.istio.io/network": "", a: "v1.2_b-c" },
      locality: "eu/eu-1a/hall",
    }),
  },
  { name: "no endpoints", spec: { endpoints: [] } },
  { name: "an IPv6 endpoint", spec: withEndpoint({ address: "2001:db8::1" }) },
  { name: "the largest weight", spec: withEndpoint({ weight: 4_294_967_295 }) },
  { name: "no port", spec: { ports: [] }, want: "it has no port" },
  { name: "256 ports", spec: { ports: many(256, (n) => ({ ...http, name: `p${n}`, number: n + 1 })) } },
  {
    name: "257 ports",
    spec: { ports: many(257, (n) => ({ ...http, name: `p${n}`, number: n + 1 })) },
    want: "it has 257 ports, 256 are allowed",
  },
  { name: "256 hosts", spec: { hosts: many(256, (n) => `h${n}`) } },
  { name: "port number 65535", spec: withPort({ number: 65_535, targetPort: 65_535 }) },
  { name: "port number 1", spec: withPort({ number: 1, targetPort: 1 }) },
  {
    name: "target port 65536",
    spec: withPort({ targetPort: 65_536 }),
    want: "port http has target port 65536, 1 to 65535 are allowed",
  },
  {
    name: "the longest label",
    spec: withEndpoint({ labels: { [`${"a".repeat(253)}/${"b".repeat(63)}`]: "c".repeat(63) } }),
  },
  { name: "the longest port name", spec: withPort({ name: "a".repeat(63) }) },
  {
    name: "a port name that is too long",
    spec: withPort({ name: "a".repeat(64) }),
    want: `port name "${"a".repeat(64)}" is not a DNS label`,
  },
  { name: "257 hosts", spec: { hosts: many(257, (n) => `h${n}`) }, want: "it has 257 hosts, 256 are allowed" },
  { name: "4096 endpoints", spec: { endpoints: many(4096, (n) => ({ address: address(n) })) } },
  {
    name: "4097 endpoints",
    spec: { endpoints: many(4097, (n) => ({ address: address(n) })) },
    want: "it has 4097 endpoints, 4096 are allowed",
  },
  {
    name: "too many bytes",
    spec: {
      endpoints: many(4096, (n) => ({
        address: address(n),
        labels: Object.fromEntries(many(8, (m) => [`key${m}`, "v".repeat(50)])),
      })),
    },
    want: "bytes, 1400000 are allowed",
  },
  {
    name: "few endpoints of many bytes",
    spec: {
      endpoints: many(400, (n) => ({
        address: address(n),
        labels: Object.fromEntries(many(60, (m) => [`key${m}`, "v".repeat(60)])),
      })),
    },
    want: "bytes, 1400000 are allowed",
  },
  {
    name: "what only the API server writes in more bytes",
    spec: { endpoints: many(1000, (n) => ({ address: address(n), locality: "&".repeat(250) })) },
    want: "bytes, 1400000 are allowed",
  },
  {
    name: "many bytes, but not too many",
    spec: { endpoints: many(1000, (n) => ({ address: address(n), locality: "x".repeat(1300) })) },
  },
  { name: "a port name in upper case", spec: withPort({ name: "HTTP" }), want: 'port name "HTTP" is not a DNS label' },
  {
    name: "a port name with an underscore",
    spec: withPort({ name: "a_b" }),
    want: 'port name "a_b" is not a DNS label',
  },
  { name: "an empty port name", spec: withPort({ name: "" }), want: 'port name "" is not a DNS label' },
  ...[0, -1, 65_536, 1.5, Number.NaN].map((number) => ({
    name: `port number ${number}`,
    spec: withPort({ number }),
    want: `port http has number ${number}, 1 to 65535 are allowed`,
  })),
  {
    name: "target port 0",
    spec: withPort({ targetPort: 0 }),
    want: "port http has target port 0, 1 to 65535 are allowed",
  },
  {
    name: "a protocol in lower case",
    spec: withPort({ protocol: "http" }),
    want: 'port http has protocol "http", which Istio does not know',
  },
  {
    name: "an unknown protocol",
    spec: withPort({ protocol: "DUBBO" }),
    want: 'port http has protocol "DUBBO", which Istio does not know',
  },
  ...["TCP", "UDP", "GRPC", "GRPC-WEB", "HTTP", "HTTP_PROXY", "HTTP2", "HTTPS", "TLS", "MONGO", "REDIS", "MYSQL"].map(
    (protocol) => ({ name: `protocol ${protocol}`, spec: withPort({ protocol }) }),
  ),
  { name: "a port name twice", spec: withPort({}, { ...http, number: 81 }), want: "two ports are named http" },
  { name: "a port number twice", spec: withPort({}, { ...http, name: "b" }), want: "two ports have the number 80" },
  { name: "exportTo twice", spec: { exportTo: ["a", "a"] }, want: "exportTo names a namespace twice" },
  ...["db.example.org", "", "10.1", "0x7f.1", "192.0.2.010", "192.0.2.0/24", "fe80::1%eth0", "unix:///a"].map(
    (text) => ({
      name: `endpoint "${text}"`,
      spec: withEndpoint({ address: text }),
      want: `endpoint ${text}: it is not an IP address, which a STATIC entry needs`,
    }),
  ),
  {
    name: "an endpoint port that the service has not",
    spec: withEndpoint({ ports: { grpc: 90 } }),
    want: "endpoint 192.0.2.1: the service has no port grpc",
  },
  {
    name: "an endpoint port out of range",
    spec: withEndpoint({ ports: { http: 0 } }),
    want: "endpoint 192.0.2.1: port http has number 0, 1 to 65535 are allowed",
  },
  {
    name: "128 ports of an endpoint's own",
    spec: {
      ports: many(200, (n) => ({ ...http, name: `p${n}`, number: n + 1 })),
      endpoints: [{ address: "192.0.2.1", ports: own(128) }],
    },
  },
  {
    name: "129 ports of an endpoint's own",
    spec: {
      ports: many(200, (n) => ({ ...http, name: `p${n}`, number: n + 1 })),
      endpoints: [{ address: "192.0.2.1", ports: own(129) }],
    },
    want: "endpoint 192.0.2.1: it has 129 ports of its own, 128 are allowed",
  },
  ...[
    { "a b": "c" },
    { "": "c" },
    { "-a": "c" },
    { "A/b": "c" },
    { "a..b/c": "d" },
    { "a-.b/c": "d" },
    { [`${"a".repeat(254)}/b`]: "c" },
    { "a/b/c": "d" },
    { [`${"a".repeat(64)}`]: "c" },
    { a: "b c" },
    { a: "-b" },
    { a: "b".repeat(64) },
    { a: "ü" },
  ].map((labels) => ({
    name: `label ${JSON.stringify(labels)}`,
    spec: withEndpoint({ labels: labels as Record<string, string> }),
    want: `endpoint 192.0.2.1: label ${JSON.stringify(Object.entries(labels)[0]?.join("="))} is not a Kubernetes label`,
  })),
  ...[0, -1, 1.5, 4_294_967_296].map((weight) => ({
    name: `weight ${weight}`,
    spec: withEndpoint({ weight }),
    want: `endpoint 192.0.2.1: its weight is ${weight}, 1 to 4294967295 are allowed`,
  })),
  {
    name: "a locality with control characters",
    spec: withEndpoint({ locality: "eu\n" }),
    want: "endpoint 192.0.2.1: its locality has control characters",
  },
];
for (const { name, spec, want } of cases) {
  test(`entryFault() ${want === undefined ? "passes" : "finds"} ${name}`, () => {
    const fault = entryFault({
      ...manifest,
      spec: { ...manifest.spec, ...(spec.ports === undefined ? {} : { endpoints: [] }), ...spec },
    });
    if (want?.startsWith("bytes")) assert.ok(fault?.endsWith(want), fault);
    else assert.equal(fault, want);
  });
}

test("entryFault() finds names that do not fit into annotations", () => {
  const annotated = (bytes: number) => {
    const annotations = { "x2istio.dev/names": "n".repeat(bytes - "x2istio.dev/names".length) };
    return entryFault({ ...manifest, metadata: { ...manifest.metadata, annotations } });
  };
  assert.equal(annotated(262_144), undefined);
  assert.match(annotated(262_145) ?? "", /^its annotations would have 262145 bytes, 262144 are allowed/);
});

test("entryFault() counts bytes, not characters, up to the last one that is allowed", () => {
  const annotated = (text: string) =>
    entryFault({ ...manifest, metadata: { ...manifest.metadata, annotations: { "x2istio.dev/names": text } } });
  const left = 262_144 - "x2istio.dev/names".length;
  const umlauts = Math.floor(left / 2);
  const most = "ü".repeat(umlauts) + "x".repeat(left - 2 * umlauts);
  assert.equal(annotated(most), undefined);
  assert.match(annotated(`${most}x`) ?? "", /would have 262145 bytes/);

  const sized = (locality: string) =>
    entryFault({
      ...manifest,
      spec: { ...manifest.spec, endpoints: many(4000, (n) => ({ address: address(n), locality })) },
    });
  assert.equal(sized("x".repeat(250)), undefined);
  assert.match(sized("ü".repeat(250)) ?? "", /^it would have \d+ bytes, 1400000 are allowed$/);
});
