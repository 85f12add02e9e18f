import { setTimeout as delay } from "node:timers/promises";
import type { StageRequest } from "../model/claim.ts";
import type { ObjectKey } from "../model/objects.ts";
import type { ServiceKey } from "../model/service.ts";
import type { Standing } from "../model/standing.ts";
import type { Target } from "../model/target.ts";
import { requestText } from "../plan/stages/stage-text.ts";
import { type StandingStage, standingStage } from "../plan/stages/standing-stage.ts";
import { isEntry } from "../plan/standing.ts";
import { stageShareText } from "./moves.ts";
import { type DecideFor, isInStep } from "./preview.ts";

/** How far a step has come. */
export type Progress =
  | { readonly state: "effective" }
  | { readonly state: "under way"; readonly why: string }
  | { readonly state: "stepped back"; readonly why: string }
  | { readonly state: "refused"; readonly why: string };

/** What was asked for. */
export interface AskedStep {
  readonly service: ServiceKey;
  readonly want: StageRequest;
  /** Tells this request from earlier ones: {@link requestText} of the claim. */
  readonly request: string;
}

/** How far a step has come, as the entry says. */
export function progressOf(standing: StandingStage, { want, request }: AskedStep): Progress {
  if (standing.steppedBackFrom === request)
    return { state: "stepped back", why: `calls went outside again: the Service in the cluster has no ready endpoint` };
  const isThere = standing.stage === want.stage && (want.stage !== "split" || standing.weight === want.weight);
  return isThere ? { state: "effective" } : { state: "under way", why: `it is ${stageShareText(standing)}` };
}

/** What a step is watched with. */
export interface StepWatch {
  readonly target: Pick<Target, "standing" | "version" | "waitForChange">;
  readonly decide: DecideFor;
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  readonly onProgress: (text: string) => void;
}

/** How often the registry's side of a decision is judged again while the target does not change. */
const JUDGE_AGAIN_MS = 1000;

/**
 * Wait until a step is effective: the entry says so, and every object of the service stands as it should.
 *
 * @throws When `signal` aborts.
 */
export async function watchStep(watch: StepWatch, asked: AskedStep): Promise<Progress> {
  const { target, decide, signal, timeoutMs, onProgress } = watch;
  const untilMs = performance.now() + timeoutMs;
  for (let round = 0; ; round++) {
    const version = target.version();
    const progress = judge(target.standing(), decide, asked, round > 0);
    if (progress.state !== "under way") return progress;
    onProgress(`${stageShareText(asked.want)} is asked for, ${progress.why}`);
    const leftMs = untilMs - performance.now();
    if (leftMs <= 0) return progress;
    const timed = AbortSignal.any([signal, AbortSignal.timeout(Math.ceil(Math.min(leftMs, JUDGE_AGAIN_MS)))]);
    await target.waitForChange(version, timed).catch(() => undefined);
    signal.throwIfAborted();
    // What belongs to one pass is judged together.
    await delay(20, undefined, { signal });
  }
}

function judge(standing: Standing, decide: DecideFor, asked: AskedStep, mayRefuse: boolean): Progress {
  const entry = [...standing.objects.values()].find((one) => one.service === asked.service && isEntry(one));
  if (entry === undefined) return { state: "under way", why: "its entry is missing" };
  const progress = progressOf(standingStage(entry), asked);
  if (progress.state === "stepped back") return progress;
  const decision = decide(standing);
  const stage = decision.stages.get(asked.service);
  if (progress.state === "effective")
    return isInStep(decision, asked.service)
      ? progress
      : { state: "under way", why: "its other objects are being written" };
  const isOurs = stage?.claim !== undefined && requestText(stage.claim) === asked.request;
  if (mayRefuse && isOurs && stage?.refusedTo !== undefined)
    return { state: "refused", why: stage.blockers.map(({ message }) => message).join("; ") };
  return progress;
}

/** Versions of all objects of a service, as they stand. */
export function versionsOf({ objects }: Standing, service: ServiceKey): ReadonlyMap<ObjectKey, string> {
  const own = [...objects.values()].filter((object) => object.service === service);
  return new Map(own.map(({ key, resourceVersion }) => [key, resourceVersion]));
}
