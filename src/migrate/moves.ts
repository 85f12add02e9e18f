import {
  type Blocker,
  type Claim,
  type ClaimantRef,
  REPLACES_ANNOTATION,
  type StageDecision,
  type StageRequest,
} from "../model/claim.ts";
import { DEMAND_ANNOTATION, readDemand } from "../model/demand.ts";
import { objectKey } from "../model/objects.ts";
import type { ServiceKey } from "../model/service.ts";
import type { Decision } from "../plan/decision.ts";
import { findServices } from "../plan/find.ts";
import { nameOf } from "../plan/stages/preconditions.ts";
import { stageText } from "../plan/stages/stage-text.ts";
import { standingStage } from "../plan/stages/standing-stage.ts";
import type { ServiceUseJson } from "../usage/json.ts";

/** Where one service is on its way into the cluster. */
export interface Move extends StageRequest {
  readonly service: ServiceKey;
  readonly host: string | undefined;
  /** Where its calls are led, or who says it would take them. */
  readonly claimants: readonly ClaimantRef[];
  readonly claim: Claim | undefined;
  readonly decision: StageDecision | undefined;
  readonly blockers: readonly Blocker[];
  /** Who was seen to ask for it, sorted. */
  readonly callers: readonly string[];
}

/** Every service that stands, sorted by key; `uses` is what replicas that run tell of its callers. */
export function movesOf(
  { standing, stages, plan }: Pick<Decision, "standing" | "stages" | "plan">,
  uses: readonly ServiceUseJson[] = [],
): readonly Move[] {
  const claims = Map.groupBy([...(standing.claims?.values() ?? [])], ({ service }) => service);
  const refused = Map.groupBy(
    plan.hold.filter(({ reason }) => reason === "stage"),
    ({ subject }) => subject,
  );
  const useOf = new Map(uses.map((use) => [use.service, use]));
  return [...standing.entries].sort(byKey).map(([service, entry]): Move => {
    const { stage, weight, claimant } = standingStage(entry);
    const decision = stages.get(service);
    const named = (claims.get(service) ?? []).map(({ namespace, name }) => ({ namespace, name }));
    return {
      ...{ service, stage, weight, decision },
      host: entry.manifest.spec.hosts[0],
      claimants: claimant === undefined || named.some((one) => sameRef(one, claimant)) ? named : [claimant, ...named],
      claim: decision?.claim,
      blockers: decision?.blockers ?? named.flatMap(notAllowed),
      callers: callersOf(entry.manifest.metadata.annotations?.[DEMAND_ANNOTATION], useOf.get(service)),
    };
  });

  /** A claim that does not count: nothing was decided by it. */
  function notAllowed({ namespace, name }: ClaimantRef): readonly Blocker[] {
    const holds = refused.get(objectKey("Service", namespace, name)) ?? [];
    return holds.map(({ message }) => ({ kind: "allow", message }));
  }
}

function byKey([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}

function sameRef(a: ClaimantRef, b: ClaimantRef): boolean {
  return a.namespace === b.namespace && a.name === b.name;
}

function callersOf(demand: string | undefined, use: ServiceUseJson | undefined): readonly string[] {
  const named = [
    ...(readDemand(demand)?.callers ?? []),
    ...(use?.reports ?? []).map(({ caller }) => caller),
    ...(use?.names ?? []).flatMap(({ clients }) => clients),
  ];
  return [...new Set(named)].sort();
}

/**
 * The service that an operator means, by any of its names or by its claimant's.
 *
 * @throws When there is none, or more than one.
 */
export function moveNamed(name: string, decision: Decision, clusterDomain: string): Move {
  const moves = movesOf(decision);
  const found = new Set(findServices(name, decision, clusterDomain).map(({ key }) => key));
  const claimed = moves.filter(({ claimants }) => claimants.some((one) => nameOf(one) === name));
  const matches = moves.filter((move) => found.has(move.service));
  const all = matches.length > 0 ? matches : claimed;
  const [first] = all;
  if (first === undefined)
    throw new Error(
      found.size > 0
        ? `Cannot move "${name}" as ${[...found].join(", ")} is not in the target yet`
        : `Cannot find "${name}" as it must be a service, host, legacy name, alias or VIP that exists, or the <namespace>/<name> of a Service that replaces one`,
    );
  if (all.length > 1)
    throw new Error(
      `Cannot tell what "${name}" means: ${all.map(({ service }) => service).join(", ")}; name one of them`,
    );
  return first;
}

/** `split 10 %`, `outside`: as an operator is told, whereas {@link stageText} is also what requests are told apart by. */
export function stageShareText(at: StageRequest): string {
  return at.stage === "split" ? `${stageText(at)} %` : stageText(at);
}

/** Why nothing can be asked of a service that nobody claims. */
export function unclaimed({ service }: Pick<Move, "service">): string {
  return `no Service says that it replaces ${service}: annotate the one that does with ${REPLACES_ANNOTATION}: ${service}, in a namespace that migration.allow lets claim it`;
}
