import type { Leadership } from "../../controller/leadership.ts";
import type { ObjectEditor } from "../../kube/write/object-editor.ts";
import type { DemandChannel } from "../../model/demand.ts";
import type { AccessVerdict, TokenVerdict } from "../../model/report.ts";
import type { Target, WriteRight } from "../../model/target.ts";

/** A configured target, with the way to become its only writer. */
export interface OpenTarget {
  readonly target: Target;
  /** Acquire the Lease, or a folder's lock, for one pass. */
  acquire(signal: AbortSignal): Promise<WriteRight>;
  /**
   * Stand for election for as long as `signal` lives. What was acquired is released by `close`.
   *
   * @throws When a folder is locked by another process.
   */
  elect(signal: AbortSignal): Promise<Leadership>;
  /**
   * Tell the live leader, which may be this process, to release brakes.
   *
   * @throws When it cannot be told.
   */
  markAllowDeletes(registries: readonly string[]): Promise<void>;
  /**
   * Ask the live leader, which may be this process, to delete what stands of a registry that has left the configuration. Gives whether it has
   * refused since, as it has the registry itself.
   *
   * @throws When it cannot be asked, or refuses at once.
   */
  askToPrune(registry: string): Promise<() => Promise<boolean>>;
  /** For single objects of anyone; a folder's are edited by hand. */
  readonly editor?: ObjectEditor;
  /** Where replicas tell the leader what was asked for; of a folder there is one process. */
  readonly demand?: DemandChannel;
  /** Ask the cluster whose a token is. @throws When it cannot be asked. */
  readonly reviewToken?: (token: string, audiences: readonly string[]) => Promise<TokenVerdict>;
  /** Ask the cluster whether whoever has a token may get a non-resource URL. @throws When it cannot be asked. */
  readonly reviewAccess?: (token: string, audiences: readonly string[], url: string) => Promise<AccessVerdict>;
  /** CIDRs of the cluster's Services, none where they cannot be told. Never fails. */
  readonly serviceRanges?: () => Promise<readonly string[]>;
  close(): Promise<void>;
}
