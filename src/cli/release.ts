import { loadConfig } from "../config.ts";
import type { Hands } from "../kube/hands.ts";
import type { RawObject } from "../kube/raw.ts";
import { ANNOTATION_PREFIX, MANAGED_BY_LABEL, RELEASED_ANNOTATION } from "../model/objects.ts";
import type { Standing, StandingObject } from "../model/standing.ts";
import { keyFrom } from "./adoptable.ts";
import type { CliContext, ExitCode, Format } from "./context.ts";
import { concludeSteps, type HandStep, takeSteps } from "./hand-steps.ts";
import { openTarget } from "./target.ts";

export interface ReleaseOptions {
  /** Services, hosts, or objects as `<kind>/<namespace>/<name>`. */
  readonly names: readonly string[];
  /** Take off all that says that it was ours, too. */
  readonly strip: boolean;
  readonly dryRun: boolean;
  readonly output: Format;
}

/**
 * Give up objects: they stay as they are, and whoever has them may change them. 0: done, 1: something was refused.
 *
 * Their names go on being answered, and their VIPs stay theirs, until they are stripped of our labels.
 */
export async function releaseCommand(context: CliContext, options: ReleaseOptions): Promise<ExitCode> {
  const config = await loadConfig(context.configFile, context.configContext);
  const { target, hands, close } = await openTarget(config, context);
  try {
    if (hands === undefined)
      throw new Error("Cannot release as target.kind must be kubernetes: in a folder, edit the files");
    await target.start({ watch: false, signal: context.signal });
    const isDryRun = options.dryRun || config.policy.mode === "dry-run";
    const steps = await Promise.all(
      options.names.flatMap((name) => {
        const objects = objectsNamed(name, target.standing());
        return objects.length === 0
          ? [Promise.resolve(refused(name))]
          : objects.map((object) => stepFor(object, hands, options.strip, target.nowMs()));
      }),
    );
    const results = await takeSteps(steps, { isDryRun, signal: context.signal });
    const released = results.some(({ act }) => act === "release");
    const notes = released && options.strip ? ["Their names are no longer answered here."] : [];
    return concludeSteps(context, results, { output: options.output, isDryRun, notes });
  } finally {
    await close();
  }
}

function objectsNamed(name: string, { objects }: Standing): readonly StandingObject[] {
  const all = [...objects.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  const host = name.toLowerCase();
  const byHost = all.find(({ manifest }) => manifest.kind === "ServiceEntry" && manifest.spec.hosts[0] === host);
  const service = byHost?.service ?? name;
  const ofService = all.filter((one) => one.service === service);
  return ofService.length > 0 ? ofService : all.filter(({ key }) => key === keyFrom(name));
}

function refused(name: string): HandStep {
  return { act: "refuse", key: name, why: "it is no service, host or object of ours" };
}

async function stepFor(
  { key, service, manifest: { metadata } }: StandingObject,
  hands: Hands,
  isStripped: boolean,
  nowMs: number,
): Promise<HandStep> {
  const object = await hands.read(key);
  if (object === undefined) return { act: "refuse", key, service, why: "it is not there any more" };
  if (!isStripped && metadata.annotations?.[RELEASED_ANNOTATION] !== undefined)
    return { act: "leave", key, service, why: "it was released before" };
  const annotations = { [RELEASED_ANNOTATION]: new Date(nowMs).toISOString().replace(/\.\d+/, "") };
  const marks = isStripped ? strippedOf(object) : { annotations };
  const why = isStripped ? "is nobody's from now on" : "is left as it is from now on";
  return { act: "release", key, service, why, write: () => hands.mark(key, object, marks) };
}

/** All our labels and annotations, taken off. */
function strippedOf({ metadata }: RawObject) {
  const ours = (names: object | null | undefined) =>
    Object.keys(names ?? {}).filter((name) => name.startsWith(ANNOTATION_PREFIX) || name === MANAGED_BY_LABEL);
  const off = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, null]));
  return { labels: off(ours(metadata?.labels)), annotations: off(ours(metadata?.annotations)) };
}
