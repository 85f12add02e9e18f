import { type Changes, createChanges } from "./changes.ts";

/** Who may write mesh objects. */
export interface Leadership {
  /** Asked before each write; false from the moment the claim may have run out. */
  isLeader(): boolean;
  /** Who leads now, as far as is known. */
  holder(): string | undefined;
  /** Counts changes of leadership and of the release mark. */
  readonly changes: Changes;
  /** Registries whose brake an operator released, until `releaseDone`. */
  allowDeletes(): readonly string[];
  /** The pass that obeyed the release has been written. */
  releaseDone(): void;
}

/** For a target that is locked for as long as this process runs. */
export function soleWriter(identity: string): Leadership {
  const changes = createChanges();
  return {
    isLeader: () => true,
    holder: () => identity,
    changes,
    allowDeletes: () => [],
    releaseDone: () => undefined,
  };
}

/** For a dry run: it writes nothing, the Lease included. */
export function neverLeads(): Leadership {
  const changes = createChanges();
  return {
    isLeader: () => false,
    holder: () => undefined,
    changes,
    allowDeletes: () => [],
    releaseDone: () => undefined,
  };
}
