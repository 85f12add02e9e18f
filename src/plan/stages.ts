import type { Blocker, Claim, ClaimantRef, MigrationRules, StageDecision, StageRequest } from "../model/claim.ts";
import { objectKey } from "../model/objects.ts";
import type { Hold } from "../model/plan.ts";
import type { ServiceKey } from "../model/service.ts";
import type { ForeignObject } from "../model/standing.ts";
import { canonical } from "./addresses.ts";
import { claimHold, countClaims } from "./claims.ts";
import { isInPlace, leadsIn, leadsOut } from "./in-place.ts";
import type { Catalog, CatalogService } from "./merge.ts";
import { foreignRoutes, type Naming, type ServiceNames } from "./names.ts";
import type { RegistryRules } from "./objects.ts";
import { isForward, isSame, isSamePlace, nextPlace, OUTSIDE, type Place } from "./places.ts";
import { blockersOf, hostsOf, nameOf } from "./preconditions.ts";
import { retireBlockers } from "./retire.ts";
import { sameValue } from "./same.ts";
import type { IndexedStanding, StandingEntry } from "./standing.ts";
import { AT_OUTSIDE, insideAddresses, isPast, type StandingStage, standingStage } from "./standing-stage.ts";
import { atOnce, ITEMS_PER_STEP, type Steps } from "./steps.ts";

/** What stages are decided by besides what was read and what stands. */
export interface StageOptions {
  readonly rules: MigrationRules;
  /** By registry. */
  readonly registries: ReadonlyMap<string, Pick<RegistryRules, "exportTo" | "waypoint">>;
  /** Where the entries stand. */
  readonly namespace: string;
  readonly clusterDomain: string;
  readonly nowMs: number;
  /** Services that are known and that nobody has asked for. */
  readonly undemanded?: ReadonlyMap<ServiceKey, unknown>;
}

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
 *
 * @param previous equal decisions keep their identity
 */
export const decideStages = atOnce(decideStagesSteps);

/** {@link decideStages} in steps. */
export function* decideStagesSteps(
  catalog: Catalog,
  naming: Naming,
  standing: IndexedStanding,
  options: StageOptions,
  previous?: Stages["decisions"],
): Steps<Stages> {
  const registries = new Set(catalog.authorities.keys());
  const { byService, holds: refused } = countClaims(standing.claims?.values() ?? [], options.rules, registries);
  const holds: Hold[] = [...refused];
  const decisions = new Map<ServiceKey, StageDecision>();
  let routes: ReadonlyMap<string, ForeignObject> | undefined;
  let looked = 0;
  const keys = new Set(byService.keys());
  for (const [key, entry] of standing.entries) {
    if (++looked % ITEMS_PER_STEP === 0) yield;
    const { stage, steppedBackFrom } = standingStage(entry);
    // What nothing can be decided of stays as it stands.
    if (stage !== "outside" || steppedBackFrom !== undefined) keys.add(key);
  }
  for (const key of [...keys].sort()) {
    if (++looked % ITEMS_PER_STEP === 0) yield;
    const claims = byService.get(key) ?? [];
    const decided = decide(key, claims);
    const before = previous?.get(key);
    const decision = before !== undefined && sameValue(before, decided) ? before : decided;
    decisions.set(key, decision);
    holds.push(...holdsOf(decision, claims));
  }
  return { decisions, holds };

  function decide(key: ServiceKey, claims: readonly Claim[]): StageDecision {
    const entry = standing.entries.get(key);
    const service = catalog.services.get(key);
    const names = naming.services.get(key);
    const at = entry === undefined ? AT_OUTSIDE : standingStage(entry);
    const claim = claims.length > 1 ? claims.find((one) => isSame(one, at.claimant)) : claims[0];
    const known = entry !== undefined && service !== undefined && names !== undefined;
    const judged = known ? judge({ key, entry, service, names, at, claim, claims }) : unknown(key, at, claim);
    return decisionOf(key, { claim, entry, names }, judged);
  }

  function unknown(key: ServiceKey, at: StandingStage, claim: Claim | undefined): Verdict {
    const { steppedBackFrom } = at;
    const blockers = whyUnknown(key);
    const asked = requestOf(claim, at);
    const isRefused = blockers.length > 0 && stageText(asked) !== stageText(at);
    const request = isRefused ? at : asked;
    return { next: at, request, blockers, refusedTo: isRefused ? asked : undefined, steppedBackFrom };
  }

  function whyUnknown(key: ServiceKey): readonly Blocker[] {
    const registry = key.slice(0, key.indexOf("/"));
    const why = catalog.failed.get(key) ?? catalog.authorities.get(registry)?.why;
    if (why !== undefined) return [{ kind: "registry", message: `${key} cannot be read: ${why}` }];
    if (options.undemanded?.has(key) === true)
      return [{ kind: "registry", message: `nobody has asked for ${key} yet: it has no objects until a caller does` }];
    if (catalog.services.has(key) && naming.services.has(key)) return []; // its entry comes first
    const message = catalog.services.has(key)
      ? `${key} has no host: mend what holds it`
      : `registry ${registry} does not list ${key}: correct what the claim says it replaces`;
    return [{ kind: "registry", message }];
  }

  function judge(input: Judged): Verdict {
    const { key, at, claim, claims, entry, service } = input;
    const { rules } = options;
    const second = claims.length > 1 ? [secondClaim(key, claims)] : [];
    if (claim === undefined && claims.length > 1 && at.stage === "outside") {
      const asking = claims.find(({ stage }) => stage !== "outside");
      const refusedTo = asking === undefined ? undefined : requestOf(asking, at);
      return { next: at, request: at, blockers: second, refusedTo, steppedBackFrom: undefined };
    }
    // What cannot be read asks for nothing, neither way.
    const faults = (claim?.problems ?? []).map((message): Blocker => ({ kind: "annotation", message }));
    const conditions = claim === undefined ? [] : [...faults, ...second, ...unread(key), ...conditionsOf(input, claim)];
    const asked = faults.length > 0 ? requestOf(undefined, at) : requestOf(claim, OUTSIDE);
    const id = claim === undefined ? undefined : requestText(claim);
    const isReady = claim === undefined || standing.namespaces === undefined || (claim.live?.readyEndpoints ?? 0) > 0;
    const hasOutside = service.endpoints.length > 0 && (entry.manifest.spec.endpoints ?? []).length > 0;
    const isServed = at.stage !== "outside" && at.weight > 0 && isSame(claim, at.claimant);
    const stepsBack = isServed && !isReady && rules.stepBack && hasOutside;
    const isStepped = id !== undefined && at.steppedBackFrom === id && !(rules.auto && isReady);
    const steppedBackFrom = stepsBack || isStepped ? id : undefined;
    const retirement = retireBlockers(input, catalog.moved?.get(key), options);
    const request = steppedBackFrom === undefined ? wanted(input, asked, conditions, retirement, rules.auto) : OUTSIDE;
    const next = nextPlace(at, request, claim);
    const notReady = isServed && !isReady && !stepsBack ? conditions.filter(({ kind }) => isOfClaimant(kind)) : [];
    const stepped = steppedBackFrom === undefined || stepsBack ? [] : [steppedBack(key, claim)];
    const shown = [...stepped, ...conditions];
    const stay = (blockers: readonly Blocker[], refusedTo?: StageRequest): Verdict => ({
      ...{ next: at, request: refusedTo === undefined ? request : at, blockers, steppedBackFrom, refusedTo },
    });
    if (isSamePlace(at, next)) {
      if (stepped.length > 0) return { ...stay(stepped, asked), blockers: shown };
      if (notReady.length > 0) return stay(hasOutside ? notReady : [...notReady, noWayOut(input)], OUTSIDE);
      if (faults.length > 0) return stay(faults, requestOf(claim, at));
      // It is where it can be, and may be asked to go further.
      const isShort = asked.stage === "retired" && at.stage === "inside";
      return isShort ? stay(retirement, asked) : stay(shown);
    }
    // A write that empties the entry is one that a brake may hold back: no step goes with it.
    const isLed = leadsIn(at, input, standing, options.clusterDomain);
    const isEmptied = service.endpoints.length === 0 && (entry.manifest.spec.endpoints ?? []).length > 0;
    if (isEmptied && (isLed || isForward(at, next))) return stay(shown);
    if (isForward(at, next)) {
      if (next.stage !== "retired" && conditions.length > 0) return stay(conditions, asked);
      if (!isInPlace(at, input, standing, options.clusterDomain)) return stay(shown);
    }
    if (next.weight < at.weight) {
      if (!hasOutside && isLed && !isAbandoned(at, claims)) return stay([noWayOut(input), ...notReady], request);
      if (!leadsOut(input, standing)) return stay(shown);
    }
    return { next, request, blockers: shown, steppedBackFrom, refusedTo: undefined };
  }

  function unread(key: ServiceKey): readonly Blocker[] {
    const why = catalog.moved?.get(key);
    return why === undefined ? [] : [{ kind: "registry", message: `${key} cannot be read now: ${why}` }];
  }

  function conditionsOf({ key, service, names, entry }: Judged, claim: Claim): readonly Blocker[] {
    routes ??= foreignRoutes(standing);
    const { namespace, clusterDomain } = options;
    const { exportTo = ["*"], waypoint } = options.registries.get(service.registry) ?? {};
    const route = routes.get(names.host);
    const where = { namespace, clusterDomain, exportTo, waypoint };
    return blockersOf({ key, service, names, entry, claim, standing, route, ...where });
  }

  /** Whether nothing is lost by a step out that leads nowhere: the Service is not there either. */
  function isAbandoned({ claimant }: StandingStage, claims: readonly Claim[]): boolean {
    if (claims.length > 0 || claimant === undefined) return false;
    return !standing.foreign.has(objectKey("Service", claimant.namespace, claimant.name));
  }

  function holdsOf(
    { service, registry, stage, weight, claimant, refusedTo, blockers, towards }: StageDecision,
    claims: readonly Claim[],
  ): Hold[] {
    const made: Hold[] = [];
    const why = catalog.moved?.get(service);
    const subject = naming.services.get(service)?.host ?? service;
    if (why !== undefined) made.push({ reason: "unread", subject, service, registry, message: why });
    if (refusedTo === undefined || towards !== undefined || blockers.length === 0) return made;
    const reasons = blockers.map(({ message }) => message).join("; ");
    const whose: readonly (ClaimantRef & { readonly service: ServiceKey })[] =
      claims.length > 0
        ? claims.map((claim) => ({ ...claim, service }))
        : claimant === undefined
          ? []
          : [{ ...claimant, service }];
    for (const one of whose) {
      const own = claims.find((claim) => isSame(claim, one));
      const asks = claims.length > 1 && own !== undefined ? own : refusedTo;
      // Nobody asked to go out: it is what would have to be done.
      const isStuck = refusedTo.stage === "outside" && own !== undefined && own.stage !== "outside";
      const what = isStuck ? `stays at ${stageText({ stage, weight })}` : `to ${stageText(asks)} refused`;
      made.push(claimHold(one, registries, `${service} by ${nameOf(one)} ${what}: ${reasons}`));
    }
    return made;
  }
}

interface Judged {
  readonly key: ServiceKey;
  readonly entry: StandingEntry;
  readonly service: CatalogService;
  readonly names: ServiceNames;
  readonly at: StandingStage;
  readonly claim: Claim | undefined;
  readonly claims: readonly Claim[];
}

interface Known {
  readonly claim: Claim | undefined;
  readonly entry: StandingEntry | undefined;
  readonly names: ServiceNames | undefined;
}

interface Verdict {
  readonly next: Place;
  /** Where the steps lead. */
  readonly request: StageRequest;
  readonly blockers: readonly Blocker[];
  readonly refusedTo: StageRequest | undefined;
  readonly steppedBackFrom: string | undefined;
}

function decisionOf(
  key: ServiceKey,
  { claim, entry, names }: Known,
  { next, request, blockers, refusedTo, steppedBackFrom }: Verdict,
): StageDecision {
  const { stage, weight, claimant } = next;
  const live = isSame(claim, claimant) ? claim?.live : undefined;
  const inside =
    live?.clusterIPs.flatMap((one) => canonical(one) ?? []) ?? (entry === undefined ? [] : insideAddresses(entry));
  const listed = isSame(claim, claimant) ? claim?.sni : undefined;
  const hosts = names === undefined ? [] : hostsOf(names);
  const sni = (listed ?? hosts).filter((name) => hosts.includes(name));
  return {
    ...{ service: key, registry: key.slice(0, key.indexOf("/")), stage, weight, claimant, claim, blockers, refusedTo },
    towards:
      request.stage === stage && request.weight === weight
        ? undefined
        : { stage: request.stage, weight: request.weight },
    addresses: isPast(stage) ? inside : [],
    sni: claimant === undefined ? [] : sni,
    steppedBackFrom,
  };
}

/** `split 10`, `inside` */
export function stageText({ stage, weight }: StageRequest): string {
  return stage === "split" ? `split ${weight}` : stage;
}

/** What tells one request of a claim from another. */
export function requestText(claim: Claim): string {
  return `${stageText(claim)} ${nameOf(claim)} ${claim.request}`.trim();
}

function requestOf(claim: Claim | undefined, otherwise: StageRequest): StageRequest {
  const { stage, weight } = claim ?? otherwise;
  return { stage, weight };
}

/** What is asked for, as far as it can be gone towards now. */
function wanted(
  { at, claim, service }: Judged,
  asked: StageRequest,
  conditions: readonly Blocker[],
  retirement: readonly Blocker[],
  isAuto: boolean,
): StageRequest {
  // Nobody claims it any more, or only one that cannot take it over.
  if (at.claimant !== undefined && !isSame(claim, at.claimant) && conditions.length > 0) return OUTSIDE;
  if (at.stage === "retired" && (asked.stage === "retired" || (isAuto && asked.stage === "inside")))
    return service.endpoints.length === 0 ? { stage: "retired", weight: 100 } : { stage: "inside", weight: 100 };
  const mayRetire = at.stage === "inside" && retirement.length === 0;
  if (asked.stage === "inside" && isAuto && mayRetire) return { stage: "retired", weight: 100 };
  return asked.stage === "retired" && !mayRetire ? { stage: "inside", weight: 100 } : asked;
}

function isOfClaimant(kind: Blocker["kind"]): boolean {
  return kind === "endpoints" || kind === "service";
}

function secondClaim(key: ServiceKey, claims: readonly Claim[]): Blocker {
  const who = claims.map(nameOf).join(" and ");
  return {
    kind: "second",
    message: `${who} both claim ${key}: take the annotation x2istio.io/replaces off all but one`,
  };
}

function steppedBack(key: ServiceKey, claim: Claim | undefined): Blocker {
  const who = claim === undefined ? "" : nameOf(claim);
  const message = `${who} had no ready endpoint, so calls of ${key} went outside again: once it has, ask anew by another value of annotation x2istio.io/request`;
  return { kind: "stepped-back", message };
}

function noWayOut({ key, service }: Judged): Blocker {
  const message = `registry ${service.registry} has no endpoint of ${key} to which calls could go back: register one`;
  return { kind: "registry", message };
}
