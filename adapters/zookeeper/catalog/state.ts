import type { Service } from "../../../src/model/service.ts";
import type { MappingOptions } from "../mapping/candidate.ts";
import type { Parts } from "./parts.ts";

/** How a tree makes services. */
export interface CatalogOptions extends MappingOptions {
  readonly registry: string;
  readonly namespace: string;
  /** Where a person finds a service. */
  readonly sourceOf: (service: string) => string;
  /** The node that a service of this name is of; `undefined` where it may be of any. */
  readonly nodeOf: ((service: string) => string) | undefined;
  /** What callers call a node: the interface, or the application. */
  readonly nameOf: (node: string) => string;
  /** Nothing but its own node changes a service: what it was made of takes most of the memory, and need not be kept. */
  readonly isMadeOnce: boolean;
  /** Whether services are of interest, by their names. */
  readonly isWanted: (service: string) => boolean;
}

/** What the registrations of a service make. */
export type Made =
  | { readonly state: "ok"; readonly service: Service }
  /** The operator's rules leave all of them out. */
  | { readonly state: "outside" }
  /** `last` is what could be read of it before. */
  | { readonly state: "failed"; readonly cause: unknown; readonly last: Service | undefined };

/** What a catalog has. */
export interface CatalogState {
  readonly options: CatalogOptions;
  readonly parts: Parts;
  readonly made: Map<string, Made>;
  /** Services that stand and of which nobody is registered, so that they are the same objects as before. */
  readonly emptied: Map<string, Service>;
  interfaces: ReadonlyMap<string, readonly string[]>;
}

/** Where a service is. */
export function placeOf({ registry, namespace, sourceOf }: CatalogOptions, name: string) {
  return { registry, namespace, name, source: sourceOf(name) };
}
