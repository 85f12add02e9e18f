import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { pass } from "../../../src/controller/pass.ts";
import type { Demands } from "../../../src/model/demand.ts";
import type { ServiceEntry } from "../../../src/model/objects.ts";
import { type Service, type ServiceKey, serviceKey } from "../../../src/model/service.ts";
import type { StandingObject } from "../../../src/model/standing.ts";
import type { Reading } from "../../../src/plan/catalog/catalog.ts";
import type { Decision } from "../../../src/plan/decision.ts";
import { isEntry, isExposure } from "../../../src/plan/standing.ts";
import { sized, testSize } from "../../size.ts";
import { buildNameTable, decider } from "../at-once.ts";
import { endpoint, failed, NOW_MS, readings, type Said, service, snapshot } from "../build.ts";
import { config, type MemoryTarget, memoryTarget } from "../memory.ts";

// Names follow the living: whatever is renamed, moved, swapped or taken away, a name that a living service is to have is at no moment denied
// or led to what is dead.

/** A service as its registry has it. */
interface Line {
  readonly registry: string;
  readonly namespace: string;
  readonly name: string;
  readonly endpoints: readonly number[];
  readonly legacy: readonly string[];
  readonly alias: string | undefined;
  readonly isDenied: boolean;
}

type Edit =
  | {
      readonly kind: "rename" | "case" | "deny" | "empty" | "fill" | "drop" | "namespace" | "registry";
      readonly at: number;
      readonly n: number;
    }
  | { readonly kind: "move" | "swap" | "alias" | "steal"; readonly at: number; readonly n: number };

interface Step {
  readonly edits: readonly Edit[];
  readonly isRestart: boolean;
  readonly moveMs: number;
  /** Every n-th write fails in a pass before the others; 0: none. */
  readonly faultEvery: number;
  /** Objects of which service finalizers keep, by its place; without it, none any more. */
  readonly keeps: number | undefined;
}

const LEGACY = ["l1.example.org", "l2.example.org", "l3.apps", "l4"];
const ALIASES = ["x1", "x2", "l3"];
const NAMES = ["a", "b", "c", "d", "e", "f", "g"];
const MINUTE_MS = 60_000;

interface Installation {
  readonly name: string;
  readonly registries: readonly object[];
  readonly rest: object;
  /** Exposures lead to the services that have these legacy names, as an operator writes them. */
  readonly exposed?: readonly string[];
  readonly isCaseless?: true;
  readonly isMerged?: true;
  readonly isReported?: true;
}

const APART = { hosts: { template: "{service}.{namespace}.{registry}.mesh.internal" } };
/** Nothing is held back by a brake. */
const OPEN = { policy: { keepEmpty: "1h", minDeletes: 1000 } };
const installations: readonly Installation[] = [
  { name: "one registry", registries: [{ name: "dc1" }], rest: { ...APART, ...OPEN } },
  {
    name: "hosts without registry and namespace",
    registries: [{ name: "dc1" }, { name: "prod" }],
    rest: { hosts: { template: "{service}.mesh.internal" }, ...OPEN },
  },
  {
    name: "merged registries",
    registries: [{ name: "dc1" }, { name: "prod" }],
    rest: { ...APART, ...OPEN, merge: ["dc1", "prod"] },
    isMerged: true,
  },
  {
    name: "services on demand",
    registries: [{ name: "dc1", demand: "reported" }, { name: "prod" }],
    rest: { ...APART, ...OPEN },
    isReported: true,
  },
  {
    name: "exposures and companions",
    registries: [{ name: "dc1", xds: true }],
    rest: { ...APART, ...OPEN },
    exposed: ["l1.example.org", "l2.example.org"],
  },
  {
    name: "brakes that hold all losses",
    registries: [{ name: "dc1" }],
    rest: { ...APART, policy: { keepEmpty: "1h", minDeletes: 0, maxDeletePercent: 1 } },
  },
  {
    name: "names without case",
    registries: [{ name: "dc1" }],
    rest: { hosts: { template: "{service}.{namespace}.mesh.internal" }, ...OPEN },
    isCaseless: true,
  },
  {
    name: "addresses of Istio's own, and upserts only",
    registries: [{ name: "dc1" }],
    rest: { ...APART, policy: { mode: "upsert-only" }, vips: { mode: "istio" }, target: { kind: "kubernetes" } },
  },
];

const kinds = [
  ...["rename", "rename", "rename", "case", "deny", "empty", "fill", "drop", "namespace", "registry"],
  ...["move", "move", "swap", "swap", "alias", "alias", "steal"],
] as const;
const edit = fc.record({
  kind: fc.constantFrom(...kinds),
  at: fc.nat({ max: 20 }),
  n: fc.nat({ max: 20 }),
}) as fc.Arbitrary<Edit>;
const step = fc.record<Step>({
  edits: fc.array(edit, { minLength: 1, maxLength: 3 }),
  isRestart: fc.boolean(),
  moveMs: fc.constantFrom(0, 1000, MINUTE_MS, 45 * MINUTE_MS, 90 * MINUTE_MS),
  faultEvery: fc.constantFrom(0, 0, 0, 2, 3, 5),
  // Finalizers are not among what happens yet: a few histories with them are not understood.
  keeps: fc.constant(undefined),
});
const history = fc.array(step, { minLength: 1, maxLength: 10 });

/** What an operator or a registry does to the services. */
function edited(
  lines: readonly Line[],
  { kind, at, n }: Edit,
  { isCaseless, registries }: Installation,
): readonly Line[] {
  const one = lines[at % lines.length];
  const other = lines[n % lines.length];
  if (one === undefined || other === undefined) return lines;
  const with1 = (fields: Partial<Line>) => lines.map((line) => (line === one ? { ...line, ...fields } : line));
  const isFree = (fields: Partial<Line>) => {
    const made = { ...one, ...fields };
    return lines.every((line) => line === one || keyOf(line).toLowerCase() !== keyOf(made).toLowerCase());
  };
  const unlessTaken = (fields: Partial<Line>) => (isFree(fields) ? with1(fields) : lines);
  const exchange = (mine: Partial<Line>, theirs: Partial<Line>) =>
    one === other
      ? lines
      : lines.map((line) => (line === one ? { ...line, ...mine } : line === other ? { ...line, ...theirs } : line));
  switch (kind) {
    case "rename":
      return unlessTaken({ name: NAMES[n % NAMES.length] ?? "a", isDenied: false });
    case "case":
      return isCaseless
        ? with1({ name: /[a-z]/.test(one.name) ? one.name.toUpperCase() : one.name.toLowerCase() })
        : lines;
    case "namespace":
      return unlessTaken({ namespace: one.namespace === "shop" ? "web" : "shop", isDenied: false });
    case "registry":
      if (registries.length === 1) return lines;
      return unlessTaken({ registry: one.registry === "dc1" ? "prod" : "dc1", isDenied: false });
    case "deny":
      return with1({ isDenied: !one.isDenied });
    case "empty":
      return with1({ endpoints: [] });
    case "fill":
      return with1({ endpoints: [1 + (n % 9), 11 + (n % 7)] });
    case "drop":
      return lines.length > 2 ? lines.filter((line) => line !== one) : lines;
    case "move":
      return exchange({ legacy: one.legacy.slice(1) }, { legacy: [...other.legacy, ...one.legacy.slice(0, 1)] });
    case "swap":
      return exchange({ legacy: other.legacy }, { legacy: one.legacy });
    case "alias":
      return exchange({ alias: other.alias }, { alias: one.alias });
    case "steal": {
      const fresh = {
        ...one,
        name: NAMES[n % NAMES.length] ?? "a",
        endpoints: n % 3 === 0 ? [] : [20 + n],
        isDenied: false,
      };
      if (!lines.every((line) => keyOf(line).toLowerCase() !== keyOf(fresh).toLowerCase())) return lines;
      return [...with1({ legacy: [], alias: undefined }), fresh];
    }
  }
}

function keyOf({ registry, namespace, name }: Line): ServiceKey {
  return serviceKey(registry, namespace, name);
}

/** What the registries say. */
function said(lines: readonly Line[], { registries, isCaseless }: Installation): ReadonlyMap<string, Reading> {
  const all = registries.map((one): [string, Said] => {
    const { name: registry } = one as { name: string };
    const own = lines.filter((line) => line.registry === registry);
    const services = own.map((line) => (line.isDenied ? failed(keyOf(line), "denied") : serviceOf(line)));
    const read = snapshot(registry, services);
    return [registry, { state: "read", snapshot: isCaseless ? { ...read, caseless: true } : read }];
  });
  return readings(Object.fromEntries(all));
}

function serviceOf({ registry, namespace, name, endpoints, legacy }: Line): Service {
  return service(name, {
    ...{ registry, namespace, legacyNames: legacy },
    endpoints: endpoints.map((last) => endpoint(`192.0.2.${last}`)),
  });
}

/** The key by which a service stands. */
function standsAs(line: Line, { isMerged }: Installation): ServiceKey {
  return keyOf(isMerged ? { ...line, registry: "dc1" } : line);
}

/** The configuration that goes with the services: the operator writes alias rules and exposures by their names. */
function settingsOf(lines: readonly Line[], installation: Installation) {
  const { registries, rest, exposed = [], isMerged } = installation;
  const aliases = lines.flatMap(({ alias, registry, namespace, name }) =>
    alias === undefined
      ? []
      : [{ registry: isMerged ? "dc1" : registry, namespace, service: name, as: alias, in: "apps" }],
  );
  const exposures = exposed.flatMap((legacy, at) => {
    const line = lines.find((one) => one.legacy.includes(legacy));
    return line === undefined
      ? []
      : [
          {
            name: `way-${at}`,
            service: standsAs(line, installation),
            gateway: "edge/public",
            hosts: [`${at}.example.com`],
          },
        ];
  });
  return config(registries as object[], { ...rest, aliases, exposures });
}

/** What callers find at one moment. */
interface View {
  /** By name: the service that it leads to, and to how many endpoints. */
  readonly names: ReadonlyMap<string, { readonly service: string; readonly endpoints: readonly string[] }>;
  /** Legacy names that are routed over HTTP. */
  readonly routed: ReadonlySet<string>;
  /** By alias, the host that it leads to. */
  readonly aliases: ReadonlyMap<string, string>;
  /** By alias, the service that it is of. */
  readonly owners: ReadonlyMap<string, string | undefined>;
  /** By exposure. */
  readonly exposures: ReadonlyMap<string, string>;
}

function viewOf({ objects }: MemoryTarget): View {
  const table = buildNameTable({ objects: addressed(objects) }, { settleMs: 0, nowMs: NOW_MS });
  const entries = new Map<string, ServiceEntry>();
  for (const object of objects.values())
    if (isEntry(object)) entries.set(object.manifest.spec.hosts[0] ?? "", object.manifest);
  const names = new Map(
    [...table.names].map(([name, { host, service = "" }]) => {
      const { endpoints = [] } = entries.get(host)?.spec ?? {};
      return [name, { service, endpoints: endpoints.map(({ address }) => address) }];
    }),
  );
  const routed = new Set<string>();
  const aliases = new Map<string, string>();
  const owners = new Map<string, string | undefined>();
  const exposures = new Map<string, string>();
  for (const object of objects.values()) {
    const { manifest } = object;
    // What is being deleted leads where it led.
    if (object.terminating !== undefined) continue;
    if (manifest.kind === "Service") aliases.set(manifest.metadata.name, manifest.spec.externalName);
    if (manifest.kind === "Service") owners.set(manifest.metadata.name, object.service);
    if (manifest.kind !== "VirtualService") continue;
    if (isExposure(object))
      exposures.set(manifest.metadata.name, manifest.spec.http?.[0]?.route[0]?.destination.host ?? "");
    else for (const host of manifest.spec.hosts) routed.add(host);
  }
  return { names, routed, aliases, owners, exposures };
}

/** Where Istio allocates VIPs, as if it had. */
function addressed(objects: ReadonlyMap<string, StandingObject>): ReadonlyMap<string, StandingObject> {
  return new Map([...objects].map(([key, object]) => [key, { ...object, statusAddresses: ["240.240.0.1"] }]));
}

/** All that the registries say of one service. */
interface Told {
  readonly isListed: boolean;
  readonly isDenied: boolean;
  readonly endpoints: readonly string[];
}

function toldOf(lines: readonly Line[], installation: Installation): (key: string | undefined) => Told {
  const plain = (key: string) => (installation.isCaseless ? key.toLowerCase() : key);
  const all = Map.groupBy(lines, (line) => plain(standsAs(line, installation)));
  return (key = "") => {
    const own = all.get(plain(key)) ?? [];
    const read = own.filter(({ isDenied }) => !isDenied);
    const endpoints = read.flatMap((line) => line.endpoints.map((last) => `192.0.2.${last}`));
    return { isListed: own.length > 0, isDenied: read.length < own.length, endpoints };
  };
}

/** An installation that lives on from step to step. */
interface Bench {
  readonly installation: Installation;
  readonly target: MemoryTarget;
  readonly asked: Demands;
  lines: readonly Line[];
  settings: ReturnType<typeof settingsOf>;
  compute: ReturnType<typeof decider>;
}

const START: readonly Line[] = [
  { name: "a", legacy: LEGACY.slice(0, 1), alias: ALIASES[0], endpoints: [1, 2] },
  { name: "b", legacy: LEGACY.slice(1, 3), alias: ALIASES[1], endpoints: [3] },
  { name: "c", legacy: LEGACY.slice(3), alias: ALIASES[2], endpoints: [4, 5] },
  { name: "d", legacy: [], alias: undefined, endpoints: [6] },
].map((one) => ({ registry: "dc1", namespace: "shop", isDenied: false, ...one }));

function start(installation: Installation): Bench {
  // A rule of the configuration goes by one spelling.
  const lines = START.map((line) => (installation.isCaseless ? { ...line, alias: undefined } : line));
  const by = [{ caller: "web", via: "report" as const, lastMs: NOW_MS }];
  const asked: Demands = new Map(START.map((line) => [keyOf(line), { lastMs: NOW_MS, by }]));
  const settings = settingsOf(lines, installation);
  return { installation, target: memoryTarget(), asked, lines, settings, compute: decider(settings) };
}

/** Decide as a process does that has been here before, and see that a fresh one says the same. */
function decide({ installation, target, asked, lines, settings, compute }: Bench): Decision {
  const input = { readings: said(lines, installation), standing: target.standing(), nowMs: target.nowMs() };
  const decision = compute({ ...input, asked, allowDeletes: new Set() });
  // Only a process that has been here before knows of services that nobody asked for and that cannot be read.
  if (installation.isReported !== true) {
    const fresh = decider(settings)({ ...input, asked, allowDeletes: new Set() });
    assert.deepEqual(changesOf(fresh), changesOf(decision), "a fresh process decides alike");
  }
  return decision;
}

function changesOf({ plan }: Decision): readonly string[] {
  const written = [...plan.create, ...plan.update].map(
    ({ kind, object }) => `${kind} ${object.key} ${JSON.stringify(object.manifest)}`,
  );
  return [...written, ...plan.delete.map(({ standing }) => `delete ${standing.key}`)];
}

interface Passed {
  readonly decision: Decision;
  readonly before: View;
  readonly after: View;
  /** After each write. */
  readonly moments: readonly View[];
}

async function onePass(bench: Bench, faultEvery: number): Promise<Passed> {
  const { target } = bench;
  const before = viewOf(target);
  const moments: View[] = [];
  let requests = 0;
  target.fault = () => {
    moments.push(viewOf(target));
    return faultEvery > 0 && ++requests % faultEvery === 0 ? "failed" : undefined;
  };
  const options = { target, signal: new AbortController().signal, mayWrite: () => true, isDryRun: false };
  const noLedger = (request: string) => !request.startsWith("ledger");
  const fault = target.fault;
  target.fault = (request) => (noLedger(request) ? fault(request) : undefined);
  const { decision } = await pass({ ...options, decide: () => decide(bench) });
  target.fault = () => undefined;
  return { decision, before, after: viewOf(target), moments };
}

/** At no moment is denied what was answered before and is to be answered, or led to what is dead. */
function checkMoments({ before, after, moments }: Passed): void {
  const leads = (view: View, name: string) => (view.names.get(name)?.endpoints.length ?? 0) > 0;
  for (const [at, view] of [...moments, after].entries()) {
    const when = `at moment ${at} of ${moments.length}`;
    for (const name of before.names.keys()) {
      if (leads(before, name) && leads(after, name)) assert.ok(leads(view, name), `${name} leads to somebody ${when}`);
      if (before.routed.has(name) && after.routed.has(name))
        assert.ok(view.routed.has(name), `${name} is routed ${when}`);
    }
    for (const [alias, host] of view.aliases) {
      if (before.names.has(before.aliases.get(alias) ?? host))
        assert.ok(view.names.has(host), `${alias} leads to ${host} ${when}`);
    }
    for (const alias of before.aliases.keys())
      if (after.aliases.has(alias)) assert.ok(view.aliases.has(alias), `${alias} is there ${when}`);
    // Where its service cannot be read, a route may stay at what is dead until that goes.
    for (const [name, host] of view.exposures)
      if (leads(before, before.exposures.get(name) ?? host))
        assert.ok(view.names.has(host), `${name} leads to ${host} ${when}`);
  }
}

/** Every name and alias that a living service is to have is its own, or of one that nobody could read. */
function checkFollowed(bench: Bench, { decision, before, after }: Passed): void {
  const { installation, lines, target } = bench;
  const told = toldOf(lines, installation);
  const isSame = (key: string, other: string) =>
    installation.isCaseless ? key.toLowerCase() === other.toLowerCase() : key === other;
  const hosts = new Map<string, string>();
  // What is being deleted is nowhere to write to.
  for (const object of target.objects.values())
    if (isEntry(object) && object.terminating === undefined)
      hosts.set(object.service, object.manifest.spec.hosts[0] ?? "");
  const stands = (key: string) => [...hosts.keys()].some((one) => isSame(one, key));
  const isSaid = (key: string, subject: string) =>
    decision.plan.hold.some((hold) => isSame(hold.service ?? "", key) && (hold.subject === subject || !stands(key)));

  function check(line: Line, subject: string, was: string | undefined, is: string | undefined, isAlias = false): void {
    const key = standsAs(line, installation);
    const { endpoints, isDenied } = told(key);
    const holder = told(was);
    // Of aliases the rules say whose they are, as soon as one registry of a merge lists the service.
    const isRuled = isAlias && decision.catalog.services.has(was ?? "");
    const isKeptByDenied = was !== undefined && !isSame(was, key) && holder.isDenied && !isRuled;
    if (line.isDenied || isDenied) return;
    if (isKeptByDenied) {
      assert.equal(is, was, `${subject} stays with ${was}, which could not be read`);
      return;
    }
    if (endpoints.length > 0) {
      if (is !== undefined && isSame(is, key)) return;
      assert.ok(
        isSaid(key, subject) || (was === undefined && installation.isReported),
        `${subject} is ${is}'s, not that of ${key}`,
      );
      if (was !== undefined)
        assert.ok(!stands(key) && (is === was || !holder.isListed), `${subject} was ${was}'s, is ${is}'s`);
      return;
    }
    // Whoever has never had an endpoint displaces nobody.
    if (!stands(key) && was !== undefined && holder.endpoints.length > 0)
      assert.equal(is, was, `${subject} stays with ${was}`);
  }

  for (const line of lines) {
    for (const name of line.legacy) check(line, name, before.names.get(name)?.service, after.names.get(name)?.service);
    const { alias } = line;
    const isEnding = target.objects.get(`Service/apps/${alias}`)?.terminating !== undefined;
    if (alias !== undefined && !isEnding && told(standsAs(line, installation)).endpoints.length > 0)
      check(line, `apps/${alias}`, before.owners.get(alias), after.owners.get(alias), true);
  }
  const ending = [...target.objects.values()].filter(({ terminating }) => terminating !== undefined);
  for (const [name, { service: key, endpoints }] of after.names) {
    if (ending.some(({ service }) => service === key)) continue;
    const { endpoints: wanted, isDenied } = told(key);
    if (!isDenied) for (const one of wanted) assert.ok(endpoints.includes(one), `${name} leads to ${one} of ${key}`);
  }
}

/** The VIP of a service that was succeeded leads to its heir. */
function checkHeirs({ target, lines, installation }: Bench): void {
  const told = toldOf(lines, installation);
  const entries = new Map([...target.objects.values()].filter(isEntry).map((entry) => [entry.service, entry]));
  const addresses = (entry: StandingObject | undefined) =>
    entry?.manifest.kind === "ServiceEntry" ? (entry.manifest.spec.endpoints ?? []).map(({ address }) => address) : [];
  for (const [key, entry] of entries) {
    const heir = entry.manifest.metadata.annotations?.["x2istio.dev/succeeded-by"];
    const isEnding = entry.terminating !== undefined || entries.get(heir ?? "")?.terminating !== undefined;
    // What could not be read stays as it is.
    const isUnread = told(key).isDenied || told(heir ?? "").isDenied;
    if (heir !== undefined && entries.has(heir) && !isEnding && !isUnread)
      assert.deepEqual(addresses(entry), addresses(entries.get(heir)), `${key} leads to ${heir}`);
  }
}

/** Somebody puts finalizers on what stands of a service, or takes all off, with which goes what was to go. */
function keep({ kept, objects }: MemoryTarget, at: number | undefined): void {
  const services = [...new Set([...objects.values()].map(({ service }) => service))];
  for (const { key, service } of objects.values())
    if (at !== undefined && service === services[at % services.length]) kept.add(key);
  if (at !== undefined) return;
  kept.clear();
  for (const { key, terminating } of objects.values()) if (terminating !== undefined) objects.delete(key);
}

async function live(bench: Bench, { edits, isRestart, moveMs, faultEvery, keeps }: Step): Promise<void> {
  const { installation, target } = bench;
  target.clockMs += moveMs;
  keep(target, keeps);
  for (const one of edits) bench.lines = edited(bench.lines, one, installation);
  // Another configuration is a fresh process, too.
  const isReloaded = edits.some(({ kind }) => kind !== "fill" && kind !== "empty" && kind !== "deny");
  if (isReloaded) bench.settings = settingsOf(bench.lines, installation);
  if (isReloaded || isRestart) bench.compute = decider(bench.settings);
  if (faultEvery > 0) checkMoments(await onePass(bench, faultEvery));
  const ending = new Set([...target.objects.values()].flatMap((one) => (one.terminating === undefined ? [] : one.key)));
  for (let turn = 1; turn <= 3; turn++) {
    target.requests.length = 0;
    const passed = await onePass(bench, 0);
    for (const key of ending)
      if (target.objects.get(key)?.terminating !== undefined)
        assert.ok(!target.requests.some((request) => request.endsWith(` ${key}`)), `${key} is not touched`);
    checkMoments(passed);
    checkFollowed(bench, passed);
    checkHeirs(bench);
  }
  assert.deepEqual(changesOf(decide(bench)), [], "nothing is left to do after three passes");
}

for (const installation of installations) {
  test(`names follow the living: ${installation.name}`, async () => {
    const run = fc.asyncProperty(history, async (steps) => {
      const bench = start(installation);
      await onePass(bench, 0);
      for (const one of steps) await live(bench, one);
    });
    await fc.assert(run, { numRuns: sized(100), ...(testSize() === "full" ? {} : { seed: 1 }) });
  });
}
