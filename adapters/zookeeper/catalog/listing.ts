import { isDeepStrictEqual } from "node:util";
import { ReadError, readFailure } from "../../../src/errors.ts";
import { isServiceName } from "../../../src/istio/limits.ts";
import type { ServiceRead, SkipKind, SkippedService } from "../../../src/model/adapter.ts";
import { parseServiceKey, type Service, type ServiceKey, serviceKey } from "../../../src/model/service.ts";
import { MOST_SKIPPED, namelessService } from "../../shapes/skipped.ts";
import { shorten } from "../../text.ts";
import { aliases } from "./aliases.ts";
import { type CatalogState, placeOf } from "./state.ts";

/** What the tree says of the services that are for the mesh. */
export interface Listing {
  /** In the order of their names; one that has not moved is the same object as before. */
  readonly services: readonly ServiceRead[];
  readonly skipped: Readonly<Partial<Record<SkipKind, number>>>;
  readonly skippedServices: readonly SkippedService[];
  /** A node cannot be read, and nobody can say of which services it is. */
  readonly incomplete?: string;
}

const OUTSIDE = "the registry's option instances leaves all its instances out";
const UNWANTED = "the registry's option services leaves it out";
const PODS_ONLY = "all its instances are pods, which a bridge registered";
const NOBODY = "nobody is registered there, and nothing of it stands";

/** What is gathered while a catalog is looked through. */
interface Gathered {
  readonly reads: Map<string, ServiceRead>;
  readonly told: SkippedService[];
  readonly unreadable: string[];
}

/** All services of a catalog. @param standing keys of the registry that stand in the target */
export function listing(state: CatalogState, standing: readonly ServiceKey[]): Listing {
  const gathered: Gathered = { reads: new Map(), told: [], unreadable: [] };
  addMade(state, gathered);
  addStanding(state, standing, gathered);
  const { reads, told, unreadable } = gathered;
  return {
    services: [...reads].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, read]) => read),
    ...countedSkips(told),
    ...(unreadable.length === 0 ? {} : { incomplete: whyIncomplete(unreadable) }),
  };
}

function addMade({ options, made }: CatalogState, { reads, told }: Gathered): void {
  const { namespace, isWanted } = options;
  const skip = (name: string, kind: SkipKind, why: string) => told.push({ name: `${namespace}/${name}`, kind, why });
  for (const [name, one] of made) {
    if (!isServiceName(name)) told.push(namelessService(namespace, name));
    else if (!isWanted(name)) skip(name, "filter", UNWANTED);
    else if (one.state === "failed") reads.set(name, failedRead(options, name, one.cause));
    else if (one.state === "outside") skip(name, "filter", OUTSIDE);
    else {
      reads.set(name, one);
      if (one.service.podsOnly === true) skip(name, "kubernetes", PODS_ONLY);
    }
  }
}

/** What stands is asked for by name: a node that is listed without anybody below it is a service without endpoints. */
function addStanding(state: CatalogState, standing: readonly ServiceKey[], gathered: Gathered): void {
  const { options, parts, made, emptied } = state;
  const { namespace, nodeOf, nameOf, isWanted } = options;
  const names = standing.flatMap((key) => {
    const parsed = parseServiceKey(key);
    return parsed?.namespace === namespace && !made.has(parsed.name) && isWanted(parsed.name) ? [parsed.name] : [];
  });
  const byNode = nodeOf === undefined ? new Map<string, readonly string[]>() : Map.groupBy(names, nodeOf);
  const kept = new Set<string>();
  for (const [node, part] of parts.all) {
    const own = byNode.get(node) ?? [];
    if (part.state === "failed") addFailed(state, node, part.cause, own, gathered);
    else if (parts.servicesOf(node).length === 0) {
      for (const name of own) {
        gathered.reads.set(name, { state: "ok", service: emptyService(state, name, own) });
        kept.add(name);
      }
      if (own.length === 0 && isServiceName(nameOf(node)))
        gathered.told.push({ name: `${namespace}/${nameOf(node)}`, kind: "infrastructure", why: NOBODY });
    }
  }
  for (const name of emptied.keys()) if (!kept.has(name)) emptied.delete(name);
}

/** A node that cannot be read may have all that stands of it, or, where that says nothing, what it is called itself. */
function addFailed(
  { options, parts }: CatalogState,
  node: string,
  cause: unknown,
  standing: readonly string[],
  { reads, unreadable }: Gathered,
): void {
  const { nodeOf, nameOf, isWanted } = options;
  for (const one of standing) reads.set(one, failedRead(options, one, cause));
  if (standing.length + parts.servicesOf(node).length > 0) return;
  const name = nameOf(node);
  if (nodeOf === undefined || !isServiceName(name)) unreadable.push(name);
  else if (isWanted(name)) reads.set(name, failedRead(options, name, cause));
}

/** A service without anybody. The names by which it was called stay. */
function emptyService(state: CatalogState, name: string, ofNode: readonly string[]): Service {
  const { options, emptied, interfaces } = state;
  const { nodeOf, nameOf } = options;
  const alone = nodeOf !== undefined && ofNode.length === 1 ? [nameOf(nodeOf(name))] : [];
  const names = aliases(options.namespace, name, [...alone, ...(interfaces.get(name) ?? [])]);
  const now: Service = {
    ...placeOf(options, name),
    ...{ ports: [], endpoints: [], leftOut: [], metadata: {}, legacyNames: [], notes: [] },
    ...(names.length === 0 ? {} : { aliases: names }),
  };
  const before = emptied.get(name);
  const kept = before !== undefined && isDeepStrictEqual(before, now) ? before : now;
  emptied.set(name, kept);
  return kept;
}

function failedRead({ registry, namespace }: CatalogState["options"], name: string, cause: unknown): ServiceRead {
  const key = serviceKey(registry, namespace, name);
  const failure = readFailure(cause);
  const error = new ReadError(failure === "other" ? "answer" : failure, `Cannot read ${key}`, { cause });
  return { state: "failed", key, cause: error };
}

function whyIncomplete(nodes: readonly string[]): string {
  const [first = ""] = nodes.toSorted();
  const more = nodes.length === 1 ? "" : ` and ${nodes.length - 1} more`;
  return `${shorten(first)}${more} cannot be read, and may be of any service`;
}

function countedSkips(told: readonly SkippedService[]): Pick<Listing, "skipped" | "skippedServices"> {
  const count = (kind: SkipKind) => told.filter((one) => one.kind === kind).length;
  const { filter, infrastructure, kubernetes, name } = {
    filter: count("filter"),
    infrastructure: count("infrastructure"),
    kubernetes: count("kubernetes"),
    name: count("name"),
  };
  return { skipped: { filter, infrastructure, kubernetes, name }, skippedServices: told.slice(0, MOST_SKIPPED) };
}
