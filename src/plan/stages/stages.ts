import { canonical } from "../../istio/addresses.ts";
import type { Blocker, Claim, ClaimantRef, StageDecision, StageRequest } from "../../model/claim.ts";
import type { Hold } from "../../model/plan.ts";
import { registryOfKey, type ServiceKey } from "../../model/service.ts";
import type { Catalog } from "../catalog/catalog.ts";
import { lazy } from "../lazy.ts";
import { type PlanMemory, planMemory } from "../memory.ts";
import { foreignNames } from "../names/foreign-names.ts";
import type { Naming, ServiceNames } from "../names/naming.ts";
import { sameValue } from "../same.ts";
import type { IndexedStanding, StandingEntry } from "../standing.ts";
import { claimHold, countClaims } from "./claims.ts";
import { judge, requestOf } from "./judge.ts";
import { isSame } from "./places.ts";
import { hostsOf, nameOf } from "./preconditions.ts";
import type { StageOptions, StageState, Verdict } from "./stage-state.ts";
import { stageText } from "./stage-text.ts";
import { AT_OUTSIDE, insideAddresses, isPast, type StandingStage, standingStage } from "./standing-stage.ts";

/** Where services stand that are claimed, or are past `outside`; all others are outside. */
export interface Stages {
  readonly decisions: ReadonlyMap<ServiceKey, StageDecision>;
  /** Refused claims and steps. */
  readonly holds: readonly Hold[];
}

/**
 * Decide where each claimed service is to stand after this pass: where it stands, or one step on. What stands decides how far it
 * is: the annotations of its entry, its VirtualService and its aliases.
 *
 * On the way inside all calls are led there first, and aliases and names follow in a pass of their own; on the way out they come
 * back first. A step forward is taken only when nothing is in its way, and never by itself unless `auto` is set; a step back only
 * when there is something outside to go back to.
 */
export function decideStages(
  catalog: Catalog,
  naming: Naming,
  standing: IndexedStanding,
  options: StageOptions,
  memory: Pick<PlanMemory, "decision" | "foreignNames"> = planMemory(),
): Stages {
  const registries = new Set(catalog.authorities.keys());
  const { byService, holds: refused } = countClaims(standing.claims?.values() ?? [], options.rules, registries);
  const state: StageState = {
    catalog,
    naming,
    standing,
    options,
    routes: lazy(() => foreignNames(standing, memory).routes.wide),
  };
  const holds: Hold[] = [...refused];
  const decisions = new Map<ServiceKey, StageDecision>();
  for (const key of decidedServices(byService.keys(), standing)) {
    const claims = byService.get(key) ?? [];
    const decided = decideStage(state, key, claims);
    const before = memory.decision?.stages.get(key);
    const decision = before !== undefined && sameValue(before, decided) ? before : decided;
    decisions.set(key, decision);
    holds.push(...holdsOf(state, decision, claims));
  }
  return { decisions, holds };
}

/** Services that are claimed, and those that stand past `outside`: what nothing can be decided of stays as it stands. */
function decidedServices(claimed: Iterable<ServiceKey>, standing: IndexedStanding): readonly ServiceKey[] {
  const keys = new Set(claimed);
  for (const [key, entry] of standing.entries) {
    const { stage, steppedBackFrom } = standingStage(entry);
    if (stage !== "outside" || steppedBackFrom !== undefined) keys.add(key);
  }
  return [...keys].sort();
}

function decideStage(state: StageState, key: ServiceKey, claims: readonly Claim[]): StageDecision {
  const entry = state.standing.entries.get(key);
  const service = state.catalog.services.get(key);
  const names = state.naming.services.get(key);
  const at = entry === undefined ? AT_OUTSIDE : standingStage(entry);
  const claim = claims.length > 1 ? claims.find((one) => isSame(one, at.claimant)) : claims[0];
  const known = entry !== undefined && service !== undefined && names !== undefined;
  const verdict = known
    ? judge(state, { key, entry, service, names, at, claim, claims })
    : verdictOnUnknown(state, key, at, claim);
  return decisionOf(key, { claim, entry, names }, verdict);
}

function verdictOnUnknown(state: StageState, key: ServiceKey, at: StandingStage, claim: Claim | undefined): Verdict {
  const { steppedBackFrom } = at;
  const blockers = whyUnknown(state, key);
  const asked = requestOf(claim, at);
  const isRefused = blockers.length > 0 && stageText(asked) !== stageText(at);
  const request = isRefused ? at : asked;
  return { next: at, request, blockers, refusedTo: isRefused ? asked : undefined, steppedBackFrom };
}

function whyUnknown({ catalog, naming, options }: StageState, key: ServiceKey): readonly Blocker[] {
  const registry = registryOfKey(key);
  const why = catalog.failed.get(key) ?? catalog.authorities.get(registry)?.why;
  if (why !== undefined) return [{ kind: "registry", message: `${key} cannot be read: ${why}` }];
  if (options.undemanded?.has(key) === true)
    return [{ kind: "registry", message: `nobody has asked for ${key} yet: it has no objects until a caller does` }];
  if (catalog.services.has(key) && naming.services.has(key)) return []; // its entry comes first
  const message = catalog.services.has(key)
    ? `${key} has no host: fix what holds it`
    : `registry ${registry} does not list ${key}: correct the service that the claim names`;
  return [{ kind: "registry", message }];
}

function holdsOf({ catalog, naming }: StageState, decision: StageDecision, claims: readonly Claim[]): readonly Hold[] {
  const { service, registry, refusedTo, blockers, towards } = decision;
  const made: Hold[] = [];
  const why = catalog.moved?.get(service);
  const subject = naming.services.get(service)?.host ?? service;
  if (why !== undefined) made.push({ reason: "unread", subject, service, registry, message: why });
  if (refusedTo === undefined || towards !== undefined || blockers.length === 0) return made;
  const reasons = blockers.map(({ message }) => message).join("; ");
  const registries = new Set(catalog.authorities.keys());
  for (const one of whoAsks(decision, claims)) {
    const what = refusalText(decision, refusedTo, one, claims);
    made.push(claimHold(one, registries, `${service} by ${nameOf(one)} ${what}: ${reasons}`));
  }
  return made;
}

/** Who is told of a refusal: who claims the service, else who has it. */
function whoAsks(
  { service, claimant }: StageDecision,
  claims: readonly Claim[],
): readonly (ClaimantRef & { readonly service: ServiceKey })[] {
  if (claims.length > 0) return claims.map((claim) => ({ ...claim, service }));
  return claimant === undefined ? [] : [{ ...claimant, service }];
}

function refusalText(
  { stage, weight }: StageDecision,
  refusedTo: StageRequest,
  one: ClaimantRef,
  claims: readonly Claim[],
): string {
  const own = claims.find((claim) => isSame(claim, one));
  const asks = claims.length > 1 && own !== undefined ? own : refusedTo;
  // Nobody asked to go out: it is what would have to be done.
  const isStuck = refusedTo.stage === "outside" && own !== undefined && own.stage !== "outside";
  return isStuck ? `stays at ${stageText({ stage, weight })}` : `to ${stageText(asks)} refused`;
}

interface Known {
  readonly claim: Claim | undefined;
  readonly entry: StandingEntry | undefined;
  readonly names: ServiceNames | undefined;
}

function decisionOf(
  key: ServiceKey,
  { claim, entry, names }: Known,
  { next, request, blockers, refusedTo, steppedBackFrom, settlesAtMs }: Verdict,
): StageDecision {
  const { stage, weight, claimant } = next;
  const live = isSame(claim, claimant) ? claim?.live : undefined;
  const inside =
    live?.clusterIPs.flatMap((one) => canonical(one) ?? []) ?? (entry === undefined ? [] : insideAddresses(entry));
  const listed = isSame(claim, claimant) ? claim?.sni : undefined;
  const hosts = names === undefined ? [] : hostsOf(names);
  const sni = (listed ?? hosts).filter((name) => hosts.includes(name));
  return {
    ...{ service: key, registry: registryOfKey(key), stage, weight, claimant, claim, blockers, refusedTo },
    towards:
      request.stage === stage && request.weight === weight
        ? undefined
        : { stage: request.stage, weight: request.weight },
    addresses: isPast(stage) ? inside : [],
    sni: claimant === undefined ? [] : sni,
    announced: entry === undefined ? [] : announcedOf(next, claim, blockers),
    ...{ steppedBackFrom, settlesAtMs },
  };
}

/** From its claim until it is retired: whom calls are led to, or may be with the next step. */
function announcedOf(
  { stage, claimant }: Pick<StageDecision, "stage" | "claimant">,
  claim: Claim | undefined,
  blockers: readonly Blocker[],
): readonly ClaimantRef[] {
  if (stage === "retired") return [];
  const led = claimant === undefined ? [] : [claimant];
  // A registry that cannot be read for a while says nothing against the Service.
  const isNext = claim !== undefined && !isSame(claim, claimant) && blockers.every(({ kind }) => kind === "registry");
  return isNext ? [...led, { namespace: claim.namespace, name: claim.name }] : led;
}
