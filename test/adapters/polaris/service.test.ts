import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { intern } from "../../../adapters/intern.ts";
import { parseReply, type RawInstance } from "../../../adapters/polaris/client/reply.ts";
import type { MappingOptions } from "../../../adapters/polaris/mapping/instance.ts";
import { toService } from "../../../adapters/polaris/mapping/service.ts";
import { serviceSchema } from "../../../adapters/service-form.ts";
import type { Service } from "../../../src/model/service.ts";
import { securityRow } from "../../security/row.ts";
import { sized } from "../../size.ts";
import { noRules } from "../no-rules.ts";

const place = { registry: "prod", namespace: "default", name: "orders", source: "here" };
const options: MappingOptions = { unhealthy: "drop", allUnhealthy: "drop", rules: noRules };

function mapped(raw: readonly Partial<RawInstance>[], how: Partial<MappingOptions> = {}): Service | undefined {
  const whole = raw.map((one): RawInstance => ({ host: "192.0.2.1", port: 8080, ...one }));
  return toService(place, whole, { ...options, ...how }, intern());
}

function service(raw: readonly Partial<RawInstance>[], how: Partial<MappingOptions> = {}): Service {
  return mapped(raw, how) ?? assert.fail("it was skipped");
}

const outs: readonly { name: string; raw: Partial<RawInstance>; want: string }[] = [
  { name: "isolated", raw: { isolate: true }, want: "disabled 192.0.2.1:8080 isolated" },
  { name: "of weight 0", raw: { weight: 0 }, want: "weight 192.0.2.1:8080 weight 0" },
  ...[65_536, -1].map((weight) => ({
    name: `of weight ${weight}`,
    raw: { weight },
    want: `weight 192.0.2.1:8080 weight ${weight} is invalid, 0 to 65535 are allowed`,
  })),
  ...[0, 65_536].map((port) => ({
    name: `of port ${port}`,
    raw: { port },
    want: `port 192.0.2.1:${port} port ${port} is invalid, 1 to 65535 are allowed`,
  })),
  {
    name: "of an impossible weight",
    raw: { weight: 1.5 },
    want: "weight 192.0.2.1:8080 weight 1.5 is invalid, 0 to 65535 are allowed",
  },
  { name: "unhealthy", raw: { healthy: false }, want: "health 192.0.2.1:8080 unhealthy" },
  { name: "on port 0", raw: { port: 0 }, want: "port 192.0.2.1:0 port 0 is invalid, 1 to 65535 are allowed" },
  { name: "on port -1", raw: { port: -1 }, want: "port 192.0.2.1:-1 port -1 is invalid, 1 to 65535 are allowed" },
  {
    name: "on port 65536",
    raw: { port: 65536 },
    want: "port 192.0.2.1:65536 port 65536 is invalid, 1 to 65535 are allowed",
  },
  {
    name: "with a name of one label",
    raw: { host: "pay" },
    want: "address pay:8080 its address must be an IPv4 or IPv6 address, or a host name of two labels or more",
  },
  {
    name: "with control characters for a host",
    raw: { host: "a\u001b[2Jb" },
    want: "address a?[2Jb:8080 its address must be an IPv4 or IPv6 address, or a host name of two labels or more",
  },
];
for (const { name, raw, want } of outs) {
  test(`toService() leaves out an instance ${name}`, () => {
    const { endpoints, leftOut } = service([raw, { host: "192.0.2.9", port: 9000 }]);
    assert.deepEqual(
      endpoints.map(({ address }) => address),
      ["192.0.2.9"],
    );
    assert.deepEqual(
      leftOut.map(({ kind, address, reason }) => `${kind} ${address} ${reason}`),
      [want],
    );
  });
}

test("toService() keeps the least and the largest weight and port", () => {
  const { endpoints } = service([
    { host: "192.0.2.1", weight: 1, port: 1 },
    { host: "192.0.2.2", weight: 65_535, port: 65_535 },
  ]);
  assert.deepEqual(
    endpoints.map(({ weight }) => weight),
    [1, 65_535],
  );
});

test("toService() keeps what the options keep, but never the isolated and weightless", () => {
  const kept = service(
    [
      { host: "192.0.2.1", healthy: false },
      { host: "192.0.2.2", healthy: false, isolate: true },
      { host: "192.0.2.3", healthy: false, weight: 0 },
      { host: "127.0.0.1" },
    ],
    { unhealthy: "keep" },
  );
  assert.deepEqual(
    kept.endpoints.map(({ address }) => address),
    ["127.0.0.1", "192.0.2.1"],
  );
});

test("toService() maps an instance with everything", () => {
  const full = service([
    {
      host: "2001:DB8:0::5",
      port: 9090,
      protocol: "gRPC",
      version: "1.2.3",
      weight: 500,
      healthy: true,
      isolate: false,
      location: { region: "ap", zone: "ap-1", campus: "ap-1-3" },
      metadata: {
        env: "prod",
        "k8s.io/owner": "team-a",
        version: "1.2.3",
        protocol: "gRPC",
        region: "ap",
        zone: "ap-1",
        campus: "ap-1-3",
        "internal-lastheartbeat": "1",
        "a b": "c",
        note: "no label value!",
        "security.istio.io/tlsMode": "istio",
      },
    },
  ]);
  assert.deepEqual(full.ports, [{ name: "grpc", number: 9090, protocol: "GRPC", observed: true }]);
  assert.deepEqual(full.endpoints, [
    {
      address: "2001:db8::5",
      weight: 500,
      labels: { env: "prod", "k8s.io/owner": "team-a", version: "1.2.3" },
      region: "ap",
      zone: "ap-1",
      subzone: "ap-1-3",
    },
  ]);
  assert.deepEqual(full.notes, [
    "label a b: c is dropped: its key is not a Kubernetes label key",
    "label note: no label value! is dropped: its value is not a Kubernetes label value",
    "label security.istio.io/tlsMode: istio is dropped: only the mesh's own operator may set it",
  ]);
});

test("toService() keeps metadata that only looks injected", () => {
  const [endpoint] = service([{ metadata: { version: "v2", region: "eu", protocol: "spdy" } }]).endpoints;
  assert.deepEqual(endpoint?.labels, { protocol: "spdy", region: "eu", version: "v2" });
});

test("toService() drops a locality that Istio would cut at a slash", () => {
  const { endpoints, notes } = service([{ location: { region: "a/b", zone: "z", campus: null } }]);
  assert.deepEqual(endpoints, [{ address: "192.0.2.1", weight: 100, zone: "z" }]);
  assert.deepEqual(notes, ["region a/b is dropped: it has characters that a locality cannot have"]);
});

const protocols: readonly { stated: string | null; want: string }[] = [
  { stated: null, want: "tcp TCP" },
  { stated: "", want: "tcp TCP" },
  { stated: "tcp", want: "tcp TCP" },
  { stated: "HTTP", want: "http HTTP" },
  { stated: "http/1.1", want: "http HTTP" },
  { stated: "h2c", want: "http2 HTTP2" },
  { stated: "grpc", want: "grpc GRPC" },
  { stated: "https", want: "https HTTPS" },
  { stated: "udp", want: "udp UDP" },
  { stated: "dubbo", want: "dubbo metaprotocol-dubbo" },
  { stated: "tRPC", want: "trpc metaprotocol-trpc" },
  { stated: "my proto/1", want: "my-proto-1 TCP" },
  { stated: "-", want: "tcp TCP" },
  { stated: "constructor", want: "constructor TCP" },
];
for (const { stated, want } of protocols) {
  test(`toService() makes of protocol ${JSON.stringify(stated)} port ${want}`, () => {
    const { ports } = service([{ protocol: stated }]);
    assert.deepEqual(
      ports.map(({ name, protocol }) => `${name} ${protocol}`),
      [want],
    );
  });
}

const at = (host: number, port: number, protocol?: string, more: Partial<RawInstance> = {}): Partial<RawInstance> => ({
  host: `192.0.2.${host}`,
  port,
  ...(protocol === undefined ? {} : { protocol }),
  ...more,
});

const portCases: readonly {
  name: string;
  raw: readonly Partial<RawInstance>[];
  ports: readonly string[];
  endpoints: readonly string[];
  out?: readonly string[];
  note?: RegExp;
}[] = [
  {
    name: "one port for instances of one protocol, its number the lowest of all",
    raw: [at(1, 8082, "http"), at(2, 8081, "http"), at(3, 8080, "http", { isolate: true })],
    ports: ["http 8080"],
    endpoints: ["192.0.2.1 http=8082", "192.0.2.2 http=8081"],
    out: ["disabled 192.0.2.3:8080"],
  },
  {
    name: "one endpoint of a host that has both protocols",
    raw: [at(1, 8080, "http"), at(1, 9090, "grpc"), at(2, 8080, "http"), at(2, 9091, "grpc")],
    ports: ["grpc 9090", "http 8080"],
    endpoints: ["192.0.2.1", "192.0.2.2 grpc=9091"],
  },
  {
    name: "a protocol that at least half of the hosts have, without the other hosts",
    raw: [at(1, 8080, "http"), at(1, 9090, "grpc"), at(2, 8080, "http")],
    ports: ["grpc 9090", "http 8080"],
    endpoints: ["192.0.2.1"],
    out: ["port 192.0.2.2:8080"],
  },
  {
    name: "no protocol that fewer than half of the hosts have",
    raw: [at(1, 8080, "http"), at(1, 9090, "grpc"), at(2, 8080, "http"), at(3, 8080, "http")],
    ports: ["http 8080"],
    endpoints: ["192.0.2.1", "192.0.2.2", "192.0.2.3"],
    out: ["port 192.0.2.1:9090"],
    note: /^port grpc is dropped: 1 of 3 hosts with http have it$/,
  },
  {
    name: "no protocol on other hosts only",
    raw: [at(1, 8080, "http"), at(2, 8080, "http"), at(3, 9090, "grpc")],
    ports: ["http 8080"],
    endpoints: ["192.0.2.1", "192.0.2.2"],
    out: ["port 192.0.2.3:9090"],
    note: /^port grpc is dropped: 0 of 2 hosts with http have it$/,
  },
  {
    name: "the well protocol when the other is unhealthy everywhere",
    raw: [
      at(1, 8080, "http"),
      at(1, 9090, "grpc", { healthy: false }),
      at(2, 8080, "http"),
      at(2, 9090, "grpc", { healthy: false }),
    ],
    ports: ["http 8080"],
    endpoints: ["192.0.2.1", "192.0.2.2"],
    out: ["health 192.0.2.1:9090", "health 192.0.2.2:9090"],
    note: /^port grpc is dropped: 0 of 2 usable hosts with http have it$/,
  },
  {
    name: "both ports while nothing is well",
    raw: [at(1, 8080, "http", { healthy: false }), at(1, 9090, "grpc", { healthy: false })],
    ports: ["grpc 9090", "http 8080"],
    endpoints: [],
    out: ["health 192.0.2.1:8080", "health 192.0.2.1:9090"],
  },
  {
    name: "several instances of one host",
    raw: [at(1, 8080, "http"), at(1, 8081, "http"), at(1, 9090, "grpc")],
    ports: ["grpc 9090", "http 8080"],
    endpoints: ["192.0.2.1", "192.0.2.1 http=8081"],
  },
  {
    name: "instances that state nothing as those on the same port",
    raw: [at(1, 8080), at(2, 8080, "http"), at(2, 9090, "grpc"), at(1, 9090, "grpc")],
    ports: ["grpc 9090", "http 8080"],
    endpoints: ["192.0.2.1", "192.0.2.2"],
    note: /^instances that state no protocol are taken for http, as others state$/,
  },
  {
    name: "instances that state nothing as the only protocol stated",
    raw: [at(1, 8081), at(2, 8080, "http")],
    ports: ["http 8080"],
    endpoints: ["192.0.2.1 http=8081", "192.0.2.2"],
    note: /^instances that state no protocol are taken for http, as others state$/,
  },
  {
    name: "the protocol of most hosts where two want one number",
    raw: [at(1, 8080, "http"), at(2, 8080, "http"), at(3, 8080, "grpc")],
    ports: ["http 8080"],
    endpoints: ["192.0.2.1", "192.0.2.2"],
    out: ["port 192.0.2.3:8080"],
    note: /^port grpc is dropped: its number 8080 is that of another protocol$/,
  },
  {
    name: "an instance that is registered twice once",
    raw: [at(1, 8080, "http", { id: "b" }), at(1, 8080, "http", { id: "a" })],
    ports: ["http 8080"],
    endpoints: ["192.0.2.1"],
    out: ["duplicate 192.0.2.1:8080"],
  },
  { name: "nothing of nothing", raw: [], ports: [], endpoints: [] },
];
for (const { name, raw, ports, endpoints, out = [], note } of portCases) {
  test(`toService() gives ${name}`, () => {
    const given = service(raw);
    assert.deepEqual(
      given.ports.map((port) => `${port.name} ${port.number}`),
      ports,
    );
    assert.deepEqual(
      given.endpoints.map(({ address, ports: own = {} }) =>
        [address, ...Object.entries(own).map(([key, number]) => `${key}=${number}`)].join(" "),
      ),
      endpoints,
    );
    assert.deepEqual(
      given.leftOut.map(({ kind, address }) => `${kind} ${address}`),
      out,
    );
    if (note === undefined) assert.deepEqual(given.notes, []);
    else
      assert.ok(
        given.notes.some((one) => note.test(one)),
        given.notes.join("; "),
      );
    assert.deepEqual(service([...raw].reverse()), given, "the order of an answer says nothing");
  });
}

test("toService() uses instances of which none is healthy as Polaris's clients do: but for those isolated or without weight", () => {
  const raw = [
    { host: "192.0.2.1", healthy: false },
    { host: "192.0.2.2", healthy: false, isolate: true },
    { host: "192.0.2.3", healthy: false, weight: 0 },
  ];
  const used = (allUnhealthy: "drop" | "keep", ...more: readonly Partial<RawInstance>[]) =>
    mapped([...raw, ...more], { allUnhealthy })?.endpoints.map(({ address }) => address);
  assert.deepEqual(used("keep"), ["192.0.2.1"]);
  assert.match(mapped(raw, { allUnhealthy: "keep" })?.notes.join() ?? "", /no instance is healthy, so all are used/);
  assert.deepEqual(used("drop"), []);
  assert.deepEqual(used("keep", { host: "192.0.2.4" }), ["192.0.2.4"]);
});

test("toService() has no endpoint of a service that is all Kubernetes's, and leaves its instances in others out", () => {
  const stamped = { metadata: { source: "polaris-controller", clusterName: "east" } };
  const old = { metadata: { platform: "polaris-controller" } };
  const { podsOnly, endpoints: none, ports: noPorts } = service([stamped, old]);
  assert.deepEqual([podsOnly, none, noPorts], [true, [], []]);
  for (const metadata of [{ clusterName: "east" }, { source: "polaris-controller" }, { platform: "vm" }])
    assert.equal(service([{ metadata }]).endpoints.length, 1, JSON.stringify(metadata));
  const { leftOut, endpoints, ports } = service([{ ...stamped, port: 80 }, { host: "192.0.2.2" }]);
  assert.deepEqual(endpoints, [{ address: "192.0.2.2", weight: 100 }]);
  assert.deepEqual(
    ports.map(({ number }) => number),
    [8080],
  );
  assert.deepEqual(leftOut, [
    { address: "192.0.2.1:80", kind: "kubernetes", reason: "registered from Kubernetes by polaris-controller" },
  ]);
});

test(
  securityRow({
    who: "registry tenant",
    attack: "registers any number of instances and metadata of one service",
    outcome: "endpoints, labels and what is said of those left out are bounded",
  }),
  () => {
    const many = Array.from({ length: 5000 }, (_, at) => ({
      host: `10.1.${at >> 8}.${at & 255}`,
      metadata: { [`no label ${at}`]: "x" },
    }));
    const labels = Object.fromEntries(Array.from({ length: 500 }, (_, at) => [`l${at}`, "x"]));
    const { endpoints, leftOut, notes } = service([...many, { metadata: labels }]);
    assert.equal(endpoints.length, 4096);
    assert.equal(leftOut.length, 905);
    assert.equal(notes.length, 21);
    assert.equal(Object.keys(service([{ metadata: labels }]).endpoints[0]?.labels ?? {}).length, 64);
  },
);

const broken: readonly { name: string; body: string | Uint8Array; want: RegExp }[] = [
  { name: "no JSON", body: "Polaris Server", want: /is no JSON/ },
  { name: "half of a JSON", body: '{"code":200000,"instances":[', want: /is no JSON/ },
  { name: "no UTF-8", body: Uint8Array.of(0x22, 0xff, 0x22), want: /is no JSON/ },
  { name: "a list", body: "[]", want: /cannot be understood/ },
  { name: "no code", body: '{"instances":[]}', want: /cannot be understood: code/ },
  { name: "an instance without host", body: '{"code":200000,"instances":[{"port":1}]}', want: /instances\.0\.host/ },
  {
    name: "a port that is a text",
    body: '{"code":200000,"instances":[{"host":"a","port":"1"}]}',
    want: /instances\.0\.port/,
  },
  { name: "instances that are no list", body: '{"code":200000,"instances":{}}', want: /instances/ },
  {
    name: "a service without name",
    body: '{"code":200000,"services":[{"namespace":"default","name":""}]}',
    want: /services\.0\.name/,
  },
];
for (const { name, body, want } of broken) {
  test(`parseReply() refuses ${name}`, () => {
    assert.throws(() => parseReply(typeof body === "string" ? Buffer.from(body) : body), {
      name: "ReadError",
      failure: "answer",
      message: want,
    });
  });
}

const anyText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 8 }),
  fc.constantFrom("__proto__", "constructor", "a/b", "istio.io/x", "version", "zone", "", " ", "x".repeat(300)),
);
const orNull = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: null });
const anyInstance = fc.record({
  host: fc.oneof(anyText, fc.ipV4(), fc.ipV6(), fc.constantFrom("192.0.2.1", "192.0.2.2", "::ffff:192.0.2.1")),
  port: fc.oneof(fc.constantFrom(0, 80, 81, 65535, 65536, -1, 1.5, Number.MAX_SAFE_INTEGER), fc.nat(70000)),
  protocol: orNull(fc.oneof(anyText, fc.constantFrom("http", "grpc", "HTTP", "dubbo", "metaprotocol-x"))),
  version: orNull(anyText),
  weight: orNull(fc.oneof(fc.constantFrom(0, 1, 65535, 65536, -1, 0.5), fc.nat())),
  healthy: orNull(fc.boolean()),
  isolate: orNull(fc.boolean()),
  location: orNull(fc.record({ region: orNull(anyText), zone: orNull(anyText), campus: orNull(anyText) })),
  metadata: orNull(fc.dictionary(anyText, anyText, { maxKeys: 5 })),
});

test("whatever instances say, toService() gives what the mesh can take, in any order the same", () => {
  const schema = serviceSchema({ registry: "prod", legacyNames: false });
  fc.assert(
    fc.property(fc.array(anyInstance, { maxLength: 12 }), fc.constantFrom("drop", "keep"), (raw, unhealthy) => {
      const body = Buffer.from(
        JSON.stringify({ code: 200000, instances: raw.map((one, at) => ({ ...one, id: `${at}` })) }),
      );
      const { instances } = parseReply(body);
      const given = toService(place, instances, { ...options, unhealthy }, intern());
      if (given === undefined) return;
      assert.deepEqual(schema.safeParse(given).error?.issues ?? [], []);
      assert.deepEqual(toService(place, [...instances].reverse(), { ...options, unhealthy }, intern()), given);
    }),
    { numRuns: sized(500) },
  );
});

test("toService() keeps 32 ports of a service whose instances state more protocols than that", () => {
  const raw = Array.from({ length: 300 }, (_, at) => ({ port: 1 + at, protocol: `p${String(at).padStart(3, "0")}` }));
  const { ports, endpoints, leftOut } = service(raw);
  assert.equal(ports.length, 32);
  assert.equal(endpoints.length, 1);
  assert.equal(leftOut.length, 300 - 32);
});

test("toService() gives 4096 endpoints of a host with more ports of one protocol", () => {
  const raw = Array.from({ length: 5000 }, (_, at) => ({ port: 1 + at, protocol: at === 0 ? "grpc" : "http" }));
  assert.equal(service(raw).endpoints.length, 4096);
});
