import { type ObjectKey, objectKey } from "../../model/objects.ts";
import type { ServiceKey } from "../../model/service.ts";
import type { ForeignObject } from "../../model/standing.ts";
import type { IndexedStanding } from "../standing.ts";
import { foreignText, isOlder, notOurs } from "./foreign-names.ts";
import type { Holders } from "./holders.ts";
import type { ForeignNames, LegacyName, Rival } from "./naming.ts";

/** What claims to names are judged by. */
export interface NameGround {
  readonly standing: IndexedStanding;
  /** Who holds a name: in the target, or because it was given in this pass. */
  readonly holders: Holders;
  readonly foreign: ForeignNames;
  /** Who else has a host that all namespaces see. */
  readonly foreignHolder: (host: string) => ForeignObject | undefined;
  readonly aliasesNamed: () => ReadonlyMap<string, readonly NamedAlias[]>;
}

/** An alias of ours, by its namespace. */
export interface NamedAlias {
  readonly namespace: string;
  readonly service: ServiceKey;
}

/** Name of an alias of ours → all of that name, by whose they are with this pass. */
export function aliasesByName(
  standing: IndexedStanding,
  { aliases: holders }: Pick<Holders, "aliases">,
): ReadonlyMap<string, readonly NamedAlias[]> {
  const aliases = new Map<string, NamedAlias[]>();
  for (const { key, manifest, service: stood } of standing.objects.values()) {
    const service = holders.get(key) ?? stood;
    if (manifest.kind !== "Service" || service === undefined) continue;
    const { name, namespace } = manifest.metadata;
    const others = aliases.get(name);
    if (others === undefined) aliases.set(name, [{ namespace, service }]);
    else others.push({ namespace, service });
  }
  return aliases;
}

/** Why a service cannot have a legacy name; `undefined` when it can. */
export function legacyClash(ground: NameGround, key: ServiceKey, name: string, host: string): string | undefined {
  const holder = ground.holders.names.get(name);
  // Who holds it keeps it: anyone who can write a Service or a ServiceEntry could take it away otherwise.
  if (holder !== undefined) return holder === key ? undefined : `it belongs to ${holder}`;
  // What stands on another entry of ours only moves: we hold it.
  if (ground.holders.stood.has(name)) return undefined;
  const short = shortForm(ground, key, name);
  if (short !== undefined) return `it also means ${short}`;
  const foreign = ground.foreignHolder(name);
  if (foreign !== undefined) return `it also means ${notOurs(foreignText(foreign))}`;
  const route = ground.foreign.routes.wide.get(name);
  // Someone's route for our host may well name our legacy names: held VirtualServices ask for just that.
  if (route === undefined || route.hosts.includes(host)) return undefined;
  return `${notOurs(foreignText(route))}, routes it`;
}

/**
 * `orders.shop`, or `orders.shop.svc`, is also Kubernetes' short form of a Service, and `orders` that of one in the caller's
 * namespace: the latter is a clash with aliases of ours only, or a Service anywhere would take the name from all namespaces.
 */
function shortForm(ground: NameGround, key: ServiceKey, name: string): string | undefined {
  const [first, namespace] = shortParts(name) ?? [];
  if (first === undefined) return undefined;
  const others = ground.aliasesNamed().get(first) ?? [];
  // An alias of this service itself leads to the same place.
  const alias = others.find((one) => one.service !== key && (namespace === undefined || one.namespace === namespace));
  if (alias !== undefined) return `Service ${alias.namespace}/${first} of ${alias.service}`;
  if (namespace === undefined) return undefined;
  const foreign = ground.standing.foreign.get(objectKey("Service", namespace, first));
  return foreign === undefined ? undefined : notOurs(foreignText(foreign));
}

/** Name and, with two labels, namespace of the Service that a name is the short form of. */
function shortParts(name: string): readonly [name: string, namespace?: string] | undefined {
  const [first = "", namespace, ...more] = name.replace(/\.svc$/, "").split(".");
  if (more.length > 0) return undefined;
  return namespace === undefined ? [first] : [first, namespace];
}

const NO_RIVALS: readonly Rival[] = [];

/** Others' objects that mean something else by a service's names to some callers. */
export function rivalsOf(
  ground: NameGround,
  key: ServiceKey,
  host: string,
  legacyNames: readonly LegacyName[],
): readonly Rival[] {
  if (ground.standing.foreign.size === 0) return NO_RIVALS;
  const entry = ground.standing.entries.get(key);
  const { namespace = "", name: object = "" } = entry?.manifest.metadata ?? {};
  const route = ground.standing.objects.get(objectKey("VirtualService", namespace, object));
  const found: Rival[] = [];
  const add = (name: string, who: ForeignObject, what: string) =>
    found.push({ name, message: `${notOurs(foreignText(who))}, ${what}` });
  const isFirst = (who: ForeignObject, ours: typeof entry | typeof route) =>
    ours !== undefined && isOlder(who, { ...ours.manifest.metadata, createdMs: ours.createdMs });
  for (const name of [host, ...legacyNames.map((legacy) => legacy.name)]) {
    const { entries, routes } = ground.foreign;
    const [wide, narrow] = [ground.foreignHolder(name), entries.narrow.get(name)];
    if (wide !== undefined && (name !== host || wide.kind === "Service" || isFirst(wide, entry)))
      add(name, wide, `has ${name}, too: Istio prefers it${name === host ? "" : " where it answers DNS"}`);
    if (narrow !== undefined) add(name, narrow, `has ${name}, too: Istio prefers it in the namespaces that see it`);
    const [others, someones] = [routes.wide.get(name), routes.narrow.get(name)];
    if (others !== undefined && !others.hosts.includes(host) && isFirst(others, route))
      add(name, others, `routes ${name}, too, and is older: Istio uses it only`);
    if (someones !== undefined) add(name, someones, `routes ${name}, too: Istio uses it in the namespaces that see it`);
    const service = serviceOfShortForm(ground, name);
    if (service !== undefined)
      add(
        name,
        service,
        `has the short form ${name}: callers in ${shortParts(name)?.[1] === undefined ? service.namespace : "the cluster"} reach it first`,
      );
  }
  return found.length === 0 ? NO_RIVALS : found;
}

function serviceOfShortForm({ standing, foreign }: NameGround, name: string): ForeignObject | undefined {
  const [first, namespace] = shortParts(name) ?? [];
  if (first === undefined) return undefined;
  const key: ObjectKey | undefined = namespace === undefined ? undefined : objectKey("Service", namespace, first);
  return key === undefined ? foreign.services.get(first)?.[0] : standing.foreign.get(key);
}
