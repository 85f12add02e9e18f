import type { ServiceRead, Snapshot } from "../../src/model/adapter.ts";
import {
  API_VERSIONS,
  type EntryEndpoint,
  type EntryPort,
  MANAGED_BY,
  MANAGED_BY_LABEL,
  type Manifest,
  OWNER_LABEL,
  objectKey,
  REGISTRY_LABEL,
  SERVICE_ANNOTATION,
  type ServiceEntry,
} from "../../src/model/objects.ts";
import { type Endpoint, parseServiceKey, type Service, type ServicePort } from "../../src/model/service.ts";
import type {
  ForeignObject,
  PremadeEntry,
  Standing,
  StandingLedgerBlock,
  StandingObject,
} from "../../src/model/standing.ts";
import type { Reading } from "../../src/plan/catalog/catalog.ts";
import { type IndexedStanding, indexStanding } from "../../src/plan/standing.ts";

/** The time at which the tests begin. */
export const NOW_MS = Date.parse("2026-03-01T12:00:00Z");
export const HOUR_MS = 3_600_000;

export function at(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

export function port(name = "web", number = 8080, protocol = "HTTP", targetPort?: number): ServicePort {
  return { name, number, protocol, ...(targetPort === undefined ? {} : { targetPort }) };
}

export function endpoint(address: string, fields: Partial<Endpoint> = {}): Endpoint {
  return { address, ...fields };
}

/** `count` endpoints with documentation addresses. */
export function endpoints(count: number, net = 2): readonly Endpoint[] {
  return Array.from({ length: count }, (_, at) => endpoint(`192.0.${net}.${at + 1}`));
}

/** A service of registry dc1 with one HTTP port and one endpoint. */
export function service(name = "orders", fields: Partial<Service> = {}): Service {
  return {
    registry: "dc1",
    namespace: "shop",
    name,
    ports: [port()],
    endpoints: endpoints(1),
    leftOut: [],
    metadata: {},
    legacyNames: [],
    source: "services.yaml:1",
    notes: [],
    ...fields,
  };
}

export function failed(key: string, why = "boom"): ServiceRead {
  return { state: "failed", key, cause: new Error(why) };
}

export function snapshot(
  registry: string,
  services: readonly (Service | ServiceRead)[],
  incomplete?: string,
): Snapshot {
  return {
    registry,
    services: services.map((one) => ("state" in one ? one : { state: "ok", service: one })),
    revision: "1",
    ...(incomplete === undefined ? {} : { incomplete }),
  };
}

/** A list of services is a complete read, text is why the read failed, `undefined` is unread. */
export type Said = readonly (Service | ServiceRead)[] | Reading | string | undefined;

export function readings(said: Readonly<Record<string, Said>>): ReadonlyMap<string, Reading> {
  return new Map(Object.entries(said).map(([registry, one]) => [registry, reading(registry, one)]));
}

function reading(registry: string, said: Said): Reading {
  if (said === undefined) return { state: "unread" };
  if (typeof said === "string") return { state: "failed", why: said };
  return "state" in said ? said : { state: "read", snapshot: snapshot(registry, said) };
}

export function incomplete(
  registry: string,
  services: readonly (Service | ServiceRead)[],
  why = "page 2 failed",
): Reading {
  return { state: "read", snapshot: snapshot(registry, services, why) };
}

export const MESH = "mesh-services";

/** An object of ours as it stands. */
export function standingObject(manifest: Manifest, fields: Partial<StandingObject> = {}): StandingObject {
  const { namespace, name, labels, annotations } = manifest.metadata;
  const service = annotations?.[SERVICE_ANNOTATION];
  return {
    key: objectKey(manifest.kind, namespace, name),
    service: service === undefined || parseServiceKey(service) === undefined ? undefined : service,
    registry: labels?.[REGISTRY_LABEL] ?? "",
    manifest,
    uid: `uid-${name}`,
    resourceVersion: "1",
    createdMs: NOW_MS - HOUR_MS,
    writtenMs: undefined,
    statusAddresses: [],
    ...fields,
  };
}

export interface EntryFields {
  readonly host?: string;
  readonly addresses?: readonly string[];
  readonly ports?: readonly EntryPort[];
  readonly endpoints?: readonly EntryEndpoint[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly object?: Partial<StandingObject>;
}

export function ourLabels(registry: string): Readonly<Record<string, string>> {
  return { [MANAGED_BY_LABEL]: MANAGED_BY, [OWNER_LABEL]: "east", [REGISTRY_LABEL]: registry };
}

/** The ServiceEntry of service `key` as it stands: what the stages make of `service()`. */
export function entry(key = "dc1/shop/orders", fields: EntryFields = {}): StandingObject & { manifest: ServiceEntry } {
  const { registry = "", namespace, name } = parseServiceKey(key) ?? {};
  const host = fields.host ?? `${name}.${namespace}.${registry}.mesh.internal`.toLowerCase();
  const manifest: ServiceEntry = {
    apiVersion: API_VERSIONS.ServiceEntry,
    kind: "ServiceEntry",
    metadata: {
      name: host,
      namespace: MESH,
      labels: fields.labels ?? ourLabels(registry),
      annotations: { [SERVICE_ANNOTATION]: key, ...fields.annotations },
    },
    spec: {
      hosts: [host],
      ...(fields.addresses === undefined ? {} : { addresses: fields.addresses }),
      ports: fields.ports ?? [{ name: "http-web", number: 8080, protocol: "HTTP" }],
      location: "MESH_INTERNAL",
      resolution: "STATIC",
      endpoints: fields.endpoints ?? [{ address: "192.0.2.1" }],
      exportTo: ["*"],
    },
  };
  return { ...standingObject(manifest, fields.object), manifest };
}

/** An entry that someone else wrote by hand, in the target's namespace, for service `key`. */
export function premade(
  key: string | undefined,
  name: string,
  fields: EntryFields & { spec?: object } = {},
): PremadeEntry {
  const [registry = "", namespace = "", service = ""] = key?.split("/") ?? [];
  const annotations = { "aeraki.net/polarisNamespace": namespace, "aeraki.net/polarisService": service };
  const { manifest } = entry(key ?? "dc1/shop/orders", { host: `dev.${name}.polaris`, ...fields });
  const metadata = {
    name,
    namespace: MESH,
    labels: fields.labels ?? { manager: "aeraki" },
    annotations: { ...annotations, ...fields.annotations },
  };
  const { key: objectKeyOf, ...object } = standingObject(
    { ...manifest, metadata, spec: { ...manifest.spec, ...fields.spec } },
    fields.object,
  );
  return { ...object, key: objectKeyOf, service: key, registry, manifest: object.manifest as ServiceEntry };
}

/** An alias of service `key` as it stands. */
export function alias(key: string, id: string, fields: Partial<StandingObject> = {}): StandingObject {
  const [namespace = "", name = ""] = id.split("/");
  const parts = parseServiceKey(key);
  const spec = {
    type: "ExternalName",
    externalName: `${parts?.name}.${parts?.namespace}.${parts?.registry}.mesh.internal`,
    ports: [{ name: "http-web", port: 8080, protocol: "TCP" }],
  } as const;
  const labels = ourLabels(parts?.registry ?? "");
  const metadata = { name, namespace, labels, annotations: { [SERVICE_ANNOTATION]: key } };
  return standingObject({ apiVersion: "v1", kind: "Service", metadata, spec }, fields);
}

export function foreign(kind: string, id: string, fields: Partial<ForeignObject> = {}): ForeignObject {
  const [namespace = "", name = ""] = id.split("/");
  const hosts = kind === "Service" ? [name] : [];
  return { kind, namespace, name, uid: `uid-${id}`, hosts, addresses: [], createdMs: NOW_MS - HOUR_MS, ...fields };
}

export function ledgerBlock(name: string, data: Readonly<Record<string, string>>): StandingLedgerBlock {
  return { name, resourceVersion: "7", data };
}

export interface StandingFields {
  readonly objects?: readonly StandingObject[];
  readonly foreign?: readonly ForeignObject[];
  readonly premade?: readonly PremadeEntry[];
  readonly ledger?: readonly StandingLedgerBlock[];
  readonly namespaces?: Readonly<Record<string, "active" | "terminating">>;
}

export function standing(fields: StandingFields = {}): IndexedStanding {
  const live: Standing = {
    objects: new Map((fields.objects ?? []).map((object) => [object.key, object])),
    foreign: new Map((fields.foreign ?? []).map((one) => [objectKey(one.kind, one.namespace, one.name), one])),
    premade: new Map((fields.premade ?? []).map((one) => [one.key, one])),
    ledger: new Map((fields.ledger ?? []).map((block) => [block.name, block])),
    namespaces: fields.namespaces === undefined ? undefined : new Map(Object.entries(fields.namespaces)),
  };
  return indexStanding(live);
}
