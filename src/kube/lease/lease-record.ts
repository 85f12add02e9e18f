import { fieldsOf, stringMapOf, timeOf } from "../../istio/fields.ts";
import type { RawObject } from "../client/raw.ts";

/** Annotation of the Lease by which `apply --allow-deletes` reaches a live leader: `<registries>@<time>`. */
export const ALLOW_DELETES_ANNOTATION = "x2istio.dev/allow-deletes";
/** The same for `prune`. */
export const PRUNE_ANNOTATION = "x2istio.dev/prune";
/** The leader's answer to a `prune` of registries that it still has: the very mark. */
export const PRUNE_REFUSED_ANNOTATION = "x2istio.dev/prune-refused";

/** Annotation of the Lease: the digest of the configuration by which its holder decides. */
export const CONFIG_ANNOTATION = "x2istio.dev/config";

/** Name of an owner's Lease. */
export function leaseName(owner: string): string {
  return `x2istio-${owner}`;
}

/** What an operator asked the leader for, about these registries. */
export interface Mark {
  readonly registries: readonly string[];
  /** Milliseconds since the epoch by the API server's clock: when it was asked for. */
  readonly atMs: number;
}

/** A Lease as it was last seen. */
export interface LeaseRecord {
  readonly resourceVersion: string;
  /** Changes with every renewal, and not when somebody marks the Lease. */
  readonly renewal: string;
  /** Empty when nobody holds it. */
  readonly holder: string;
  readonly durationMs: number;
  /** By the API server's clock, as far as its holder follows that. */
  readonly renewedMs: number | undefined;
  readonly transitions: number;
  /** A released brake: the deletes of these registries may go ahead. */
  readonly allowDeletes: Mark | undefined;
  /** What stands of these registries, which have left the configuration, is to go. */
  readonly prune?: Mark | undefined;
  readonly pruneRefused?: Mark | undefined;
  /** Of the configuration of whoever renewed it last; `undefined` from one that does not say it. */
  readonly config: string | undefined;
}

/** Read a coordination.k8s.io/v1 Lease. */
export function parseLease(raw: RawObject): LeaseRecord {
  const annotations = stringMapOf(raw.metadata?.annotations);
  const { holderIdentity, leaseDurationSeconds, renewTime, acquireTime, leaseTransitions } = fieldsOf(raw.spec);
  return {
    resourceVersion: raw.metadata?.resourceVersion ?? "",
    renewal: JSON.stringify([holderIdentity, renewTime, acquireTime, leaseTransitions]),
    holder: typeof holderIdentity === "string" ? holderIdentity : "",
    durationMs: typeof leaseDurationSeconds === "number" ? leaseDurationSeconds * 1000 : 0,
    renewedMs: timeOf(renewTime),
    transitions: typeof leaseTransitions === "number" ? leaseTransitions : 0,
    allowDeletes: parseMark(annotations[ALLOW_DELETES_ANNOTATION]),
    prune: parseMark(annotations[PRUNE_ANNOTATION]),
    pruneRefused: parseMark(annotations[PRUNE_REFUSED_ANNOTATION]),
    config: annotations[CONFIG_ANNOTATION],
  };
}

/** The annotation's text. */
export function formatMark({ registries, atMs }: Mark): string {
  return `${registries.join(",")}@${new Date(atMs).toISOString()}`;
}

/** Read the annotation; `undefined` when it is missing or malformed. */
export function parseMark(text: string | undefined): Mark | undefined {
  const at = text?.lastIndexOf("@") ?? -1;
  const atMs = timeOf(text?.slice(at + 1));
  const registries =
    text
      ?.slice(0, Math.max(0, at))
      .split(",")
      .filter((name) => name !== "") ?? [];
  return registries.length === 0 || atMs === undefined ? undefined : { registries, atMs };
}
