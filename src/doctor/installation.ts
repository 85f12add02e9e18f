import type { ObjectKey } from "../model/objects.ts";

/** What the registries and the target say together: what would stand after a pass. */
export interface InstallationFacts {
  /** Every host and legacy name. */
  readonly names: readonly string[];
  /** Names that are withheld, and hosts and aliases that are held, because someone else has them; with the whole sentence. */
  readonly clashes: readonly { readonly name: string; readonly message: string }[];
  /** Objects of others that claim VIPs that ours have, with the whole sentence. */
  readonly vipClashes: readonly { readonly object: ObjectKey; readonly message: string }[];
  /** What each alias leads to, by `namespace/name`. */
  readonly aliasHosts: ReadonlyMap<string, string>;
  /** Numbers of the ports of entries that would be created. */
  readonly ports: readonly number[];
  /** Services with several endpoints on one address, the first such address of each; `waypoint` as its registry says. */
  readonly crowded: readonly {
    readonly registry: string;
    readonly service: string;
    readonly waypoint?: string | undefined;
    readonly address: string;
    readonly count: number;
  }[];
  /** Entries that would be created and exported to every namespace. */
  readonly newForAll: number;
  /** Registries that could not be read, and why. */
  readonly unread: readonly string[];
}
