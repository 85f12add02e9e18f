import { type Changes, createChanges } from "../async/changes.ts";

/** Who may write mesh objects. */
export interface Leadership {
  /** Asked before each write; false from the moment the claim may have run out. */
  isLeader(): boolean;
  /** Who leads now, as far as is known. */
  holder(): string | undefined;
  /** Whether the leader is another process with the same configuration, or another one; `undefined` where that is not known. */
  leaderConfig?(): "same" | "other" | undefined;
  /** Counts changes of leadership and of the release mark. */
  readonly changes: Changes;
  /** Registries whose brake an operator released, until `releaseDone`. */
  allowDeletes(): readonly string[];
  /** The pass that obeyed the release has been written. */
  releaseDone(): void;
  /** Registries that have left the configuration and of which nothing is to stand any more, until `pruneDone`. */
  prunes(): readonly string[];
  /** Nothing of them stands any more. */
  pruneDone(): void;
}

/** Leadership of a process that no other takes it from. */
export interface SoleWriter extends Leadership {
  /** Release the brakes of these registries with the next pass. */
  release(registries: readonly string[]): void;
  /** Delete what stands of these registries, which have left the configuration, with the next pass. */
  prune(registries: readonly string[]): void;
}

/** For a target that is locked for as long as this process runs. */
export function soleWriter(identity: string): SoleWriter {
  const changes = createChanges();
  let released: readonly string[] = [];
  let pruned: readonly string[] = [];
  return {
    isLeader: () => true,
    holder: () => identity,
    changes,
    allowDeletes: () => released,
    releaseDone() {
      released = [];
    },
    release(registries) {
      released = [...new Set([...released, ...registries])];
      changes.notify();
    },
    prunes: () => pruned,
    pruneDone() {
      pruned = [];
    },
    prune(registries) {
      pruned = [...new Set([...pruned, ...registries])];
      changes.notify();
    },
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
    prunes: () => [],
    pruneDone: () => undefined,
  };
}
