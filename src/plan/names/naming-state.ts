import type { ObjectKey } from "../../model/objects.ts";
import type { Hold } from "../../model/plan.ts";
import type { ServiceKey } from "../../model/service.ts";
import type { CatalogService } from "../catalog/catalog.ts";
import type { PlanMemory } from "../memory.ts";
import type { KeptNames } from "./kept-names.ts";
import type { NameGround } from "./name-clashes.ts";
import type { AliasName, Move, Wishes } from "./naming.ts";

/** A service, and what it would be called. */
export interface Wishing {
  readonly key: ServiceKey;
  readonly service: CatalogService;
  readonly wishes: Wishes;
  /** Why it can take names over from nobody yet: it has never had an endpoint, or cannot stand for another reason. */
  readonly barred: "unserved" | "unable" | undefined;
}

/** A service that has been given its host. */
export interface Named extends Wishing {
  readonly host: string;
}

/** What names are given from, and what has been given so far. */
export interface NamingState extends NameGround {
  readonly memory: PlanMemory;
  readonly nowMs: number;
  readonly clusterDomain: string;
  readonly kept: KeptNames;
  /** All legacy names that a service is to have which can take them. */
  readonly wished: () => ReadonlySet<string>;
  /** Legacy names, and object keys of aliases, that are to go to services which cannot take them yet: whoever has them keeps them until then. */
  readonly awaited: () => ReadonlySet<string>;
  readonly holds: Hold[];
  readonly heldAliases: Set<ObjectKey>;
  /** Aliases that can never be, as their names are no DNS labels. */
  readonly neverAliases: { readonly named: Named; readonly alias: AliasName }[];
  readonly moves: Move[];
}

/** Note that a service has something held. */
export function hold(
  { holds }: Pick<NamingState, "holds">,
  { key, service: { registry } }: Pick<Wishing, "key" | "service">,
  { reason, subject, message, regarding }: Pick<Hold, "reason" | "subject" | "message" | "regarding">,
): void {
  holds.push({ reason, subject, service: key, registry, message, ...(regarding && { regarding }) });
}
