import type { Handled } from "../kube/write/object-editor.ts";
import type { ObjectKey } from "../model/objects.ts";
import type { ServiceKey } from "../model/service.ts";

/** What is to be done to one object by hand, or why it is not. */
export interface OwnershipAction {
  readonly kind: "adopt" | "hand over" | "release" | "delete" | "leave" | "wait" | "refuse";
  readonly key: ObjectKey;
  readonly service?: ServiceKey | undefined;
  /** Reads on from the object: `it is ours from now on, for vms/shop/orders`. */
  readonly why: string;
  /** Missing where nothing is to be written. */
  readonly write?: () => Promise<Handled>;
}

/** What became of an action. */
export interface OwnershipResult extends OwnershipAction, Partial<Handled> {}

/** Take the actions, one after the other: one that fails does not stop the others. In a dry run none is taken. */
export async function takeActions(
  actions: readonly OwnershipAction[],
  { isDryRun, signal }: { readonly isDryRun: boolean; readonly signal: AbortSignal },
): Promise<readonly OwnershipResult[]> {
  const results: OwnershipResult[] = [];
  for (const action of actions) {
    signal.throwIfAborted();
    results.push({ ...action, ...(isDryRun ? {} : await action.write?.()) });
  }
  return results;
}
