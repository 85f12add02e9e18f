import { fieldsOf, stringMapOf, timeOf } from "../../istio/fields.ts";
import type { RawObject } from "../client/raw.ts";

/** Annotation of the Lease by which `apply --allow-deletes` reaches a live leader: `<registries>@<time>`. */
export const ALLOW_DELETES_ANNOTATION = "x2istio.dev/allow-deletes";

/** Annotation of the Lease: the digest of the configuration by which its holder decides. */
export const CONFIG_ANNOTATION = "x2istio.dev/config";

/** Name of an owner's Lease. */
export function leaseName(owner: string): string {
  return `x2istio-${owner}`;
}

/** A released brake: the deletes of these registries may go ahead. */
export interface AllowDeletes {
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
  readonly allowDeletes: AllowDeletes | undefined;
  /** Of the configuration of whoever renewed it last; `undefined` from one that does not say it. */
  readonly config: string | undefined;
}

/** Read a coordination.k8s.io/v1 Lease. */
export function parseLease(raw: RawObject): LeaseRecord {
  const { holderIdentity, leaseDurationSeconds, renewTime, acquireTime, leaseTransitions } = fieldsOf(raw.spec);
  const annotations = stringMapOf(raw.metadata?.annotations);
  return {
    resourceVersion: raw.metadata?.resourceVersion ?? "",
    renewal: JSON.stringify([holderIdentity, renewTime, acquireTime, leaseTransitions]),
    holder: typeof holderIdentity === "string" ? holderIdentity : "",
    durationMs: typeof leaseDurationSeconds === "number" ? leaseDurationSeconds * 1000 : 0,
    renewedMs: timeOf(renewTime),
    transitions: typeof leaseTransitions === "number" ? leaseTransitions : 0,
    allowDeletes: parseAllowDeletes(annotations[ALLOW_DELETES_ANNOTATION]),
    config: annotations[CONFIG_ANNOTATION],
  };
}

/** The annotation's text. */
export function formatAllowDeletes({ registries, atMs }: AllowDeletes): string {
  return `${registries.join(",")}@${new Date(atMs).toISOString()}`;
}

/** Read the annotation; `undefined` when it is missing or malformed. */
export function parseAllowDeletes(text: string | undefined): AllowDeletes | undefined {
  const at = text?.lastIndexOf("@") ?? -1;
  const atMs = timeOf(text?.slice(at + 1));
  const registries =
    text
      ?.slice(0, Math.max(0, at))
      .split(",")
      .filter((name) => name !== "") ?? [];
  return registries.length === 0 || atMs === undefined ? undefined : { registries, atMs };
}
