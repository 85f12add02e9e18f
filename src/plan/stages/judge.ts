import type { Blocker, Claim, StageRequest } from "../../model/claim.ts";
import { objectKey } from "../../model/objects.ts";
import type { ServiceKey } from "../../model/service.ts";
import type { ForeignObject } from "../../model/standing.ts";
import { isOlder } from "../names/foreign-names.ts";
import { mayRoute } from "../objects/foreign-routes.ts";
import { isInPlace, knownAtMs, leadsIn, leadsOut } from "./in-place.ts";
import { isForward, isSame, isSamePlace, leadsElsewhere, nextPlace, OUTSIDE, type Place } from "./places.ts";
import { blockersOf, nameOf } from "./preconditions.ts";
import { retireBlockers } from "./retire.ts";
import type { Judged, StageState, Verdict } from "./stage-state.ts";
import { requestText } from "./stage-text.ts";
import type { StandingStage } from "./standing-stage.ts";

/** What is asked of a service, and what speaks for and against it. */
interface Case {
  readonly state: StageState;
  readonly input: Judged;
  /** What the claim asks for, as far as it can be read. */
  readonly asked: StageRequest;
  /** Problems of the claim's annotations. */
  readonly faults: readonly Blocker[];
  /** All that speaks against a step forward. */
  readonly conditions: readonly Blocker[];
  /** What speaks against `retired`. */
  readonly retirement: readonly Blocker[];
  /** Set where the service is stepped back from a request, now or since. */
  readonly steppedBackFrom: string | undefined;
  /** It is stepped back in this pass. */
  readonly stepsBack: boolean;
  /** There is something outside to lead calls to. */
  readonly hasOutside: boolean;
  /** Its calls are led to a claimant that has no ready endpoint, and stay there. */
  readonly notReady: readonly Blocker[];
}

/** Where a service is to stand after this pass: where it stands, or one step on. */
export function judge(state: StageState, input: Judged): Verdict {
  const { key, at, claim, claims } = input;
  if (claim === undefined && claims.length > 1 && at.stage === "outside") {
    const asking = claims.find(({ stage }) => stage !== "outside");
    const refusedTo = asking === undefined ? undefined : requestOf(asking, at);
    return { next: at, request: at, blockers: [secondClaim(key, claims)], refusedTo, steppedBackFrom: undefined };
  }
  const one = caseOf(state, input);
  const { auto } = state.options.rules;
  const request =
    one.steppedBackFrom === undefined ? wanted(input, one.asked, one.conditions, one.retirement, auto) : OUTSIDE;
  const next = nextPlace(at, request, claim);
  return isSamePlace(at, next) ? stayOf(one, request) : stepOf(one, request, next);
}

function caseOf(state: StageState, input: Judged): Case {
  const { key, at, claim, claims, entry, service } = input;
  const { rules } = state.options;
  const second = claims.length > 1 ? [secondClaim(key, claims)] : [];
  // What cannot be read asks for nothing, neither way.
  const faults = (claim?.problems ?? []).map((message): Blocker => ({ kind: "annotation", message }));
  const conditions =
    claim === undefined ? [] : [...faults, ...second, ...unread(state, key), ...conditionsOf(state, input, claim)];
  const id = claim === undefined ? undefined : requestText(claim);
  const isReady =
    claim === undefined || state.standing.namespaces === undefined || (claim.live?.readyEndpoints ?? 0) > 0;
  const hasOutside = service.endpoints.length > 0 && (entry.manifest.spec.endpoints ?? []).length > 0;
  const isServed = at.stage !== "outside" && at.weight > 0 && isSame(claim, at.claimant);
  const stepsBack = isServed && !isReady && rules.stepBack && hasOutside;
  const isStepped = id !== undefined && at.steppedBackFrom === id && !(rules.auto && isReady);
  return {
    ...{ state, input, faults, conditions, stepsBack, hasOutside },
    asked: faults.length > 0 ? requestOf(undefined, at) : requestOf(claim, OUTSIDE),
    retirement: retireBlockers(input, state.catalog.moved?.get(key), state.options),
    steppedBackFrom: stepsBack || isStepped ? id : undefined,
    notReady: isServed && !isReady && !stepsBack ? conditions.filter(({ kind }) => isOfClaimant(kind)) : [],
  };
}

/** What says that it was stepped back before this pass. */
function steppedBefore({ steppedBackFrom, stepsBack, input }: Case): readonly Blocker[] {
  return steppedBackFrom === undefined || stepsBack ? [] : [steppedBack(input.key, input.claim)];
}

/** All that is shown of a service that is not refused anything. */
function shownOf(one: Case): readonly Blocker[] {
  return [...steppedBefore(one), ...one.conditions];
}

/** Stays where it is, on the way to `request` or because `refusedTo` is refused. */
function stay(
  { input: { at }, steppedBackFrom }: Case,
  request: StageRequest,
  blockers: readonly Blocker[],
  refusedTo?: StageRequest,
): Verdict {
  return { next: at, request: refusedTo === undefined ? request : at, blockers, steppedBackFrom, refusedTo };
}

/** It is where it can be now. */
function stayOf(one: Case, request: StageRequest): Verdict {
  const { input, asked, faults, notReady, hasOutside, retirement } = one;
  const { at, claim } = input;
  const stepped = steppedBefore(one);
  if (stepped.length > 0) return { ...stay(one, request, stepped, asked), blockers: shownOf(one) };
  if (notReady.length > 0) return stay(one, request, hasOutside ? notReady : [...notReady, noWayOut(input)], OUTSIDE);
  if (faults.length > 0) return stay(one, request, faults, requestOf(claim, at));
  // It is where it can be, and may be asked to go further.
  const isShort = asked.stage === "retired" && at.stage === "inside";
  return isShort ? stay(one, request, retirement, asked) : stay(one, request, shownOf(one));
}

/** It would go on to `next`. */
function stepOf(one: Case, request: StageRequest, next: Place): Verdict {
  const { state, input, asked, conditions, notReady, hasOutside, steppedBackFrom } = one;
  const { standing, options } = state;
  const { at, entry, service, claims } = input;
  const shown = shownOf(one);
  // A write that empties the entry is one that a brake may hold back: no step goes with it.
  const isLed = leadsIn(at, input, standing, options.clusterDomain);
  const isEmptied = service.endpoints.length === 0 && (entry.manifest.spec.endpoints ?? []).length > 0;
  if (isEmptied && (isLed || isForward(at, next))) return stay(one, request, shown);
  if (isForward(at, next)) {
    if (next.stage !== "retired" && conditions.length > 0) return stay(one, request, conditions, asked);
    if (!isInPlace(at, input, standing, options.clusterDomain)) return stay(one, request, shown);
  }
  if (next.weight < at.weight) {
    if (!hasOutside && isLed && !isAbandoned(state, at, claims))
      return stay(one, request, [noWayOut(input), ...notReady], request);
    if (!leadsOut(input, standing)) return stay(one, request, shown);
  }
  const settlesAtMs = settlesAt(one, next);
  if (settlesAtMs > options.nowMs) return { ...stay(one, request, shown), settlesAtMs };
  return { next, request, blockers: shown, steppedBackFrom, refusedTo: undefined };
}

/** When calls may be led to `next` without a client that does not know it yet; at once where calls fail as long as they are not. */
function settlesAt({ state, input, stepsBack }: Case, next: Place): number {
  const { standing, options } = state;
  const { at, claims } = input;
  if (stepsBack || isAbandoned(state, at, claims) || !leadsElsewhere(at, next)) return options.nowMs;
  const { clusterDomain, nowMs } = options;
  return knownAtMs(input, standing, { next, isForward: isForward(at, next), clusterDomain, nowMs });
}

function unread({ catalog }: StageState, key: ServiceKey): readonly Blocker[] {
  const why = catalog.moved?.get(key);
  return why === undefined ? [] : [{ kind: "registry", message: `${key} cannot be read now: ${why}` }];
}

function conditionsOf(state: StageState, judged: Judged, claim: Claim): readonly Blocker[] {
  const { standing, options } = state;
  const { key, service, names, entry } = judged;
  const { namespace, clusterDomain } = options;
  const { exportTo = ["*"], waypoint } = options.registries.get(service.registry) ?? {};
  const route = routeInTheWay(state, judged);
  const where = { namespace, clusterDomain, exportTo, waypoint };
  return blockersOf({ key, service, names, entry, claim, standing, route, ...where });
}

/** Someone else's route for the host, unless ours stands and is the one that Istio uses: nobody else has a say then. */
function routeInTheWay(
  { standing, naming, options, routes }: StageState,
  { key, names, entry }: Judged,
): ForeignObject | undefined {
  const other = routes().get(names.host);
  if (other === undefined || mayRoute(key, other.namespace, naming, options.namespace)) return other;
  const { namespace, name } = entry.manifest.metadata;
  const ours = standing.objects.get(objectKey("VirtualService", namespace, name));
  return ours === undefined || isOlder(other, { namespace, name, createdMs: ours.createdMs }) ? other : undefined;
}

/** Whether nothing is lost by a step out that leads nowhere: the Service is not there either. */
function isAbandoned({ standing }: StageState, { claimant }: StandingStage, claims: readonly Claim[]): boolean {
  if (claims.length > 0 || claimant === undefined) return false;
  return !standing.foreign.has(objectKey("Service", claimant.namespace, claimant.name));
}

/** What a claim asks for; without one `otherwise`. */
export function requestOf(claim: Claim | undefined, otherwise: StageRequest): StageRequest {
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
    message: `${who} both claim ${key}: remove the annotation x2istio.dev/replaces from all but one`,
  };
}

function steppedBack(key: ServiceKey, claim: Claim | undefined): Blocker {
  const who = claim === undefined ? "" : nameOf(claim);
  const message = `${who} had no ready endpoint, so calls of ${key} went outside again: once it has one, request the step again by another value of annotation x2istio.dev/request`;
  return { kind: "stepped-back", message };
}

function noWayOut({ key, service }: Judged): Blocker {
  const message = `registry ${service.registry} has no endpoint of ${key} to which calls could go back: register one`;
  return { kind: "registry", message };
}
