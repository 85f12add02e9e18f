import { type Claim, type ConfiguredClaim, configuredClaim, type PeerRule, type SidecarScope } from "../model/claim.ts";
import { type ObjectKey, objectKey } from "../model/objects.ts";
import type { Standing } from "../model/standing.ts";
import { isClaimant, readyCount, serviceOfSlice, toClaim, toLive, toPeerRule, toSidecar } from "./claims.ts";
import type { RawObject } from "./raw.ts";
import type { Store } from "./sink.ts";

/** Where to look for Services that claim a service of a registry. */
export interface ClaimFinder {
  /** Whether Services of a namespace may claim anything: only their endpoints are counted. */
  readonly mayClaim: (namespace: string) => boolean;
  readonly claims: readonly ConfiguredClaim[];
}

/** What stands of claims, and what keeps it current. */
export interface ClaimStores {
  readonly standing: Required<Pick<Standing, "claims" | "sidecars" | "peerRules">>;
  readonly stores: Readonly<Record<"EndpointSlice" | "Sidecar" | "PeerAuthentication", Store>>;
  /** A Service as it is; tells whether that changed a claim. Aliases of ours claim nothing. */
  putService(key: ObjectKey, raw: RawObject, isOurs: boolean): boolean;
  dropService(key: ObjectKey): void;
}

/** Ready endpoints of a Service, by EndpointSlice. */
type Slices = Map<string, number>;

/**
 * The claims that stand in a cluster. Of EndpointSlices only the counts of ready endpoints are kept, and only of Services that may
 * claim something: those may be annotated after their slices were read.
 *
 * @param onChange told of a claimant's key when it has something ready again, or nothing any more
 */
export function claimStores(finder: ClaimFinder | undefined, onChange: (key: ObjectKey) => void): ClaimStores {
  const claims = new Map<ObjectKey, Claim>();
  const sidecars = new Map<ObjectKey, SidecarScope>();
  const peerRules = new Map<ObjectKey, PeerRule>();
  const slices = new Map<ObjectKey, Slices>();
  /** By slice, so that one that is gone is found without its labels. */
  const owners = new Map<string, ObjectKey>();
  const configured = new Map((finder?.claims ?? []).map((claim) => [serviceKeyOf(claim), claim]));
  for (const [key, claim] of configured) claims.set(key, configuredClaim(claim, undefined));

  const ready = (key: ObjectKey) => [...(slices.get(key)?.values() ?? [])].reduce((sum, count) => sum + count, 0);

  function recount(key: ObjectKey): void {
    const claim = claims.get(key);
    const readyEndpoints = ready(key);
    if (claim?.live === undefined || claim.live.readyEndpoints === readyEndpoints) return;
    claims.set(key, { ...claim, live: { ...claim.live, readyEndpoints } });
    if (claim.live.readyEndpoints === 0 || readyEndpoints === 0) onChange(key);
  }

  function putSlice(slice: string, raw: RawObject): boolean {
    const { namespace = "" } = raw.metadata ?? {};
    const name = serviceOfSlice(raw);
    const key = name === undefined ? undefined : objectKey("Service", namespace, name);
    const before = owners.get(slice);
    if (before !== undefined && before !== key) dropSlice(slice);
    if (key === undefined || !(finder?.mayClaim(namespace) || configured.has(key))) return false;
    const own: Slices = slices.get(key) ?? new Map();
    slices.set(key, own);
    owners.set(slice, key);
    own.set(slice, readyCount(raw));
    recount(key);
    return true;
  }

  function dropSlice(slice: string): boolean {
    const key = owners.get(slice);
    if (key === undefined) return false;
    const own = slices.get(key);
    owners.delete(slice);
    own?.delete(slice);
    if (own?.size === 0) slices.delete(key);
    recount(key);
    return true;
  }

  return {
    standing: { claims, sidecars, peerRules },
    stores: {
      EndpointSlice: { keyOf: keyOf("EndpointSlice"), put: putSlice, drop: dropSlice, keys: () => [...owners.keys()] },
      Sidecar: projection("Sidecar", sidecars, toSidecar),
      PeerAuthentication: projection("PeerAuthentication", peerRules, toPeerRule),
    },
    putService(key, raw, isOurs) {
      const before = claims.get(key);
      const own = configured.get(key);
      const isClaiming = finder !== undefined && !isOurs && (own !== undefined || isClaimant(raw));
      if (!isClaiming) return own === undefined && claims.delete(key);
      const live = toLive(raw, ready(key));
      const now = own === undefined ? toClaim(raw, live) : configuredClaim(own, live);
      if (JSON.stringify(before) === JSON.stringify(now)) return false;
      claims.set(key, now);
      return true;
    },
    dropService(key) {
      const own = configured.get(key);
      if (own === undefined) claims.delete(key);
      else claims.set(key, configuredClaim(own, undefined));
    },
  };
}

function serviceKeyOf({ by }: ConfiguredClaim): ObjectKey {
  return objectKey("Service", by.namespace, by.name);
}

function projection<Value>(kind: string, values: Map<ObjectKey, Value>, project: (raw: RawObject) => Value): Store {
  return {
    keyOf: keyOf(kind),
    put(key, raw) {
      const value = project(raw);
      if (JSON.stringify(values.get(key)) === JSON.stringify(value)) return false;
      values.set(key, value);
      return true;
    },
    drop: (key) => values.delete(key),
    keys: () => [...values.keys()],
  };
}

function keyOf(kind: string): Store["keyOf"] {
  return ({ metadata }) =>
    metadata?.name === undefined || metadata.namespace === undefined
      ? undefined
      : objectKey(kind, metadata.namespace, metadata.name);
}
