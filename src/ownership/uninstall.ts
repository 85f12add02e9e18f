import type { ObjectEditor } from "../kube/write/object-editor.ts";
import type { Settings } from "../model/settings.ts";
import type { Standing, StandingObject } from "../model/standing.ts";
import type { LedgerWrite, Target, WriteResult } from "../model/target.ts";
import { decide } from "../plan/decide.ts";
import type { OwnershipAction, OwnershipResult } from "./actions.ts";
import { type DeleteTools, deleteObjects } from "./delete-objects.ts";

/** What an uninstallation does to the objects that carry our labels. */
export interface UninstallPlan {
  readonly remove: readonly StandingObject[];
  /** Objects that stay, and why. */
  readonly left: readonly OwnershipAction[];
}

/** Divide what stands into what goes and what stays, sorted by key. */
export function planUninstall(standing: Pick<Standing, "objects">): UninstallPlan {
  const objects = [...standing.objects.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  return {
    remove: objects.filter((object) => whyLeft(object) === undefined),
    left: objects.flatMap((object): OwnershipAction[] => {
      const why = whyLeft(object);
      return why === undefined ? [] : [{ kind: "leave", key: object.key, service: object.service, why }];
    }),
  };
}

/** Why an object that carries our labels is not removed. */
function whyLeft({ service, yielded }: StandingObject): string | undefined {
  return service === undefined
    ? "stays: it has no readable annotation x2istio.dev/service"
    : yielded && `stays: ${yielded}`;
}

/** The action that removes an object. */
export function deleteAction({ key, service = "" }: StandingObject): OwnershipAction {
  return { kind: "delete", key, service, why: `of ${service}` };
}

/** What an installation is removed with. */
export interface UninstallTools extends Pick<DeleteTools, "acquire" | "onProgress" | "signal"> {
  readonly target: Target;
  readonly settings: Settings;
  /** Deletes the Lease; `undefined` where the target is no cluster. */
  readonly editor: ObjectEditor | undefined;
  /** Called once the objects are gone, before the ledger is written. */
  readonly onDeleted: () => void;
}

/**
 * Delete objects of ours, let their VIPs rest and remove the Lease. Nothing is done without objects.
 *
 * @throws When another process has the right to write.
 */
export async function uninstall(
  objects: readonly StandingObject[],
  tools: UninstallTools,
): Promise<readonly OwnershipResult[]> {
  if (objects.length === 0) return [];
  const changes = objects.map((standing) => ({ kind: "delete" as const, standing, why: "uninstalled" }));
  const results = await deleteObjects("uninstall", changes, {
    ...tools,
    ledgerWrites: () => restingVips(tools),
    onReleased: async () => tools.editor?.removeLease(tools.settings.owner),
  });
  return results.flatMap(resultOf);
}

function resultOf({ change, outcome, error }: WriteResult): readonly OwnershipResult[] {
  if (change.kind !== "delete") return [];
  const action = deleteAction(change.standing);
  if (outcome === "written" || outcome === "conflict") return [{ ...action, outcome }];
  return [{ ...action, outcome: "failed", error: error ?? new Error(`Cannot delete ${action.key}: ${outcome}`) }];
}

/** As if no registry had ever answered, nothing asks for an address any more. */
function restingVips({ settings, target }: Pick<UninstallTools, "settings" | "target">): readonly LedgerWrite[] {
  const { ledger } = decide(settings, {
    readings: new Map(settings.registries.map(({ name }) => [name, { state: "unread" }])),
    standing: target.standing(),
    nowMs: target.nowMs(),
    allowDeletes: new Set(),
  });
  return ledger?.writes ?? [];
}
