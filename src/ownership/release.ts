import type { RawObject } from "../kube/client/raw.ts";
import type { Marks, ObjectEditor } from "../kube/write/object-editor.ts";
import { ANNOTATION_PREFIX, MANAGED_BY_LABEL, RELEASED_ANNOTATION } from "../model/objects.ts";
import type { Standing, StandingObject } from "../model/standing.ts";
import type { OwnershipAction } from "./actions.ts";
import { keyFrom } from "./adoptable.ts";

/** What is to be released, and how. */
export interface Release {
  /** Services, hosts, or objects as `<kind>/<namespace>/<name>`. */
  readonly names: readonly string[];
  /** Take off all that says that it was ours, too. */
  readonly isStripped: boolean;
  /** By the target's clock. */
  readonly nowMs: number;
}

/** Actions that give up all objects of these names: they stay as they are, and whoever has them may change them. */
export async function releaseActions(
  standing: Pick<Standing, "objects">,
  editor: ObjectEditor,
  { names, isStripped, nowMs }: Release,
): Promise<readonly OwnershipAction[]> {
  return Promise.all(
    names.flatMap((name) => {
      const objects = objectsNamed(name, standing);
      return objects.length === 0
        ? [Promise.resolve(unknown(name))]
        : objects.map((object) => actionFor(object, editor, isStripped, nowMs));
    }),
  );
}

function objectsNamed(name: string, { objects }: Pick<Standing, "objects">): readonly StandingObject[] {
  const all = [...objects.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  const host = name.toLowerCase();
  const byHost = all.find(({ manifest }) => manifest.kind === "ServiceEntry" && manifest.spec.hosts[0] === host);
  const service = byHost?.service ?? name;
  const ofService = all.filter((one) => one.service === service);
  return ofService.length > 0 ? ofService : all.filter(({ key }) => key === keyFrom(name));
}

function unknown(name: string): OwnershipAction {
  return { kind: "refuse", key: name, why: "it is no service, host or object of ours" };
}

async function actionFor(
  { key, service, manifest: { metadata } }: StandingObject,
  editor: ObjectEditor,
  isStripped: boolean,
  nowMs: number,
): Promise<OwnershipAction> {
  const object = await editor.read(key);
  if (object === undefined) return { kind: "refuse", key, service, why: "it is not there any more" };
  if (!isStripped && metadata.annotations?.[RELEASED_ANNOTATION] !== undefined)
    return { kind: "leave", key, service, why: "it was released before" };
  const annotations = { [RELEASED_ANNOTATION]: new Date(nowMs).toISOString().replace(/\.\d+/, "") };
  const marks = isStripped ? strippedOf(object) : { annotations };
  const why = isStripped ? "no longer belongs to any owner" : "is left as it is from now on";
  return { kind: "release", key, service, why, write: () => editor.mark(key, object, marks) };
}

/** All our labels and annotations, taken off. */
function strippedOf({ metadata }: RawObject): Marks {
  const ours = (names: object | null | undefined) =>
    Object.keys(names ?? {}).filter((name) => name.startsWith(ANNOTATION_PREFIX) || name === MANAGED_BY_LABEL);
  const off = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, null]));
  return { labels: off(ours(metadata?.labels)), annotations: off(ours(metadata?.annotations)) };
}
