import { setTimeout as delay } from "node:timers/promises";
import type { Hands } from "../kube/hands.ts";
import { handedOverTo } from "../kube/project.ts";
import { fieldsOf, type RawObject, stringsOf } from "../kube/raw.ts";
import {
  HANDED_OVER_ANNOTATION,
  MANAGED_BY,
  MANAGED_BY_LABEL,
  NAMES_ANNOTATION,
  type ObjectKey,
  OWNER_LABEL,
  REGISTRY_LABEL,
  RELEASED_ANNOTATION,
  SERVICE_ANNOTATION,
} from "../model/objects.ts";
import { readNames } from "../plan/names.ts";
import { answeringEntry, type Candidate, candidatesOf, keyFrom, refusal } from "./adoptable.ts";
import type { CliContext, ExitCode, Format } from "./context.ts";
import { concludeSteps, type HandStep, takeSteps } from "./hand-steps.ts";
import { type Once, once } from "./once.ts";
import { ownerSteps, renameSteps } from "./succession.ts";

export interface AdoptOptions {
  /** `<kind>/<namespace>/<name>` */
  readonly objects: readonly string[];
  readonly all: boolean;
  /** An owner whose objects are to be ours. */
  readonly owner?: string;
  /** A registry that has another name now. */
  readonly renamed?: { readonly from: string; readonly to: string };
  readonly dryRun: boolean;
  readonly output: Format;
}

/** Names are given out this long after they were written. */
const SETTLE_MS = 2000;

/**
 * Take over objects that others made, so that no caller sees a gap. 0: done, listed or waiting, 1: something was refused.
 *
 * What stands in the very place of ours becomes ours and is brought in step by the next pass. An entry elsewhere first hands its
 * names over; it is deleted once ours answers them and nobody can have the old answer any more.
 */
export async function adoptCommand(context: CliContext, options: AdoptOptions): Promise<ExitCode> {
  return once(context, async (opened) => {
    const { hands } = opened.opened;
    if (hands === undefined)
      throw new Error("Cannot adopt as target.kind must be kubernetes: in a folder, edit the files");
    const { owner, renamed, objects, all, output } = options;
    const isAsked = all || objects.length > 0 || owner !== undefined || renamed !== undefined;
    const isDryRun = !isAsked || options.dryRun || opened.config.policy.mode === "dry-run";
    const { signal } = context;
    const steps: HandStep[] = [];
    if (owner !== undefined) steps.push(...(await ownerSteps(opened, hands, owner, { isDryRun, signal })));
    if (renamed !== undefined) steps.push(...(await renameSteps(opened, hands, renamed)));
    if (all || objects.length > 0 || !isAsked) steps.push(...(await stepsInTheWay(context, opened, hands, options)));
    const results = await takeSteps(steps, { isDryRun, signal });
    const notes = [
      ...(results.some(({ act }) => act === "adopt") ? ["x2istio run, or apply, brings them in step."] : []),
      ...(results.some(({ act }) => act === "hand over" || act === "wait")
        ? ["Run this again when x2istio run, or apply, has written their names."]
        : []),
    ];
    return concludeSteps(context, results, { output, isDryRun, notes });
  });
}

async function stepsInTheWay(
  context: CliContext,
  opened: Once,
  hands: Hands,
  { objects, all }: AdoptOptions,
): Promise<readonly HandStep[]> {
  const candidates = candidatesOf(opened);
  if (objects.length === 0 || all) return Promise.all(candidates.map((one) => stepFor(context, opened, hands, one)));
  return Promise.all(
    objects.map((text) => {
      const key = keyFrom(text);
      const candidate = candidates.find((one) => one.key === key);
      if (candidate !== undefined) return stepFor(context, opened, hands, candidate);
      return key === undefined ? unknown(text) : takeBack(opened, hands, key);
    }),
  );
}

function unknown(text: string): HandStep {
  return { act: "refuse", key: text, why: "an object is named <kind>/<namespace>/<name>" };
}

/** What was released comes back. */
async function takeBack({ target }: Once, hands: Hands, key: ObjectKey): Promise<HandStep> {
  const object = target.standing().objects.get(key);
  const isReleased = object?.manifest.metadata.annotations?.[RELEASED_ANNOTATION] !== undefined;
  if (!isReleased)
    return { act: "refuse", key, why: object === undefined ? "it is in nobody's way" : "it is ours already" };
  const raw = await hands.read(key);
  if (raw === undefined) return { act: "refuse", key, why: "it is not there any more" };
  const marks = { annotations: { [RELEASED_ANNOTATION]: null } };
  const { service } = object;
  return { act: "adopt", key, service, why: "it is kept in step again", write: () => hands.mark(key, raw, marks) };
}

async function stepFor(context: CliContext, opened: Once, hands: Hands, candidate: Candidate): Promise<HandStep> {
  const { key, service, place } = candidate;
  const object = await hands.read(key);
  if (object === undefined) return { act: "refuse", key, service, why: "it is not there any more" };
  const why = refusal(candidate, object);
  if (why !== undefined) return { act: "refuse", key, service, why };
  return place === "same"
    ? takePlace(opened, hands, candidate, object)
    : handOver(context, opened, hands, candidate, object);
}

function takePlace({ config }: Once, hands: Hands, { key, service, registry }: Candidate, object: RawObject): HandStep {
  const marks = {
    labels: { [MANAGED_BY_LABEL]: MANAGED_BY, [OWNER_LABEL]: config.owner, [REGISTRY_LABEL]: registry },
    annotations: { [SERVICE_ANNOTATION]: service, [HANDED_OVER_ANNOTATION]: null, [RELEASED_ANNOTATION]: null },
  };
  const why = `becomes ours, for ${service}`;
  return { act: "adopt", key, service, why, write: () => hands.mark(key, object, marks) };
}

function handOver(
  context: CliContext,
  { config, target }: Once,
  hands: Hands,
  { key, service }: Candidate,
  object: RawObject,
): HandStep {
  const since = handedOverTo(object.metadata?.annotations);
  if (since?.owner !== config.owner) {
    const annotations = { [HANDED_OVER_ANNOTATION]: `${config.owner}@${new Date(target.nowMs()).toISOString()}` };
    const why = `hands its names over to ${service}`;
    return { act: "hand over", key, service, why, write: () => hands.mark(key, object, { annotations }) };
  }
  const hosts = stringsOf(fieldsOf(object.spec).hosts);
  const answering = answeringEntry(target.standing(), service, hosts);
  if (answering === undefined) return { act: "wait", key, service, why: `the entry of ${service} lacks its names yet` };
  const waitMs = config.dns.ttlSeconds * 1000 + SETTLE_MS;
  const writtenMs = target.standing().objects.get(answering)?.writtenMs ?? target.nowMs();
  const leftMs = Math.min(waitMs, Math.max(since.sinceMs, writtenMs) + waitMs - target.nowMs());
  const dueMs = performance.now() + leftMs;
  return {
    act: "delete",
    key,
    service,
    why: `its names are answered by ${answering}`,
    async write() {
      // Whoever asked before has the old address for as long.
      context.out.progress(`waiting until nobody can have the old answers of ${key}`);
      await delay(Math.max(0, dueMs - performance.now()), undefined, { signal: context.signal });
      context.out.progress("");
      const ours = await hands.read(answering);
      if (ours === undefined || !answersAll(ours, hosts)) return { outcome: "conflict" };
      return hands.remove(key, object);
    },
  };
}

function answersAll({ metadata, spec }: RawObject, hosts: readonly string[]): boolean {
  const names = [...stringsOf(fieldsOf(spec).hosts), ...readNames(metadata?.annotations?.[NAMES_ANNOTATION])];
  return hosts.every((host) => names.includes(host.toLowerCase()));
}
