import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFile } from "../../../adapters/static/file.ts";
import { faultRow } from "../../faults/row.ts";

const options = { registry: "vms", namespace: "default" };

function parse(text: string) {
  return parseFile(text, "services.yaml", options);
}

/** A file whose only service has this in place of what it would have. Line 2 is the service, 3 ports, 4 endpoints, 5 the rest. */
function file({
  ports = "[{name: http, number: 80, protocol: http}]",
  endpoints = "[{address: 192.0.2.1}]",
  rest = "metadata: {}",
  name = "a",
}) {
  return `services:\n  - name: ${name}\n    ports: ${ports}\n    endpoints: ${endpoints}\n    ${rest}\n`;
}

const KNOWN =
  "tcp, udp, grpc, grpc-web, http, http_proxy, http2, https, tls, mongo, redis, mysql or metaprotocol-<name>";

const wrong: { name: string; text: string; want: string | string[] }[] = [
  {
    name: "a port number out of range",
    text: file({ ports: "[{name: http, number: 70000, protocol: http}]" }),
    want: "3:34: services[0].ports[0].number: must be 1–65535, is 70000",
  },
  {
    name: "a port number 0",
    text: file({ ports: "[{name: http, number: 0, protocol: http}]" }),
    want: "3:34: services[0].ports[0].number: must be 1–65535, is 0",
  },
  {
    name: "a port number that is no number",
    text: file({ ports: "[{name: http, number: 1e3, protocol: http}]" }),
    want: "3:34: services[0].ports[0].number: must be 1–65535, is 1e3",
  },
  {
    name: "a port number twice",
    text: file({ ports: "[{name: a, number: 80, protocol: http}, {name: b, number: 80, protocol: tcp}]" }),
    want: "3:70: services[0].ports[1].number: must be unique in the service, is 80 like ports[0]",
  },
  {
    name: "a port name twice",
    text: file({ ports: "[{name: a, number: 80, protocol: http}, {name: a, number: 81, protocol: tcp}]" }),
    want: "3:59: services[0].ports[1].name: must be unique in the service, is a like ports[0]",
  },
  {
    name: "a port name in upper case",
    text: file({ ports: "[{name: HTTP, number: 80, protocol: http}]" }),
    want: "3:20: services[0].ports[0].name: must be a DNS label: a–z, 0–9 and -, at most 63 characters, is HTTP",
  },
  {
    name: "an unknown protocol",
    text: file({ ports: "[{name: a, number: 80, protocol: pigeon}]" }),
    want: `3:45: services[0].ports[0].protocol: must be one of ${KNOWN}, is pigeon`,
  },
  {
    name: "no protocol",
    text: file({ ports: "[{name: a, number: 80}]" }),
    want: "3:13: services[0].ports[0].protocol: is missing",
  },
  {
    name: "a target port out of range",
    text: file({ ports: "[{name: a, number: 80, protocol: tcp, targetPort: 0}]" }),
    want: "3:62: services[0].ports[0].targetPort: must be 1–65535, is 0",
  },
  {
    name: "no ports",
    text: file({ ports: "[]" }),
    want: "3:12: services[0].ports: must be a list with at least one item, is an empty list",
  },
  {
    name: "too many ports",
    text: file({ ports: `[${"x,".repeat(257)}]` }),
    want: "3:12: services[0].ports: must be at most 256 (Istio's limit), are 257",
  },
  {
    name: "a name of one label as address",
    text: file({ endpoints: "[{address: db}]" }),
    want: "4:27: services[0].endpoints[0].address: must be an IPv4 or IPv6 address, or a host name of two labels or more, is db",
  },
  {
    name: "a short IPv4 address",
    text: file({ endpoints: "[{address: 192.2}]" }),
    want: "4:27: services[0].endpoints[0].address: must be an IPv4 or IPv6 address, or a host name of two labels or more, is 192.2",
  },
  {
    name: "an octal IPv4 address",
    text: file({ endpoints: "[{address: 192.0.2.010}]" }),
    want: "4:27: services[0].endpoints[0].address: must be an IPv4 or IPv6 address, or a host name of two labels or more, is 192.0.2.010",
  },
  {
    name: "a range as address",
    text: file({ endpoints: "[{address: 192.0.2.0/24}]" }),
    want: "4:27: services[0].endpoints[0].address: must be an IPv4 or IPv6 address, or a host name of two labels or more, is 192.0.2.0/24",
  },
  {
    name: "a zone id",
    text: file({ endpoints: '[{address: "fe80::1%eth0"}]' }),
    want: '4:27: services[0].endpoints[0].address: must be an IPv4 or IPv6 address without a zone, is "fe80::1%eth0"',
  },
  {
    name: "too many endpoints",
    text: file({ endpoints: `[${"x,".repeat(4097)}]` }),
    want: "4:16: services[0].endpoints: must be at most 4096 (Istio's limit), are 4097",
  },
  {
    name: "endpoints that are missing",
    text: "services:\n  - name: a\n    ports: [{name: http, number: 80, protocol: http}]\n",
    want: "2:5: services[0].endpoints: is missing",
  },
  {
    name: "endpoints that are empty",
    text: file({ endpoints: "" }),
    want: "4:5: services[0].endpoints: must be a list, is empty",
  },
  {
    name: "an endpoint port that the service has not",
    text: file({ endpoints: "[{address: 192.0.2.1, ports: {grpc: 9090}}]" }),
    want: "4:46: services[0].endpoints[0].ports.grpc: must name a port of the service (http)",
  },
  {
    name: "a negative weight",
    text: file({ endpoints: "[{address: 192.0.2.1, weight: -1}]" }),
    want: "4:46: services[0].endpoints[0].weight: must be 0–4294967295, is -1",
  },
  {
    name: "a weight that is too large",
    text: file({ endpoints: "[{address: 192.0.2.1, weight: 4294967296}]" }),
    want: "4:46: services[0].endpoints[0].weight: must be 0–4294967295, is 4294967296",
  },
  {
    name: "a zone with a slash",
    text: file({ endpoints: "[{address: 192.0.2.1, zone: eu/1a}]" }),
    want: "4:44: services[0].endpoints[0].zone: must be a printable text without slash, is eu/1a",
  },
  {
    name: "enabled that is neither",
    text: file({ endpoints: "[{address: 192.0.2.1, enabled: no}]" }),
    want: "4:47: services[0].endpoints[0].enabled: must be true or false, is no",
  },
  {
    name: "an unknown key",
    text: file({ rest: "legacynames: []" }),
    want: "5:5: services[0].legacynames: is not known here; known are namespace, name, ports, endpoints, metadata, legacyNames, check",
  },
  {
    name: "metadata that is not flat",
    text: file({ rest: "metadata: {a: {b: c}}" }),
    want: "5:19: services[0].metadata.a: must be a text, is a mapping",
  },
  { name: "a key twice", text: file({ rest: "ports: []" }), want: "5:5: services[0]: this key occurs twice" },
  {
    name: "a check without a kind",
    text: file({ rest: "check: {interval: 5s}" }),
    want: "5:12: services[0].check: must have either tcp or http",
  },
  {
    name: "a check of both kinds",
    text: file({ rest: "check: {tcp: http, http: {port: http}}" }),
    want: "5:12: services[0].check: must have either tcp or http",
  },
  {
    name: "a check of a port that the service has not",
    text: file({ rest: "check: {tcp: web}" }),
    want: "5:18: services[0].check.tcp: must name a port of the service (http), is web",
  },
  {
    name: "a check over HTTP of a TLS port",
    text: file({ ports: "[{name: a, number: 443, protocol: tls}]", rest: "check: {http: {port: a}}" }),
    want: "5:26: services[0].check.http.port: must name a port of plain HTTP, is a (tls): check it with tcp",
  },
  {
    name: "a check of a UDP port",
    text: file({ ports: "[{name: a, number: 53, protocol: udp}]", rest: "check: {tcp: a}" }),
    want: "5:18: services[0].check.tcp: must name a port that takes connections, is a (udp)",
  },
  {
    name: "a check interval that is too short",
    text: file({ rest: "check: {tcp: http, interval: 1ms}" }),
    want: "5:34: services[0].check.interval: must be a duration from 100ms to 1h, is 1ms",
  },
  {
    name: "a check status that is none",
    text: file({ rest: "check: {http: {port: http, status: [200, 99]}}" }),
    want: "5:46: services[0].check.http.status[1]: must be 100–599, is 99",
  },
  {
    name: "a check path without slash",
    text: file({ rest: "check: {http: {port: http, path: health}}" }),
    want: "5:38: services[0].check.http.path: must begin with a slash and hold no space, is health",
  },
  {
    name: "everything at once",
    text: file({ ports: "[{name: A, number: 0, protocol: x}]", endpoints: "[{address: x, ports: {q: 1}}]" }),
    want: [
      "3:20: services[0].ports[0].name: must be a DNS label: a–z, 0–9 and -, at most 63 characters, is A",
      "3:31: services[0].ports[0].number: must be 1–65535, is 0",
      `3:44: services[0].ports[0].protocol: must be one of ${KNOWN}, is x`,
      "4:27: services[0].endpoints[0].address: must be an IPv4 or IPv6 address, or a host name of two labels or more, is x",
      "4:38: services[0].endpoints[0].ports.q: must name a port of the service (A)",
    ],
  },
];

for (const { name, text, want } of wrong) {
  test(`parseFile() names ${name}`, () => {
    const { items, problems } = parse(text);
    assert.deepEqual(problems, []);
    assert.equal(items.length, 1);
    assert.equal(items[0]?.key, "vms/default/a");
    assert.equal(items[0]?.service, undefined);
    assert.deepEqual(
      items[0]?.problems,
      [want].flat().map((line) => `services.yaml:${line}`),
    );
  });
}

const unknowable: { name: string; text: string; want: RegExp }[] = [
  { name: "an empty file", text: "", want: /^services\.yaml:1:1: must be a mapping with the key services, is empty$/ },
  { name: "a file of comments", text: "# services:\n", want: /must be a mapping with the key services, is empty$/ },
  {
    name: "a list",
    text: "- name: a\n",
    want: /^services\.yaml:1:1: must be a mapping with the key services, is a list$/,
  },
  { name: "no services", text: "{}\n", want: /^services\.yaml:1:1: services: is missing$/ },
  {
    name: "services without a value",
    text: "services:\n",
    want: /^services\.yaml:1:1: services: must be a list, is empty$/,
  },
  {
    name: "a further key at the top",
    text: "services: []\nservice: []\n",
    want: /^services\.yaml:2:1: service is not known here; known is services$/,
  },
  { name: "services twice", text: "services: []\nservices: []\n", want: /^services\.yaml:2:1: this key occurs twice$/ },
  {
    name: "a service without a name",
    text: "services:\n  - {ports: [{name: a, number: 1, protocol: tcp}], endpoints: []}\n",
    want: /^services\.yaml:2:5: services\[0\]\.name: is missing$/,
  },
  {
    name: "a name that is a list",
    text: file({ name: "[a]" }),
    want: /services\[0\]\.name: must be a printable text of at most 253 characters, is a list$/,
  },
  {
    name: "a name that is empty",
    text: file({ name: "" }),
    want: /services\[0\]\.name: must be a printable text of at most 253 characters, is empty$/,
  },
  {
    name: "a name twice",
    text: file({ rest: "name: b" }),
    want: /^services\.yaml:5:5: services\[0\]: this key occurs twice$/,
  },
  {
    name: "a namespace with a slash",
    text: file({ rest: "namespace: a/b" }),
    want: /services\[0\]\.namespace: must be a printable text of at most 253 characters without slash, is a\/b$/,
  },
  {
    name: "an item that is a text",
    text: "services: [a]\n",
    want: /^services\.yaml:1:12: services\[0\]: must be a mapping, is a$/,
  },
  { name: "an item that is nothing", text: "services:\n  -\n", want: /services\[0\]: must be a mapping, is empty$/ },
  {
    name: "a bracket that is open",
    text: "services: [\n",
    want: /^services\.yaml:2:1: Flow sequence in block collection must be sufficiently indented and end with a \]|^services\.yaml:/,
  },
  {
    name: "two documents",
    text: "services: []\n---\nservices: []\n",
    want: /^services\.yaml:2:1: Source contains multiple documents/,
  },
  {
    name: "items of which one is indented less",
    text: "services:\n  - {name: a, ports: [], endpoints: []}\n - {name: b, ports: [], endpoints: []}\n",
    want: /^services\.yaml:3:/,
  },
  {
    name: "items of which one follows at the beginning of the line",
    text: "services:\n  - {name: a, ports: [], endpoints: []}\n- {name: b, ports: [], endpoints: []}\n",
    want: /^services\.yaml:3:/,
  },
  { name: "an unknown alias", text: "services: *a\n", want: /services: refers to an unknown anchor/ },
  { name: "many nested brackets", text: `services: ${"[".repeat(100_000)}\n`, want: /^services\.yaml/ },
];

for (const { name, text, want } of unknowable) {
  test(`parseFile() cannot tell the services of ${name}`, () => {
    const { items, problems } = parse(text);
    assert.deepEqual(items, []);
    assert.match(problems[0] ?? "", want);
  });
}

test("parseFile() maps every field", () => {
  const text = `services:
  - namespace: shop
    name: orders
    ports:
      - {name: http, number: 80, protocol: Http, targetPort: 8080}
      - {name: dubbo, number: 20880, protocol: MetaProtocol-Dubbo}
    endpoints:
      - {address: 192.0.2.1, ports: {http: 8081, dubbo: 20880}, weight: 4294967295, labels: {version: 1.10}, region: eu, zone: eu-1, subzone: a}
      - address: "2001:DB8:0::1"
      - {address: "::ffff:192.0.2.3", ports: {http: 8080}}
    metadata: {n: 010, yes: true, text: "a b"}
    legacyNames: [Orders.Corp.example.com, 64001.65536]
`;
  assert.deepEqual(parse(text).items[0]?.service, {
    registry: "vms",
    namespace: "shop",
    name: "orders",
    ports: [
      { name: "http", number: 80, protocol: "HTTP", targetPort: 8080 },
      { name: "dubbo", number: 20880, protocol: "metaprotocol-dubbo" },
    ],
    endpoints: [
      {
        address: "192.0.2.1",
        ports: { http: 8081 },
        weight: 4294967295,
        labels: { version: "1.10" },
        region: "eu",
        zone: "eu-1",
        subzone: "a",
      },
      { address: "2001:db8::1" },
      { address: "192.0.2.3" },
    ],
    leftOut: [],
    metadata: { n: "010", yes: "true", text: "a b" },
    legacyNames: ["Orders.Corp.example.com", "64001.65536"],
    source: "services.yaml:2",
    notes: [],
  });
});

const protocols = [
  ["tcp", "TCP"],
  ["UDP", "UDP"],
  ["Grpc", "GRPC"],
  ["grpc-web", "GRPC-WEB"],
  ["http_proxy", "HTTP_PROXY"],
  ["http2", "HTTP2"],
  ["https", "HTTPS"],
  ["tls", "TLS"],
  ["mongo", "MONGO"],
  ["redis", "REDIS"],
  ["mysql", "MYSQL"],
  ["metaprotocol-thrift", "metaprotocol-thrift"],
];
for (const [written, want] of protocols) {
  test(`parseFile() reads protocol ${written} as ${want}`, () => {
    assert.equal(
      parse(file({ ports: `[{name: a, number: 1, protocol: ${written}}]` })).items[0]?.service?.ports[0]?.protocol,
      want,
    );
  });
}

const leftOut = [
  {
    name: "a disabled endpoint",
    endpoints: "[{address: 192.0.2.1, enabled: FALSE}]",
    want: [{ address: "192.0.2.1:80", kind: "disabled", reason: "disabled in services.yaml:4" }],
  },
  {
    name: "an endpoint of weight 0",
    endpoints: '[{address: "2001:db8::1", weight: 0}]',
    want: [{ address: "[2001:db8::1]:80", kind: "weight", reason: "weight 0 in services.yaml:4" }],
  },
  {
    name: "an endpoint that stands twice",
    endpoints:
      "\n      - {address: 192.0.2.1}\n      - {address: 192.0.2.1, ports: {http: 81}}\n      - {address: 192.0.2.1, ports: {http: 80}, weight: 5}",
    want: [{ address: "192.0.2.1:80", kind: "duplicate", reason: "in services.yaml:7 again, as in services.yaml:5" }],
  },
];
for (const { name, endpoints, want } of leftOut) {
  test(`parseFile() leaves out ${name}`, () =>
    assert.deepEqual(parse(file({ endpoints })).items[0]?.service?.leftOut, want));
}

test("parseFile() uses the twin of an endpoint that is disabled", () => {
  const { endpoints } =
    parse(file({ endpoints: "[{address: 192.0.2.1, enabled: false}, {address: 192.0.2.1}]" })).items[0]?.service ?? {};
  assert.deepEqual(endpoints, [{ address: "192.0.2.1" }]);
});

test("parseFile() drops labels that Kubernetes would refuse, and says so once", () => {
  const labels = '{app: web, "a b": c, example.org/team: "", team: "a b", "x/y/z": q}';
  const service = parse(
    file({ endpoints: `[{address: 192.0.2.1, labels: ${labels}}, {address: 192.0.2.2, labels: ${labels}}]` }),
  ).items[0]?.service;
  assert.deepEqual(
    service?.endpoints.map((endpoint) => endpoint.labels),
    [
      { app: "web", "example.org/team": "" },
      { app: "web", "example.org/team": "" },
    ],
  );
  assert.deepEqual(service?.notes, [
    "label a b: c is dropped: its key is not a Kubernetes label key",
    "label team: a b is dropped: its value is not a Kubernetes label value",
    "label x/y/z: q is dropped: its key is not a Kubernetes label key",
  ]);
});

test("parseFile() lets services share parts by anchors", () => {
  const text = `services:\n  - {name: a, ports: &p [{name: http, number: 80, protocol: http}], endpoints: [], check: &c {tcp: http}}\n${Array.from({ length: 200 }, (_, index) => `  - {name: b${index}, ports: *p, endpoints: [], check: *c}\n`).join("")}`;
  assert.equal(
    parse(text).items.filter(({ service, check }) => service !== undefined && check?.tcp === "http").length,
    201,
  );
});

/** What is not bounded runs for minutes. */
const BOUNDED = { timeout: 60_000 };

test(
  faultRow({
    target: "static",
    fault: "a file that unfolds to billions of nodes",
    expect: "it is refused at once, and everything else is read",
  }),
  BOUNDED,
  () => {
    const layers = Array.from(
      { length: 12 },
      (_, index) => `l${index}: &l${index} [${`*l${index - 1},`.repeat(10)}]`,
    ).slice(1);
    const text = `services:\n  - {name: bomb, metadata: {l0: &l0 [x], ${layers.join(", ")}}}\n  - {name: good, ports: [{name: a, number: 1, protocol: tcp}], endpoints: []}\n`;
    const { items, problems } = parse(text);
    assert.deepEqual(problems, []);
    assert.match(items[0]?.problems[0] ?? "", /Excessive alias count/);
    assert.equal(items[1]?.service?.name, "good");
  },
);

test("parseFile() takes no longer per alias in a long file", BOUNDED, () => {
  const services = Array.from({ length: 2000 }, (_, index) => `  - {name: b${index}, ports: *p, endpoints: []}\n`);
  const { items } = parse(
    `services:\n  - {name: a, ports: &p [{name: http, number: 80, protocol: http}], endpoints: []}\n${services.join("")}`,
  );
  assert.equal(items.filter(({ service }) => service !== undefined).length, 2001);
});

test(
  "parseFile() stops at a file that comes to too much by its aliases, whether its services are valid or not",
  BOUNDED,
  () => {
    const endpoints = Array.from({ length: 10_000 }, () => "{address: 192.0.2.1}").join();
    const services = Array.from({ length: 2000 }, (_, index) => `  - {name: b${index}, endpoints: *e}\n`);
    const { items, problems } = parse(`services:\n  - {name: a, endpoints: &e [${endpoints}]}\n${services.join("")}`);
    assert.ok(items.length < 200);
    assert.match(problems[0] ?? "", /comes after 2000000 values, those of aliases among them: use several files/);
  },
);

test("parseFile() does not look long for thousands of keys that stand twice", BOUNDED, () => {
  const services = Array.from({ length: 20_000 }, (_, index) => `  - {name: a${index}, name: a}\n`);
  const { items, problems } = parse(`services:\n${services.join("")}`);
  assert.deepEqual(items, []);
  assert.equal(problems[0], "services.yaml:2:16: services[0]: this key occurs twice");
  assert.deepEqual([problems.length, problems.at(-1)], [101, "and 19900 more"]);
  const whole = parse(`services:\n  - &a {name: a}\n${services.join("")}`);
  assert.deepEqual(whole.items, []);
  assert.deepEqual(whole.problems, ["services.yaml:3:16: this key occurs twice, and 19999 more do"]);
});

test("parseFile() takes a port called constructor", () => {
  const ports = "[{name: constructor, number: 80, protocol: http}, {name: b, number: 81, protocol: http}]";
  const { items } = parse(file({ ports, endpoints: "[{address: 192.0.2.1, ports: {b: 90}}]" }));
  assert.deepEqual(items[0]?.service?.endpoints, [{ address: "192.0.2.1", ports: { b: 90 } }]);
});

test("parseFile() is not led astray by keys such as __proto__", () => {
  const { items } = parse(file({ rest: "__proto__: {endpoints: []}" }));
  assert.match(items[0]?.problems[0] ?? "", /__proto__: is not known here/);
});

test("parseFile() takes names of any printable text", () => {
  for (const name of [
    "Bestellungen ÄÖ",
    "订单",
    "com.example/OrderService:1.0",
    "64001:65536",
    "64001.65536",
    "true",
    "0x10",
  ]) {
    assert.equal(parse(file({ name })).items[0]?.service?.name, name);
  }
});
