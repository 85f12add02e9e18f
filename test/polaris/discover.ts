import { discoverForm, instanceForm, type Json, serviceForm } from "./forms.ts";
import type { Random } from "./registry.ts";
import {
  exportedTo,
  findService,
  type Instance,
  instancesRevision,
  listedIn,
  mergedRevision,
  portsOf,
  type Store,
  type StoredService,
  servicesRevision,
} from "./store.ts";

/** What a Discover request says, as far as the server reads it. */
export interface DiscoverRequest {
  readonly type: string;
  readonly service: { readonly namespace?: unknown; readonly name?: unknown; readonly revision?: unknown } | undefined;
  readonly onlyHealthy: boolean;
  /** The token may ask for services and see none. */
  readonly blind: boolean;
}

/** What surrounds one answer. */
export interface DiscoverContext {
  readonly store: Store;
  readonly random: Random;
  /** Services that no token may see, as `namespace/name`. */
  readonly denied: ReadonlySet<string>;
  /** Stands in for the computed revision. */
  readonly revision?: (computed: string) => string;
  /** Merge in any order, as the real server does, so that the revision of an exported name moves by itself. */
  readonly flap?: boolean;
}

/** The handler ended in a panic: the connection closes without an answer. */
export const PANIC = Symbol("panic");

const text = (value: unknown): string => (typeof value === "string" ? value : "");

/** The items in another order; every answer has its own. */
export function shuffled<Item>(items: Iterable<Item>, random: Random): Item[] {
  return [...items]
    .map((item) => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

/** Fields of an object in the order of their names, as maps are written. */
export function sorted(map: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** A service as INSTANCE answers and the console show it. */
export function fullService(service: StoredService): Json {
  const { id, name, namespace, metadata, business, department, comment, owners, ctime, mtime, revision } = service;
  const said = { name, namespace, metadata: sorted(metadata), ports: portsOf(service), business, department };
  const mods = { cmdb_mod1: "", cmdb_mod2: "", cmdb_mod3: "", comment, owners, ctime, mtime, revision };
  const rest = { platform_id: "", id, editable: true, export_to: service.export_to, deleteable: true };
  return serviceForm({ ...said, ...mods, ...rest });
}

/** An instance as the console shows it, but for the token. */
export function fullInstance(instance: Instance): Json {
  const { vpcId, logicSet, heartbeatTtlSeconds: ttl, changed: _changed, beat: _beat, ...same } = instance;
  const check = ttl === null ? {} : { enableHealthCheck: true, healthCheck: { type: "HEARTBEAT", heartbeat: { ttl } } };
  const location = same.location && { region: null, zone: null, campus: null, ...same.location };
  const metadata = sorted(same.metadata);
  return instanceForm({ ...same, ...check, vpc_id: vpcId, logic_set: logicSet, location, metadata });
}

/** An instance as discovery shows it: some of its fields appear among the metadata too. */
function discoveredInstance(instance: Instance): Json {
  const { version, protocol, location, metadata } = instance;
  const { region, zone, campus } = location ?? {};
  const place = location === null ? {} : { region: region ?? "", zone: zone ?? "", campus: campus ?? "" };
  const injected = { ...(version ? { version } : {}), ...(protocol ? { protocol } : {}), ...place };
  return fullInstance({ ...instance, metadata: { ...metadata, ...injected } });
}

function discoverServices({ service, blind }: DiscoverRequest, context: DiscoverContext): Json {
  const { store, random, denied } = context;
  const namespace = text(service?.namespace);
  const isSeen = (item: { namespace: string; name: string }) => !denied.has(`${item.namespace}/${item.name}`);
  const computed = servicesRevision(store, namespace);
  if (computed === undefined) return discoverForm(200000, "SERVICES", { service: echo(service) });
  const revision = context.revision?.(computed) ?? computed;
  if (service?.revision === revision) return discoverForm(200001, "SERVICES", { service: echo(service) });
  return discoverForm(200000, "SERVICES", {
    service: serviceForm({ name: text(service?.name), namespace, revision }),
    services: shuffled(blind ? [] : listedIn(store, namespace).filter(isSeen), random).map((item) => {
      const metadata = "metadata" in item ? sorted(item.metadata) : {};
      return serviceForm({ name: item.name, namespace: item.namespace, metadata });
    }),
  });
}

/** The service of the request, given back. */
function echo(service: DiscoverRequest["service"]): Json | null {
  if (service === undefined) return null;
  const { namespace, name, revision } = service;
  return serviceForm({ name: name ?? null, namespace: namespace ?? null, revision: revision ?? null });
}

function discoverInstances({ service, onlyHealthy }: DiscoverRequest, context: DiscoverContext): Json | typeof PANIC {
  if (service === undefined) return PANIC;
  const { store, random, flap } = context;
  const namespace = text(service.namespace) || "default";
  const name = text(service.name);
  if (context.denied.has(`${namespace}/${name}`)) return discoverForm(401001, "UNKNOWN");
  const own = findService(store, namespace, name);
  const others = exportedTo(store, namespace, name);
  if (own === undefined)
    return others.length > 0 ? PANIC : discoverForm(400202, "INSTANCE", { service: echo(service) });
  const shown = (one: StoredService) => (onlyHealthy ? one.lastHealthy : one.instances);
  const visible = [own, ...others].filter((one) => shown(one).size > 0);
  const computed = mergedRevision((flap === true ? shuffled(visible, random) : visible).map(instancesRevision));
  const revision = context.revision?.(computed) ?? computed;
  if (service.revision === revision) return discoverForm(200001, "INSTANCE", { service: echo(service) });
  const instances = visible.flatMap((one) => [...shown(one).values()]);
  return discoverForm(200000, "INSTANCE", {
    service: { ...fullService(own), name, namespace, revision },
    instances: shuffled(instances, random).map(discoveredInstance),
    aliasFor: fullService(own),
  });
}

const NO_RULES = "da39a3ee5e6b4b0d3255bfef95601890afd80709";

function discoverRouting({ service }: DiscoverRequest, context: DiscoverContext): Json {
  const [namespace, name] = [text(service?.namespace), text(service?.name)];
  if (service?.revision === NO_RULES) return discoverForm(200001, "ROUTING", { service: echo(service) });
  const of = findService(context.store, namespace, name) ?? { namespace, name };
  const empty = { inbounds: [], outbounds: [], ctime: null, mtime: null, revision: NO_RULES };
  return discoverForm(200000, "ROUTING", {
    service: serviceForm({ name, namespace, revision: NO_RULES }),
    routing: { service: of.name, namespace: of.namespace, ...empty, service_token: null, rules: [] },
    aliasFor: serviceForm({ name: of.name, namespace: of.namespace }),
  });
}

/** Answer one Discover request. */
export function discover(request: DiscoverRequest, context: DiscoverContext): Json | typeof PANIC {
  switch (request.type) {
    case "INSTANCE":
      return discoverInstances(request, context);
    case "SERVICES":
      return discoverServices(request, context);
    case "ROUTING":
      return discoverRouting(request, context);
    case "RATE_LIMIT":
    case "CIRCUIT_BREAKER":
    case "FAULT_DETECTOR":
      return discoverForm(200000, request.type, { service: echo(request.service) });
    default:
      return discoverForm(400004, "ROUTING", { service: echo(request.service) });
  }
}
