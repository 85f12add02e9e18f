import type { ObjectKey } from "./objects.ts";
import type { Change, Hold } from "./plan.ts";
import type { Standing } from "./standing.ts";

/** What became of one change. */
export type WriteOutcome =
  | "written"
  | "conflict" // it changed since it was read: the next pass looks again
  | "foreign" // a create met an object that is not ours
  | "failed" // refused or unreachable; `error` says why
  | "skipped"; // not tried: leadership was lost, or what it depends on failed

export interface WriteResult {
  readonly change: Change;
  readonly outcome: WriteOutcome;
  readonly error?: unknown;
}

export interface WriteReport {
  readonly results: readonly WriteResult[];
}

/** A ledger block to be written. `resourceVersion` is what it was computed from; empty for a block that does not exist yet. */
export interface LedgerWrite {
  readonly name: string;
  readonly resourceVersion: string;
  readonly data: Readonly<Record<string, string>>;
}

export interface WriteOptions {
  readonly signal: AbortSignal;
  /** Asked before each request; false stops all further requests. */
  readonly mayWrite: () => boolean;
  /** Told after each result, for progress. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** The right to write to the target for a while, or who has it. */
export interface WriteRight {
  /** Set when another process has it. */
  readonly holder?: string;
  readonly mayWrite: () => boolean;
  release(): Promise<void>;
}

/** Something that people are to find out where they look: a Kubernetes Event. */
export interface Notice {
  /** `BrakeOn`, `PutBack` */
  readonly reason: string;
  /** Tells it from others of the same reason. */
  readonly subject: string;
  /** One sentence without a full stop. */
  readonly message: string;
  /** The object of ours that it is about; without it, the installation. */
  readonly regarding?: ObjectKey;
}

/** Where the objects stand: a cluster, or a folder of YAML files. */
export interface Target {
  readonly kind: "kubernetes" | "directory";

  /**
   * Read the first complete state, then (with `watch`) keep `standing` current until `signal` aborts.
   *
   * @throws When the first state cannot be read.
   */
  start(options: { readonly watch: boolean; readonly signal: AbortSignal }): Promise<void>;

  /** A live view; read it synchronously. Valid after `start`. */
  standing(): Standing;

  /** Counts up with every change of `standing`. */
  version(): number;

  /** Resolve when `version()` differs from `version`, or reject when `signal` aborts. */
  waitForChange(version: number, signal: AbortSignal): Promise<void>;

  /**
   * Keys of all that changed since `version()` was `version`, whosever it is; namespaces as `Namespace/<name>`, ledger blocks as
   * `ConfigMap/<name>`. `undefined` when it is too much or not known any more.
   */
  changesSince(version: number): ReadonlySet<ObjectKey> | undefined;

  /** Milliseconds since the epoch by the target's clock (the API server's `Date` header, advanced monotonically). */
  nowMs(): number;

  /**
   * Write ledger blocks under resourceVersion and fold the answers into `standing`.
   *
   * @throws {ConflictError} When a block moved: nothing may be built on what it allocates. `standing` then holds the newer block.
   */
  writeLedger(writes: readonly LedgerWrite[], options: WriteOptions): Promise<void>;

  /**
   * Write changes: updates first, then creates (entries before what points to them), then updates that had to wait for these, then
   * deletes (entries last). One object that fails never stops the others. Answers are folded into `standing` before it returns.
   */
  write(changes: readonly Change[], options: WriteOptions): Promise<WriteReport>;

  /**
   * Record holds and notices where people look for them (Kubernetes Events); written only if absent, a notice at most once an hour.
   * No-op in a directory.
   */
  report(holds: readonly Hold[], options: WriteOptions, notices?: readonly Notice[]): Promise<void>;

  /** Stop watching and let go of sockets. */
  close(): Promise<void>;
}
