import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import { soundEntrySpec } from "../model/entry-spec.ts";
import {
  API_VERSIONS,
  HANDED_OVER_ANNOTATION,
  MANAGED_BY,
  MANAGED_BY_LABEL,
  type Manifest,
  type MeshKind,
  OWNER_LABEL,
  objectKey,
  REGISTRY_LABEL,
  RELEASED_ANNOTATION,
  SERVICE_ANNOTATION,
} from "../model/objects.ts";
import type { PremadeClaim } from "../model/premade.ts";
import { parseServiceKey } from "../model/service.ts";
import type { ForeignObject, PremadeEntry, StandingObject } from "../model/standing.ts";
import { FIELD_MANAGER } from "./client.ts";
import { fieldsOf, listOf, type RawMetadata, type RawObject, stringMapOf, stringsOf, timeOf } from "./raw.ts";
import { whyRefused } from "./route-status.ts";

/** Whether an object carries our labels, with this owner. */
export function isOurs(raw: RawObject, owner: string): boolean {
  const labels = raw.metadata?.labels;
  return labels?.[OWNER_LABEL] === owner && labels[MANAGED_BY_LABEL] === MANAGED_BY;
}

const NONE: readonly string[] = [];

/** Gives back an equal value seen before, or the value itself. */
export type Pool = <T>(value: T) => T;

/** Keep one copy of equal values: thousands of objects share a handful of label maps and lists of ports. */
export function valuePool(): Pool {
  const pool = new Map<string, unknown>();
  return <T>(value: T): T => {
    if (value === undefined) return value;
    const text = JSON.stringify(value);
    const known = pool.get(text);
    if (known !== undefined) return known as T;
    if (pool.size >= 1000) pool.clear(); // values that differ from object to object are not worth a pool
    pool.set(text, value);
    return value;
  };
}

/** Reduce an object of ours to what the stages need. */
export function toStanding(kind: MeshKind, raw: RawObject, pooled: Pool): StandingObject {
  const metadata = raw.metadata ?? {};
  const { name = "", namespace = "" } = metadata;
  const labels = pooled(stringMapOf(metadata.labels));
  const annotations = stringMapOf(metadata.annotations);
  const service = annotations[SERVICE_ANNOTATION];
  const parts = service === undefined ? undefined : parseServiceKey(service);
  const refused = kind === "HTTPRoute" || kind === "TCPRoute" ? whyRefused(raw) : undefined;
  const yielded = releasedSince(annotations) ?? (kind === "Service" ? whyYielded(fieldsOf(raw.spec)) : undefined);
  return {
    key: objectKey(kind, namespace, name),
    service: parts === undefined ? undefined : service,
    registry: parts?.registry ?? labels[REGISTRY_LABEL] ?? "",
    // Any spec may stand here, as anyone may have written it.
    manifest: {
      apiVersion: API_VERSIONS[kind],
      kind,
      metadata: { name, namespace: pooled(namespace), labels, annotations },
      spec: slimSpec(kind === "ServiceEntry" ? soundEntrySpec(fieldsOf(raw.spec)) : fieldsOf(raw.spec), pooled),
    } as unknown as Manifest,
    uid: metadata.uid ?? "",
    resourceVersion: metadata.resourceVersion ?? "",
    createdMs: timeOf(metadata.creationTimestamp),
    writtenMs: writtenMs(metadata),
    statusAddresses: kind === "ServiceEntry" ? statusAddresses(raw) : NONE,
    ...(yielded === undefined ? {} : { yielded }),
    ...(refused === undefined ? {} : { refused }),
  };
}

/** Reduce an entry that someone else wrote, and that is to be filled, to what the stages need. */
export function toPremade(raw: RawObject, { service, registry, fault }: PremadeClaim, pooled: Pool): PremadeEntry {
  const entry = toStanding("ServiceEntry", raw, pooled) as PremadeEntry;
  return { ...entry, service, registry, ...(fault === undefined ? {} : { yielded: fault }) };
}

/** Reduce an object of anyone else to what can clash with ours. */
export function toForeign(
  kind: string,
  raw: RawObject,
  clusterDomain: string,
  pooled: Pool = (value) => value,
  us?: string,
): ForeignObject {
  const { name = "", namespace = "", uid = "", creationTimestamp, labels, annotations } = raw.metadata ?? {};
  const owner = labels?.[OWNER_LABEL];
  const hosts = hostsOf(kind, raw, name, namespace, clusterDomain);
  const isOver = us !== undefined && kind === "ServiceEntry" && handedOverTo(annotations)?.owner === us;
  return {
    kind,
    namespace: pooled(namespace),
    name,
    uid,
    hosts: isOver ? [] : hosts,
    addresses: addressesOf(kind, raw),
    createdMs: timeOf(creationTimestamp),
    ...(owner === undefined ? {} : { owner }),
    ...(isOver ? { handedOver: hosts } : {}),
    ...(kind === "VirtualService" && isNarrow(fieldsOf(raw.spec).exportTo) ? { isNarrow: true } : {}),
  };
}

function isNarrow(exportTo: unknown): boolean {
  const names = stringsOf(exportTo);
  return names.length > 0 && !names.includes("*");
}

/** To whom the names of an entry are handed over, and since when. */
export function handedOverTo(
  annotations: Readonly<Record<string, string>> | null | undefined,
): { readonly owner: string; readonly sinceMs: number } | undefined {
  const [owner = "", since] = annotations?.[HANDED_OVER_ANNOTATION]?.split("@") ?? [];
  const sinceMs = timeOf(since);
  return owner === "" || sinceMs === undefined ? undefined : { owner, sinceMs };
}

function slimSpec(spec: Readonly<Record<string, unknown>>, pooled: Pool): object {
  const slim: Record<string, unknown> = { ...spec };
  for (const field of ["ports", "location", "resolution", "exportTo"])
    if (slim[field] !== undefined) slim[field] = pooled(slim[field]);
  if (Array.isArray(spec.endpoints)) slim.endpoints = spec.endpoints.map((endpoint) => slimEndpoint(endpoint, pooled));
  return slim;
}

function slimEndpoint(endpoint: unknown, pooled: Pool): object {
  const slim: Record<string, unknown> = { ...fieldsOf(endpoint) };
  for (const field of ["labels", "locality", "ports"]) if (slim[field] !== undefined) slim[field] = pooled(slim[field]);
  return slim;
}

function releasedSince({ [RELEASED_ANNOTATION]: since }: Readonly<Record<string, string>>): string | undefined {
  return since === undefined ? undefined : `it was released at ${since}`;
}

function whyYielded(spec: Readonly<Record<string, unknown>>): string | undefined {
  if (spec.type !== "ExternalName") return `someone changed its type to ${String(spec.type ?? "ClusterIP")}`;
  if (Object.keys(fieldsOf(spec.selector)).length > 0) return "someone gave it a selector";
  return undefined;
}

function writtenMs({ managedFields }: RawMetadata): number | undefined {
  let latest: number | undefined;
  for (const { manager, time } of managedFields ?? []) {
    const at = manager === FIELD_MANAGER ? timeOf(time) : undefined;
    if (at !== undefined && (latest === undefined || at > latest)) latest = at;
  }
  return latest;
}

function statusAddresses(raw: RawObject): readonly string[] {
  const addresses = listOf(fieldsOf(raw.status).addresses);
  return addresses.length === 0 ? NONE : stringsOf(addresses.map((address) => fieldsOf(address).value));
}

function hostsOf(kind: string, raw: RawObject, name: string, namespace: string, clusterDomain: string): string[] {
  const spec = fieldsOf(raw.spec);
  if (kind === "Service") return [name];
  if (kind === "HTTPRoute") return routeHosts(spec, namespace, clusterDomain);
  // Bound to gateways only, a VirtualService says nothing of calls inside the mesh.
  const gateways = kind === "VirtualService" ? stringsOf(spec.gateways) : [];
  return gateways.length > 0 && !gateways.includes("mesh") ? [] : stringsOf(spec.hosts);
}

/**
 * Hosts that an HTTPRoute speaks for inside the mesh: those of its parents, by the Gateway API's rules for meshes (GAMMA).
 * `spec.hostnames` belongs to gateways. Entries of ours are named by their host, so a parent's name says which it is.
 */
function routeHosts(spec: Readonly<Record<string, unknown>>, ownNamespace: string, clusterDomain: string): string[] {
  const hosts = listOf(spec.parentRefs)
    .map(fieldsOf)
    .map(({ kind, name, namespace = ownNamespace }) => {
      if (kind === "ServiceEntry" || kind === "Hostname") return name;
      return kind === "Service" ? `${String(name)}.${String(namespace)}.svc.${clusterDomain}` : undefined;
    });
  return [...new Set(stringsOf(hosts))];
}

function addressesOf(kind: string, raw: RawObject): string[] {
  const spec = fieldsOf(raw.spec);
  const status = fieldsOf(raw.status);
  if (kind === "ServiceEntry") return singleAddresses([...stringsOf(spec.addresses), ...statusAddresses(raw)]);
  if (kind !== "Service") return [];
  const balancers = listOf(fieldsOf(status.loadBalancer).ingress).map((ingress) => fieldsOf(ingress).ip);
  return singleAddresses(
    stringsOf([
      spec.clusterIP,
      spec.loadBalancerIP,
      ...listOf(spec.clusterIPs),
      ...listOf(spec.externalIPs),
      ...balancers,
    ]),
  );
}

/** Drops ranges and the "None" of headless Services; IPv6 in canonical text. */
function singleAddresses(texts: readonly string[]): string[] {
  const addresses = texts.flatMap((text) => {
    const address = text.replace(/\/(?:32|128)$/, "");
    const family = isIP(address);
    if (family === 0) return [];
    return family === 4 ? address : ipaddr.parse(address).toString();
  });
  return addresses.length > 1 ? [...new Set(addresses)] : addresses;
}
