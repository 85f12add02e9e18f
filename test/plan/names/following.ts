import assert from "node:assert/strict";
import { pass } from "../../../src/controller/pass.ts";
import type { Demands } from "../../../src/model/demand.ts";
import type { ServiceEntry } from "../../../src/model/objects.ts";
import type { StandingObject } from "../../../src/model/standing.ts";
import type { Decision } from "../../../src/plan/decision.ts";
import { isEntry, isExposure } from "../../../src/plan/standing.ts";
import { buildNameTable, decider } from "../at-once.ts";
import { NOW_MS } from "../build.ts";
import { type MemoryTarget, memoryTarget } from "../memory.ts";
import {
  edited,
  type Installation,
  keyOf,
  type Line,
  START,
  type Step,
  said,
  settingsOf,
  standsAs,
  toldOf,
} from "./histories.ts";

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

/** An installation that lives on from step to step. */
export interface Bench {
  readonly installation: Installation;
  readonly target: MemoryTarget;
  readonly asked: Demands;
  lines: readonly Line[];
  settings: ReturnType<typeof settingsOf>;
  compute: ReturnType<typeof decider>;
}

export function start(installation: Installation): Bench {
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

export function changesOf({ plan }: Decision): readonly string[] {
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

export async function onePass(bench: Bench, faultEvery: number): Promise<Passed> {
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
export function checkMoments({ lines, installation, settings }: Bench, { before, after, moments }: Passed): void {
  const told = toldOf(lines, installation);
  const exposed = new Map(settings.exposures.map(({ name, service }) => [name, told(service)]));
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
    // Where its service cannot be read, a route stays at what is dead until that goes, though an heir may have answered there.
    for (const [name, host] of view.exposures) {
      const stood = before.exposures.get(name) ?? host;
      const isLost = exposed.get(name)?.isDenied === true && !told(before.names.get(stood)?.service).isListed;
      if (leads(before, stood) && !isLost) assert.ok(view.names.has(host), `${name} leads to ${host} ${when}`);
    }
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

export async function live(bench: Bench, { edits, isRestart, moveMs, faultEvery, keeps }: Step): Promise<void> {
  const { installation, target } = bench;
  target.clockMs += moveMs;
  keep(target, keeps);
  for (const one of edits) bench.lines = edited(bench.lines, one, installation);
  // Another configuration is a fresh process, too.
  const isReloaded = edits.some(({ kind }) => kind !== "fill" && kind !== "empty" && kind !== "deny");
  if (isReloaded) bench.settings = settingsOf(bench.lines, installation);
  if (isReloaded || isRestart) bench.compute = decider(bench.settings);
  if (faultEvery > 0) checkMoments(bench, await onePass(bench, faultEvery));
  const ending = new Set([...target.objects.values()].flatMap((one) => (one.terminating === undefined ? [] : one.key)));
  for (let turn = 1; turn <= 3; turn++) {
    target.requests.length = 0;
    const passed = await onePass(bench, 0);
    for (const key of ending)
      if (target.objects.get(key)?.terminating !== undefined)
        assert.ok(!target.requests.some((request) => request.endsWith(` ${key}`)), `${key} is not touched`);
    checkMoments(bench, passed);
    checkFollowed(bench, passed);
    checkHeirs(bench);
  }
  assert.deepEqual(changesOf(decide(bench)), [], "nothing is left to do after three passes");
}
