import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { specialNameFault } from "../../../src/istio/special-names.ts";
import { NAMES_ANNOTATION } from "../../../src/model/objects.ts";
import type { Service } from "../../../src/model/service.ts";
import type { AliasRule } from "../../../src/model/settings.ts";
import type { ForeignObject } from "../../../src/model/standing.ts";
import { merge } from "../../../src/plan/catalog/merge.ts";
import { globMatches } from "../../../src/plan/glob.ts";
import { hostFromTemplate, legacyName } from "../../../src/plan/names/dns-names.ts";
import { readNames, writeNames } from "../../../src/plan/names/names-annotation.ts";
import type { NamingOptions } from "../../../src/plan/names/wishes.ts";
import { securityRow } from "../../security/row.ts";
import { nameHosts, remembering } from "../at-once.ts";
import {
  alias,
  at,
  endpoint,
  entry,
  failed,
  foreign,
  incomplete,
  NOW_MS,
  readings,
  type Said,
  type StandingFields,
  service,
  standing,
} from "../build.ts";

const REWRITE = `the rule can rewrite such names, as: "{service|dns}", or exclude them`;
const TEMPLATE = "{service}.{namespace}.{registry}.mesh.internal";
const hash = (key: string) => createHash("sha256").update(key).digest("hex").slice(0, 16);

const hosts: { name: string; namespace?: string; template?: string; want: string }[] = [
  { name: "orders", want: "orders.shop.dc1.mesh.internal" },
  { name: "Orders", want: "orders.shop.dc1.mesh.internal" },
  { name: "orders.v2", want: "orders.v2.shop.dc1.mesh.internal" },
  { name: "com.Example.Price", want: "com.example.price.shop.dc1.mesh.internal" },
  { name: "orders_v2", want: `orders-v2-${hash("dc1/shop/orders_v2")}.shop.dc1.mesh.internal` },
  { name: "orders v2", want: `orders-v2-${hash("dc1/shop/orders v2")}.shop.dc1.mesh.internal` },
  {
    name: "DEFAULT_GROUP__Foo.Bar/baz:1",
    want: `default-group--foo-${hash("dc1/shop/DEFAULT_GROUP__Foo.Bar/baz:1")}.bar-baz-1-${hash("dc1/shop/DEFAULT_GROUP__Foo.Bar/baz:1")}.shop.dc1.mesh.internal`,
  },
  { name: "64001:65536", want: `64001-65536-${hash("dc1/shop/64001:65536")}.shop.dc1.mesh.internal` },
  { name: "-orders", want: `orders-${hash("dc1/shop/-orders")}.shop.dc1.mesh.internal` },
  { name: "orders-", want: `orders-${hash("dc1/shop/orders-")}.shop.dc1.mesh.internal` },
  { name: "订单", want: `${hash("dc1/shop/订单")}.shop.dc1.mesh.internal` },
  { name: "ördérs", want: `rd-rs-${hash("dc1/shop/ördérs")}.shop.dc1.mesh.internal` },
  { name: "😀x", want: `x-${hash("dc1/shop/😀x")}.shop.dc1.mesh.internal` },
  { name: "a..b", want: `a.${hash("dc1/shop/a..b")}.b.shop.dc1.mesh.internal` },
  { name: "orders.", want: `orders.${hash("dc1/shop/orders.")}.shop.dc1.mesh.internal` },
  { name: "a".repeat(63), want: `${"a".repeat(63)}.shop.dc1.mesh.internal` },
  { name: "a".repeat(64), want: `${"a".repeat(46)}-${hash(`dc1/shop/${"a".repeat(64)}`)}.shop.dc1.mesh.internal` },
  {
    name: `${"a".repeat(45)}-${"b".repeat(20)}`,
    want: `${"a".repeat(45)}-${hash(`dc1/shop/${"a".repeat(45)}-${"b".repeat(20)}`)}.shop.dc1.mesh.internal`,
  },
  { name: "192-0-2-11", want: `192-0-2-11-${hash("dc1/shop/192-0-2-11")}.shop.dc1.mesh.internal` },
  { name: "2001-db8--1.web", want: `2001-db8--1-${hash("dc1/shop/2001-db8--1.web")}.web.shop.dc1.mesh.internal` },
  { name: "web.192-0-2-11", want: "web.192-0-2-11.shop.dc1.mesh.internal" },
  { name: "192-0-2-256", want: "192-0-2-256.shop.dc1.mesh.internal" },
  { name: "\u212Aafka", want: `afka-${hash("dc1/shop/\u212Aafka")}.shop.dc1.mesh.internal` },
  { name: "orders", namespace: "Production", want: "orders.production.dc1.mesh.internal" },
  { name: "orders", namespace: "team a", want: `orders.team-a-${hash("dc1/team a/orders")}.dc1.mesh.internal` },
  { name: "a.b", template: "{service}-{namespace}.mesh.internal", want: "a.b-shop.mesh.internal" },
  { name: "a_b", template: "x-{service}.mesh.internal", want: `x-a-b-${hash("dc1/shop/a_b")}.mesh.internal` },
  {
    name: "{namespace}",
    template: "{service}.mesh.internal",
    want: `namespace-${hash("dc1/shop/{namespace}")}.mesh.internal`,
  },
];
for (const { name, namespace = "shop", template = TEMPLATE, want } of hosts) {
  test(`hostFromTemplate() makes ${want} of ${name}`, () => {
    const host = hostFromTemplate({ registry: "dc1", namespace, name }, template);
    assert.equal(host, want);
    assert.ok(
      host.split(".").every((label) => /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(label)),
      "labels of RFC 1123",
    );
  });
}

const legacy = [
  { raw: "Orders.Corp.Example.COM", want: "orders.corp.example.com" },
  { raw: "orders.corp.example.com.", want: "orders.corp.example.com" },
  { raw: "64001:65536", want: "64001.65536" },
  { raw: "64001.65536", want: "64001.65536" },
  { raw: "a:1", want: "a:1" },
];
for (const { raw, want } of legacy)
  test(`legacyName() makes ${want} of ${raw}`, () => assert.equal(legacyName(raw), want));

const globCases = [
  { glob: "*", text: "any thing/at.all", want: true },
  { glob: "", text: "", want: true },
  { glob: "orders", text: "orders", want: true },
  { glob: "orders", text: "Orders", want: false },
  { glob: "ord*", text: "orders", want: true },
  { glob: "*rs", text: "orders\nrs", want: true },
  { glob: "ord*", text: "an-order", want: false },
  { glob: "order?", text: "orders", want: true },
  { glob: "order?", text: "order", want: false },
  { glob: "a.b*", text: "axbc", want: false },
  { glob: "a+(b)[c]{1}^$|\\*", text: "a+(b)[c]{1}^$|\\x", want: true },
];
for (const { glob, text, want } of globCases) {
  test(`globMatches() of ${JSON.stringify(glob)} and ${JSON.stringify(text)} is ${want}`, () =>
    assert.equal(globMatches(glob, text), want));
}

test("writeNames() is read again by readNames()", () => {
  assert.deepEqual(readNames(writeNames([{ name: "a.example.org" }, { name: "64001.65536", dnsOnly: "…" }])), [
    "a.example.org",
    "64001.65536",
  ]);
});

for (const annotation of [undefined, "", "{", "null", "{}", '"a"', '[1, null, {}, {"name": 1}]']) {
  test(`readNames() reads no names from ${annotation}`, () => assert.deepEqual(readNames(annotation), []));
}

interface Case {
  readonly name: string;
  readonly said?: Readonly<Record<string, Said>>;
  readonly stands?: StandingFields;
  readonly options?: Partial<NamingOptions>;
  /** By service: its host, then its legacy names (in brackets if DNS only), then its aliases. */
  readonly want?: Readonly<Record<string, string>>;
  readonly holds?: readonly string[];
  readonly notes?: readonly string[];
}

const orders = service("orders");
const named = (name: string, legacyNames: readonly string[], more: Partial<Service> = {}) =>
  service(name, { legacyNames, ...more });
const inProd = (name: string, more: Partial<Service> = {}) => service(name, { registry: "prod", ...more });
const rule = (fields: Partial<AliasRule> = {}): AliasRule => ({
  registry: "dc1",
  namespace: "*",
  service: "*",
  as: "{service}",
  in: "shop",
  ...fields,
});
const withNames = (...names: string[]) => ({
  annotations: { [NAMES_ANNOTATION]: writeNames(names.map((name) => ({ name }))) },
});
const host = (name: string, registry = "dc1") => `${name}.shop.${registry}.mesh.internal`;
/** Of a service whose name a host cannot have. */
const madeHost = (name: string) => hostFromTemplate({ registry: "dc1", namespace: "shop", name }, TEMPLATE);
const dots = { dots: new Set(["dc1"]) };
const plainTemplate = { template: "{service}.{namespace}.mesh.internal" };
const clusterService = (id: string, more: Partial<ForeignObject> = {}) => foreign("Service", id, more);

function run({ said = { dc1: [orders] }, stands = {}, options = {} }: Case, previous?: ReturnType<typeof nameHosts>) {
  const live = standing(stands);
  const all = {
    ...{ template: TEMPLATE, clusterDomain: "cluster.local", legacyNames: new Map(), aliases: [], nowMs: NOW_MS },
    ...{ singleLabels: new Set(["dc1", "prod"]), ...options },
  };
  return nameHosts(merge(readings(said), live), live, all, previous && remembering({ naming: previous }));
}

const OLD_NAMES = { legacyNames: new Map([["dc1", ["{service}.{namespace}.old.example.org"]]]) };
const unreadAliases: { name: string; said: Readonly<Record<string, Said>>; stands: string[]; want: string }[] = [
  {
    name: "of an alias whose read failed, in its place",
    said: { dc1: [orders, failed("dc1/default/stock")] },
    stands: ["stock.default.old.example.org", "orders.shop.old.example.org"],
    want: "stock.default.old.example.org orders.shop.old.example.org",
  },
  {
    name: "of an L5 sid whose read failed",
    said: { dc1: [orders, failed("dc1/Production/64001:65536")] },
    stands: ["64001.65536.production.old.example.org"],
    want: "64001.65536.production.old.example.org orders.shop.old.example.org",
  },
  {
    name: "only if it is that of the alias whose read failed",
    said: { dc1: [orders, failed("dc1/default/other")] },
    stands: ["stock.default.old.example.org"],
    want: "orders.shop.old.example.org",
  },
  {
    name: "of an alias that a list may lack which is known in part",
    said: { dc1: incomplete("dc1", [orders]) },
    stands: ["stock.default.old.example.org"],
    want: "stock.default.old.example.org orders.shop.old.example.org",
  },
  {
    name: "only if a template gives it, though the list is known in part",
    said: { dc1: incomplete("dc1", [orders]) },
    stands: ["stock.example.org"],
    want: "orders.shop.old.example.org",
  },
];

/** A name of so many characters. */
function longName(length: number, first: string): string {
  const labels = `${first}.${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(61)}.`;
  return labels + "d".repeat(length - labels.length);
}

const cases: Case[] = [
  ...[
    ["stock", "orders"],
    ["orders", "stock"],
  ].map(
    (order): Case => ({
      name: `lets a service keep its host though another's names annotation has it, ${order.join(" before ")}`,
      said: { dc1: [orders, service("stock")] },
      stands: {
        objects: order.map((name) =>
          entry(`dc1/shop/${name}`, name === "stock" ? withNames(host("orders"), "x.example.org") : {}),
        ),
      },
      want: { "dc1/shop/orders": host("orders"), "dc1/shop/stock": host("stock") },
    }),
  ),
  {
    name: "lets the first of two entries, by their keys, keep a legacy name that both annotations have",
    said: { dc1: [named("orders", ["n.example.org"]), named("stock", ["n.example.org"])] },
    stands: {
      objects: [
        entry("dc1/shop/stock", withNames("n.example.org")),
        entry("dc1/shop/orders", withNames("n.example.org")),
      ],
    },
    want: { "dc1/shop/orders": `${host("orders")} n.example.org`, "dc1/shop/stock": host("stock") },
    holds: ["name n.example.org: legacy name n.example.org withheld: it belongs to dc1/shop/orders"],
  },
  {
    name: "withholds a legacy name that someone's route has in upper case",
    said: { dc1: [named("orders", ["n.example.org"])] },
    stands: { foreign: [foreign("VirtualService", "web/x", { hosts: ["N.Example.org"] })] },
    want: { "dc1/shop/orders": host("orders") },
    holds: [
      "name n.example.org: legacy name n.example.org withheld: VirtualService web/x, which is not ours, routes it",
    ],
  },
  ...["a.{service}", "{service}"].map((template): Case => {
    const bad = template.replace("{service}", "42");
    return {
      name: `holds the host ${bad}, whose last label is a number`,
      said: { dc1: [service("42")] },
      options: { template },
      want: {},
      holds: [`invalid ${bad}: its host "${bad}" ends in a number, which Istio refuses`],
    };
  }),
  {
    name: "gives a host whose last label only begins with a number",
    said: { dc1: [service("42a")] },
    options: { template: "a.{service}" },
    want: { "dc1/shop/42a": "a.42a" },
  },
  {
    name: "keeps a host that stands where the template would give one that Istio refuses",
    said: { dc1: [service("42")] },
    options: { template: "a.{service}" },
    stands: { objects: [entry("dc1/shop/42", { host: "x.old.internal" })] },
    want: { "dc1/shop/42": "x.old.internal" },
  },
  {
    name: "gives a host and a legacy name of 253 characters",
    said: { dc1: [named("orders", [longName(253, "n")])] },
    options: { template: longName(253, "h") },
    want: { "dc1/shop/orders": `${longName(253, "h")} ${longName(253, "n")}` },
  },
  {
    name: "holds a host of 254 characters",
    options: { template: longName(254, "h") },
    want: {},
    holds: [`invalid ${longName(254, "h")}: its host would have 254 characters, 253 are allowed`],
  },
  {
    name: "drops a legacy name of 254 characters",
    said: { dc1: [named("orders", [longName(254, "n")])] },
    want: { "dc1/shop/orders": host("orders") },
    notes: [`legacy name "${longName(254, "n")}" was dropped: it has 254 characters, 253 are allowed`],
  },
  {
    name: "gives a legacy name with a label of 63 characters, and drops one of 64",
    said: { dc1: [named("orders", [`${"a".repeat(63)}.example.org`, `${"a".repeat(64)}.example.org`])] },
    want: { "dc1/shop/orders": `${host("orders")} ${"a".repeat(63)}.example.org` },
    notes: [
      `legacy name "${"a".repeat(64)}.example.org" was dropped: its label "${"a".repeat(64)}" has 64 characters, 63 are allowed`,
    ],
  },
  ...["localhost", "db.localhost", "wpad.corp.example.com", "printer.local"].map(
    (name): Case => ({
      name: `withholds the legacy name ${name}, which programs do not mean for a service`,
      said: { dc1: [named("orders", [name, "n.example.org"])] },
      options: { singleLabels: new Set(["dc1"]) },
      want: { "dc1/shop/orders": `${host("orders")} n.example.org` },
      holds: [`invalid ${name}: legacy name ${name} withheld: it ${specialNameFault(name)}`],
    }),
  ),
  {
    name: "withholds such a name that a template gives, and that stands",
    said: { dc1: [service("wpad")] },
    options: { legacyNames: new Map([["dc1", ["{service}.corp.example.com"]]]) },
    stands: { objects: [entry("dc1/shop/wpad", withNames("wpad.corp.example.com"))] },
    want: { "dc1/shop/wpad": host("wpad") },
    holds: [
      `invalid wpad.corp.example.com: legacy name wpad.corp.example.com withheld: it ${specialNameFault("wpad.corp.example.com")}`,
    ],
  },
  {
    name: "withholds a legacy name of one label that is written down",
    said: { dc1: [named("orders", ["pay"])] },
    options: { singleLabels: new Set() },
    want: { "dc1/shop/orders": host("orders") },
    holds: [
      "invalid pay: legacy name pay withheld: it has one label, which the registry's option singleLabels has to allow",
    ],
  },
  {
    name: "drops a legacy name of one label that a template gives, and gives an L5 sid",
    said: { dc1: [service("orders"), service("64001:65536")] },
    options: { legacyNames: new Map([["dc1", ["{service}"]]]), singleLabels: new Set() },
    want: {
      "dc1/shop/orders": host("orders"),
      "dc1/shop/64001:65536": `64001-65536-${hash("dc1/shop/64001:65536")}.shop.dc1.mesh.internal [64001.65536]`,
    },
    notes: [
      'legacy name "orders" was dropped: it has one label, which the registry\'s option singleLabels has to allow',
    ],
  },
  {
    name: "gives a legacy name of one label where the registry allows it",
    said: { dc1: [named("orders", ["pay"]), service("stock")] },
    options: { legacyNames: new Map([["dc1", ["{service}"]]]), singleLabels: new Set(["dc1"]) },
    want: { "dc1/shop/orders": `${host("orders")} [pay] [orders]`, "dc1/shop/stock": `${host("stock")} [stock]` },
  },
  {
    name: "gives a name that ends in the letters of the cluster's domain and is not in it",
    said: { dc1: [service("orders.my-cluster.local")] },
    options: { legacyNames: new Map([["dc1", ["{service}"]]]), ...dots },
    want: { "dc1/shop/orders.my-cluster.local": `${host("orders.my-cluster.local")} orders.my-cluster.local` },
  },
  {
    name: "gives a host below that of a Service, which has no names there",
    said: { dc1: [service("orders", { namespace: "shop.deep" })] },
    options: { template: "{service}.{namespace}.svc.cluster.local" },
    stands: { foreign: [clusterService("shop/orders")] },
    want: { "dc1/shop.deep/orders": "orders.shop.deep.svc.cluster.local" },
  },
  {
    name: "keeps of the names that it cannot judge those that a template of its own registry gives",
    said: { dc1: incomplete("dc1", [orders]) },
    options: { legacyNames: new Map([["dc1", ["{service}.{registry}.old.example.org"]]]) },
    stands: { objects: [entry("dc1/shop/orders", withNames("x.dc1.old.example.org", "x.prod.old.example.org"))] },
    want: { "dc1/shop/orders": `${host("orders")} x.dc1.old.example.org orders.dc1.old.example.org` },
  },
  { name: "gives a host", want: { "dc1/shop/orders": host("orders") } },
  {
    name: "keeps a host when the template has changed",
    stands: { objects: [entry("dc1/shop/orders", { host: "orders.old.internal" })] },
    want: { "dc1/shop/orders": "orders.old.internal" },
  },

  {
    name: "holds the newcomer of a host clash, whatever the order",
    said: { prod: [inProd("orders")], dc1: [orders] },
    options: plainTemplate,
    stands: { objects: [entry("dc1/shop/orders", { host: "orders.shop.mesh.internal" })] },
    want: { "dc1/shop/orders": "orders.shop.mesh.internal" },
    holds: ["name orders.shop.mesh.internal: host orders.shop.mesh.internal belongs to dc1/shop/orders"],
  },
  {
    name: "settles a host clash of newcomers by the order of registries",
    said: { prod: [inProd("orders")], dc1: [orders] },
    options: plainTemplate,
    want: { "prod/shop/orders": "orders.shop.mesh.internal" },
    holds: ["name orders.shop.mesh.internal: host orders.shop.mesh.internal belongs to prod/shop/orders"],
  },
  {
    name: "settles a host clash within a registry by key",
    said: { dc1: [service("orders"), service("Orders")] },
    want: { "dc1/shop/Orders": host("orders") },
    holds: [`name ${host("orders")}: host ${host("orders")} belongs to dc1/shop/Orders`],
  },
  {
    name: "lets a service that cannot be read keep its host",
    said: { prod: [inProd("orders")], dc1: "refused" },
    options: plainTemplate,
    stands: { objects: [entry("dc1/shop/orders", { host: "orders.shop.mesh.internal" })] },
    want: {},
    holds: ["name orders.shop.mesh.internal: host orders.shop.mesh.internal belongs to dc1/shop/orders"],
  },
  {
    name: "holds a host that is another service's legacy name",
    said: { dc1: [orders, named("stock", [host("orders")])] },
    stands: { objects: [entry("dc1/shop/stock", withNames(host("orders")))] },
    want: { "dc1/shop/stock": `${host("stock")} ${host("orders")}` },
    holds: [`name ${host("orders")}: host ${host("orders")} belongs to dc1/shop/stock`],
  },
  {
    name: "gives a host that is the legacy name of a service which is gone, or is not to have it any more",
    said: { dc1: [orders, service("old"), service("bills")] },
    stands: {
      objects: [entry("dc1/shop/stock", withNames(host("orders"))), entry("dc1/shop/old", withNames(host("bills")))],
    },
    want: { "dc1/shop/bills": host("bills"), "dc1/shop/old": host("old"), "dc1/shop/orders": host("orders") },
  },
  {
    name: "holds a host of someone's ServiceEntry",
    stands: { foreign: [foreign("ServiceEntry", "web/x", { hosts: ["Orders.shop.dc1.mesh.internal"] })] },
    want: {},
    holds: [`name ${host("orders")}: host ${host("orders")} is taken by ServiceEntry web/x, which is not ours`],
  },
  {
    name: "holds a host that is a Service's",
    options: { template: "{service}.{namespace}.svc.cluster.local" },
    stands: { foreign: [clusterService("shop/orders")] },
    want: {},
    holds: [
      "name orders.shop.svc.cluster.local: host orders.shop.svc.cluster.local is taken by Service shop/orders, which is not ours",
    ],
  },
  {
    name: "keeps a host that someone else takes later",
    stands: { objects: [entry()], foreign: [foreign("ServiceEntry", "web/x", { hosts: [host("orders")] })] },
    want: { "dc1/shop/orders": host("orders") },
  },
  {
    name: "holds a host that is too long",
    said: { dc1: [service(Array(6).fill("a".repeat(60)).join("."))] },
    want: {},
    holds: [
      `invalid ${host(Array(6).fill("a".repeat(60)).join("."))}: its host would have 388 characters, 253 are allowed`,
    ],
  },

  {
    name: "gives legacy names from the file and from templates, once and in order",
    said: { dc1: [named("orders", ["Orders.Example.ORG.", "orders.shop.old.example.org"])] },
    options: { legacyNames: new Map([["dc1", ["{service}.{namespace}.old.example.org", "{service}.service.consul"]]]) },
    want: {
      "dc1/shop/orders": `${host("orders")} orders.example.org orders.shop.old.example.org orders.service.consul`,
    },
  },
  {
    name: "fills the templates with the service's other names too, an L5 sid as DNS can carry it",
    said: {
      dc1: [
        service("orders", {
          aliases: [
            { namespace: "default", name: "Stock" },
            { namespace: "Production", name: "64001:65536" },
          ],
        }),
      ],
    },
    options: { legacyNames: new Map([["dc1", ["{service}.{namespace}.old.example.org"]]]) },
    want: {
      "dc1/shop/orders": `${host("orders")} orders.shop.old.example.org stock.default.old.example.org 64001.65536.production.old.example.org`,
    },
  },
  {
    name: "makes no legacy name of a service's own name where callers know it by its aliases only",
    said: {
      dc1: [service("64001:65536", { aliases: [{ namespace: "default", name: "stock" }], aliasesOnly: true })],
    },
    options: { legacyNames: new Map([["dc1", ["{service}.l5.example.org"]]]), template: "{namespace}.mesh.internal" },
    want: { "dc1/shop/64001:65536": "shop.mesh.internal stock.l5.example.org" },
  },
  ...unreadAliases.map(({ name, said, stands, want }) => ({
    name: `keeps a standing name ${name}`,
    said,
    stands: { objects: [entry("dc1/shop/orders", withNames(...stands))] },
    options: OLD_NAMES,
    want: { "dc1/shop/orders": `${host("orders")} ${want}` },
  })),
  {
    name: "lets no name of a registry make one in the cluster's domain",
    said: { dc1: [service("orders"), service("web-0.web.apps", { namespace: "svc.Cluster.local" })] },
    options: { ...plainTemplate, legacyNames: new Map([["dc1", ["{service}.{namespace}"]]]), ...dots },
    want: {
      "dc1/shop/orders": "orders.shop.mesh.internal orders.shop",
      "dc1/svc.Cluster.local/web-0.web.apps": "web-0.web.apps.svc.cluster.local.mesh.internal",
    },
    notes: [
      'legacy name "web-0.web.apps.svc.Cluster.local" was dropped: only a template that ends in cluster.local can give names in that domain',
    ],
  },
  {
    name: "withholds a legacy name that is Kubernetes' short form with svc behind",
    said: { dc1: [service("orders.shop", { namespace: "svc" })] },
    options: { legacyNames: new Map([["dc1", ["{service}.{namespace}"]]]), ...dots },
    stands: { foreign: [clusterService("shop/orders")] },
    want: { "dc1/svc/orders.shop": "orders.shop.svc.dc1.mesh.internal" },
    holds: [
      "name orders.shop.svc: legacy name orders.shop.svc withheld: it also means Service shop/orders, which is not ours",
    ],
  },
  {
    name: "keeps no standing name that another service is called by now, which is given it at once",
    said: { dc1: incomplete("dc1", [orders, service("stock", { namespace: "default" })]) },
    stands: { objects: [entry("dc1/shop/orders", withNames("stock.default.old.example.org"))] },
    options: OLD_NAMES,
    want: {
      "dc1/default/stock": "stock.default.dc1.mesh.internal stock.default.old.example.org",
      "dc1/shop/orders": `${host("orders")} orders.shop.old.example.org`,
    },
  },
  {
    name: "gives a service's other names to nobody without a template",
    said: { dc1: [service("orders", { aliases: [{ namespace: "default", name: "stock" }] })] },
    want: { "dc1/shop/orders": host("orders") },
  },
  {
    name: "makes no legacy name of the host",
    said: { dc1: [named("orders", [host("orders")])] },
    want: { "dc1/shop/orders": host("orders") },
  },
  {
    name: "gives an L5 sid as a name for DNS only",
    said: { dc1: [named("orders", ["64001:65536"])] },
    want: { "dc1/shop/orders": `${host("orders")} [64001.65536]` },
  },
  {
    name: "gives names that Istio cannot carry for DNS only",
    said: { dc1: [named("orders", ["_http.example.org", "a.42", "orders", "a_b.example.org"])] },
    want: { "dc1/shop/orders": `${host("orders")} [_http.example.org] [a.42] [orders] [a_b.example.org]` },
  },
  {
    name: "gives a wildcard of the file or of a template for DNS only",
    said: { dc1: [named("orders", ["*.orders.example.org"])] },
    options: { legacyNames: new Map([["dc1", ["*.{service}.old.example.org"]]]) },
    want: { "dc1/shop/orders": `${host("orders")} [*.orders.example.org] [*.orders.old.example.org]` },
  },
  {
    name: "lets no registry make a wildcard of a service's name",
    said: { dc1: [service("*")] },
    options: { legacyNames: new Map([["dc1", ["{service}.service.consul"]]]) },
    want: { "dc1/shop/*": `${hash("dc1/shop/*")}.shop.dc1.mesh.internal` },
    notes: ['legacy name "*.service.consul" was dropped: only a template that begins with *. can give wildcards'],
  },
  {
    name: "fills templates of legacy names with one label each",
    said: {
      dc1: [service("primary.web"), service("a", { namespace: "b.c" }), service("64001:65536"), service("64001.65537")],
    },
    options: { legacyNames: new Map([["dc1", ["{service}.{namespace}.corp.example.org"]]]) },
    want: {
      "dc1/b.c/a": "a.b.c.dc1.mesh.internal",
      "dc1/shop/64001.65537": host("64001.65537"),
      "dc1/shop/64001:65536": `64001-65536-${hash("dc1/shop/64001:65536")}.shop.dc1.mesh.internal 64001.65536.shop.corp.example.org`,
      "dc1/shop/primary.web": host("primary.web"),
    },
    notes: [
      'legacy name "a.b.c.corp.example.org" was dropped: "b.c" would be more than one label of it, which the registry\'s option dots has to allow',
      'legacy name "64001.65537.shop.corp.example.org" was dropped: "64001.65537" would be more than one label of it, which the registry\'s option dots has to allow',
      'legacy name "primary.web.shop.corp.example.org" was dropped: "primary.web" would be more than one label of it, which the registry\'s option dots has to allow',
    ],
  },
  {
    name: "fills templates of legacy names with several labels where the registry says so",
    said: { dc1: [service("primary.web"), service("_primary.web2"), service("a._b")] },
    options: { legacyNames: new Map([["dc1", ["{service}.corp.example.org"]]]), ...dots },
    want: {
      "dc1/shop/_primary.web2": `primary-${hash("dc1/shop/_primary.web2")}.web2.shop.dc1.mesh.internal`,
      "dc1/shop/a._b": `a.b-${hash("dc1/shop/a._b")}.shop.dc1.mesh.internal`,
      "dc1/shop/primary.web": `${host("primary.web")} primary.web.corp.example.org`,
    },
    notes: [
      'legacy name "_primary.web2.corp.example.org" was dropped: "_primary.web2" has a label that begins with _, as names of SRV records do',
      'legacy name "a._b.corp.example.org" was dropped: "a._b" has a label that begins with _, as names of SRV records do',
    ],
  },
  {
    name: "leaves a name to whoever answers it that an endpoint has as its address",
    said: {
      dc1: [
        {
          ...named("orders", ["db-1.corp.example.org", "orders.corp.example.org", "*.corp.example.org"]),
          endpoints: [endpoint("db-1.corp.example.org.")],
        },
      ],
    },
    want: { "dc1/shop/orders": `${host("orders")} orders.corp.example.org` },
    notes: [
      'legacy name "db-1.corp.example.org" was dropped: an endpoint of the service has it as its address',
      'legacy name "*.corp.example.org" was dropped: an endpoint of the service has it as its address',
    ],
  },
  {
    name: "gives no name that DNS derives from another one",
    said: {
      dc1: [
        service("192-0-2-11"),
        service("\u212Aafka"),
        named("orders", ["_http._tcp.web.corp.example.org", "_udp.web.example.org", "10-0-0-1.example.org", "_tcp"]),
      ],
    },
    options: { legacyNames: new Map([["dc1", ["{service}.corp.example.org"]]]) },
    want: {
      "dc1/shop/192-0-2-11": `192-0-2-11-${hash("dc1/shop/192-0-2-11")}.shop.dc1.mesh.internal`,
      "dc1/shop/orders": `${host("orders")} 10-0-0-1.example.org [_tcp] orders.corp.example.org`,
      "dc1/shop/\u212Aafka": `afka-${hash("dc1/shop/\u212Aafka")}.shop.dc1.mesh.internal`,
    },
    notes: [
      'legacy name "192-0-2-11.corp.example.org" was dropped: it is the name of endpoint 192.0.2.11 of corp.example.org',
      'legacy name "_http._tcp.web.corp.example.org" was dropped: it is the name of SRV records, which follow from web.corp.example.org',
      'legacy name "_udp.web.example.org" was dropped: it is the name of SRV records, which follow from web.example.org',
      'legacy name "\u212Aafka.corp.example.org" was dropped: its label "\u212Aafka" has characters that a DNS name cannot have',
    ],
  },
  {
    name: "gives no host that could be of a service whose name a host cannot have",
    said: {
      dc1: [
        service("orders-v2-0123456789abcdef"),
        service("0123456789abcdef"),
        service("stock", { namespace: "team-0123456789abcdef" }),
        service("orders-v2-0123456789abcdefa"),
        service("orders-v2-0123456789abcdeg"),
      ],
    },
    options: { template: "{service}.{namespace}.x-0123456789abcdef.internal" },
    want: {
      "dc1/shop/orders-v2-0123456789abcdefa": "orders-v2-0123456789abcdefa.shop.x-0123456789abcdef.internal",
      "dc1/shop/orders-v2-0123456789abcdeg": "orders-v2-0123456789abcdeg.shop.x-0123456789abcdef.internal",
    },
    holds: [
      'name 0123456789abcdef.shop.x-0123456789abcdef.internal: host 0123456789abcdef.shop.x-0123456789abcdef.internal is not given: "0123456789abcdef" has the form of a label that was made of another name: it ends in 16 hex digits',
      'name orders-v2-0123456789abcdef.shop.x-0123456789abcdef.internal: host orders-v2-0123456789abcdef.shop.x-0123456789abcdef.internal is not given: "orders-v2-0123456789abcdef" has the form of a label that was made of another name: it ends in 16 hex digits',
      'name stock.team-0123456789abcdef.x-0123456789abcdef.internal: host stock.team-0123456789abcdef.x-0123456789abcdef.internal is not given: "team-0123456789abcdef" has the form of a label that was made of another name: it ends in 16 hex digits',
    ],
  },
  {
    name: "keeps a standing host that could be another's",
    said: { dc1: [service("orders-0123456789abcdef"), service("orders_v2")] },
    stands: {
      objects: [
        entry("dc1/shop/orders-0123456789abcdef"),
        entry("dc1/shop/orders_v2", { host: "orders-v2-01234567.shop.dc1.mesh.internal" }),
      ],
    },
    want: {
      "dc1/shop/orders-0123456789abcdef": host("orders-0123456789abcdef"),
      "dc1/shop/orders_v2": "orders-v2-01234567.shop.dc1.mesh.internal",
    },
  },
  {
    name: "drops legacy names that DNS cannot carry, and says why",
    said: {
      dc1: [
        named("orders", [
          "a b.example.org",
          "a..b",
          `${"a".repeat(64)}.example.org`,
          "-a.example.org",
          "a.*.example.org",
          "*.org",
          "modid:1",
          "",
          Array(5).fill("a".repeat(60)).join("."),
        ]),
      ],
    },
    want: { "dc1/shop/orders": host("orders") },
    notes: [
      'legacy name "a b.example.org" was dropped: its label "a b" has characters that a DNS name cannot have',
      'legacy name "a..b" was dropped: it has an empty label',
      `legacy name "${"a".repeat(64)}.example.org" was dropped: its label "${"a".repeat(64)}" has 64 characters, 63 are allowed`,
      'legacy name "-a.example.org" was dropped: its label "-a" has characters that a DNS name cannot have',
      'legacy name "a.*.example.org" was dropped: its label "*" has characters that a DNS name cannot have',
      'legacy name "*.org" was dropped: its label "*" has characters that a DNS name cannot have',
      'legacy name "modid:1" was dropped: it has a port: write the host alone, modid, which is answered for every port of the service',
      'legacy name "" was dropped: it has an empty label',
      `legacy name "${Array(5).fill("a".repeat(60)).join(".")}" was dropped: it has 304 characters, 253 are allowed`,
    ],
  },
  {
    name: "gives names beyond ASCII as DNS has them, and drops what only contains a name",
    said: {
      dc1: [
        named("orders", [
          "bücher.example.com",
          "*.BÜCHER.example.org.",
          "xn--bcher-kva.example.com",
          "https://orders.example.org:8443/api",
          "orders.example.org:8080",
          "orders.example.org/api",
          "bü cher.example.com",
        ]),
      ],
    },
    want: {
      "dc1/shop/orders": `${host("orders")} xn--bcher-kva.example.com [*.xn--bcher-kva.example.org]`,
    },
    notes: [
      'legacy name "https://orders.example.org:8443/api" was dropped: it is a URL, and has characters that a DNS name cannot have: write the host alone, orders.example.org',
      'legacy name "orders.example.org:8080" was dropped: it has a port: write the host alone, orders.example.org, which is answered for every port of the service',
      'legacy name "orders.example.org/api" was dropped: it has a path: write the host alone, orders.example.org',
      'legacy name "bü cher.example.com" was dropped: its label "bü cher" has characters that a DNS name cannot have',
      'legacy name "bücher.example.com" is xn--bcher-kva.example.com in DNS, and is answered by that',
      'legacy name "*.BÜCHER.example.org." is *.xn--bcher-kva.example.org in DNS, and is answered by that',
    ],
  },
  {
    name: "withholds only the legacy name that another service holds",
    said: { dc1: [named("orders", ["a.example.org", "b.example.org"]), failed("dc1/shop/stock")] },
    stands: { objects: [entry("dc1/shop/stock", withNames("a.example.org"))] },
    want: { "dc1/shop/orders": `${host("orders")} b.example.org` },
    holds: ["name a.example.org: legacy name a.example.org withheld: it belongs to dc1/shop/stock"],
  },
  {
    name: "settles a legacy name of newcomers by order of registries, then key",
    said: {
      prod: [inProd("z", { legacyNames: ["n.example.org"] })],
      dc1: [named("a", ["n.example.org"]), named("b", ["m.example.org"]), named("c", ["m.example.org"])],
    },
    want: {
      "prod/shop/z": `${host("z", "prod")} n.example.org`,
      "dc1/shop/a": host("a"),
      "dc1/shop/b": `${host("b")} m.example.org`,
      "dc1/shop/c": host("c"),
    },
    holds: [
      "name n.example.org: legacy name n.example.org withheld: it belongs to prod/shop/z",
      "name m.example.org: legacy name m.example.org withheld: it belongs to dc1/shop/b",
    ],
  },
  {
    name: "gives no legacy name that is the host of a later service",
    said: { dc1: [named("a", [host("orders")]), orders] },
    want: { "dc1/shop/a": host("a"), "dc1/shop/orders": host("orders") },
    holds: [`name ${host("orders")}: legacy name ${host("orders")} withheld: it belongs to dc1/shop/orders`],
  },
  {
    name: "leaves a legacy name that stands with its service, whoever wants it later",
    said: { dc1: [named("orders", ["orders.example.org"])] },
    stands: {
      objects: [entry("dc1/shop/orders", withNames("orders.example.org"))],
      foreign: [
        foreign("ServiceEntry", "web/x", { hosts: ["orders.example.org"] }),
        foreign("VirtualService", "web/y", { hosts: ["orders.example.org"] }),
      ],
    },
    want: { "dc1/shop/orders": `${host("orders")} orders.example.org` },
  },
  {
    name: "withholds a new legacy name that someone's VirtualService routes",
    said: { dc1: [named("orders", ["orders.example.org"])] },
    stands: { foreign: [foreign("VirtualService", "web/y", { hosts: ["orders.example.org"] })] },
    want: { "dc1/shop/orders": host("orders") },
    holds: [
      "name orders.example.org: legacy name orders.example.org withheld: VirtualService web/y, which is not ours, routes it",
    ],
  },
  {
    name: "withholds a legacy name that is a host of someone's ServiceEntry",
    said: { dc1: [named("orders", ["orders.example.org"])] },
    stands: { foreign: [foreign("ServiceEntry", "web/x", { hosts: ["orders.example.org"] })] },
    want: { "dc1/shop/orders": host("orders") },
    holds: [
      "name orders.example.org: legacy name orders.example.org withheld: it also means ServiceEntry web/x, which is not ours",
    ],
  },
  {
    name: "withholds a legacy name that is a Service's",
    said: { dc1: [named("orders", ["orders.prod.svc.cluster.local"])] },
    stands: { foreign: [clusterService("prod/orders")] },
    want: { "dc1/shop/orders": host("orders") },
    holds: [
      "name orders.prod.svc.cluster.local: legacy name orders.prod.svc.cluster.local withheld: it also means Service prod/orders, which is not ours",
    ],
  },
  {
    name: "withholds a name of two labels that is a Service's short form",
    said: { dc1: [named("orders", ["orders.prod"])] },
    stands: { foreign: [clusterService("prod/orders")] },
    want: { "dc1/shop/orders": host("orders") },
    holds: ["name orders.prod: legacy name orders.prod withheld: it also means Service prod/orders, which is not ours"],
  },
  {
    name: "gives a name of one label that is a Service's, which means that only in the namespace of the Service",
    said: { dc1: [named("orders", ["db1"])] },
    stands: { foreign: [clusterService("prod/db1")] },
    want: { "dc1/shop/orders": `${host("orders")} [db1]` },
  },
  {
    name: "gives a short form that means this service's own alias",
    said: { dc1: [named("orders", ["orders.shop", "orders"])] },
    stands: { objects: [alias("dc1/shop/orders", "shop/orders")] },
    want: { "dc1/shop/orders": `${host("orders")} orders.shop [orders]` },
  },
  {
    name: "withholds a short form that means another service's alias",
    said: { dc1: [named("orders", ["stock.shop"])] },
    stands: { objects: [alias("dc1/shop/stock", "shop/stock")] },
    want: { "dc1/shop/orders": host("orders") },
    holds: ["name stock.shop: legacy name stock.shop withheld: it also means Service shop/stock of dc1/shop/stock"],
  },
  {
    name: "withholds a name of one label that is another service's alias",
    said: { dc1: [named("orders", ["stock"])] },
    stands: { objects: [alias("dc1/shop/stock", "shop/stock")] },
    want: { "dc1/shop/orders": host("orders") },
    holds: ["name stock: legacy name stock withheld: it also means Service shop/stock of dc1/shop/stock"],
  },
  {
    name: "gives a short form of three labels that is no Service's",
    said: { dc1: [named("orders", ["orders.prod.example"])] },
    stands: { foreign: [clusterService("prod/orders")] },
    want: { "dc1/shop/orders": `${host("orders")} orders.prod.example` },
  },

  {
    name: "gives aliases by glob, in lower case",
    said: { dc1: [service("Orders"), service("stock"), service("stock-old", { namespace: "data" })] },
    options: {
      aliases: [
        rule({ service: "sto*", namespace: "shop" }),
        rule({ service: "Ord*", as: "{namespace}-{service}", in: "web" }),
      ],
    },
    want: {
      "dc1/shop/Orders": `${host("orders")} @web/shop-orders`,
      "dc1/shop/stock": `${host("stock")} @shop/stock`,
      "dc1/data/stock-old": "stock-old.data.dc1.mesh.internal",
    },
  },
  {
    name: "gives a service every alias, once",
    options: { aliases: [rule(), rule({ in: "web" }), rule()] },
    want: { "dc1/shop/orders": `${host("orders")} @shop/orders @web/orders` },
  },
  {
    name: "gives no alias of another registry's rule",
    options: { aliases: [rule({ registry: "prod" })] },
    want: { "dc1/shop/orders": host("orders") },
  },
  {
    name: "holds an alias that is no DNS label, and only that",
    said: { dc1: [service("orders.v2"), orders] },
    options: { aliases: [rule(), rule({ as: "x", service: "orders.v2" })] },
    want: { "dc1/shop/orders": `${host("orders")} @shop/orders`, "dc1/shop/orders.v2": `${host("orders.v2")} @shop/x` },
    holds: [`invalid shop/orders.v2: alias shop/orders.v2 held: "orders.v2" is not a DNS label: ${REWRITE}`],
  },
  {
    name: "holds all aliases of a rule together that are no DNS labels",
    said: { dc1: [service("redis_server"), service("orders.v2"), service("mail_out")] },
    options: { aliases: [rule(), rule({ in: "web", exclude: ["mail_*", "orders.*"] })] },
    want: {
      "dc1/shop/mail_out": madeHost("mail_out"),
      "dc1/shop/orders.v2": host("orders.v2"),
      "dc1/shop/redis_server": madeHost("redis_server"),
    },
    holds: [
      `invalid shop/mail_out: 3 aliases of registry dc1 in shop held: "mail_out", "orders.v2", "redis_server" are not DNS labels: ${REWRITE}`,
      `invalid web/redis_server: alias web/redis_server held: "redis_server" is not a DNS label: ${REWRITE}`,
    ],
  },
  {
    name: "rewrites aliases and leaves them out where their rule says so",
    said: { dc1: [service("redis_server"), service("redis-server"), service("-Orders.V2_"), service("订单")] },
    options: { aliases: [rule({ as: "{service|dns}-{namespace|dns}", exclude: ["订*"] })] },
    want: {
      "dc1/shop/-Orders.V2_": `${madeHost("-Orders.V2_")} @shop/orders-v2-shop`,
      "dc1/shop/redis-server": `${host("redis-server")} @shop/redis-server-shop`,
      "dc1/shop/redis_server": madeHost("redis_server"),
      "dc1/shop/订单": madeHost("订单"),
    },
    holds: ["name shop/redis-server-shop: alias shop/redis-server-shop held: it belongs to dc1/shop/redis-server"],
  },
  {
    name: "holds an alias where someone's Service stands",
    options: { aliases: [rule()] },
    stands: { foreign: [clusterService("shop/orders")] },
    want: { "dc1/shop/orders": host("orders") },
    holds: [
      "foreign shop/orders: alias shop/orders held: a Service of that name exists and is not ours (Service/shop/orders)",
    ],
  },
  {
    name: "lets the holder of an alias keep it",
    said: { prod: [inProd("orders")], dc1: [orders] },
    options: { aliases: [rule({ registry: "prod" }), rule()] },
    stands: { objects: [alias("dc1/shop/orders", "shop/orders")] },
    want: { "prod/shop/orders": host("orders", "prod"), "dc1/shop/orders": `${host("orders")} @shop/orders` },
    holds: ["name shop/orders: alias shop/orders held: it belongs to dc1/shop/orders"],
  },
  {
    name: "settles an alias of newcomers by the order of registries",
    said: { prod: [inProd("orders")], dc1: [orders] },
    options: { aliases: [rule({ registry: "prod" }), rule()] },
    want: { "prod/shop/orders": `${host("orders", "prod")} @shop/orders`, "dc1/shop/orders": host("orders") },
    holds: ["name shop/orders: alias shop/orders held: it belongs to prod/shop/orders"],
  },
  {
    name: "holds the alias alone where its namespace is missing",
    options: { aliases: [rule(), rule({ in: "web" })] },
    stands: { namespaces: { shop: "active" } },
    want: { "dc1/shop/orders": `${host("orders")} @shop/orders` },
    holds: ["namespace web/orders: alias web/orders held: namespace web does not exist"],
  },
  {
    name: "holds the alias alone where its namespace is being deleted",
    options: { aliases: [rule()] },
    stands: { namespaces: { shop: "terminating" }, objects: [alias("dc1/shop/orders", "shop/orders")] },
    want: { "dc1/shop/orders": host("orders") },
    holds: ["namespace shop/orders: alias shop/orders held: namespace shop is being deleted"],
  },
];
for (const one of cases) {
  test(`nameHosts() ${one.name}`, () => {
    const naming = run(one);
    const given = [...naming.services].map(([key, { host, legacyNames, aliases }]) => [
      key,
      [
        host,
        ...legacyNames.map(({ name, dnsOnly }) => (dnsOnly === undefined ? name : `[${name}]`)),
        ...aliases.map(({ namespace, name }) => `@${namespace}/${name}`),
      ].join(" "),
    ]);
    assert.deepEqual(Object.fromEntries(given), one.want);
    const holds = naming.holds.map(
      ({ reason, subject, message, regarding }) =>
        `${reason} ${subject}: ${message}${regarding === undefined ? "" : ` (${regarding})`}`,
    );
    assert.deepEqual(holds, one.holds ?? []);
    assert.deepEqual(
      [...naming.services.values()].flatMap(({ notes }) => notes),
      one.notes ?? [],
    );
  });
}

test("nameHosts() keeps the standing names of a merged service while a member cannot be read", () => {
  const aliases = [{ namespace: "default", name: "stock" }];
  const stands = standing({
    objects: [entry("dc1/shop/orders", withNames("stock.default.old.example.org", "x.example.org"))],
  });
  const options = { template: TEMPLATE, clusterDomain: "cluster.local", nowMs: NOW_MS, aliases: [], ...OLD_NAMES };
  const names = (prod: Said) => {
    const catalog = merge(readings({ dc1: [orders], prod }), stands, ["dc1", "prod"]);
    const given = nameHosts(catalog, stands, options).services.get("dc1/shop/orders");
    return given?.legacyNames.map(({ name }) => name);
  };
  const own = "orders.shop.old.example.org";
  assert.deepEqual(names([failed("prod/shop/orders")]), ["stock.default.old.example.org", "x.example.org", own]);
  assert.deepEqual(names("refused"), ["stock.default.old.example.org", "x.example.org", own]);
  assert.deepEqual(names([inProd("orders", { aliases })]), [own, "stock.default.old.example.org"]);
  assert.deepEqual(names([]), [own]);
});

test("nameHosts() names the host that the template would give now", () => {
  const naming = run({ name: "", stands: { objects: [entry("dc1/shop/orders", { host: "orders.old.internal" })] } });
  assert.equal(naming.services.get("dc1/shop/orders")?.templateHost, host("orders"));
  assert.equal(run({ name: "" }).services.get("dc1/shop/orders")?.templateHost, undefined);
});

test("nameHosts() says what is not to be touched while a namespace is missing", () => {
  const naming = run({
    name: "",
    options: { aliases: [rule()] },
    stands: { namespaces: {}, objects: [alias("dc1/shop/orders", "shop/orders")] },
  });
  assert.deepEqual(naming.heldAliases, new Set(["Service/shop/orders"]));
});

test("nameHosts() says why Istio cannot carry a name", () => {
  const naming = run({
    name: "",
    said: { dc1: [named("orders", ["64001:65536", "a_b.example.org", "orders", "x.example.org"])] },
  });
  assert.deepEqual(
    naming.services.get("dc1/shop/orders")?.legacyNames.map(({ dnsOnly }) => dnsOnly),
    [
      "its last label is a number",
      "it has an underscore",
      "Istio reads a name of one label as a Service of the VirtualService's namespace",
      undefined,
    ],
  );
});

test("nameHosts() hands a legacy name over in one pass, and says since when it is another's", () => {
  const said = { dc1: [named("orders", []), named("stock", ["n.example.org"])] };
  const stood = entry("dc1/shop/orders", withNames("n.example.org"));
  const first = run({ name: "", said, stands: { objects: [stood] } });
  assert.deepEqual(first.services.get("dc1/shop/orders")?.legacyNames, []);
  assert.deepEqual(first.services.get("dc1/shop/stock")?.legacyNames, [{ name: "n.example.org", since: at(NOW_MS) }]);
  assert.deepEqual(first.moves, [
    { kind: "name", name: "n.example.org", from: "dc1/shop/orders", to: "dc1/shop/stock" },
  ]);
  const taken = entry("dc1/shop/stock", {
    annotations: { [NAMES_ANNOTATION]: writeNames([{ name: "n.example.org", since: at(1000) }]) },
  });
  const second = run({ name: "", said, stands: { objects: [stood, taken] } });
  assert.deepEqual(second.services.get("dc1/shop/stock")?.legacyNames, [{ name: "n.example.org", since: at(1000) }]);
});

test("nameHosts() keeps the identity of equal names, and of no others", () => {
  const said = { dc1: [named("orders", ["a.example.org"]), service("stock")] };
  const first = run({ name: "", said });
  const second = run({ name: "", said }, first);
  assert.equal(second.services.get("dc1/shop/orders"), first.services.get("dc1/shop/orders"));
  const third = run({ name: "", said: { dc1: [orders, service("stock")] } }, second);
  assert.notEqual(third.services.get("dc1/shop/orders"), second.services.get("dc1/shop/orders"));
  assert.equal(third.services.get("dc1/shop/stock"), second.services.get("dc1/shop/stock"));
});

test(
  securityRow({
    who: "registry tenant",
    attack: "makes any number of aliases of somebody's service",
    outcome: "the service keeps the names that stand, after a restart too, and has at most 500",
  }),
  () => {
    const names = Array.from({ length: 700 }, (_, at) => `a${at}`);
    const aliases = [...names, "zz"].map((name) => ({ namespace: "shop", name }));
    const said = { dc1: [service("orders", { aliases })] };
    const stands = (...list: string[]) => ({ objects: [entry("dc1/shop/orders", withNames(...list))] });
    const standing = ["orders.shop.old.example.org", "zz.shop.old.example.org"];
    const first = run({ name: "", said, stands: stands(...standing), options: OLD_NAMES });
    const given = (naming: typeof first) =>
      (naming.services.get("dc1/shop/orders")?.legacyNames ?? []).map(({ name }) => name);
    assert.equal(given(first).length, 500);
    for (const name of standing) assert.ok(given(first).includes(name), name);
    assert.deepEqual(
      first.holds.map(({ reason, subject, message }) => [reason, subject, message]),
      [
        [
          "limit",
          "dc1/shop/orders",
          "202 of 702 legacy names of dc1/shop/orders are withheld: a service has at most 500",
        ],
      ],
    );
    const next = run({ name: "", said, stands: stands(...given(first)), options: OLD_NAMES });
    assert.deepEqual(given(next), given(first), "nothing is written");
  },
);

test("nameHosts() says of twenty dropped names what they were, and how many more there are", () => {
  const said = {
    dc1: [
      named(
        "orders",
        Array.from({ length: 30 }, (_, at) => `-${at}.example.org`),
      ),
    ],
  };
  const { notes = [] } = run({ name: "", said }).services.get("dc1/shop/orders") ?? {};
  assert.equal(notes.length, 21);
  assert.equal(notes.at(-1), "10 further legacy names were dropped");
});
