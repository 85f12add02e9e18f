import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ServiceRead } from "../../src/model/adapter.ts";
import type { Demands } from "../../src/model/demand.ts";
import type { Manifest } from "../../src/model/objects.ts";
import type { Service } from "../../src/model/service.ts";
import type { StandingObject } from "../../src/model/standing.ts";
import type { Reading } from "../../src/plan/catalog/catalog.ts";
import { decide } from "../../src/plan/decide.ts";
import type { Decision, DecisionInput } from "../../src/plan/decision.ts";
import { planMemory } from "../../src/plan/memory.ts";
import { decidePartly } from "../../src/plan/partial.ts";
import { sized } from "../size.ts";
import { decider } from "./at-once.ts";
import { endpoint, failed, foreign, NOW_MS, port, premade, service, snapshot } from "./build.ts";
import { config, type MemoryTarget, memoryTarget } from "./memory.ts";

const REGISTRIES = ["dc1", "prod"] as const;
const NAMES = ["a", "b", "c", "d", "e", "f"];
/** Hosts, aliases and legacy names are wanted by several; one alias has no namespace, so that something is always held. */
const settings = config(
  REGISTRIES.map((name) => ({ name, legacyNames: ["{service}.old.example.org"], xds: true })),
  {
    hosts: { template: "{service}.{namespace}.mesh.internal" },
    aliases: [
      { registry: "dc1", as: "{service}", in: "apps" },
      { registry: "prod", as: "{service}", in: "absent" },
    ],
    vips: { ranges: ["10.9.0.0/24"] },
  },
);
const APART = { hosts: { template: "{service}.{namespace}.{registry}.mesh.internal" } };
const CLUSTER = { target: { kind: "kubernetes", namespace: "mesh-services" } };
/** Two for each name: by Istio's own API, and by the Gateway API. */
function exposuresOf(...names: readonly string[]): readonly object[] {
  return names.flatMap((name, at) => {
    const rule = { service: `dc1/shop/${name}`, gateway: "edge/public", path: "/x", hosts: [`${name}.example.com`] };
    const tcp = { name: `${name}-tcp`, service: `prod/shop/${name}`, gateway: "edge/public", listen: 3306 + at };
    return [
      { name, ...rule },
      { ...rule, name: `${name}-route`, api: "gateway" },
      { ...tcp, api: at % 2 === 0 ? "istio" : "gateway" },
    ];
  });
}

const fixtures = [
  { name: "two registries that clash", made: settings },
  { name: "two registries beside each other", made: config([...REGISTRIES], APART) },
  {
    name: "services that a gateway leads to",
    made: config([...REGISTRIES], { ...APART, exposures: exposuresOf("a", "b", "c", "nobody") }),
  },
  {
    name: "addresses of Istio's own",
    made: config([...REGISTRIES], { ...APART, ...CLUSTER, vips: { mode: "istio" } }),
  },
  {
    name: "services that nobody asked for",
    made: config(["dc1", { name: "prod", demand: "reported" }], APART),
  },
  { name: "merged registries", made: config([...REGISTRIES, "dc2"], { ...APART, merge: ["prod", "dc2"] }) },
];

/** Of a registry that runs on demand, two services; of others, nothing that matters. */
const ASKED: Demands = new Map(
  ["prod/shop/a", "prod/shop/c", "dc1/shop/b"].map((key) => [
    key,
    { lastMs: NOW_MS, by: [{ caller: "web", via: "report", lastMs: NOW_MS }] },
  ]),
);

/** One thing that happens; `at` chooses the service or object that it happens to. */
interface Event {
  readonly kind: keyof typeof happen;
  readonly registry: (typeof REGISTRIES)[number];
  readonly at: number;
  readonly n: number;
}
/** What a registry says, place by place. */
type World = Record<string, (Service | { readonly failed: string } | undefined)[]>;

const addresses = (n: number, count = 1 + (n % 4)) =>
  Array.from({ length: count }, (_, at) => endpoint(`192.0.2.${1 + ((n + at) % 250)}`));

function change(world: World, { registry, at }: Event, to: (was: Service, name: string) => Service | undefined): void {
  const name = NAMES[at % NAMES.length] ?? "";
  const list = world[registry] ?? [];
  const was = list[at % NAMES.length];
  list[at % NAMES.length] = to(was !== undefined && "name" in was ? was : service(name, { registry }), name);
}

function tamper({ objects }: MemoryTarget, at: number, to: (was: StandingObject) => Manifest | undefined): void {
  const all = [...objects.values()];
  const was = all[at % all.length];
  if (was === undefined) return;
  const manifest = to(was);
  if (manifest === undefined) objects.delete(was.key);
  else objects.set(was.key, { ...was, manifest, resourceVersion: `${was.resourceVersion}0` });
}

const happen = {
  endpoints: (world: World, _: MemoryTarget, event: Event) =>
    change(world, event, (was) => ({ ...was, endpoints: addresses(event.n) })),
  weights: (world: World, _: MemoryTarget, event: Event) =>
    change(world, event, (was) => ({
      ...was,
      endpoints: was.endpoints.map((one) => ({ ...one, weight: 1 + event.n })),
    })),
  /** All of them at once. */
  rollout: (world: World, _: MemoryTarget, { registry, n }: Event) => {
    world[registry] = (world[registry] ?? []).map((was, at) =>
      was !== undefined && "name" in was ? { ...was, endpoints: addresses(n + at, was.endpoints.length) } : was,
    );
  },
  empty: (world: World, _: MemoryTarget, event: Event) => change(world, event, (was) => ({ ...was, endpoints: [] })),
  gone: (world: World, _: MemoryTarget, event: Event) => change(world, event, () => undefined),
  unreadable: (world: World, _: MemoryTarget, event: Event) => {
    const list = world[event.registry] ?? [];
    list[event.at % NAMES.length] = { failed: `${event.registry}/shop/${NAMES[event.at % NAMES.length]}` };
  },
  ports: (world: World, _: MemoryTarget, event: Event) =>
    change(world, event, (was) => ({
      ...was,
      ports: [{ ...port("web", 8000 + (event.n % 3), event.n % 2 === 0 ? "HTTP" : "TCP"), observed: true as const }],
    })),
  names: (world: World, _: MemoryTarget, event: Event) =>
    change(world, event, (was) => ({
      ...was,
      legacyNames: [
        "shared.example.org",
        `n${event.n}.example.org`,
        ...(event.n % 2 === 0 ? [] : ["localhost", "one"]),
      ],
    })),
  renamed: (world: World, _: MemoryTarget, event: Event) =>
    change(world, event, (was) => ({ ...was, name: `r${event.n % 3}`, legacyNames: ["renamed.example.org"] })),
  alias: (world: World, _: MemoryTarget, event: Event) =>
    change(world, event, (was) => ({
      ...was,
      aliases: [{ namespace: "old", name: `n${event.n % 4}` }],
      ...(event.n % 2 === 0 ? { aliasesOnly: true as const } : {}),
    })),
  drift: (_: World, target: MemoryTarget, { at, n }: Event) =>
    tamper(target, at, ({ manifest }) =>
      manifest.kind === "ServiceEntry"
        ? { ...manifest, spec: { ...manifest.spec, endpoints: addresses(n) } }
        : { ...manifest, metadata: { ...manifest.metadata, labels: { ...manifest.metadata.labels, n: `${n}` } } },
    ),
  stolenHost: (_: World, target: MemoryTarget, { at, n }: Event) =>
    tamper(target, at, ({ manifest }) =>
      manifest.kind === "ServiceEntry"
        ? {
            ...manifest,
            spec: {
              ...manifest.spec,
              hosts: [...(n % 3 === 0 ? manifest.spec.hosts : []), `${NAMES[n % NAMES.length]}.shop.mesh.internal`],
            },
          }
        : undefined,
    ),
  mark: (_: World, target: MemoryTarget, { at, n }: Event) =>
    tamper(target, at, ({ manifest }) => {
      const name = n % 2 === 0 ? "x2istio.dev/gone-since" : "x2istio.dev/names";
      const annotations = { ...manifest.metadata.annotations, [name]: '[{"name":"shared.example.org"}]' };
      return { ...manifest, metadata: { ...manifest.metadata, annotations } };
    }),
  newVip: (_: World, target: MemoryTarget, { at, n }: Event) =>
    tamper(target, at, ({ manifest }) =>
      manifest.kind === "ServiceEntry"
        ? { ...manifest, spec: { ...manifest.spec, addresses: [`10.9.0.${1 + (n % 20)}`] } }
        : manifest,
    ),
  kinds: (_: World, { absentKinds }: MemoryTarget, { n }: Event) => {
    const kind = n % 2 === 0 ? "HTTPRoute" : "TCPRoute";
    if (!absentKinds.delete(kind)) absentKinds.add(kind);
  },
  refused: (_: World, { objects }: MemoryTarget, { at, n }: Event) => {
    const all = [...objects.values()].filter(({ manifest }) => manifest.kind.endsWith("Route"));
    const was = all[at % all.length];
    if (was === undefined) return;
    const { refused: _refused, ...taken } = was;
    objects.set(was.key, n % 2 === 0 ? taken : { ...taken, refused: `NotAllowedByListeners: ${n}` });
  },
  removed: (_: World, target: MemoryTarget, { at }: Event) => tamper(target, at, () => undefined),
  foreign: (_: World, target: MemoryTarget, { at, n }: Event) => {
    const name = NAMES[at % NAMES.length] ?? "";
    const host = `${name}.shop.mesh.internal`;
    const things = [
      foreign("Service", `apps/${name}`),
      foreign("ServiceEntry", `web/${name}`, { hosts: [host], addresses: ["10.9.0.9"] }),
      foreign("VirtualService", `web/${name}`, { hosts: [host] }),
      foreign("VirtualService", `mesh-services/${name}`, { hosts: [] }),
    ];
    const thing = things[n % things.length];
    const key = thing === undefined ? "" : `${thing.kind}/${thing.namespace}/${thing.name}`;
    if (thing !== undefined && !target.objects.has(key)) target.foreign.set(key, thing);
  },
  /** Someone asks for a service's endpoints, or for another's, or for those of one that there is not. */
  premade: (_: World, target: MemoryTarget, { registry, at, n }: Event) => {
    const name = `p${at % 4}`;
    const names = [...NAMES.map((one) => `shop/${one}`), "shop/nobody", "old/n1", "old/n2"];
    const entry = premade(n % 11 === 0 ? undefined : `${registry}/${names[n % names.length]}`, name, {
      endpoints: n % 2 === 0 ? [] : [{ address: "203.0.113.1" }],
      ports: [{ name: "http-web", number: 8080, protocol: "HTTP" }],
      object: { resourceVersion: `${n}`, writtenMs: n % 3 === 0 ? NOW_MS - 1000 : undefined },
    });
    target.premade.set(entry.key, entry);
    target.foreign.set(
      entry.key,
      foreign("ServiceEntry", `mesh-services/${name}`, { hosts: entry.manifest.spec.hosts }),
    );
  },
  premadeEdited: (_: World, target: MemoryTarget, { at, n }: Event) => {
    const all = [...target.premade.values()];
    const was = all[at % all.length];
    if (was === undefined) return;
    const { manifest } = was;
    const edits = [
      { endpoints: addresses(n) },
      { ports: [{ name: "http-web", number: 8000 + (n % 5), protocol: "HTTP" }] },
      { resolution: "NONE" },
      { exportTo: ["."] },
    ];
    const spec = { ...manifest.spec, ...edits[n % edits.length] } as typeof manifest.spec;
    target.premade.set(was.key, {
      ...was,
      manifest: { ...manifest, spec },
      resourceVersion: `${was.resourceVersion}0`,
    });
  },
  premadeGone: (_: World, target: MemoryTarget, { at }: Event) => {
    const key = [...target.premade.keys()][at % target.premade.size];
    if (key === undefined) return;
    target.premade.delete(key);
    target.foreign.delete(key);
  },
} as const;

const LOCAL: readonly Event["kind"][] = ["endpoints", "endpoints", "rollout", "weights", "drift", "premadeEdited"];
const REST = Object.keys(happen) as Event["kind"][];
const event = fc.record<Event>({
  kind: fc.oneof(
    { weight: 2, arbitrary: fc.constantFrom(...LOCAL) },
    { weight: 1, arbitrary: fc.constantFrom(...REST, "empty", "empty") },
  ),
  registry: fc.constantFrom(...REGISTRIES),
  at: fc.nat({ max: 40 }),
  n: fc.nat({ max: 200 }),
});
/** What happens at once, and whether what is then decided is written. */
const round = fc.record({
  events: fc.oneof(
    { weight: 3, arbitrary: fc.array(event, { maxLength: 3 }) },
    { weight: 1, arbitrary: fc.array(event, { maxLength: 20 }) },
  ),
  isWritten: fc.boolean(),
});
const history = fc.array(round, { minLength: 1, maxLength: 20 });
type History = typeof history extends fc.Arbitrary<infer Rounds> ? Rounds : never;
/** A name stands on two entries; of what is to be written, the giver's waits for its turn though the taker's is no change. */
const NAME_ON_TWO: History = [
  { events: [{ kind: "names", registry: "prod", at: 0, n: 0 }], isWritten: true },
  { events: [{ kind: "mark", registry: "dc1", at: 0, n: 159 }], isWritten: false },
  { events: [{ kind: "endpoints", registry: "prod", at: 0, n: 1 }], isWritten: false },
  { events: [], isWritten: false },
];

function say(world: World): ReadonlyMap<string, Reading> {
  const readings = Object.entries(world).map(([registry, list]): [string, Reading] => {
    const services = list.flatMap<Service | ServiceRead>((one) => {
      if (one === undefined) return [];
      return "failed" in one ? [failed(one.failed)] : [one];
    });
    return [registry, { state: "read", snapshot: snapshot(registry, services) }];
  });
  return new Map(readings);
}

/** What a decision says, without what only saves work, and what is only remembered of services that cannot be read. */
function told({ plan, catalog, undemanded, naming, ledger }: Decision): object {
  const read = <Value>(map: ReadonlyMap<string, Value>) =>
    new Map([...map].filter(([key]) => !catalog.failed.has(key)));
  const known = { undemanded: read(undemanded), services: read(naming.services) };
  return { plan, catalog, ...known, holds: naming.holds, vips: ledger?.vips, writes: ledger?.writes };
}

/** Everything in a decision that a later one might change, copied. */
function contentOf(decision: Decision | undefined): object | undefined {
  if (decision === undefined) return undefined;
  const { standing, catalog, undemanded, desired, plan } = decision;
  return {
    ...{ undemanded: [...undemanded], services: [...catalog.services], plan: { ...plan, update: [...plan.update] } },
    ...{ objects: [...desired.objects], built: [...desired.built], standing: [...standing.objects] },
    ...{ entries: [...standing.entries], byService: [...standing.byService], holdings: [...standing.holdings] },
    ...{ premade: [...standing.premade], premadeOf: [...standing.premadeOf] },
  };
}

let decidedInPart = 0;
for (const { name, made } of fixtures) {
  test(`a decision on what changed is that of a decision on everything: ${name}`, async () => {
    const run = fc.asyncProperty(history, async (rounds) => {
      const namespaces = new Map([["apps", "active"] as const]);
      const target = memoryTarget(namespaces);
      const world: World = Object.fromEntries(
        made.registries.map(({ name: registry }) => [
          registry,
          NAMES.map((one, n) => service(one, { registry, endpoints: addresses(n) })),
        ]),
      );
      const memory = planMemory();
      const options = { signal: new AbortController().signal, mayWrite: () => true };
      const input = (): DecisionInput => ({
        readings: say(world),
        standing: target.standing(),
        nowMs: target.nowMs(),
        allowDeletes: new Set(),
        asked: ASKED,
      });
      const decideAll = async (isWritten: boolean) => {
        const { plan, ledger } = decide(made, input(), memory);
        if (!isWritten) return;
        await target.writeLedger(ledger?.writes ?? [], options);
        await target.write([...plan.update, ...plan.create, ...plan.delete], options);
      };
      happen.premade(world, target, { kind: "premade", registry: "dc1", at: 0, n: 1 });
      happen.premade(world, target, { kind: "premade", registry: "prod", at: 1, n: 2 });
      await decideAll(true);
      let seen = target.version();
      await decideAll(true);
      for (const { events, isWritten } of rounds) {
        for (const one of events) happen[one.kind](world, target, one);
        await target.write([], options); // the watch says so
        const changed = target.changesSince(seen);
        seen = target.version();
        const before = memory.decision;
        const wasBefore = contentOf(before);
        const partial = decidePartly(made, input(), changed, memory);
        if (partial === undefined) {
          await decideAll(isWritten);
          continue;
        }
        decidedInPart++;
        assert.deepEqual(contentOf(before), wasBefore, "the decision before stays as it was");
        const { decision, isUnfinished } = partial;
        const whole = decider(made)({ ...input(), standing: decision.standing });
        assert.deepEqual(told(decision), told(whole));
        if (!isUnfinished) {
          assert.deepEqual(new Map(decision.standing.objects), target.objects);
          assert.deepEqual(new Map(decision.standing.foreign), target.foreign);
          assert.deepEqual(new Map(decision.standing.premade), target.premade);
          assert.deepEqual(decision.standing.absentKinds, target.absentKinds);
          assert.deepEqual(new Map(decision.standing.premadeOf), whole.standing.premadeOf);
          assert.deepEqual(new Map(decision.standing.entries), whole.standing.entries);
          assert.deepEqual(new Map(decision.standing.byService), whole.standing.byService);
          assert.deepEqual(new Map(decision.standing.holdings), whole.standing.holdings);
        }
        if (isWritten) await target.write(decision.plan.update, options);
        if (isUnfinished) {
          seen = target.version();
          await decideAll(isWritten);
        }
      }
    });
    await fc.assert(run, { numRuns: sized(300), examples: [[NAME_ON_TWO]] });
  });
}

test("most of what happens to single services is decided in part", () => {
  assert.ok(decidedInPart > sized(1000), `${decidedInPart}`);
});
