import type { Registry } from "./registry.ts";

/** A registry that can be late to forget. */
export interface LateRegistry {
  /** The same store; deregistrations go through `deregister` only. */
  readonly registry: Registry;
  /** Forget what has been deregistered while it was late, and has not come back. */
  catchUp(): void;
}

/** Keep deregistered instances in sight while `isLate` says so, until `catchUp`. */
export function lateRegistry(prompt: Registry, isLate: () => boolean): LateRegistry {
  const gone = new Set<string>();
  return {
    registry: {
      ...prompt,
      register(instance, owners) {
        const id = prompt.register(instance, owners);
        gone.delete(id);
        return id;
      },
      deregister(id) {
        if (!isLate()) return prompt.deregister(id);
        gone.add(id);
        return prompt.find(id) !== undefined;
      },
    },
    catchUp() {
      for (const id of gone) prompt.deregister(id);
      gone.clear();
    },
  };
}
