import { isIP } from "node:net";
import { soundEntrySpec } from "../model/entry-spec.ts";
import {
  MANAGED_BY,
  MANAGED_BY_LABEL,
  type Manifest,
  MESH_KINDS,
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

type Fields = Readonly<Record<string, unknown>>;

/** A Kubernetes object as someone wrote it into a file: nothing in it is certain but its kind and name. */
export interface RawObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  /** `default` when the file does not say, as for kubectl. */
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly body: Fields;
}

const GROUPS: Readonly<Record<string, RegExp>> = {
  ServiceEntry: /^networking\.istio\.io\//,
  VirtualService: /^networking\.istio\.io\//,
  Service: /^v1$/, // Knative has a Service too
  TCPRoute: /^gateway\.networking\.k8s\.io\//,
  HTTPRoute: /^gateway\.networking\.k8s\.io\//,
  ConfigMap: /^v1$/,
};

/** A document as an object of a kind that matters here; `undefined` for all else. */
export function rawObject(value: unknown): RawObject | undefined {
  const body = fieldsOf(value);
  const { apiVersion, kind } = body;
  const { name, namespace = "default", labels, annotations } = fieldsOf(body.metadata);
  if (
    typeof kind !== "string" ||
    typeof apiVersion !== "string" ||
    typeof name !== "string" ||
    typeof namespace !== "string"
  )
    return undefined;
  if (!Object.hasOwn(GROUPS, kind) || GROUPS[kind]?.test(apiVersion) !== true) return undefined;
  return {
    apiVersion,
    kind,
    name,
    namespace,
    labels: stringsByKey(labels),
    annotations: stringsByKey(annotations),
    body,
  };
}

/** The string entries of a mapping. */
export function stringsByKey(value: unknown): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(fieldsOf(value)).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}

/** Whether it is a mesh object with our labels. */
export function isOurs({ kind, labels }: RawObject, owner: string): boolean {
  return (
    MESH_KINDS.includes(kind as MeshKind) && labels[OWNER_LABEL] === owner && labels[MANAGED_BY_LABEL] === MANAGED_BY
  );
}

/** An object of ours, reduced to what the stages need. */
export function toStanding(raw: RawObject, resourceVersion: string, writtenMs: number): StandingObject {
  const { apiVersion, kind, name, namespace, labels, annotations, body } = raw;
  const service = annotations[SERVICE_ANNOTATION];
  const parts = service === undefined ? undefined : parseServiceKey(service);
  const spec = kind === "ServiceEntry" ? soundEntrySpec(fieldsOf(body.spec)) : fieldsOf(body.spec);
  const released = annotations[RELEASED_ANNOTATION];
  const yielded =
    released !== undefined ? `it was released at ${released}` : kind === "Service" ? whyYielded(spec) : undefined;
  return {
    key: objectKey(kind, namespace, name),
    service: parts === undefined ? undefined : service,
    registry: parts?.registry ?? labels[REGISTRY_LABEL] ?? "",
    // Any spec may stand here, as anyone may have edited the file.
    manifest: { apiVersion, kind, metadata: { name, namespace, labels, annotations }, spec } as unknown as Manifest,
    uid: "",
    resourceVersion,
    createdMs: undefined,
    writtenMs,
    statusAddresses: [],
    ...(yielded === undefined ? {} : { yielded }),
  };
}

/** An entry that someone else wrote, and that is to be filled. */
export function toPremade(
  raw: RawObject,
  resourceVersion: string,
  writtenMs: number,
  { service, registry, fault }: PremadeClaim,
): PremadeEntry {
  const entry = toStanding(raw, resourceVersion, writtenMs) as PremadeEntry;
  return { ...entry, service, registry, ...(fault === undefined ? {} : { yielded: fault }) };
}

function whyYielded(spec: Fields): string | undefined {
  if (spec.type !== "ExternalName") return `someone changed its type to ${String(spec.type ?? "ClusterIP")}`;
  return Object.keys(fieldsOf(spec.selector)).length > 0 ? "someone gave it a selector" : undefined;
}

/** An object of anyone else, reduced to what can clash with ours; `undefined` for a kind that cannot. */
export function toForeign({ kind, name, namespace, labels, body }: RawObject): ForeignObject | undefined {
  if (kind === "ConfigMap") return undefined;
  const owner = labels[OWNER_LABEL];
  const spec = fieldsOf(body.spec);
  const base = {
    kind,
    namespace,
    name,
    uid: "",
    hosts: hostsOf(kind, name, spec),
    addresses: addressesOf(kind, spec, fieldsOf(body.status)),
    createdMs: undefined,
  };
  const exportTo = textsOf(spec.exportTo);
  return {
    ...base,
    ...(owner === undefined ? {} : { owner }),
    ...(kind === "VirtualService" && exportTo.length > 0 && !exportTo.includes("*") ? { isNarrow: true } : {}),
  };
}

function hostsOf(kind: string, name: string, spec: Fields): string[] {
  if (kind === "Service") return [name];
  if (kind === "HTTPRoute") {
    // In a mesh a route speaks for its parents (GAMMA); entries of ours are named by their host.
    const parents = listOf(spec.parentRefs).map(fieldsOf);
    return textsOf(
      parents
        .filter((parent) => parent.kind === "ServiceEntry" || parent.kind === "Hostname")
        .map((parent) => parent.name),
    );
  }
  const gateways = kind === "VirtualService" ? textsOf(spec.gateways) : [];
  return gateways.length > 0 && !gateways.includes("mesh") ? [] : textsOf(spec.hosts);
}

function addressesOf(kind: string, spec: Fields, status: Fields): string[] {
  const found =
    kind === "ServiceEntry"
      ? [...listOf(spec.addresses), ...listOf(status.addresses).map((address) => fieldsOf(address).value)]
      : kind === "Service"
        ? [spec.clusterIP, spec.loadBalancerIP, ...listOf(spec.clusterIPs), ...listOf(spec.externalIPs)]
        : [];
  const single = textsOf(found).map((text) => text.replace(/\/(?:32|128)$/, ""));
  return [...new Set(single.filter((text) => isIP(text) !== 0))];
}

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function textsOf(value: unknown): string[] {
  return listOf(value).filter((item): item is string => typeof item === "string" && item !== "");
}
