import type { ObjectKey } from "../../model/objects.ts";
import type { Hold } from "../../model/plan.ts";
import type { ServiceKey } from "../../model/service.ts";
import type { ForeignObject } from "../../model/standing.ts";

/** A further DNS name of a service. */
export interface LegacyName {
  readonly name: string;
  /** Set when Istio cannot carry it as a host, so that it works by VIP only. */
  readonly dnsOnly?: string;
  /** When it came from another entry, RFC 3339. */
  readonly since?: string;
}

export interface AliasName {
  readonly namespace: string;
  readonly name: string;
}

/** The names that a service has been given. Equal names keep their identity from pass to pass. */
export interface ServiceNames {
  readonly host: string;
  /** Set when the entry keeps a host that the template would no longer give. */
  readonly templateHost?: string;
  readonly legacyNames: readonly LegacyName[];
  readonly aliases: readonly AliasName[];
  /** Names that DNS cannot carry and so were dropped: whole sentences without a full stop. */
  readonly notes: readonly string[];
  /** Set where names of it mean something else to some callers. */
  readonly rivals?: readonly Rival[];
}

/** Someone else's object whose claim to a name of ours is preferred somewhere, though the name stays ours. */
export interface Rival {
  readonly name: string;
  /** A whole sentence without a full stop. */
  readonly message: string;
}

/** A name that stands on objects of one service and that another one is given. */
export interface Move {
  readonly kind: "name" | "alias";
  /** A host or legacy name, or the alias's object key. */
  readonly name: string;
  readonly from: ServiceKey;
  readonly to: ServiceKey;
}

export interface Naming {
  /** A service without names here is held. */
  readonly services: ReadonlyMap<ServiceKey, ServiceNames>;
  readonly holds: readonly Hold[];
  /** Aliases that are not to be touched in this pass, whatever stands there. */
  readonly heldAliases: ReadonlySet<string>;
  /** In no particular order. */
  readonly moves: readonly Move[];
}

/** A legacy name that a service would have. */
export interface WishedName extends LegacyName {
  readonly raw: string;
  /** Why it is dropped. */
  readonly fault?: string | undefined;
  /** Why it is withheld until someone decides. */
  readonly refusal?: string | undefined;
}

/** What a service would be called if nobody else wanted the same. Its aliases' object keys are in the order of the aliases. */
export interface Wishes {
  readonly host: string;
  readonly hostFault: string | undefined;
  /** Why another service might have to have this host. */
  readonly imitation: string | undefined;
  readonly legacyNames: readonly WishedName[];
  readonly aliases: readonly AliasName[];
  readonly aliasKeys: readonly ObjectKey[];
  /** Of legacy names that DNS cannot carry. */
  readonly notes: readonly string[];
}

/**
 * Who else speaks for a host: the oldest of those that all namespaces see, and of those that only some do. Istio takes hosts in
 * lower case, and so does this.
 *
 * @see istio/istio pilot/pkg/networking/core/httproute.go
 */
export interface HostHolders {
  /** Two on one host do not merge: Istio uses the older one, and says nothing. */
  readonly wide: ReadonlyMap<string, ForeignObject>;
  /** In the namespaces that see it, Istio uses it before all others. */
  readonly narrow: ReadonlyMap<string, ForeignObject>;
}

/** The names of others' objects. */
export interface ForeignNames {
  /** ServiceEntries by their hosts. */
  readonly entries: HostHolders;
  /** VirtualServices and HTTPRoutes by the hosts that they route. */
  readonly routes: HostHolders;
  /** Services by name. */
  readonly services: ReadonlyMap<string, readonly ForeignObject[]>;
}
