import assert from "node:assert/strict";
import { test } from "node:test";
import { NAMES_ANNOTATION } from "../../../src/model/objects.ts";
import type { ForeignObject, StandingObject } from "../../../src/model/standing.ts";
import { merge } from "../../../src/plan/catalog/merge.ts";
import { writeNames } from "../../../src/plan/names/names-annotation.ts";
import { nameHosts } from "../at-once.ts";
import { alias, entry, foreign, NOW_MS, readings, service, standing, standingObject } from "../build.ts";

const KEY = "dc1/shop/orders";
const HOST = "orders.shop.dc1.mesh.internal";
const OLD = { createdMs: NOW_MS - 7_200_000 };
const NEW = { createdMs: NOW_MS - 1 };
const PRIVATE = { isNarrow: true } as const;

/** The entry of orders as it stands by these legacy names. */
function stands(...names: readonly string[]): StandingObject {
  const annotation = writeNames(names.map((name) => ({ name })));
  return entry(KEY, { annotations: { [NAMES_ANNOTATION]: annotation } });
}

/** Its VirtualService. */
function route(): StandingObject {
  const { manifest } = entry(KEY);
  const spec = { hosts: [HOST], http: [] };
  return standingObject({ ...manifest, kind: "VirtualService", spec } as unknown as StandingObject["manifest"]);
}

interface Case {
  readonly name: string;
  /** Names that orders is to have. */
  readonly wanted: readonly string[];
  readonly objects?: readonly StandingObject[];
  readonly foreign: readonly ForeignObject[];
  /** Legacy names that it gets. */
  readonly want: readonly string[];
  readonly isHostless?: true;
  readonly holds?: number;
  /** What is said of names that stay ours. */
  readonly rivals?: readonly string[];
}

const cases: readonly Case[] = [
  {
    name: "keeps a standing short form though a Service of that form appears later",
    wanted: ["orders.prod", "orders.prod.svc", "db1"],
    objects: [stands("orders.prod", "orders.prod.svc", "db1")],
    foreign: [foreign("Service", "prod/orders", NEW), foreign("Service", "evil/db1", NEW)],
    want: ["orders.prod", "orders.prod.svc", "db1"],
    rivals: [
      "Service prod/orders, which is not ours, has the short form orders.prod: callers in the cluster reach it first",
      "Service prod/orders, which is not ours, has the short form orders.prod.svc: callers in the cluster reach it first",
      "Service evil/db1, which is not ours, has the short form db1: callers in evil reach it first",
    ],
  },
  {
    name: "keeps a standing short form that another service's alias has by now",
    wanted: ["stock.shop"],
    objects: [stands("stock.shop"), alias("dc1/shop/stock", "shop/stock")],
    foreign: [],
    want: ["stock.shop"],
  },
  {
    name: "keeps standing names from entries and routes that appear later, and says where Istio prefers those",
    wanted: ["pay.example.org"],
    objects: [stands("pay.example.org"), route()],
    foreign: [
      foreign("ServiceEntry", "web/a", { hosts: ["pay.example.org", HOST], ...NEW }),
      foreign("VirtualService", "web/b", { hosts: ["pay.example.org"], ...NEW }),
    ],
    want: ["pay.example.org"],
    rivals: ["ServiceEntry web/a, which is not ours, has pay.example.org, too: Istio prefers it where it answers DNS"],
  },
  {
    name: "says that someone's entry or route is the older one",
    wanted: ["pay.example.org"],
    objects: [stands("pay.example.org"), route()],
    foreign: [
      foreign("ServiceEntry", "web/a", { hosts: [HOST], ...OLD }),
      foreign("VirtualService", "web/b", { hosts: ["pay.example.org"], ...OLD }),
    ],
    want: ["pay.example.org"],
    rivals: [
      `ServiceEntry web/a, which is not ours, has ${HOST}, too: Istio prefers it`,
      "VirtualService web/b, which is not ours, routes pay.example.org, too, and is older: Istio uses it only",
    ],
  },
  ...[
    { when: "that stand", objects: [stands("pay.example.org")] },
    { when: "that are new", objects: [] },
  ].map(
    ({ when, objects }): Case => ({
      name: `gives names ${when} though some namespaces see entries and routes of that name, and says so`,
      wanted: ["pay.example.org"],
      objects,
      foreign: [
        foreign("ServiceEntry", "web/a", { hosts: ["PAY.example.org", HOST], ...PRIVATE, ...OLD }),
        foreign("VirtualService", "web/b", { hosts: ["pay.example.org", HOST], ...PRIVATE, ...OLD }),
        foreign("HTTPRoute", "web/c", { hosts: [HOST], ...PRIVATE, ...NEW }),
      ],
      want: ["pay.example.org"],
      rivals: [
        `ServiceEntry web/a, which is not ours, has ${HOST}, too: Istio prefers it in the namespaces that see it`,
        `VirtualService web/b, which is not ours, routes ${HOST}, too: Istio uses it in the namespaces that see it`,
        "ServiceEntry web/a, which is not ours, has pay.example.org, too: Istio prefers it in the namespaces that see it",
        "VirtualService web/b, which is not ours, routes pay.example.org, too: Istio uses it in the namespaces that see it",
      ],
    }),
  ),
  {
    name: "gives a new name of one label though some namespace has a Service of that name",
    wanted: ["db1"],
    foreign: [foreign("Service", "evil/db1")],
    want: ["db1"],
    rivals: ["Service evil/db1, which is not ours, has the short form db1: callers in evil reach it first"],
  },
  {
    name: "leaves a new name to the Service, entry or route that has it for all",
    wanted: ["orders.prod", "pay.example.org", "buy.example.org"],
    foreign: [
      foreign("Service", "prod/orders"),
      foreign("ServiceEntry", "web/a", { hosts: ["pay.example.org"] }),
      foreign("VirtualService", "web/b", { hosts: ["buy.example.org"] }),
    ],
    want: [],
    holds: 3,
  },
  {
    name: "leaves a new host to the entry that has it for all",
    wanted: [],
    foreign: [foreign("ServiceEntry", "web/a", { hosts: [HOST] })],
    want: [],
    isHostless: true,
    holds: 1,
  },
];
for (const one of cases)
  test(`nameHosts() ${one.name}`, () => {
    const live = standing({ objects: one.objects ?? [], foreign: one.foreign });
    const catalog = merge(readings({ dc1: [service("orders", { legacyNames: one.wanted })] }), live, []);
    const options = {
      template: "{service}.{namespace}.{registry}.mesh.internal",
      clusterDomain: "cluster.local",
      nowMs: NOW_MS,
      singleLabels: new Set(["dc1"]),
      legacyNames: new Map(),
      aliases: [],
    };
    const { services, holds } = nameHosts(catalog, live, options);
    const given = services.get(KEY);
    assert.equal(given?.host, one.isHostless ? undefined : HOST);
    assert.deepEqual(given?.legacyNames.map(({ name }) => name) ?? [], one.want);
    assert.equal(holds.length, one.holds ?? 0, JSON.stringify(holds));
    assert.deepEqual(given?.rivals?.map(({ message }) => message) ?? [], one.rivals ?? []);
  });
