import assert from "node:assert/strict";
import { test } from "node:test";
import { type EntryEndpoint, PROVENANCE_ANNOTATION } from "../../../src/model/objects.ts";
import type { CatalogService } from "../../../src/plan/catalog/catalog.ts";
import { merge } from "../../../src/plan/catalog/merge.ts";
import { remembering } from "../at-once.ts";
import {
  endpoint,
  endpoints,
  entry,
  failed,
  incomplete,
  port,
  readings,
  type Said,
  service,
  standing,
} from "../build.ts";

const orders = service("orders");
const stock = service("stock");
const nothing = standing();

test("merge() keeps registries apart, and the very objects of their snapshots", () => {
  const other = service("orders", { registry: "prod" });
  const catalog = merge(readings({ dc1: [orders], prod: [other] }), nothing);
  assert.equal(catalog.services.get("dc1/shop/orders"), orders);
  assert.equal(catalog.services.get("prod/shop/orders"), other);
  assert.equal(catalog.services.size, 2);
});

const authorities: { name: string; said: Said; want: object }[] = [
  { name: "complete", said: [orders, failed("dc1/shop/stock")], want: { state: "complete", listed: 2 } },
  { name: "complete when it lists nothing", said: [], want: { state: "complete", listed: 0 } },
  {
    name: "incomplete",
    said: incomplete("dc1", [orders]),
    want: { state: "incomplete", why: "page 2 failed", listed: 1 },
  },
  { name: "failed", said: "refused", want: { state: "failed", why: "refused", listed: 0 } },
  { name: "unread", said: undefined, want: { state: "unread", why: "registry dc1 has not answered yet", listed: 0 } },
];
for (const { name, said, want } of authorities) {
  test(`merge() says that a registry's answer is ${name}`, () => {
    assert.deepEqual(merge(readings({ dc1: said }), nothing).authorities, new Map([["dc1", want]]));
  });
}

test("merge() keeps the configured order of registries", () => {
  const { authorities } = merge(readings({ prod: [], dc1: "x", vms: undefined }), nothing);
  assert.deepEqual([...authorities.keys()], ["prod", "dc1", "vms"]);
});

test("merge() says why one service could not be read", () => {
  const catalog = merge(readings({ dc1: [orders, failed("dc1/shop/stock", "answered 503")] }), nothing);
  assert.deepEqual(catalog.failed, new Map([["dc1/shop/stock", "answered 503"]]));
  assert.deepEqual([...catalog.services.keys()], ["dc1/shop/orders"]);
});

// Registries dc1 and prod are one group from here on.
const GROUP = ["dc1", "prod"];
const prodOrders = service("orders", { registry: "prod", endpoints: endpoints(2, 3) });

/** What became of shop/orders: its endpoints by where they came from, or why it is held. */
function joined(said: { dc1: Said; prod: Said }, stands = nothing): unknown {
  const { services, failed } = merge(readings(said), stands, GROUP);
  const one = services.get("dc1/shop/orders");
  if (one === undefined) return failed.get("dc1/shop/orders");
  return { addresses: one.endpoints.map(({ address }) => address), from: written(one) };
}

function written({ provenance = [] }: CatalogService): string {
  return provenance.map(({ registry, count }) => `${registry}=${count}`).join(",");
}

function addresses(...texts: string[]): EntryEndpoint[] {
  return texts.map((address) => ({ address }));
}

/** The entry that stands after both have answered. */
const both = standing({
  objects: [
    entry("dc1/shop/orders", {
      endpoints: addresses("192.0.2.1", "192.0.3.1", "192.0.3.2"),
      annotations: { [PROVENANCE_ANNOTATION]: "dc1=1,prod=2" },
    }),
  ],
});
const plain = standing({ objects: [entry("dc1/shop/orders", { endpoints: addresses("192.0.2.1", "192.0.2.2") })] });

const all = { addresses: ["192.0.2.1", "192.0.3.1", "192.0.3.2"], from: "dc1=1,prod=2" };
const members: { name: string; dc1: Said; prod: Said; stands?: typeof both; want: unknown }[] = [
  { name: "joins what both list", dc1: [orders], prod: [prodOrders], want: all },
  {
    name: "takes what only the first lists",
    dc1: [orders],
    prod: [],
    want: { addresses: ["192.0.2.1"], from: "dc1=1" },
  },
  {
    name: "takes what only the second lists",
    dc1: [],
    prod: [prodOrders],
    want: { addresses: ["192.0.3.1", "192.0.3.2"], from: "prod=2" },
  },
  {
    name: "drops the endpoints of a member that says it is gone",
    dc1: [],
    prod: [prodOrders],
    stands: both,
    want: { addresses: ["192.0.3.1", "192.0.3.2"], from: "prod=2" },
  },
  { name: "keeps the endpoints of a member that failed", dc1: [orders], prod: "refused", stands: both, want: all },
  {
    name: "keeps the endpoints of a first member that failed",
    dc1: "refused",
    prod: [prodOrders],
    stands: both,
    want: all,
  },
  {
    name: "keeps the endpoints of a member whose one read failed",
    dc1: [orders],
    prod: [failed("prod/shop/orders")],
    stands: both,
    want: all,
  },
  { name: "keeps the endpoints of a member that is unread", dc1: [orders], prod: undefined, stands: both, want: all },
  {
    name: "keeps the endpoints of an incomplete member that does not name it",
    dc1: [orders],
    prod: incomplete("prod", []),
    stands: both,
    want: all,
  },
  {
    name: "takes the endpoints of an incomplete member that names it",
    dc1: [orders],
    prod: incomplete("prod", [prodOrders]),
    want: all,
  },
  {
    name: "updates one member while another fails",
    dc1: [service("orders", { endpoints: endpoints(2) })],
    prod: "refused",
    stands: both,
    want: { addresses: ["192.0.2.1", "192.0.2.2", "192.0.3.1", "192.0.3.2"], from: "dc1=2,prod=2" },
  },
  {
    name: "holds it when one failed and the other says it is gone",
    dc1: [],
    prod: [failed("prod/shop/orders", "answered 503")],
    stands: both,
    want: "answered 503",
  },
  {
    name: "does not name it when one is unread and the other says it is gone",
    dc1: [],
    prod: undefined,
    stands: both,
    want: undefined,
  },
  {
    name: "joins an endpoint that both have once",
    dc1: [orders],
    prod: [service("orders", { registry: "prod", endpoints: endpoints(2) })],
    want: { addresses: ["192.0.2.1", "192.0.2.2"], from: "dc1+prod=1,prod=1" },
  },
  {
    name: "keeps the endpoints that stood before the registries were merged",
    dc1: "refused",
    prod: [prodOrders],
    stands: plain,
    want: { addresses: ["192.0.2.1", "192.0.2.2", "192.0.3.1", "192.0.3.2"], from: "dc1=2,prod=2" },
  },
];
for (const { name, dc1, prod, stands, want } of members) {
  test(`merge() of a group ${name}`, () => assert.deepEqual(joined({ dc1, prod }, stands), want));
}

const groupAuthorities: { dc1: Said; prod: Said; want: object }[] = [
  { dc1: [orders], prod: [prodOrders, service("x", { registry: "prod" })], want: { state: "complete", listed: 3 } },
  { dc1: [], prod: [], want: { state: "complete", listed: 0 } },
  { dc1: [orders], prod: "refused", want: { state: "incomplete", why: "refused", listed: 1 } },
  { dc1: "refused", prod: "reset", want: { state: "failed", why: "refused", listed: 0 } },
  { dc1: undefined, prod: undefined, want: { state: "unread", why: "registry dc1 has not answered yet", listed: 0 } },
];
for (const { dc1, prod, want } of groupAuthorities) {
  test(`merge() answers for a group as ${JSON.stringify(want)}`, () => {
    assert.deepEqual(merge(readings({ dc1, prod }), nothing, GROUP).authorities, new Map([["dc1", want]]));
  });
}

test("merge() gives a service that only the second member has the first one's key", () => {
  const { services } = merge(readings({ dc1: [], prod: [prodOrders] }), nothing, GROUP);
  assert.deepEqual([...services.keys()], ["dc1/shop/orders"]);
  assert.equal(services.get("dc1/shop/orders")?.registry, "dc1");
});

test("merge() leaves registries outside the group apart", () => {
  const own = service("orders", { registry: "vms" });
  const catalog = merge(readings({ vms: [own], dc1: [orders], prod: [prodOrders] }), nothing, GROUP);
  assert.equal(catalog.services.get("vms/shop/orders"), own);
  assert.deepEqual([...catalog.authorities.keys()], ["vms", "dc1"]);
});

test("merge() joins ports, legacy names and metadata, the first member's first", () => {
  const dc1 = service("orders", {
    ports: [port("web", 80, "HTTP", 8080)],
    legacyNames: ["a.example.org"],
    metadata: { team: "a" },
  });
  const prod = service("orders", {
    registry: "prod",
    ports: [port("web", 80, "HTTP", 8080), port("grpc", 90, "GRPC")],
    legacyNames: ["b.example.org", "a.example.org"],
    metadata: { team: "b", tier: "1" },
  });
  const one = merge(readings({ dc1: [dc1], prod: [prod] }), nothing, GROUP).services.get("dc1/shop/orders");
  assert.deepEqual(one?.ports, [port("web", 80, "HTTP", 8080), port("grpc", 90, "GRPC")]);
  assert.deepEqual(one?.legacyNames, ["a.example.org", "b.example.org"]);
  assert.deepEqual(one?.metadata, { team: "a", tier: "1" });
});

const differing = [
  { name: "number", dc1: port("web", 80), prod: port("web", 90), want: { web: 90 } },
  { name: "target port", dc1: port("web", 80, "HTTP", 8080), prod: port("web", 80, "HTTP", 9090), want: { web: 9090 } },
  {
    name: "target port on one side only",
    dc1: port("web", 80, "HTTP", 8080),
    prod: port("web", 80),
    want: { web: 80 },
  },
  { name: "no port that counts", dc1: port("web", 80, "HTTP", 8080), prod: port("web", 8080), want: undefined },
];
for (const { name, dc1, prod, want } of differing) {
  test(`merge() writes the port of a member's own onto its endpoints: ${name}`, () => {
    const said = {
      dc1: [service("orders", { ports: [dc1] })],
      prod: [service("orders", { registry: "prod", ports: [prod], endpoints: [endpoint("192.0.3.1")] })],
    };
    const one = merge(readings(said), nothing, GROUP).services.get("dc1/shop/orders");
    assert.deepEqual(one?.ports, [dc1]);
    assert.deepEqual(
      one?.endpoints.map(({ ports }) => ports),
      [undefined, want],
    );
  });
}

test("merge() joins an endpoint that both have once, whatever the order of its ports", () => {
  const ports = [port("web", 80), port("admin", 81)];
  const at = (overrides: Readonly<Record<string, number>>) => [endpoint("192.0.2.1", { ports: overrides })];
  const dc1 = [service("orders", { ports, endpoints: at({ web: 9080, admin: 9081 }) })];
  const prod = [service("orders", { registry: "prod", ports, endpoints: at({ admin: 9081, web: 9080 }) })];
  const joined = merge(readings({ dc1, prod }), nothing, ["dc1", "prod"]).services.get("dc1/shop/orders");
  assert.equal(joined?.endpoints.length, 1);
  assert.deepEqual(joined?.provenance, [{ registry: "dc1+prod", count: 1 }]);
});

test("merge() leaves an endpoint's own override of a port alone", () => {
  const prod = service("orders", {
    registry: "prod",
    ports: [port("web", 90)],
    endpoints: [endpoint("192.0.3.1", { ports: { web: 7 } })],
  });
  const one = merge(readings({ dc1: [orders], prod: [prod] }), nothing, GROUP).services.get("dc1/shop/orders");
  assert.deepEqual(one?.endpoints[1], endpoint("192.0.3.1", { ports: { web: 7 } }));
});

test("merge() keeps an endpoint that both had while one says it is gone and the other cannot be read", () => {
  const shared = service("orders", { registry: "prod", endpoints: endpoints(1) });
  const first = merge(
    readings({ dc1: [service("orders", { endpoints: endpoints(2) })], prod: [shared] }),
    nothing,
    GROUP,
  );
  const one = first.services.get("dc1/shop/orders");
  assert.ok(one !== undefined);
  const stands = standing({
    objects: [
      entry("dc1/shop/orders", { endpoints: one.endpoints, annotations: { [PROVENANCE_ANNOTATION]: written(one) } }),
    ],
  });
  const dc1 = [service("orders", { endpoints: [endpoint("192.0.2.2")] })];
  assert.deepEqual((joined({ dc1, prod: "refused" }, stands) as { addresses: string[] }).addresses.toSorted(), [
    "192.0.2.1",
    "192.0.2.2",
  ]);
});

test("merge() keeps everything of a kept endpoint", () => {
  const rich = {
    address: "192.0.3.1",
    ports: { "http-web": 81 },
    weight: 7,
    labels: { version: "v1" },
    locality: "eu/eu-1a/hall",
  };
  const stands = standing({
    objects: [
      entry("dc1/shop/orders", {
        endpoints: [{ address: "192.0.2.1" }, rich],
        annotations: { [PROVENANCE_ANNOTATION]: "dc1=1,prod=1" },
      }),
    ],
  });
  const one = merge(readings({ dc1: [orders], prod: "refused" }), stands, GROUP).services.get("dc1/shop/orders");
  const { locality: _, ...kept } = { ...rich, ports: { web: 81 } };
  assert.deepEqual(one?.endpoints[1], { ...kept, region: "eu", zone: "eu-1a", subzone: "hall" });
});

test("merge() keeps the ports that only a member that cannot be read had", () => {
  const ports = [
    { name: "http-web", number: 8080, protocol: "HTTP" },
    { name: "grpc-api", number: 9090, protocol: "GRPC" },
  ];
  const stands = standing({ objects: [entry("dc1/shop/orders", { ports })] });
  const one = merge(readings({ dc1: [orders], prod: "refused" }), stands, GROUP).services.get("dc1/shop/orders");
  assert.deepEqual(one?.ports, [port("web", 8080), ports[1]]);
  assert.deepEqual(merge(readings({ dc1: [orders], prod: [] }), stands, GROUP).services.get("dc1/shop/orders")?.ports, [
    port("web", 8080),
  ]);
});

for (const annotation of ["", "dc1", "dc1=x,prod=-1", "dc1=9,prod=9", "dc1=1", "vms=3"]) {
  test(`merge() takes no endpoint away when the annotation reads "${annotation}"`, () => {
    const stands = standing({
      objects: [
        entry("dc1/shop/orders", {
          endpoints: addresses("192.0.2.1", "192.0.3.1"),
          annotations: { [PROVENANCE_ANNOTATION]: annotation },
        }),
      ],
    });
    const one = joined({ dc1: [orders], prod: "refused" }, stands) as { addresses: string[] };
    assert.deepEqual(one.addresses.toSorted(), ["192.0.2.1", "192.0.3.1"]);
  });
}

test("merge() keeps the identity of an equal merged service, and of no other", () => {
  const said = () =>
    readings({ dc1: [service("orders"), service("stock")], prod: [service("orders", { registry: "prod" })] });
  const first = merge(said(), nothing, GROUP);
  const second = merge(said(), nothing, GROUP, remembering({ catalog: first }));
  assert.equal(second.services.get("dc1/shop/orders"), first.services.get("dc1/shop/orders"));
  const third = merge(
    readings({ dc1: [orders, stock], prod: [prodOrders] }),
    nothing,
    GROUP,
    remembering({ catalog: second }),
  );
  assert.notEqual(third.services.get("dc1/shop/orders"), second.services.get("dc1/shop/orders"));
  assert.equal(third.services.get("dc1/shop/stock"), second.services.get("dc1/shop/stock"));
});

test("merge() says of a joined service that it is known by its aliases only, if it is so to all", () => {
  const aliasesOnly = { aliasesOnly: true as const };
  const both = (one: object, other: object) =>
    merge(
      readings({ dc1: [service("1:2", one)], prod: [service("1:2", { registry: "prod", ...other })] }),
      nothing,
      GROUP,
    ).services.get("dc1/shop/1:2")?.aliasesOnly;
  assert.equal(both(aliasesOnly, aliasesOnly), true);
  assert.equal(both(aliasesOnly, {}), undefined);
  assert.equal(both({}, aliasesOnly), undefined);
});
