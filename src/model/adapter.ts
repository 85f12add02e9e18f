import type { Service, ServiceKey } from "./service.ts";

/** What a registry said of one service. Failed is not empty. */
export type ServiceRead =
  | { readonly state: "ok"; readonly service: Service } // its endpoints may be empty
  | { readonly state: "failed"; readonly key: ServiceKey; readonly cause: unknown };

/** All that one registry said at one time. */
export interface Snapshot {
  readonly registry: string;
  /** One read per service; an unchanged service is the same object as in the snapshot before. */
  readonly services: readonly ServiceRead[];
  /** Opaque; handed back to `waitForChange`. */
  readonly revision: string;
  /** Set when the registry compares names without case: of several ways to write one it lists one, and that which stands is kept. */
  readonly caseless?: true;
  /** Why the list of services is only partly known: absence then proves nothing. */
  readonly incomplete?: string;
  /** How many services the registry listed that are not for the mesh, by reason. */
  readonly skipped?: Readonly<Partial<Record<SkipKind, number>>>;
  /** Some of them, so that a person who looks for one is told. */
  readonly skippedServices?: readonly SkippedService[];
  /** What the operator should know of the registry as a whole: a namespace that it does not have. Sentences without a full stop. */
  readonly notes?: readonly string[];
}

/** Why a listed service is passed over: the operator's filter, a proxy or the registry itself, it came from Kubernetes, or it has no usable name. */
export type SkipKind = "filter" | "infrastructure" | "kubernetes" | "name";

/** A listed service that is not for the mesh. */
export interface SkippedService {
  /** `namespace/name` as far as it can be shown: control characters as `?`, cut where it is too long. */
  readonly name: string;
  readonly kind: SkipKind;
  /** Reads on from "skipped: ". */
  readonly why: string;
}

/** How a registry is read. */
export interface ReadOptions {
  readonly trigger: "poll" | "hint";
  /** Somebody waits for what this poll finds, and is told nothing before. */
  readonly isAwaited?: boolean;
  /**
   * Keys of this registry's services that stand in the target, as far as a read could take something from them; missing where there is
   * no target. What of it is not listed has to be asked for by name before its absence counts: a list may lack what a token may not
   * see, and a process that has just started has seen no other.
   */
  readonly standing?: () => readonly ServiceKey[];
}

/** Reads one registry. Knows nothing of Kubernetes, VIPs or DNS. */
export interface Adapter {
  /** Configured name: log field, metric label, object label. */
  readonly registry: string;

  /**
   * Everything, never a delta. Whatever the trigger, the controller may rely on this:
   *
   * - The list is one that the registry gave whole; where it did not, `incomplete` says so. What is not on a whole list is gone.
   * - A read may be the last good one of a service that is believed unmoved. It is verified, that is read whatever the registry's own
   *   signs of change say, within a time that the adapter's manual states: all in turn and beside this method, or all by each poll.
   * - What is in doubt, as when the registry has gone back to an earlier state, is read again before anything is said of it.
   *
   * A poll looks for changes that no hint told, the list's among them. One that is not awaited may come back before, if `waitForChange`
   * is used: what it finds then comes with a hint, and so does a failure.
   *
   * @throws When the list of services cannot be read: all objects of this registry are held.
   * One unreadable service is a `failed` read, not a throw; a partly known list sets `incomplete`.
   */
  read(signal: AbortSignal, options: ReadOptions): Promise<Snapshot>;

  /** Resolve when `revision` may be outdated, or reject when `signal` aborts. A lost hint costs latency, never correctness. */
  waitForChange?(revision: string, signal: AbortSignal): Promise<void>;

  /** Let go of connections and timers. Called once, after the last read and wait have ended. */
  close?(): Promise<void>;
}
