import {
  EFFECTIVE_STAGE_ANNOTATION,
  EFFECTIVE_WEIGHT_ANNOTATION,
  INSIDE_ADDRESSES_ANNOTATION,
} from "../../src/model/claim.ts";
import { EMPTY_SINCE_ANNOTATION, GONE_SINCE_ANNOTATION } from "../../src/model/objects.ts";
import { serviceKey } from "../../src/model/service.ts";
import type { Kept } from "./cluster/api-server.ts";
import { claimantOf } from "./cluster/claimants.ts";
import { isOurs } from "./events.ts";
import { addressesOf } from "./names.ts";
import { NAMES, NAMESPACE, type Registry } from "./registry.ts";
import { MESH } from "./replica.ts";
import type { Replica, World } from "./types.ts";
import { isMainEntry, isSucceeded } from "./witness.ts";

/** Back-off, election, and a Lease that has to run out: what may pass before the first pass without fault. */
const MOST_WAIT_MS = 180_000;
const PASSES = 2;
/** A claimed service goes one step a pass, and its names follow in one of their own. */
const STEPS = 6;
/** What was refused is tried again within this, and what a watch could not open is opened. */
const REFUSED_MS = 45_000;

/** (5) End all faults; after two passes everything must stand as the registries say. */
export async function calmDown(world: World): Promise<void> {
  const { clock, witness } = world;
  world.heal();
  const sinceMs = clock.nowMs();
  const leader = await until(world, () => world.replicas.find((one) => one.isLeader() && isFresh(world, one, sinceMs)));
  if (leader === undefined) return witness.accuse(5, "nobody leads and reads after three minutes without fault");
  if (clock.nowMs() - world.refusedMs() < REFUSED_MS) await clock.advance(REFUSED_MS);
  // What is really gone at once needs an operator.
  if ((leader.controller()?.latest()?.plan.brakes.length ?? 0) > 0) world.release();
  // Whoever wants a service asks again.
  for (const service of world.wanted) for (const replica of world.replicas) replica.ask(service);
  const first = leader.passes();
  const needed = PASSES + 1 + (world.claims.size > 0 ? STEPS : 0) + (world.wanted.size > 0 ? PASSES : 0);
  const passed = await until(world, () => (leader.passes() >= first + needed ? leader : undefined));
  if (passed === undefined) return witness.accuse(5, `${leader.process.name} makes no pass`);
  // A step may wait until clients know where it leads, whatever the number of passes.
  const stages = () => [...(leader.controller()?.latest()?.stages.values() ?? [])];
  const isSettled = () => stages().every(({ settlesAtMs }) => settlesAtMs === undefined);
  if ((await until(world, () => isSettled() || undefined)) === undefined)
    return witness.accuse(5, "a stage waits for clients without end");
  // News of the last writes: a watch that was silent is opened anew after a while.
  const knows = (one: Replica) => isFresh(world, one, 0);
  await until(world, () => (world.replicas.every(knows) ? true : undefined));
  await clock.advance(1000);
  for (const entry of unclaimed(world)) witness.accuse(2, entry);
  for (const difference of differences(world, leader)) witness.accuse(5, difference);
  for (const name of unled(world)) witness.accuse(7, name);
}

async function until<T>({ clock, witness }: World, found: () => T | undefined): Promise<T | undefined> {
  for (let waitedMs = 0; waitedMs < MOST_WAIT_MS && witness.violation() === undefined; waitedMs += 500) {
    const result = found();
    if (result !== undefined) return result;
    await clock.advance(500);
  }
  return found();
}

/** Whether it has read everything since: the registries, and what stands. */
function isFresh(
  { witness, registries, api }: World,
  { process, target, controller }: Replica,
  sinceMs: number,
): boolean {
  const isRead = registries.every(({ name }) => witness.askedMs(process, name) > sinceMs);
  if (!isRead || controller() === undefined) return false;
  const { objects, foreign } = target.standing();
  const all = ["serviceentries", "virtualservices", "services"].flatMap((plural) => api.objects(plural));
  return (
    objects.size + foreign.size === all.length &&
    all.every((kept) => {
      const key = `${kept.kind}/${kept.metadata.namespace}/${kept.metadata.name}`;
      const known = objects.get(key);
      return foreign.has(key) || known?.resourceVersion === kept.metadata.resourceVersion;
    })
  );
}

/** Entries whose VIP the ledger does not have for them: then another writer could give it to someone else. */
function* unclaimed(world: World): Generator<string> {
  for (const entry of world.api.objects("serviceentries").filter(isEntryOfOurs)) {
    const { hosts = [] } = entry.spec as { hosts?: string[] };
    for (const vip of vipsOf(entry)) {
      const line = lineOf(world, vip);
      if (line !== `${hosts[0]} east used`) yield `${vip} of ${hosts[0]} stands in the ledger as ${line}`;
    }
  }
}

function* differences(world: World, leader: Replica): Generator<string> {
  for (const [name, asked] of world.claims) yield* ofClaim(world, leader, name, asked);
  for (const registry of world.registries) {
    for (const name of registry.services.keys()) yield* ofService(world, registry, name);
  }
  for (const name of NAMES) yield* ofUselessClaimant(world, name);
  for (const entry of world.api.objects("serviceentries").filter(isEntryOfOurs)) {
    const [registry = "", , name = ""] = (entry.metadata.annotations?.["x2istio.dev/service"] ?? "").split("/");
    const isListed = world.registries.find((one) => one.name === registry)?.services.has(name.toLowerCase()) === true;
    const isMoved = markOf(entry, EFFECTIVE_STAGE_ANNOTATION) !== undefined;
    const leadsOn = isSucceeded(entry); // to what another service has
    if (
      !isListed &&
      !isMoved &&
      (markOf(entry, GONE_SINCE_ANNOTATION) === undefined || (endpointsOf(entry).length > 0 && !leadsOn))
    )
      yield `${entry.metadata.name} stands though ${registry} does not list ${name}`;
  }
}

function* ofService(world: World, registry: Registry, name: string): Generator<string> {
  const { api } = world;
  const service = registry.services.get(name);
  const host = `${name}.${NAMESPACE}.${registry.name}.mesh.internal`;
  const entry = api.get("serviceentries", MESH, host);
  if (entry !== undefined && !isOurs(entry)) return; // its name is taken
  const key = serviceKey(registry.name, NAMESPACE, name);
  const isReported = world.settings.registries.find((one) => one.name === registry.name)?.demand === "reported";
  if (isReported && !world.wanted.has(key)) {
    if (entry !== undefined && !world.heirs.has(key)) yield `${key} stands, and nobody asked for it`;
    return;
  }
  if (isReported && entry !== undefined) world.took("what was asked for is made");
  const [vip] = entry === undefined ? [] : addressesOf(entry);
  if (entry === undefined || vip === undefined) {
    if (!isFull(world) && !isClaimedByTenant(world, host)) yield `${key} has no entry, or none with a VIP`;
    return;
  }
  const wanted = service?.endpoints.map(({ address }) => address).toSorted() ?? [];
  if (endpointsOf(entry).toSorted().join() !== wanted.join())
    yield `${host} has endpoints ${endpointsOf(entry).join()}, not ${wanted.join()}`;
  if (markOf(entry, GONE_SINCE_ANNOTATION) !== undefined) yield `${host} is marked as gone`;
  if (markOf(entry, EMPTY_SINCE_ANNOTATION) !== undefined && wanted.length > 0) yield `${host} is marked as empty`;
  yield* ofAlias(world, registry, name, host);
  for (const { process, table } of world.replicas) {
    const answered = table()?.names.get(host)?.a.join();
    if (answered !== vip) yield `${process.name} answers ${host} with ${answered}, not ${vip}`;
  }
}

/** Legacy names that lead to none of the services that are to have them. */
function* unled(world: World): Generator<string> {
  const wanted = new Map<string, { registry: string; name: string; isLiving: boolean }[]>();
  for (const { name: registry, services } of world.registries)
    for (const { name, legacyNames, endpoints } of services.values())
      for (const legacy of legacyNames)
        wanted.set(legacy, [...(wanted.get(legacy) ?? []), { registry, name, isLiving: endpoints.length > 0 }]);
  for (const [legacy, by] of wanted) {
    if (!by.some(({ isLiving }) => isLiving)) continue; // an empty one has it on as long as it is listed
    const entries = by
      .map(({ registry, name }) =>
        world.api.get("serviceentries", MESH, `${name}.${NAMESPACE}.${registry}.mesh.internal`),
      )
      .filter((entry) => entry !== undefined && isOurs(entry) && addressesOf(entry).length > 0);
    const vips = entries.flatMap((entry) =>
      entry === undefined
        ? []
        : [...addressesOf(entry), ...(markOf(entry, INSIDE_ADDRESSES_ANNOTATION) ?? "").split(",")],
    );
    if (entries.length < by.length || isClaimedByTenant(world, legacy)) continue;
    for (const { process, table } of world.replicas) {
      const answered = table()?.names.get(legacy)?.a ?? [];
      if (!vips.includes(answered[0] ?? "none"))
        yield `${process.name} answers ${legacy} with ${answered.join() || "nothing"}, not ${vips.join(" or ")}`;
    }
  }
}

/** Whether an entry or a route of someone else has this host: who came first keeps it. */
function isClaimedByTenant({ api }: World, host: string): boolean {
  return ["serviceentries", "virtualservices"]
    .flatMap((plural) => api.objects(plural))
    .some((entry) => !isOurs(entry) && (entry.spec as { hosts?: readonly string[] }).hosts?.includes(host) === true);
}

function* ofAlias({ api }: World, registry: Registry, name: string, host: string): Generator<string> {
  const alias = api.get("services", NAMESPACE, registry.name === "dc1" ? name : `${name}-p`);
  const { type, externalName } = (alias?.spec ?? {}) as { type?: string; externalName?: string };
  if (alias !== undefined && (!isOurs(alias) || type !== "ExternalName")) return; // it is someone's
  const entry = api.get("serviceentries", MESH, host);
  const isInside = ["inside", "retired"].includes(
    entry === undefined ? "" : (markOf(entry, EFFECTIVE_STAGE_ANNOTATION) ?? ""),
  );
  const target = isInside ? `${claimantOf(name)}.${NAMESPACE}.svc.cluster.local` : host;
  if (externalName !== target) yield `the alias of ${host} leads to ${externalName ?? "nothing"}`;
}

/** One that has none of the ports has asked for all calls, and gets none. */
function* ofUselessClaimant({ api, took }: World, name: string): Generator<string> {
  const entry = api.get("serviceentries", MESH, `${name}.${NAMESPACE}.dc1.mesh.internal`);
  if (entry === undefined || api.get("services", NAMESPACE, claimantOf(name, false)) === undefined) return;
  const stage = markOf(entry, EFFECTIVE_STAGE_ANNOTATION);
  if (stage === undefined) took("a claimant of no use is refused");
  else yield `${name} stands ${stage} by a claimant of no use`;
}

/** What a claimant asks for is done, unless something is in the way of it, which is then said. */
function* ofClaim(
  { api, took }: World,
  leader: Replica,
  name: string,
  asked: { readonly stage: string; readonly weight?: number },
): Generator<string> {
  const key = serviceKey("dc1", NAMESPACE, name);
  const decision = leader.controller()?.latest()?.stages.get(key);
  const entry = api.get("serviceentries", MESH, `${name}.${NAMESPACE}.dc1.mesh.internal`);
  if (entry === undefined || !isOurs(entry) || decision === undefined || decision.blockers.length > 0) return;
  const stage = markOf(entry, EFFECTIVE_STAGE_ANNOTATION) ?? "outside";
  if (stage !== asked.stage) yield `${key} stands ${stage}, and is to stand ${asked.stage}`;
  if (stage === "split" && Number(markOf(entry, EFFECTIVE_WEIGHT_ANNOTATION)) !== asked.weight)
    yield `${key} has weight ${markOf(entry, EFFECTIVE_WEIGHT_ANNOTATION)}, and is to have ${asked.weight}`;
  if (stage === "split") took("calls are split with a claimant");
  if (stage === "inside" || stage === "retired") took("calls are led inside");
}

/** Whether every address is held, in the ledger or by someone's entry: then a new service waits. */
function isFull({ api }: World): boolean {
  const theirs = api.objects("serviceentries").filter((entry) => !isOurs(entry));
  const taken = theirs.flatMap((entry) => addressesOf(entry).map((address) => address.replaceAll(".", "-")));
  return api
    .objects("configmaps")
    .some(({ data }) => new Set([...Object.keys((data ?? {}) as object), ...taken]).size >= 14);
}

function lineOf({ api }: World, vip: string): string | undefined {
  const lines = api.objects("configmaps").map(({ data }) => (data as Record<string, string>)[vip.replaceAll(".", "-")]);
  return lines.find((line) => line !== undefined);
}

export function vipsOf(entry: Kept | undefined): readonly string[] {
  return (entry?.spec as { addresses?: readonly string[] } | undefined)?.addresses ?? [];
}

function endpointsOf(entry: Kept): readonly string[] {
  const { endpoints = [] } = entry.spec as { endpoints?: readonly { readonly address: string }[] };
  return endpoints.map(({ address }) => address);
}

function isEntryOfOurs(entry: Kept): boolean {
  return isOurs(entry) && isMainEntry(entry as unknown as Parameters<typeof isMainEntry>[0]);
}

function markOf({ metadata }: Kept, name: string): string | undefined {
  return metadata.annotations?.[name];
}
