import { objectKey } from "../../model/objects.ts";
import type { ForeignObject } from "../../model/standing.ts";
import type { PlanMemory } from "../memory.ts";
import type { IndexedStanding } from "../standing.ts";
import type { ForeignNames, HostHolders } from "./naming.ts";

/** The names of others' objects: found once for as long as none of them changes. */
export function foreignNames(
  { foreign }: Pick<IndexedStanding, "foreign">,
  memory: Pick<PlanMemory, "foreignNames">,
): ForeignNames {
  const known = memory.foreignNames;
  if (known !== undefined && isSame(known.of, foreign)) return known.names;
  const objects = [...foreign.values()];
  const services = Map.groupBy(
    objects.filter(({ kind }) => kind === "Service"),
    ({ name }) => name,
  );
  const isRoute = ({ kind }: ForeignObject) => kind === "VirtualService" || kind === "HTTPRoute";
  const entries = holdersOf(objects.filter(({ kind }) => kind === "ServiceEntry"));
  const names = { entries, routes: holdersOf(objects.filter(isRoute).map(inLowerCase)), services };
  memory.foreignNames = { of: foreign, names };
  return names;
}

/** Whether both have the same objects: a changed one is another object. */
function isSame(a: IndexedStanding["foreign"], b: IndexedStanding["foreign"]): boolean {
  if (a.size !== b.size) return false;
  for (const [key, object] of b) if (a.get(key) !== object) return false;
  return true;
}

function holdersOf(objects: readonly ForeignObject[]): HostHolders {
  const [wide, narrow] = [new Map<string, ForeignObject>(), new Map<string, ForeignObject>()];
  for (const object of objects) {
    const holders = object.isNarrow === true ? narrow : wide;
    for (const host of object.hosts) {
      const name = host.toLowerCase();
      const other = holders.get(name);
      if (other === undefined || isOlder(object, other)) holders.set(name, object);
    }
  }
  return { wide, narrow };
}

function inLowerCase(route: ForeignObject): ForeignObject {
  const hosts = route.hosts.map((host) => host.toLowerCase());
  return hosts.every((host, at) => host === route.hosts[at]) ? route : { ...route, hosts };
}

/** What tells which of two objects Istio takes for the older one. */
type Aged = Pick<ForeignObject, "namespace" | "name" | "createdMs">;

/** @see istio/istio pilot/pkg/model/push_context.go: sortConfigByCreationTime */
export function isOlder(a: Aged, b: Aged): boolean {
  const [one, other] = [a.createdMs ?? 0, b.createdMs ?? 0];
  return one === other ? `${a.name}.${a.namespace}` < `${b.name}.${b.namespace}` : one < other;
}

/** Who else has a host that all namespaces see. A Service has its name in the cluster's domain. */
export function foreignHolder(
  { foreign }: Pick<IndexedStanding, "foreign">,
  { entries }: ForeignNames,
  clusterDomain: string,
): (host: string) => ForeignObject | undefined {
  const suffix = `.svc.${clusterDomain}`;
  return (host) =>
    entries.wide.get(host) ?? (host.endsWith(suffix) ? serviceNamed(host.slice(0, -suffix.length)) : undefined);

  function serviceNamed(text: string): ForeignObject | undefined {
    const [name = "", namespace = "", ...more] = text.split(".");
    return more.length > 0 ? undefined : foreign.get(objectKey("Service", namespace, name));
  }
}

/** `Service shop/orders` */
export function foreignText({ kind, namespace, name }: Pick<ForeignObject, "kind" | "namespace" | "name">): string {
  return `${kind} ${namespace}/${name}`;
}

/** `Service shop/orders, which is not ours` */
export function notOurs(what: string): string {
  return `${what}, which is not ours`;
}
