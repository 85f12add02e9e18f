import { type Manifest, objectKey, REGISTRY_LABEL, SERVICE_ANNOTATION } from "../model/objects.ts";
import type { PremadeRequest } from "../model/premade.ts";
import { parseServiceKey } from "../model/service.ts";
import type { PremadeEntry, StandingObject } from "../model/standing.ts";
import { soundEntrySpec } from "./entry-spec.ts";
import type { Fields } from "./fields.ts";
import { whyYielded } from "./ownership.ts";

/** An object of ours as a target has it, and what that target knows of this version of it. */
export interface OwnSource
  extends Pick<StandingObject, "uid" | "resourceVersion" | "createdMs" | "writtenMs" | "statusAddresses"> {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** As {@link soundSpec} gives it. */
  readonly spec: Fields;
}

/** A spec that the stages can read, whoever wrote it. */
export function soundSpec(kind: string, spec: Fields): Fields {
  return kind === "ServiceEntry" ? soundEntrySpec(spec) : spec;
}

/** Reduce an object of ours to what the stages need. */
export function standingObject(source: OwnSource): StandingObject {
  const { apiVersion, kind, name, namespace, labels, annotations, spec } = source;
  const service = annotations[SERVICE_ANNOTATION];
  const parts = service === undefined ? undefined : parseServiceKey(service);
  const yielded = whyYielded(kind, annotations, spec);
  return {
    key: objectKey(kind, namespace, name),
    service: parts === undefined ? undefined : service,
    registry: parts?.registry ?? labels[REGISTRY_LABEL] ?? "",
    // Any spec may stand here, as anyone may have written it.
    manifest: { apiVersion, kind, metadata: { name, namespace, labels, annotations }, spec } as unknown as Manifest,
    uid: source.uid,
    resourceVersion: source.resourceVersion,
    createdMs: source.createdMs,
    writtenMs: source.writtenMs,
    statusAddresses: source.statusAddresses,
    ...(yielded === undefined ? {} : { yielded }),
  };
}

/** Reduce an entry that someone else wrote, and that is to be filled, to what the stages need. */
export function premadeEntry(
  entry: StandingObject,
  { service, registry, fault, isApart }: PremadeRequest,
): PremadeEntry {
  const more = { ...(fault === undefined ? {} : { yielded: fault }), ...(isApart === undefined ? {} : { isApart }) };
  return { ...(entry as PremadeEntry), service, registry, ...more };
}
