import assert from "node:assert/strict";
import { test } from "node:test";
import type { StageDecision } from "../../../src/model/claim.ts";
import {
  ALIASES_ANNOTATION,
  AUTO_ALLOCATE_LABEL,
  EMPTY_SINCE_ANNOTATION,
  GONE_SINCE_ANNOTATION,
  NAMES_ANNOTATION,
  type OwnedObject,
  PROVENANCE_ANNOTATION,
  SERVICE_ANNOTATION,
} from "../../../src/model/objects.ts";
import type { AliasRule } from "../../../src/model/settings.ts";
import type { StandingObject } from "../../../src/model/standing.ts";
import { merge } from "../../../src/plan/catalog/merge.ts";
import type { Desired } from "../../../src/plan/objects/desired.ts";
import { buildObjects, nameHosts, objectsOf, remembering } from "../at-once.ts";
import {
  alias,
  at,
  endpoint,
  endpoints,
  entry,
  failed,
  foreign,
  HOUR_MS,
  incomplete,
  MESH,
  NOW_MS,
  ourLabels,
  port,
  readings,
  type Said,
  type StandingFields,
  service,
  standing,
  standingObject,
} from "../build.ts";

const HOST = "orders.shop.dc1.mesh.internal";
const KEY = "dc1/shop/orders";

interface Given {
  readonly said?: Readonly<Record<string, Said>>;
  readonly stands?: StandingFields;
  readonly group?: readonly string[];
  readonly aliases?: readonly AliasRule[];
  readonly xds?: boolean;
  readonly waypoint?: string;
  readonly exportTo?: readonly string[];
  readonly nowMs?: number;
  /** `undefined`: Istio allocates them. */
  readonly vips?: ReadonlyMap<string, readonly string[]> | "istio";
  readonly template?: string;
}

/** What the stages before `buildObjects()` make of it, with the VIP 240.241.0.7 for every host. */
function build(given: Given = {}): Desired {
  const { said = { dc1: [service()] }, aliases = [], exportTo = ["*"], xds = false, nowMs = NOW_MS } = given;
  const live = standing(given.stands);
  const catalog = merge(readings(said), live, given.group);
  const template = given.template ?? "{service}.{namespace}.{registry}.mesh.internal";
  const naming = nameHosts(catalog, live, {
    template,
    clusterDomain: "cluster.local",
    nowMs: NOW_MS,
    legacyNames: new Map(),
    aliases,
  });
  const all = new Map([...naming.services.values()].map(({ host }) => [host, ["240.241.0.7"]] as const));
  const vips = given.vips === "istio" ? undefined : (given.vips ?? all);
  const registries = new Map(Object.keys(said).map((name) => [name, { exportTo, xds, waypoint: given.waypoint }]));
  return buildObjects(catalog, naming, vips, live, {
    owner: "east",
    namespace: MESH,
    keepEmptyMs: HOUR_MS,
    registries,
    nowMs,
  });
}

function entryOf({ objects }: Desired, key = KEY): Extract<OwnedObject["manifest"], { kind: "ServiceEntry" }> {
  const manifest = objectsOf({ objects }).find(
    (one) => one.service === key && one.manifest.kind === "ServiceEntry",
  )?.manifest;
  assert.ok(manifest?.kind === "ServiceEntry");
  return manifest;
}

function keys({ objects }: Desired): readonly string[] {
  return objectsOf({ objects }).map(({ key }) => key);
}

function holdTexts({ holds }: Desired): readonly string[] {
  return holds.map(({ reason, subject, message }) => `${reason} ${subject}: ${message}`);
}

const labels = ourLabels("dc1");
const annotations = { [SERVICE_ANNOTATION]: KEY };

test("buildObjects() makes one ServiceEntry of a plain service", () => {
  const { objects, holds, kept } = build();
  assert.deepEqual(objectsOf({ objects }), [
    {
      key: `ServiceEntry/${MESH}/${HOST}`,
      service: KEY,
      registry: "dc1",
      manifest: {
        apiVersion: "networking.istio.io/v1",
        kind: "ServiceEntry",
        metadata: { name: HOST, namespace: MESH, labels, annotations },
        spec: {
          hosts: [HOST],
          addresses: ["240.241.0.7"],
          ports: [{ name: "http-web", number: 8080, protocol: "HTTP" }],
          location: "MESH_INTERNAL",
          resolution: "STATIC",
          endpoints: [{ address: "192.0.2.1" }],
          exportTo: ["*"],
        },
      },
    },
  ]);
  assert.deepEqual([holds, kept.size], [[], 0]);
});

test("buildObjects() makes everything of a service with mixed ports, legacy names and aliases", () => {
  const orders = service("orders", {
    ports: [
      port("web", 80, "HTTP", 8080),
      port("api", 9090, "GRPC"),
      port("db", 3306, "TCP"),
      port("dns", 53, "UDP"),
      port("dubbo", 20880, "metaprotocol-dubbo"),
    ],
    endpoints: [
      endpoint("2001:db8::1"),
      endpoint("192.0.2.2", {
        ports: { web: 8081, dubbo: 20881 },
        weight: 20,
        labels: { version: "v1" },
        region: "eu",
        zone: "eu-1a",
        subzone: "hall-3",
      }),
      endpoint("192.0.2.1", { region: "eu", subzone: "hall-3" }),
    ],
    legacyNames: ["orders.corp.example.com", "64001:65536"],
  });
  const rule = { registry: "dc1", namespace: "shop", service: "*", as: "{service}", in: "apps" };
  const { objects, holds } = build({ said: { dc1: [orders] }, aliases: [rule], xds: true, exportTo: ["shop", "."] });
  const ports = [
    { name: "http-web", number: 80, protocol: "HTTP", targetPort: 8080 },
    { name: "grpc-api", number: 9090, protocol: "GRPC" },
    { name: "tcp-db", number: 3306, protocol: "TCP" },
    { name: "udp-dns", number: 53, protocol: "UDP" },
    { name: "tcp-metaprotocol-dubbo-dubbo", number: 20880, protocol: "TCP" },
  ];
  assert.deepEqual(
    objectsOf({ objects }).map(({ manifest }) => manifest),
    [
      {
        apiVersion: "networking.istio.io/v1",
        kind: "ServiceEntry",
        metadata: {
          name: HOST,
          namespace: MESH,
          labels: { ...labels, manager: "aeraki", registry: "dc1" },
          annotations: {
            ...annotations,
            [ALIASES_ANNOTATION]: "apps/orders",
            [NAMES_ANNOTATION]: '[{"name":"orders.corp.example.com"},{"name":"64001.65536"}]',
          },
        },
        spec: {
          hosts: [HOST],
          addresses: ["240.241.0.7"],
          ports,
          location: "MESH_INTERNAL",
          resolution: "STATIC",
          endpoints: [
            { address: "192.0.2.1", locality: "eu" },
            {
              address: "192.0.2.2",
              ports: { "http-web": 8081, "tcp-metaprotocol-dubbo-dubbo": 20881 },
              labels: { version: "v1" },
              locality: "eu/eu-1a/hall-3",
              weight: 20,
            },
            { address: "2001:db8::1" },
          ],
          exportTo: ["shop", "."],
        },
      },
      {
        apiVersion: "networking.istio.io/v1",
        kind: "VirtualService",
        metadata: { name: HOST, namespace: MESH, labels, annotations },
        spec: {
          hosts: [HOST, "orders.corp.example.com"],
          exportTo: ["shop", "."],
          http: [80, 9090].map((number) => ({
            match: [{ port: number }],
            route: [{ destination: { host: HOST, port: { number } } }],
          })),
        },
      },
      {
        apiVersion: "networking.istio.io/v1",
        kind: "ServiceEntry",
        metadata: {
          name: `${HOST}-legacy`,
          namespace: MESH,
          labels: { ...labels, [AUTO_ALLOCATE_LABEL]: "false" },
          annotations,
        },
        spec: {
          hosts: ["orders.corp.example.com"],
          ports: ports.slice(0, 2),
          location: "MESH_INTERNAL",
          resolution: "STATIC",
          exportTo: ["shop", "."],
        },
      },
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "orders", namespace: "apps", labels, annotations },
        spec: {
          type: "ExternalName",
          externalName: HOST,
          ports: ports.map(({ name, number, protocol }) => ({
            name: protocol === "TCP" ? `tcp-p${number}` : name,
            port: number,
            protocol: protocol === "UDP" ? "UDP" : "TCP",
          })),
        },
      },
    ],
  );
  assert.deepEqual(holds, []);
});

const legacy = ["orders.example.org"];
const kinds = [
  {
    name: "a VirtualService for a legacy name with an HTTP port",
    orders: service("orders", { legacyNames: legacy }),
    want: ["ServiceEntry", "VirtualService"],
  },
  { name: "none without a legacy name", orders: service("orders"), xds: true, want: ["ServiceEntry"] },
  {
    name: "none for TCP, which works by VIP",
    orders: service("orders", { legacyNames: legacy, ports: [port("db", 3306, "TCP")] }),
    xds: true,
    want: ["ServiceEntry"],
  },
  {
    name: "none for TLS",
    orders: service("orders", { legacyNames: legacy, ports: [port("db", 443, "HTTPS")] }),
    want: ["ServiceEntry"],
  },
  {
    name: "none for names that DNS alone can carry",
    orders: service("orders", { legacyNames: ["1:2", "a_b.example.org", "orders"] }),
    xds: true,
    want: ["ServiceEntry"],
  },
  {
    name: "a companion where the registry says xds",
    orders: service("orders", { legacyNames: legacy }),
    xds: true,
    want: ["ServiceEntry", "VirtualService", "ServiceEntry"],
  },
];
for (const { name, orders, xds = false, want } of kinds) {
  test(`buildObjects() makes ${name}`, () => {
    const { objects } = build({ said: { dc1: [orders] }, xds });
    assert.deepEqual(
      objectsOf({ objects }).map(({ manifest }) => manifest.kind),
      want,
    );
  });
}

test("buildObjects() leaves addresses to Istio", () => {
  assert.equal("addresses" in entryOf(build({ vips: "istio" })).spec, false);
});

test("buildObjects() writes endpoints in a stable order", () => {
  const list = [
    endpoint("192.0.2.1", { ports: { web: 2 } }),
    endpoint("192.0.2.10"),
    endpoint("192.0.2.1", { ports: { web: 1 } }),
    endpoint("192.0.2.1"),
  ];
  const make = (order: typeof list) =>
    entryOf(build({ said: { dc1: [service("orders", { endpoints: order })] } })).spec.endpoints;
  assert.deepEqual(make(list), make(list.toReversed()));
  assert.deepEqual(
    make(list)?.map(({ address }) => address),
    ["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.10"],
  );
});

test("buildObjects() writes which endpoints of a merged service came from whom, in the entry's order", () => {
  const said = {
    dc1: [service("orders", { endpoints: [endpoint("192.0.9.1"), endpoint("192.0.2.1")] })],
    prod: [service("orders", { registry: "prod", endpoints: [endpoint("192.0.1.1"), endpoint("192.0.9.1")] })],
  };
  const manifest = entryOf(build({ said, group: ["dc1", "prod"] }));
  assert.equal(manifest.metadata.annotations?.[PROVENANCE_ANNOTATION], "dc1+prod=1,dc1=1,prod=1");
  assert.deepEqual(
    manifest.spec.endpoints?.map(({ address }) => address),
    ["192.0.9.1", "192.0.2.1", "192.0.1.1"],
  );
  // What is read from it again gives the same while a member cannot be read.
  const stands = {
    objects: [
      entry(KEY, { endpoints: manifest.spec.endpoints ?? [], annotations: manifest.metadata.annotations ?? {} }),
    ],
  };
  const again = entryOf(build({ said: { ...said, prod: "refused" }, group: ["dc1", "prod"], stands }));
  assert.deepEqual(again.spec, manifest.spec);
  assert.deepEqual(again.metadata.annotations, manifest.metadata.annotations);
});

test("buildObjects() cuts and hashes the name of an entry whose host is over 240 characters", () => {
  const name = `${"a".repeat(55)}.${Array(3).fill("a".repeat(53)).join(".")}`;
  const { objects } = build({ said: { dc1: [service(name, { legacyNames: legacy })] }, xds: true });
  const host = entryOf({ objects } as Desired, `dc1/shop/${name}`).spec.hosts[0] ?? "";
  assert.equal(host.length, 240);
  const longer = build({ said: { dc1: [service(`b${name}`, { legacyNames: legacy })] }, xds: true });
  const names = objectsOf(longer).map(({ manifest }) => manifest.metadata.name);
  assert.match(names[0] ?? "", /^ba{55}\..*[a-z0-9]-[0-9a-f]{16}$/);
  assert.ok(names.every((one) => one.length <= 247));
  assert.deepEqual(names, [names[0], names[0], `${names[0]}-legacy`]);
});

const gone = { said: { dc1: [service("stock")] } };
const emptyOrders = service("orders", { endpoints: [] });
const noPorts = service("orders", { endpoints: [], ports: [] });
const ago = (ms: number) => at(NOW_MS - ms);
const marks = [
  { name: "an emptied service", orders: emptyOrders, had: {}, want: { [EMPTY_SINCE_ANNOTATION]: at(NOW_MS) } },
  {
    name: "a service that is still empty, with the time it was emptied",
    orders: emptyOrders,
    had: { [EMPTY_SINCE_ANNOTATION]: ago(5000) },
    endpoints: [],
    want: { [EMPTY_SINCE_ANNOTATION]: ago(5000) },
  },
  { name: "no service that never had an endpoint", orders: emptyOrders, had: {}, endpoints: [], want: {} },
  { name: "no service that is new and empty", orders: emptyOrders, want: {} },
  {
    name: "no service that has endpoints again",
    orders: service(),
    had: { [EMPTY_SINCE_ANNOTATION]: ago(5000) },
    endpoints: [],
    want: {},
  },
  {
    name: "no service that returned from the dead",
    orders: service(),
    had: { [GONE_SINCE_ANNOTATION]: ago(5000) },
    endpoints: [],
    want: {},
  },
  {
    name: "a service that returned from the dead without endpoints, since it went",
    orders: emptyOrders,
    had: { [GONE_SINCE_ANNOTATION]: ago(5000) },
    endpoints: [],
    want: { [EMPTY_SINCE_ANNOTATION]: ago(5000) },
  },
];
for (const { name, orders, had, endpoints: stood, want } of marks) {
  test(`buildObjects() marks ${name}`, () => {
    const objects =
      had === undefined ? [] : [entry(KEY, { annotations: had, ...(stood === undefined ? {} : { endpoints: stood }) })];
    const { metadata, spec } = entryOf(build({ said: { dc1: [orders] }, stands: { objects } }));
    assert.deepEqual(metadata.annotations, { ...annotations, ...want });
    assert.deepEqual(spec.addresses, ["240.241.0.7"]);
    assert.deepEqual(spec.endpoints?.length, orders.endpoints.length);
  });
}

test("buildObjects() takes the ports of an emptied service that declares none from what stands", () => {
  const ports = [{ name: "grpc-api", number: 9090, protocol: "GRPC", targetPort: 9091 }];
  const desired = build({ said: { dc1: [noPorts] }, stands: { objects: [entry(KEY, { ports })] } });
  assert.deepEqual(entryOf(desired).spec.ports, ports);
  assert.deepEqual(entryOf(desired).spec.endpoints, []);
});

test("buildObjects() holds a new service without ports", () => {
  assert.deepEqual(holdTexts(build({ said: { dc1: [noPorts] } })), [`invalid ${HOST}: it has no port`]);
});

test("buildObjects() keeps a vanished service as a tombstone with all its objects, and says when only once", () => {
  const vip = {
    addresses: ["240.241.0.7"],
    annotations: {
      [NAMES_ANNOTATION]: '[{"name":"a.example.org"}]',
      [EMPTY_SINCE_ANNOTATION]: ago(9000),
      "example.org/theirs": "x",
    },
  };
  const stands = { objects: [entry(KEY, vip), alias(KEY, "apps/orders")] };
  const desired = build({ ...gone, stands });
  assert.deepEqual(holdTexts(desired), []);
  const { metadata, spec } = entryOf(desired);
  assert.deepEqual(metadata.annotations, {
    ...annotations,
    [NAMES_ANNOTATION]: '[{"name":"a.example.org"}]',
    "example.org/theirs": "x",
    [GONE_SINCE_ANNOTATION]: at(NOW_MS),
  });
  assert.deepEqual({ ...spec, endpoints: "…" }, { ...stands.objects[0]?.manifest.spec, endpoints: "…" });
  assert.deepEqual(spec.endpoints, []);
  assert.equal(
    objectsOf(desired).find(({ key }) => key === "Service/apps/orders")?.manifest,
    stands.objects[1]?.manifest,
  );
});

const tombstones = [
  { name: "stands for keepEmpty", since: ago(HOUR_MS - 1000), want: true },
  { name: "goes with its aliases after keepEmpty", since: ago(HOUR_MS), want: false },
  { name: "stays when its time cannot be read", since: "yesterday", want: true },
  { name: "stays when its time is to come", since: at(NOW_MS + 9 * HOUR_MS), want: true },
];
for (const { name, since, want } of tombstones) {
  test(`buildObjects() has a tombstone that ${name}`, () => {
    const stands = {
      objects: [
        entry(KEY, { endpoints: [], annotations: { [GONE_SINCE_ANNOTATION]: since } }),
        alias(KEY, "apps/orders"),
      ],
    };
    const desired = build({ ...gone, stands });
    const own = objectsOf(desired).filter((one) => one.service === KEY);
    assert.deepEqual(
      own.map(({ manifest }) => manifest),
      want ? stands.objects.map(({ manifest }) => manifest) : [],
    );
    assert.equal(desired.kept.has(KEY), false);
  });
}

test("buildObjects() takes endpoints from a tombstone that someone else gave it", () => {
  const since = ago(5000);
  const stands = {
    objects: [
      entry(KEY, { endpoints: [{ address: "203.0.113.9" }], annotations: { [GONE_SINCE_ANNOTATION]: since } }),
      alias(KEY, "apps/orders"),
    ],
  };
  const { metadata, spec } = entryOf(build({ ...gone, stands }));
  assert.deepEqual(spec.endpoints, []);
  assert.equal(metadata.annotations?.[GONE_SINCE_ANNOTATION], since);
});

test("buildObjects() keeps no alias of a vanished service whose entry is gone", () => {
  const desired = build({ ...gone, stands: { objects: [alias(KEY, "apps/orders")] } });
  assert.equal(
    objectsOf(desired).some((one) => one.service === KEY),
    false,
  );
  assert.equal(desired.kept.has(KEY), false);
});

const silences: { name: string; said: Readonly<Record<string, Said>>; want: string }[] = [
  {
    name: "whose registry failed",
    said: { dc1: "connect ECONNREFUSED" },
    want: `unread ${HOST}: connect ECONNREFUSED`,
  },
  {
    name: "whose registry is unread",
    said: { dc1: undefined },
    want: `unread ${HOST}: registry dc1 has not answered yet`,
  },
  {
    name: "that an incomplete list does not name",
    said: { dc1: incomplete("dc1", []) },
    want: `unread ${HOST}: page 2 failed`,
  },
  { name: "whose own read failed", said: { dc1: [failed(KEY, "answered 503")] }, want: `unread ${HOST}: answered 503` },
  {
    name: "whose registry has left the configuration",
    said: { prod: [] },
    want: `orphan ${HOST}: registry dc1 is not configured any more, or merged into another; x2istio prune --registry dc1 removes its objects`,
  },
];
for (const { name, said, want } of silences) {
  for (const annotations of [{}, { [GONE_SINCE_ANNOTATION]: ago(9 * HOUR_MS) }]) {
    test(`buildObjects() keeps a ${"x2istio.dev/gone-since" in annotations ? "tombstone" : "service"} ${name}`, () => {
      const desired = build({ said, stands: { objects: [entry(KEY, { annotations }), alias(KEY, "apps/orders")] } });
      assert.deepEqual(keys(desired), []);
      assert.deepEqual([...desired.kept.keys()], [KEY]);
      assert.deepEqual(holdTexts(desired), [want]);
    });
  }
}

test("buildObjects() names aliases on their entry until they are gone, but for those beside it", () => {
  const aliasesOn = (aliases: readonly object[], ...stands: readonly string[]) => {
    const objects = [entry(), ...stands.map((id) => alias(KEY, id))];
    const desired = build({ aliases: aliases as AliasRule[], stands: { objects } });
    return entryOf(desired).metadata.annotations?.[ALIASES_ANNOTATION];
  };
  const rule = (namespace: string) => ({
    registry: "dc1",
    namespace: "*",
    service: "*",
    as: "{service}",
    in: namespace,
  });
  assert.equal(aliasesOn([rule("web"), rule("apps"), rule(MESH)]), "apps/orders,web/orders");
  assert.equal(aliasesOn([rule("web")], "web/orders", "old/orders"), "old/orders,web/orders");
  assert.equal(aliasesOn([], "old/orders"), "old/orders");
  assert.equal(aliasesOn([]), undefined);
});

test("buildObjects() says of a service that could never be read why", () => {
  assert.deepEqual(holdTexts(build({ said: { dc1: [failed(KEY, "answered 503")] } })), [`unread ${KEY}: answered 503`]);
});

test("buildObjects() updates what an incomplete list names", () => {
  const desired = build({
    said: { dc1: incomplete("dc1", [service("orders", { endpoints: endpoints(3) })]) },
    stands: { objects: [entry()] },
  });
  assert.equal(entryOf(desired).spec.endpoints?.length, 3);
});

for (const kind of ["VirtualService", "HTTPRoute"]) {
  test(`buildObjects() holds its VirtualService where someone's ${kind} routes the host, and names the lines`, () => {
    const orders = service("orders", { legacyNames: ["a.example.org", "1:2", "b.example.org"] });
    const desired = build({
      said: { dc1: [orders] },
      stands: { foreign: [foreign(kind, "web/mine", { hosts: [HOST] })] },
    });
    assert.deepEqual(keys(desired), [`ServiceEntry/${MESH}/${HOST}`]);
    assert.deepEqual([...desired.keptObjects], [`VirtualService/${MESH}/${HOST}`]);
    assert.deepEqual(desired.holds, [
      {
        reason: "foreign",
        subject: `VirtualService/${MESH}/${HOST}`,
        service: KEY,
        registry: "dc1",
        message: `${kind} web/mine already routes ${HOST}; for the legacy names to work over HTTP add to its hosts: a.example.org, b.example.org`,
        regarding: `${kind}/web/mine`,
      },
    ]);
  });
}

{
  const said = { dc1: [service("orders", { legacyNames: ["a.example.org", "b.example.org"] })] };
  const aliases = [{ registry: "dc1", namespace: "*", service: "*", as: "{service}", in: "apps" }];
  const objects = objectsOf(build({ said, aliases })).map((object) => standingObject(object.manifest));
  const ours = `VirtualService/${MESH}/${HOST}`;
  const all = [HOST, "b.example.org", "a.example.org"];
  const cases = [
    { name: "stays while a name lacks", at: "apps/mine", hosts: [HOST, "b.example.org"], want: "held" },
    { name: "goes once the aliases' namespace has one with all names", at: "apps/mine", hosts: all, want: "gone" },
    { name: "goes once the target's namespace has one", at: `${MESH}/mine`, hosts: all, want: "gone" },
    { name: "keeps the host from other namespaces", at: "web/mine", hosts: all, want: "kept" },
    {
      name: "stays for those who do not see the other one",
      at: "apps/mine",
      hosts: all,
      isNarrow: true,
      want: "silent",
    },
    { name: "is not made where there is one", at: "web/mine", hosts: all, stands: [], want: "held" },
    { name: "is not made where a trusted one has all names", at: "apps/mine", hosts: all, stands: [], want: "gone" },
    { name: "is made beside a narrow one", at: "web/mine", hosts: all, isNarrow: true, stands: [], want: "silent" },
  ] as const;
  for (const { name, at, hosts, want, ...rest } of cases) {
    test(`buildObjects()'s VirtualService ${name}`, () => {
      const { isNarrow, stands = objects }: { isNarrow?: true; stands?: readonly StandingObject[] } = rest;
      const someones = foreign("VirtualService", at, { hosts, ...(isNarrow && { isNarrow }) });
      const desired = build({ said, aliases, stands: { objects: stands, foreign: [someones] } });
      const isWanted = keys(desired).includes(ours);
      const isHeld = desired.keptObjects.has(ours);
      const got = isHeld ? "held" : !isWanted ? "gone" : desired.holds.length > 0 ? "kept" : "silent";
      assert.equal(got, want, JSON.stringify(desired.holds));
    });
  }
}

test("buildObjects() takes no notice of someone's VirtualService where it writes none", () => {
  assert.deepEqual(
    build({ stands: { foreign: [foreign("VirtualService", "web/mine", { hosts: [HOST] })] } }).holds,
    [],
  );
});

for (const [addresses, resolution] of [
  [["192.0.2.1"], "STATIC"],
  [[], "STATIC"],
  [["db.example.org."], "DNS"],
  [["192.0.2.1", "db.example.org."], "DNS"],
] as const)
  test(`buildObjects() has ${resolution} resolution for endpoints ${addresses.join(" and ") || "that are none"}`, () => {
    const one = service("orders", { endpoints: addresses.map((address) => endpoint(address)) });
    const [made] = [...build({ said: { dc1: [one] } }).objects.values()].flat();
    const spec = made?.manifest.kind === "ServiceEntry" ? made.manifest.spec : undefined;
    assert.deepEqual([spec?.resolution, spec?.endpoints], [resolution, addresses.map((address) => ({ address }))]);
  });

test("buildObjects() keeps all that stands of a service that Istio would refuse, and no other", () => {
  const broken = service("orders", { endpoints: [endpoint("db.example.org")] });
  const desired = build({
    said: { dc1: [broken, service("stock")] },
    stands: { objects: [entry(), alias(KEY, "apps/orders")] },
  });
  assert.deepEqual(keys(desired), [`ServiceEntry/${MESH}/stock.shop.dc1.mesh.internal`]);
  assert.deepEqual([...desired.kept.keys()], [KEY]);
  assert.deepEqual(holdTexts(desired), [
    `invalid ${HOST}: endpoint db.example.org: it is not an IP address, which a STATIC entry needs`,
  ]);
});

test("buildObjects() keeps a service that got no VIP, and says so under that reason", () => {
  const rule = { registry: "dc1", namespace: "*", service: "*", as: "{service}", in: "apps" };
  const desired = build({ vips: new Map(), aliases: [rule], stands: { namespaces: {}, objects: [entry()] } });
  assert.deepEqual(keys(desired), []);
  assert.equal(desired.kept.get(KEY)?.reason, "address");
});

test("buildObjects() keeps a service that got no host, and says so under that reason", () => {
  const desired = build({ stands: { foreign: [foreign("ServiceEntry", "web/x", { hosts: [HOST] })] } });
  assert.deepEqual(keys(desired), []);
  assert.equal(desired.kept.get(KEY)?.reason, "name");
});

test("buildObjects() keeps a host that ends like a companion's name apart from a companion", () => {
  const host = "orders.corp-legacy";
  const stands = { objects: [entry(KEY, { host, endpoints: [{ address: "192.0.2.1" }] })] };
  const desired = build({ said: { dc1: [emptyOrders] }, template: "{service}.corp-legacy", stands });
  assert.equal(
    entryOf(desired).metadata.annotations?.[EMPTY_SINCE_ANNOTATION],
    at(NOW_MS),
    "the standing entry is known",
  );
});

test("buildObjects() gives the same objects for the same parts, and new ones for others", () => {
  const dc1 = [service("orders", { legacyNames: legacy }), service("stock")];
  const live = standing();
  const catalog = merge(readings({ dc1 }), live);
  const naming = nameHosts(catalog, live, {
    template: "{service}.{registry}.internal",
    clusterDomain: "cluster.local",
    nowMs: NOW_MS,
    legacyNames: new Map(),
    aliases: [],
  });
  const options = { owner: "east", namespace: MESH, keepEmptyMs: HOUR_MS, registries: new Map(), nowMs: NOW_MS };
  const vips = new Map([
    ["orders.dc1.internal", ["240.241.0.7"]],
    ["stock.dc1.internal", ["240.241.0.8"]],
  ]);
  const first = buildObjects(catalog, naming, vips, live, options);
  const second = buildObjects(
    catalog,
    naming,
    new Map(vips),
    live,
    { ...options, nowMs: NOW_MS + HOUR_MS },
    remembering({ desired: first }),
  );
  assert.equal(objectsOf(first).length, 3);
  assert.ok(objectsOf(first).every((object, n) => object === objectsOf(second)[n]));
  const third = buildObjects(
    catalog,
    naming,
    new Map([...vips, ["stock.dc1.internal", ["240.241.0.9"]]]),
    live,
    options,
    remembering({ desired: second }),
  );
  assert.deepEqual(
    objectsOf(third).map((object, n) => object === objectsOf(first)[n]),
    [true, true, false],
  );
});

test("buildObjects() makes the objects of an unchanged service anew when a mark or its stage is another", () => {
  const empty = service("orders", { endpoints: [] });
  const named = { services: new Map([[KEY, { host: HOST, legacyNames: [], aliases: [], notes: [] }]]) };
  const naming = { ...named, holds: [], heldAliases: new Set<string>(), moves: [] };
  const vips = new Map([[HOST, ["240.241.0.7"]]]);
  const options = { owner: "east", namespace: MESH, keepEmptyMs: HOUR_MS, registries: new Map(), nowMs: NOW_MS };
  const catalog = merge(readings({ dc1: [empty] }), standing());
  const never = standing({ objects: [entry(KEY, { endpoints: [] })] });
  const first = buildObjects(catalog, naming, vips, never, options);
  assert.equal(entryOf(first).metadata.annotations?.[EMPTY_SINCE_ANNOTATION], undefined);
  const memory = remembering({ desired: first });
  const filled = standing({ objects: [entry()] });
  const second = buildObjects(catalog, naming, vips, filled, options, memory);
  assert.equal(entryOf(second).metadata.annotations?.[EMPTY_SINCE_ANNOTATION], at(NOW_MS));
  const stage: StageDecision = {
    ...{ service: KEY, registry: "dc1", stage: "split", weight: 10, claim: undefined, towards: undefined },
    ...{ claimant: { namespace: "shop", name: "orders-v2" }, refusedTo: undefined, blockers: [], addresses: [] },
    ...{ sni: [], announced: [], settlesAtMs: undefined, steppedBackFrom: undefined },
  };
  const third = buildObjects(catalog, naming, vips, never, { ...options, stages: new Map([[KEY, stage]]) }, memory);
  assert.deepEqual(keys(third), [`ServiceEntry/${MESH}/${HOST}`, `VirtualService/${MESH}/${HOST}`]);
});

for (const [waypoint, want] of [
  [undefined, undefined],
  ["none", { "istio.io/use-waypoint": "none" }],
  ["edge/out", { "istio.io/use-waypoint": "out", "istio.io/use-waypoint-namespace": "edge" }],
] as const) {
  test(`buildObjects() labels entries for waypoint ${waypoint}`, () => {
    const desired = build({ ...(waypoint !== undefined && { waypoint }) });
    const labels = Object.entries(entryOf(desired).metadata.labels ?? {}).filter(([name]) =>
      name.startsWith("istio.io/"),
    );
    assert.deepEqual(Object.fromEntries(labels), want ?? {});
  });
}
