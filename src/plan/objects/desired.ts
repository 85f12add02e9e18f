import type { StageDecision } from "../../model/claim.ts";
import type { EntryPort, ObjectKey, OwnedObject } from "../../model/objects.ts";
import type { Hold } from "../../model/plan.ts";
import type { ServiceKey } from "../../model/service.ts";
import type { CatalogService } from "../catalog/catalog.ts";
import type { Demanded } from "../demand.ts";
import type { ServiceNames } from "../names/naming.ts";

/** How a registry's services are shown to the mesh. */
export interface RegistryRules {
  readonly exportTo: readonly string[];
  /** Whether legacy names get an xDS listener. */
  readonly xds: boolean;
  /** `<namespace>/<name>` of the waypoint that an ambient mesh is to lead calls through, or `none`. */
  readonly waypoint?: string | undefined;
  /** Whether services stand only on demand. */
  readonly isReported?: boolean;
}

export interface ObjectOptions {
  readonly owner: string;
  /** Namespace of the ServiceEntries and VirtualServices. */
  readonly namespace: string;
  readonly keepEmptyMs: number;
  /** By registry. */
  readonly registries: ReadonlyMap<string, RegistryRules>;
  readonly nowMs: number;
  /** What entries say of the demand for their services; if left out, what they say already. */
  readonly demanded?: Pick<Demanded, "marks" | "decayed"> | undefined;
  /** Where services are to stand that are claimed; all others are outside. */
  readonly stages?: ReadonlyMap<ServiceKey, StageDecision>;
  /** Default cluster.local. */
  readonly clusterDomain?: string;
}

/** What should stand, and what is to be left alone. */
export interface Desired {
  /** Registries of which nothing is to stand any more. */
  readonly pruned?: ReadonlySet<string>;
  /** By service, its entry first. */
  readonly objects: ReadonlyMap<ServiceKey, readonly OwnedObject[]>;
  /** Services whose objects all stay as they stand, with the reason (one hold each, also in `holds`). */
  readonly kept: ReadonlyMap<ServiceKey, Hold>;
  /** Single objects that stay as they stand. */
  readonly keptObjects: ReadonlySet<ObjectKey>;
  /** Why objects or names are held. */
  readonly holds: readonly Hold[];
  /** Of listed services; the same parts give the same objects (identity) in the next pass. */
  readonly built: ReadonlyMap<ServiceKey, Built>;
}

/** What a service's objects are made of. */
export interface Parts {
  readonly service: CatalogService;
  readonly names: ServiceNames;
  /** Joined by commas. */
  readonly vips: string;
  /** {@link ALIASES_ANNOTATION}, or empty. */
  readonly aliases: string;
  /** Of the companion, which gets none from us. */
  readonly legacyVips: string;
  readonly emptySince: string | undefined;
  readonly shrunk: string | undefined;
  readonly demand: string | undefined;
  readonly idleSince: string | undefined;
  readonly stage: StageDecision | undefined;
  /** Ports of a service that declares none. */
  readonly standingPorts: readonly EntryPort[] | undefined;
}

/** A service's objects, with what they were made of. */
export interface Built extends Parts {
  readonly objects: readonly OwnedObject[];
  /** Why Istio would refuse its entry. */
  readonly fault: string | undefined;
}
