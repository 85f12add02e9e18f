import { isDeepStrictEqual } from "node:util";
import type { Sliced } from "../../../src/async/slices.ts";
import type { ServiceAlias, ServiceKey } from "../../../src/model/service.ts";
import { toService } from "../mapping/service.ts";
import { aliases, interfacesOffered } from "./aliases.ts";
import { type Listing, listing } from "./listing.ts";
import { createParts, type Part } from "./parts.ts";
import { type CatalogOptions, type CatalogState, placeOf } from "./state.ts";

/** All that is known of one tree. */
export interface Catalog {
  /** What was read of a node last. */
  part(node: string): Part | undefined;
  /** Of all nodes together. */
  registrations(): number;
  put(node: string, part: Part): void;
  /** These nodes are listed, and no others. */
  retain(nodes: ReadonlySet<string>): void;
  /** Interfaces by applications, where callers are told them apart. */
  setInterfaces(interfaces: ReadonlyMap<string, readonly string[]>): void;
  /** Make the services anew whose nodes have changed: a first read makes thousands. */
  settle(): Sliced<void>;
  /** What it is since it was settled last. @param standing keys of the registry that stand in the target */
  read(standing: readonly ServiceKey[]): Listing;
}

/** An empty catalog. */
export function catalog(options: CatalogOptions): Catalog {
  const parts = createParts();
  const state: CatalogState = { options, parts, made: new Map(), emptied: new Map(), interfaces: new Map() };
  return {
    part: (node) => parts.all.get(node),
    registrations: parts.registrations,
    put: parts.put,
    retain: parts.retain,
    setInterfaces(interfaces) {
      for (const service of new Set([...state.interfaces.keys(), ...interfaces.keys()]))
        if (!isDeepStrictEqual(state.interfaces.get(service), interfaces.get(service))) parts.touch(service);
      state.interfaces = interfaces;
    },
    *settle() {
      for (let service = parts.takeTouched(); service !== undefined; service = parts.takeTouched()) {
        make(state, service);
        if (options.isMadeOnce) parts.letGo(service);
        yield;
      }
    },
    read: (standing) => listing(state, standing),
  };
}

function make(state: CatalogState, service: string): void {
  const { options, parts, made } = state;
  const nodes = [...parts.nodesOf(service)].sort();
  if (nodes.length === 0) return void made.delete(service);
  const read = nodes.map((node) => parts.all.get(node));
  const failed = read.find((part) => part?.state === "failed");
  const before = made.get(service);
  const last = before?.state === "ok" ? before.service : before?.state === "failed" ? before.last : undefined;
  if (failed?.state === "failed") return void made.set(service, { ...failed, last });
  const good = read.flatMap((part) => (part?.state === "ok" ? [part] : []));
  const now = toService(
    placeOf(options, service),
    good.flatMap(({ offers }) => offers.get(service) ?? []),
    aliasesOf(state, service),
    good.flatMap(({ notes }) => notes),
    options,
  );
  if (now === undefined) made.set(service, { state: "outside" });
  else made.set(service, { state: "ok", service: last !== undefined && isDeepStrictEqual(last, now) ? last : now });
}

/** The names by which callers know a service besides its own: the interface that it alone is of, or an application's interfaces. */
function aliasesOf({ options, parts, interfaces }: CatalogState, service: string): readonly ServiceAlias[] {
  const { namespace, nodeOf, nameOf } = options;
  if (nodeOf === undefined) return aliases(namespace, service, interfacesOffered(service, parts).map(nameOf));
  const node = nodeOf(service);
  const own = parts.servicesOf(node).length === 1 ? [nameOf(node)] : [];
  return aliases(namespace, service, [...own, ...(interfaces.get(service) ?? [])]);
}
