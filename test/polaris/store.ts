import { createHash } from "node:crypto";

/** Where an instance stands. */
export interface Location {
  readonly region?: string | null;
  readonly zone?: string | null;
  readonly campus?: string | null;
}

/** Fields of an instance that can change. */
export interface InstanceFields {
  readonly protocol?: string | null;
  readonly version?: string | null;
  readonly priority?: number | null;
  readonly weight?: number;
  readonly healthy?: boolean;
  readonly isolate?: boolean;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly location?: Location | null;
  readonly logicSet?: string | null;
  /** Switches the heartbeat check on. */
  readonly heartbeatTtlSeconds?: number | null;
}

/** An instance to register. */
export interface NewInstance extends InstanceFields {
  /** Default `default`. */
  readonly namespace?: string;
  readonly service: string;
  readonly host: string;
  readonly port: number;
  readonly vpcId?: string | null;
}

/** An instance as the server keeps it. */
export type Instance = Required<InstanceFields> & {
  readonly id: string;
  readonly namespace: string;
  readonly service: string;
  readonly host: string;
  readonly port: number;
  readonly vpcId: string | null;
  readonly ctime: string;
  readonly mtime: string;
  /** Grows with every change in the server: what the console sorts by. */
  readonly changed: number;
  readonly revision: string;
  /** Time of the last heartbeat, in seconds. */
  readonly beat?: number;
};

/** Fields of a service that can change. */
export interface ServiceFields {
  readonly metadata?: Readonly<Record<string, string>>;
  /** Namespaces that see the service too; `*` is all. */
  readonly export_to?: readonly string[];
  /** Declared ports, `8080,8443`. */
  readonly ports?: string;
  readonly business?: string;
  readonly department?: string;
  readonly comment?: string;
  readonly owners?: string;
}

/** A service as the server keeps it. */
export type StoredService = Required<ServiceFields> & {
  readonly id: string;
  readonly namespace: string;
  readonly name: string;
  readonly ctime: string;
  readonly mtime: string;
  readonly changed: number;
  readonly revision: string;
  readonly instances: Map<string, Instance>;
  /** What OnlyHealthyInstance shows: an instance that turned unhealthy stays here as it last was. */
  readonly lastHealthy: Map<string, Instance>;
  /** `port/protocol` of every instance there ever was; the ports that nobody declared come from these. */
  readonly seenPorts: Set<string>;
};

/** A second name of a service. */
export interface StoredAlias {
  readonly id: string;
  readonly namespace: string;
  readonly name: string;
  /** Id of the service. */
  readonly target: string;
  readonly owners: string;
  readonly ctime: string;
  readonly changed: number;
  readonly revision: string;
}

/** A namespace as the server keeps it. */
export interface StoredNamespace {
  readonly name: string;
  readonly comment: string;
  readonly owners: string;
  readonly ctime: string;
  readonly changed: number;
}

/** All that a server knows; plain data, to be copied by structuredClone. */
export interface Store {
  readonly namespaces: Map<string, StoredNamespace>;
  readonly services: Map<string, StoredService>;
  readonly aliases: Map<string, StoredAlias>;
  /** Namespaces that have, or had, something to list: only these have a revision. */
  readonly listed: Set<string>;
  changes: number;
}

/** Key of a service or alias in its store. */
export const keyOf = (namespace: string, name: string): string => `${namespace}\n${name}`;

const sha1 = (parts: readonly string[]): string => createHash("sha1").update(parts.join("")).digest("hex");

/** Id of an instance: equal for the same instance in every server. */
export function instanceId({ namespace = "default", service, vpcId, host, port }: NewInstance): string {
  const vpc = vpcId === null || vpcId === undefined || vpcId === "" ? [] : [vpcId];
  return sha1([[namespace, service, ...vpc, host, port].join("##")]);
}

/** Revision of a service's instances. */
export function instancesRevision({ revision, instances }: StoredService): string {
  return sha1([revision, ...[...instances.values()].map((instance) => instance.revision).sort()]);
}

/** Revision of services that answer as one, in the order given, which the real server does not keep. */
export function mergedRevision(revisions: readonly string[]): string {
  const [only] = revisions;
  return revisions.length === 1 && only !== undefined ? only : sha1(revisions);
}

/** Services and aliases of a namespace, or of all if it is empty. */
export function listedIn({ services, aliases }: Store, namespace: string): (StoredService | StoredAlias)[] {
  const all = [...services.values(), ...aliases.values()];
  return namespace === "" ? all : all.filter((item) => item.namespace === namespace);
}

/** Revision of what a namespace, or all if it is empty, lists; instances do not count. */
export function servicesRevision(store: Store, namespace: string): string | undefined {
  if (namespace === "") return sha1([...store.listed].map((one) => servicesRevision(store, one) ?? "").sort());
  if (!store.listed.has(namespace)) return undefined;
  return sha1(
    listedIn(store, namespace)
      .map(({ revision }) => revision)
      .sort(),
  );
}

/** Ports as the service shows them: the declared, else one for every pair of port and protocol. */
export function portsOf({ ports, seenPorts }: StoredService): string {
  if (ports !== "") return ports;
  const numbers = [...seenPorts].map((pair) => Number(pair.split("/")[0])).filter((port) => port !== 0);
  return numbers.sort((a, b) => a - b).join(",");
}

/** Time as the server writes it. */
export function timeText(ms: number): string {
  return new Date(ms).toISOString().slice(0, 19).replace("T", " ");
}

/** A store that holds nothing but what a fresh server does. */
export function emptyStore(): Store {
  return { namespaces: new Map(), services: new Map(), aliases: new Map(), listed: new Set(), changes: 0 };
}

/** The service behind a name, which may be an alias. */
export function findService(store: Store, namespace: string, name: string): StoredService | undefined {
  const key = keyOf(namespace, name);
  const alias = store.aliases.get(key);
  if (alias === undefined) return store.services.get(key);
  return [...store.services.values()].find(({ id }) => id === alias.target);
}

/** Services of the same name in other namespaces that are exported to `namespace`. */
export function exportedTo({ services }: Store, namespace: string, name: string): StoredService[] {
  const found: StoredService[] = [];
  for (const service of services.values()) {
    if (service.name !== name || service.namespace === namespace) continue;
    if (service.export_to.some((to) => to === namespace || to === "*")) found.push(service);
  }
  return found;
}
