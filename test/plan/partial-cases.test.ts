import assert from "node:assert/strict";
import { test } from "node:test";
import type { Manifest } from "../../src/model/objects.ts";
import type { Service } from "../../src/model/service.ts";
import type { StandingObject } from "../../src/model/standing.ts";
import type { Reading } from "../../src/plan/catalog/catalog.ts";
import { decide } from "../../src/plan/decide.ts";
import { planMemory } from "../../src/plan/memory.ts";
import { decidePartly } from "../../src/plan/partial.ts";
import { endpoint, endpoints, foreign, MESH, NOW_MS, port, type Said, service, snapshot } from "./build.ts";
import { config, type MemoryTarget, memoryTarget } from "./memory.ts";
import { claimOf, LIVE } from "./moving.ts";

const ORDERS = `ServiceEntry/${MESH}/orders.shop.dc1.mesh.internal`;
const STOCK = `ServiceEntry/${MESH}/stock.shop.dc1.mesh.internal`;
const ALIAS = "Service/apps/orders";
const MOVES = { allow: [{ registry: "dc1", by: ["shop"] }] };

/** Services that were decided on as a whole, and what happens then. */
interface Bench {
  readonly target: MemoryTarget;
  /** By registry, what it says; an unchanged list keeps its identity. */
  readonly said: Record<string, Said>;
  readonly allowDeletes: Set<string>;
  /** Decide on everything, and write it. */
  all(): Promise<void>;
  /** Decide in part: `all` where it takes a decision on everything. */
  part(
    isKnown?: boolean,
  ): Promise<{ readonly went: "all" | "unfinished" | "whole"; readonly updates: readonly string[] }>;
}

interface Given {
  readonly said?: Readonly<Record<string, readonly Service[]>>;
  readonly rest?: object;
  /** Before everything is decided. */
  readonly stands?: (bench: Bench) => void;
}

async function bench({ said = { dc1: [service(), service("stock")] }, rest = {}, stands }: Given): Promise<Bench> {
  const target = memoryTarget(new Map(["shop", "apps", MESH].map((name) => [name, "active"] as const)));
  const settings = config(
    Object.keys(said).map((name) => ({ name, legacyNames: ["{service}.old.example.org"] })),
    { target: { kind: "kubernetes" }, aliases: [{ registry: "dc1", as: "{service}", in: "apps" }], ...rest },
  );
  const options = { signal: new AbortController().signal, mayWrite: () => true };
  const memory = planMemory();
  const known = new Map<unknown, Reading>();
  const reading = (registry: string, one: Said): Reading => {
    const before = known.get(one);
    if (before !== undefined) return before;
    const made: Reading = Array.isArray(one)
      ? { state: "read", snapshot: snapshot(registry, one) }
      : { state: "failed", why: "connection refused" };
    known.set(one, made);
    return made;
  };
  let seen = 0;
  const input = () => ({
    readings: new Map(Object.entries(made.said).map(([registry, one]) => [registry, reading(registry, one)])),
    standing: target.standing(),
    nowMs: NOW_MS,
    allowDeletes: made.allowDeletes,
  });
  const made: Bench = {
    target,
    said: { ...said },
    allowDeletes: new Set(),
    async all() {
      for (let pass = 0; pass < 8; pass++) {
        await target.write([], options); // the watch says so
        seen = target.version();
        const { plan, ledger } = decide(settings, input(), memory);
        await target.writeLedger(ledger?.writes ?? [], options);
        const { results } = await target.write([...plan.update, ...plan.create, ...plan.delete], options);
        if (results.length === 0) return;
      }
    },
    async part(isKnown = true) {
      await target.write([], options);
      const changed = isKnown ? target.changesSince(seen) : undefined;
      seen = target.version();
      const partial = decidePartly(settings, input(), changed, memory);
      if (partial === undefined) return { went: "all", updates: [] };
      const updates = partial.decision.plan.update.map(({ object }) => object.key);
      return { went: partial.isUnfinished ? "unfinished" : "whole", updates };
    },
  };
  stands?.(made);
  await made.all();
  return made;
}

/** Change one object as others do. */
function edit({ target }: Bench, key: string, to: (was: StandingObject) => Partial<StandingObject>): void {
  const was = target.objects.get(key);
  assert.ok(was !== undefined, key);
  target.objects.set(key, { ...was, resourceVersion: `${was.resourceVersion}0`, ...to(was) });
}

const annotated = (annotations: Readonly<Record<string, string>>) => (was: StandingObject) => ({
  manifest: {
    ...was.manifest,
    metadata: { ...was.manifest.metadata, annotations: { ...was.manifest.metadata.annotations, ...annotations } },
  } as Manifest,
});
const withSpec = (spec: object) => (was: StandingObject) => ({
  manifest: { ...was.manifest, spec: { ...was.manifest.spec, ...spec } } as Manifest,
});
const drift = withSpec({ endpoints: [{ address: "203.0.113.1" }] });
const moved = endpoints(2, 7);
const one = (fields: Partial<Service>) => [service("orders", fields), service("stock")];

const three = (count: number) =>
  ["orders", "stock", "web"].map((name) => service(name, { endpoints: endpoints(count) }));

const many = (count: number, from = 0) =>
  Array.from({ length: count }, (_, n) =>
    service(`s${n}`, { endpoints: [endpoint(`198.51.${100 + Math.floor(n / 200)}.${1 + ((n + from) % 200)}`)] }),
  );

interface Case extends Given {
  readonly name: string;
  /** What happens after everything was decided. */
  readonly happens: (bench: Bench) => unknown;
  readonly went: "all" | "unfinished" | "whole";
  readonly updates?: readonly string[];
  /** Whether it is known which objects changed. */
  readonly isKnown?: boolean;
}

const cases: readonly Case[] = [
  {
    name: "one service's endpoints",
    happens: ({ said }) => void Object.assign(said, { dc1: one({ endpoints: moved }) }),
    went: "whole",
    updates: [ORDERS],
  },
  {
    name: "what someone did to an entry's endpoints",
    happens: (all) => edit(all, ORDERS, drift),
    went: "whole",
    updates: [ORDERS],
  },
  { name: "a target of which it is not known what changed", happens: () => undefined, isKnown: false, went: "all" },
  {
    name: "the endpoints of a service of which something is held",
    stands: ({ target }) =>
      void target.foreign.set(
        "VirtualService/edge/theirs",
        foreign("VirtualService", "edge/theirs", { hosts: ["orders.shop.dc1.mesh.internal"] }),
      ),
    happens: ({ said }) => void Object.assign(said, { dc1: one({ endpoints: moved }) }),
    went: "all",
  },
  {
    name: "the endpoints of a service whose VIP someone else has, too",
    async happens(all) {
      const { manifest } = all.target.objects.get(ORDERS) ?? {};
      const addresses = manifest?.kind === "ServiceEntry" ? (manifest.spec.addresses ?? []) : [];
      assert.equal(addresses.length, 1);
      const rival = foreign("Service", "web/theirs", { addresses, createdMs: NOW_MS + 1000 });
      all.target.foreign.set("Service/web/theirs", rival);
      await all.all();
      Object.assign(all.said, { dc1: one({ endpoints: moved }) });
    },
    went: "whole",
    updates: [ORDERS],
  },
  {
    name: "the endpoints of a service whose route is left to someone else's",
    async happens(all) {
      const theirs = foreign("VirtualService", `${MESH}/theirs`, { hosts: ["orders.shop.dc1.mesh.internal"] });
      all.target.foreign.set(`VirtualService/${MESH}/theirs`, theirs);
      await all.all();
      Object.assign(all.said, { dc1: one({ endpoints: moved }) });
    },
    went: "all",
  },
  {
    name: "the endpoints of a service while a gateway leads to another",
    rest: { exposures: [{ name: "stock", service: "dc1/shop/stock", gateway: "edge/public", listen: 80 }] },
    happens: ({ said }) => void Object.assign(said, { dc1: one({ endpoints: moved }) }),
    went: "whole",
    updates: [ORDERS],
  },
  {
    name: "the endpoints of another service than that of which something is held",
    stands: ({ target }) =>
      void target.foreign.set(
        "VirtualService/edge/theirs",
        foreign("VirtualService", "edge/theirs", { hosts: ["orders.shop.dc1.mesh.internal"] }),
      ),
    happens: ({ said }) =>
      void Object.assign(said, { dc1: [(said.dc1 as Service[])[0], service("stock", { endpoints: moved })] }),
    went: "whole",
    updates: [STOCK],
  },
  {
    name: "the endpoints of a service whose claim is refused",
    rest: { migration: MOVES },
    stands: ({ target }) =>
      void target.claims.set("Service/shop/orders-v2", claimOf({ stage: "inside", live: { ...LIVE, clusterIPs: [] } })),
    happens: ({ said }) => void Object.assign(said, { dc1: one({ endpoints: moved }) }),
    went: "whole",
    updates: [ORDERS],
  },
  {
    name: "the ports of a service that is claimed",
    rest: { migration: MOVES },
    stands: ({ target }) => void target.claims.set("Service/shop/orders-v2", claimOf({ stage: "split", weight: 10 })),
    happens: ({ said }) => void Object.assign(said, { dc1: one({ ports: [port("web", 8081)] }) }),
    went: "all",
  },
  ...["x2istio.dev/inside-addresses", "x2istio.dev/names", "x2istio.dev/gone-since", "x2istio.dev/empty-since"].map(
    (name): Case => ({
      name: `an edited annotation ${name}`,
      happens: (all) => edit(all, STOCK, annotated({ [name]: "10.96.0.9" })),
      went: "unfinished",
    }),
  ),
  ...["effective-stage", "effective-weight", "effective-claimant", "stepped-back"].map(
    (name): Case => ({
      name: `an edited annotation x2istio.dev/${name}`,
      happens: (all) => edit(all, STOCK, annotated({ [`x2istio.dev/${name}`]: "shop/x" })),
      went: "unfinished",
    }),
  ),
  {
    name: "an object that was made anew by hand, of another age",
    happens: (all) => edit(all, ORDERS, () => ({ createdMs: NOW_MS + 1000 })),
    went: "unfinished",
  },
  {
    name: "an object that was made anew by hand, with another UID",
    happens: (all) => edit(all, ORDERS, () => ({ uid: "other" })),
    went: "unfinished",
  },
  {
    name: "an object that was handed over",
    happens: (all) => edit(all, ALIAS, () => ({ yielded: "released" })),
    went: "unfinished",
  },
  {
    name: "an object of another service now",
    happens: (all) => edit(all, ALIAS, () => ({ service: "dc1/shop/stock" })),
    went: "unfinished",
  },
  { name: "an object that went", happens: ({ target }) => void target.objects.delete(ALIAS), went: "unfinished" },
  ...[
    ["host", { hosts: ["x.example.org"] }],
    ["VIP", { addresses: ["240.241.9.9"] }],
    ["port", { ports: [{ name: "http-web", number: 9090, protocol: "HTTP" }] }],
  ].map(
    ([name, spec]): Case => ({
      name: `an edited ${name}`,
      happens: (all) => edit(all, STOCK, withSpec(spec as object)),
      went: "unfinished",
    }),
  ),
  {
    name: "someone else's object",
    happens: ({ target }) => void target.foreign.set("Service/apps/web", foreign("Service", "apps/web")),
    went: "unfinished",
  },
  {
    name: "the endpoints of a service with an object that cannot be judged by itself",
    happens(all) {
      edit(all, ALIAS, () => ({ createdMs: NOW_MS + 1000 }));
      Object.assign(all.said, { dc1: one({ endpoints: moved }) });
    },
    went: "all",
  },
  {
    name: "the endpoints of a service with an object that could not be judged before",
    async happens(all) {
      edit(all, ALIAS, () => ({ createdMs: NOW_MS + 1000 }));
      assert.equal((await all.part()).went, "unfinished");
      Object.assign(all.said, { dc1: one({ endpoints: moved }) });
    },
    went: "all",
  },
  {
    name: "the endpoints of a service while another's object could not be judged before",
    async happens(all) {
      edit(all, ALIAS, () => ({ createdMs: NOW_MS + 1000 }));
      assert.equal((await all.part()).went, "unfinished");
      Object.assign(all.said, { dc1: [(all.said.dc1 as Service[])[0], service("stock", { endpoints: moved })] });
    },
    went: "unfinished",
    updates: [STOCK],
  },
  {
    name: "what the second of two decisions in part leaves unfinished",
    async happens(all) {
      edit(all, ALIAS, () => ({ createdMs: NOW_MS + 1000 }));
      assert.equal((await all.part()).went, "unfinished");
      assert.equal((await all.part()).went, "unfinished");
    },
    went: "unfinished",
  },
  {
    name: "a service that loses its last endpoint",
    happens: ({ said }) => void Object.assign(said, { dc1: one({ endpoints: [] }) }),
    went: "all",
  },
  {
    name: "a service that gets its first endpoint",
    said: { dc1: one({ endpoints: [] }) },
    happens: ({ said }) => void Object.assign(said, { dc1: one({ endpoints: moved }) }),
    went: "all",
  },
  {
    name: "a service with another legacy name",
    happens: ({ said }) => void Object.assign(said, { dc1: one({ legacyNames: ["x.example.org"] }) }),
    went: "all",
  },
  {
    name: "a service that is new",
    happens: ({ said }) => void Object.assign(said, { dc1: [...(said.dc1 as Service[]), service("new")] }),
    went: "all",
  },
  {
    name: "services in another order",
    happens: ({ said }) => void Object.assign(said, { dc1: (said.dc1 as Service[]).toReversed() }),
    went: "all",
  },
  {
    name: "a registry that fails",
    happens: ({ said }) => void Object.assign(said, { dc1: "connection refused" }),
    went: "all",
  },
  {
    name: "endpoints while an operator has released the brake",
    happens({ said, allowDeletes }) {
      allowDeletes.add("dc1");
      Object.assign(said, { dc1: one({ endpoints: moved }) });
    },
    went: "all",
  },
  {
    name: "endpoints while a brake is on",
    said: { dc1: three(20) },
    rest: { policy: { minShrinks: 3 } },
    async happens(all) {
      Object.assign(all.said, { dc1: three(1) });
      await all.all();
      const [, ...others] = all.said.dc1 as Service[];
      Object.assign(all.said, { dc1: [service("orders", { endpoints: moved }), ...others] });
    },
    went: "all",
  },
  {
    name: "one service that loses most endpoints",
    said: { dc1: [...many(200), ...three(20)] },
    happens: ({ said }) =>
      void Object.assign(said, {
        dc1: [...(said.dc1 as Service[]).slice(0, -3), ...three(1).slice(0, 1), ...(said.dc1 as Service[]).slice(-2)],
      }),
    went: "whole",
    updates: [ORDERS],
  },
  {
    name: "endpoints that would set a brake on",
    said: { dc1: three(20) },
    rest: { policy: { minShrinks: 3 } },
    happens: ({ said }) => void Object.assign(said, { dc1: three(1) }),
    went: "all",
  },
  {
    name: "the endpoints that one member of a merged group has",
    said: { dc1: [service()], dc2: [service("orders", { registry: "dc2", endpoints: endpoints(1, 3) })] },
    rest: { merge: ["dc1", "dc2"] },
    happens: ({ said }) =>
      void Object.assign(said, { dc2: [service("orders", { registry: "dc2", endpoints: endpoints(1, 4) })] }),
    went: "all",
  },
  {
    name: "what someone did to the entry of a merged service",
    said: { dc1: [service()], dc2: [service("orders", { registry: "dc2", endpoints: endpoints(1, 3) })] },
    rest: { merge: ["dc1", "dc2"] },
    happens: (all) => edit(all, ORDERS, drift),
    went: "all",
  },
  {
    name: "the endpoints of all services but one",
    said: { dc1: many(200) },
    happens: ({ said }) => void Object.assign(said, { dc1: [...many(199, 1), ...(said.dc1 as Service[]).slice(199)] }),
    went: "whole",
    updates: many(199)
      .map(({ name }) => `ServiceEntry/${MESH}/${name}.shop.dc1.mesh.internal`)
      .sort(),
  },
  {
    name: "the endpoints of a service that succeeded another one, whose entry leads to it",
    said: { dc1: [service("orders", { legacyNames: ["n.example.org"] }), service("stock")] },
    async happens(all) {
      const heir = { legacyNames: ["n.example.org"] };
      all.said.dc1 = [service("orders-api", heir), service("stock")];
      await all.all();
      await all.all();
      all.said.dc1 = [service("orders-api", { ...heir, endpoints: moved }), service("stock")];
    },
    went: "all",
  },
  {
    name: "what someone did to all entries",
    said: { dc1: many(200) },
    happens(all) {
      for (let n = 0; n < 200; n++) edit(all, `ServiceEntry/${MESH}/s${n}.shop.dc1.mesh.internal`, drift);
    },
    went: "whole",
    updates: many(200)
      .map(({ name }) => `ServiceEntry/${MESH}/${name}.shop.dc1.mesh.internal`)
      .sort(),
  },
];
for (const { name, happens, went, updates = [], isKnown, ...given } of cases)
  test(`decidePartly() on ${name} ${went === "all" ? "leaves everything to a decision on everything" : `is ${went}`}`, async () => {
    const all = await bench(given);
    await happens(all);
    assert.deepEqual(await all.part(isKnown), { went, updates });
  });
