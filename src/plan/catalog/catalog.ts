import type { Snapshot } from "../../model/adapter.ts";
import type { Service, ServiceKey } from "../../model/service.ts";

/** How a registry's last read ended. `unread`: it has not answered since the process started. */
export type Reading =
  | { readonly state: "read"; readonly snapshot: Snapshot }
  | { readonly state: "failed"; readonly why: string }
  | { readonly state: "unread" };

/** A service as the mesh is to see it; an unmerged one is the very object of its registry's snapshot unless its ports were settled. */
export interface CatalogService extends Service {
  /** Set on a merged service: how many of its endpoints, in order, came from which registry (`dc1+prod`: from both). */
  readonly provenance?: readonly { readonly registry: string; readonly count: number }[];
  /** Set on a merged service of which a member could not be read: names that stand may be that member's. */
  readonly isPartial?: true;
}

/** How far a registry's silence about a service can be trusted. Only `complete` proves that a service is gone. */
export interface Authority {
  readonly state: "complete" | "incomplete" | "failed" | "unread";
  /** Set unless complete. */
  readonly why?: string;
  /** Services that the registry listed (also those whose own read failed); 0 unless it answered. */
  readonly listed: number;
}

export interface Catalog {
  readonly services: ReadonlyMap<ServiceKey, CatalogService>;
  /** Services that are listed but could not be read, with the reason. */
  readonly failed: ReadonlyMap<ServiceKey, string>;
  /**
   * By the registry that objects are labelled with, in configuration order. The first of a merge group answers for the
   * whole group; its other members make no objects and are not here.
   */
  readonly authorities: ReadonlyMap<string, Authority>;
  /** Registries that are not among them, and of which nothing is to stand any more. */
  readonly pruned?: ReadonlySet<string>;
  /**
   * Services past stage `outside` that no registry names in this pass, as they stand: why they could not be read, or `undefined` when
   * a complete read does not list them.
   */
  readonly moved?: ReadonlyMap<ServiceKey, string | undefined>;
}
