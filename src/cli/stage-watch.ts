import { setTimeout as delay } from "node:timers/promises";
import type { StageRequest } from "../model/claim.ts";
import type { ObjectKey } from "../model/objects.ts";
import type { ServiceKey } from "../model/service.ts";
import { requestText } from "../plan/stages.ts";
import { isEntry } from "../plan/standing.ts";
import { type StandingStage, standingStage } from "../plan/standing-stage.ts";
import { stageText } from "./moves.ts";
import type { Once } from "./once.ts";
import { isInStep } from "./stage-preview.ts";

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
    return { state: "stepped back", why: `calls went outside again: the Service inside has nothing ready` };
  const isThere = standing.stage === want.stage && (want.stage !== "split" || standing.weight === want.weight);
  return isThere ? { state: "effective" } : { state: "under way", why: `it is ${stageText(standing)}` };
}

/** How often the registry's side of a decision is looked at again while nothing moves. */
const LOOK_AGAIN_MS = 1000;

/**
 * Wait until a step is effective: the entry says so, and every object of the service stands as it should.
 *
 * @throws When `signal` aborts.
 */
export async function watchStep(
  { target, compute }: Pick<Once, "target" | "compute">,
  asked: AskedStep,
  {
    signal,
    timeoutMs,
    onProgress,
  }: { readonly signal: AbortSignal; timeoutMs: number; onProgress: (text: string) => void },
): Promise<Progress> {
  const untilMs = performance.now() + timeoutMs;
  let progress: Progress = { state: "under way", why: "nobody has looked at it yet" };
  for (let looks = 0; ; looks++) {
    const version = target.version();
    progress = look({ target, compute }, asked, looks > 0);
    if (progress.state !== "under way") return progress;
    onProgress(`${stageText(asked.want)} is asked for, ${progress.why}`);
    const leftMs = untilMs - performance.now();
    if (leftMs <= 0) return progress;
    const timed = AbortSignal.any([signal, AbortSignal.timeout(Math.ceil(Math.min(leftMs, LOOK_AGAIN_MS)))]);
    await target.waitForChange(version, timed).catch(() => undefined);
    signal.throwIfAborted();
    // What belongs to one pass comes in one look.
    await delay(20, undefined, { signal });
  }
}

function look({ target, compute }: Pick<Once, "target" | "compute">, asked: AskedStep, mayRefuse: boolean): Progress {
  const entry = [...target.standing().objects.values()].find((one) => one.service === asked.service && isEntry(one));
  if (entry === undefined) return { state: "under way", why: "its entry is not there" };
  const progress = progressOf(standingStage(entry), asked);
  if (progress.state === "stepped back") return progress;
  const computation = compute();
  const decision = computation.stages.get(asked.service);
  if (progress.state === "effective")
    return isInStep(computation, asked.service)
      ? progress
      : { state: "under way", why: "its other objects are being written" };
  const isOurs = decision?.claim !== undefined && requestText(decision.claim) === asked.request;
  if (mayRefuse && isOurs && decision?.refusedTo !== undefined)
    return { state: "refused", why: decision.blockers.map(({ message }) => message).join("; ") };
  return progress;
}

/** Versions of all objects of a service, as they stand. */
export function versionsOf({ target }: Pick<Once, "target">, service: ServiceKey): ReadonlyMap<ObjectKey, string> {
  const own = [...target.standing().objects.values()].filter((object) => object.service === service);
  return new Map(own.map(({ key, resourceVersion }) => [key, resourceVersion]));
}
