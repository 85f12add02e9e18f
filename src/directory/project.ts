import { type Fields, fieldsOf, stringMapOf } from "../istio/fields.ts";
import { foreignObject } from "../istio/foreign.ts";
import { isLabelledOurs } from "../istio/ownership.ts";
import { premadeEntry, soundSpec, standingObject } from "../istio/standing.ts";
import { MESH_KINDS, type MeshKind } from "../model/objects.ts";
import type { PremadeRequest } from "../model/premade.ts";
import type { ForeignObject, PremadeEntry, StandingObject } from "../model/standing.ts";

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
    labels: stringMapOf(labels),
    annotations: stringMapOf(annotations),
    body,
  };
}

/** Whether it is a mesh object with our labels. */
export function isOurs({ kind, labels }: RawObject, owner: string): boolean {
  return MESH_KINDS.includes(kind as MeshKind) && isLabelledOurs(labels, owner);
}

/** An object of ours, reduced to what the stages need. */
export function toStanding({ body, ...own }: RawObject, resourceVersion: string, writtenMs: number): StandingObject {
  return standingObject({
    ...own,
    spec: soundSpec(own.kind, fieldsOf(body.spec)),
    uid: "",
    resourceVersion,
    createdMs: undefined,
    writtenMs,
    statusAddresses: [],
  });
}

/** An entry that someone else wrote, and that is to be filled. */
export function toPremade(
  raw: RawObject,
  resourceVersion: string,
  writtenMs: number,
  request: PremadeRequest,
): PremadeEntry {
  return premadeEntry(toStanding(raw, resourceVersion, writtenMs), request);
}

/** An object of anyone else, reduced to what can clash with ours; `undefined` for a kind that cannot. */
export function toForeign({ kind, name, namespace, labels, body }: RawObject): ForeignObject | undefined {
  if (kind === "ConfigMap") return undefined;
  const source = { kind, name, namespace, uid: "", labels, createdMs: undefined };
  return foreignObject({ ...source, spec: fieldsOf(body.spec), status: fieldsOf(body.status) }, {});
}
