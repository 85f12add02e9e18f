import { type Fields, fieldsOf, listOf, stringMapOf, timeOf } from "../../istio/fields.ts";
import { type ForeignRules, foreignObject, statusAddresses } from "../../istio/foreign.ts";
import { isLabelledOurs } from "../../istio/ownership.ts";
import { premadeEntry, soundSpec, standingObject } from "../../istio/standing.ts";
import { API_VERSIONS, type MeshKind } from "../../model/objects.ts";
import type { PremadeRequest } from "../../model/premade.ts";
import type { ForeignObject, PremadeEntry, StandingObject } from "../../model/standing.ts";
import { plainText } from "../../text.ts";
import { FIELD_MANAGER } from "../client/client.ts";
import type { RawMetadata, RawObject } from "../client/raw.ts";
import { whyRefused } from "./route-status.ts";

/** Whether an object carries our labels, with this owner. */
export function isOurs({ metadata }: RawObject, owner: string): boolean {
  return isLabelledOurs(metadata?.labels, owner);
}

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
  const refused = kind === "HTTPRoute" || kind === "TCPRoute" ? whyRefused(raw) : undefined;
  const standing = standingObject({
    apiVersion: API_VERSIONS[kind],
    kind,
    namespace: pooled(metadata.namespace ?? ""),
    name: metadata.name ?? "",
    labels: pooled(stringMapOf(metadata.labels)),
    annotations: stringMapOf(metadata.annotations),
    spec: slimSpec(soundSpec(kind, fieldsOf(raw.spec)), pooled),
    uid: metadata.uid ?? "",
    resourceVersion: metadata.resourceVersion ?? "",
    createdMs: timeOf(metadata.creationTimestamp),
    writtenMs: writtenMs(metadata),
    statusAddresses: kind === "ServiceEntry" ? statusAddresses(fieldsOf(raw.status)) : NONE,
  });
  const terminating = whyTerminating(metadata);
  if (refused === undefined && terminating === undefined) return standing;
  return {
    ...standing,
    ...(refused === undefined ? {} : { refused }),
    ...(terminating === undefined ? {} : { terminating }),
  };
}

const MOST_FINALIZERS = 3;

/** Who keeps an object that is being deleted. */
function whyTerminating({ deletionTimestamp, finalizers }: RawMetadata): string | undefined {
  if (deletionTimestamp == null) return undefined;
  const names = listOf(finalizers).filter((one) => typeof one === "string");
  if (names.length === 0) return "its deletion is not over";
  const shown = names.slice(0, MOST_FINALIZERS).map((name) => plainText(name, 100));
  return `finalizer ${shown.join(", ")}${names.length > shown.length ? " and more" : ""} keeps it`;
}

const NONE: readonly string[] = [];

/** Reduce an entry that someone else wrote, and that is to be filled, to what the stages need. */
export function toPremade(raw: RawObject, request: PremadeRequest, pooled: Pool): PremadeEntry {
  return premadeEntry(toStanding("ServiceEntry", raw, pooled), request);
}

/** Reduce an object of anyone else to what can clash with ours. */
export function toForeign(
  kind: string,
  raw: RawObject,
  rules: ForeignRules,
  pooled: Pool = (value) => value,
): ForeignObject {
  const { name = "", namespace = "", uid = "", creationTimestamp, labels, annotations } = raw.metadata ?? {};
  return foreignObject(
    {
      ...{ kind, name, uid, labels, annotations },
      namespace: pooled(namespace),
      createdMs: timeOf(creationTimestamp),
      spec: fieldsOf(raw.spec),
      status: fieldsOf(raw.status),
    },
    rules,
  );
}

function slimSpec(spec: Fields, pooled: Pool): Fields {
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

function writtenMs({ managedFields }: RawMetadata): number | undefined {
  let latest: number | undefined;
  for (const { manager, time } of managedFields ?? []) {
    const at = manager === FIELD_MANAGER ? timeOf(time) : undefined;
    if (at !== undefined && (latest === undefined || at > latest)) latest = at;
  }
  return latest;
}
