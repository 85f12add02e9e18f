import type { Log } from "../../log.ts";
import {
  type Claim,
  type ConfiguredClaim,
  configuredClaim,
  type PeerRule,
  type SidecarScope,
} from "../../model/claim.ts";
import { type ObjectKey, objectKey } from "../../model/objects.ts";
import type { Standing } from "../../model/standing.ts";
import type { RawObject } from "../client/raw.ts";
import { isClaimant, readyCount, serviceOfSlice, toClaim, toLive, toPeerRule, toSidecar } from "./claims.ts";
import { MOST_OF_NAMESPACE, oncePerNamespace } from "./foreign-store.ts";
import { namespaceShares, type Shares } from "./shares.ts";
import { namespacedKey, type Store } from "./store.ts";

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

/** What is known of claims. Only the functions of this file change it. */
interface State {
  readonly finder: ClaimFinder | undefined;
  /** Told of a claimant's key when it has something ready again, or nothing any more. */
  readonly onChange: (key: ObjectKey) => void;
  /** Claims of the configuration, by the Service that makes them. */
  readonly configured: ReadonlyMap<ObjectKey, ConfiguredClaim>;
  readonly claims: Map<ObjectKey, Claim>;
  readonly sidecars: Map<ObjectKey, SidecarScope>;
  readonly peerRules: Map<ObjectKey, PeerRule>;
  /** What each namespace has of the three. */
  readonly room: Room;
  /** Ready endpoints by Service and EndpointSlice. */
  readonly ready: Map<ObjectKey, Map<string, number>>;
  /** The Service of each slice, so that one that is gone is found without its labels. */
  readonly services: Map<string, ObjectKey>;
}

/** Keeps what anyone may write within bounds: claims and rules are compared with each other in every pass. */
interface Room {
  /** Whether an object may be kept: as many, with all that they list, as a namespace may have. */
  readonly has: (kind: string, key: ObjectKey, namespace: string, size: number) => boolean;
  readonly free: Shares["free"];
}

function roomOf(log: Pick<Log, "warn"> | undefined): Room {
  const shares = namespaceShares(MOST_OF_NAMESPACE);
  const warn = oncePerNamespace(log);
  return {
    has(kind, key, namespace, size) {
      if (shares.take(key, namespace, size)) return true;
      const name = key.slice(key.lastIndexOf("/") + 1);
      const most = `only ${MOST_OF_NAMESPACE} claims, Sidecars and PeerAuthentications of a namespace, with what they list, are known`;
      warn({ kind, namespace, name }, `${most}: the others count for nothing`);
      return false;
    },
    free: shares.free,
  };
}

/**
 * The claims that stand in a cluster. Of EndpointSlices only the counts of ready endpoints are kept, and only of Services that may
 * claim something: those may be annotated after their slices were read.
 *
 * @param onChange told of a claimant's key when it has something ready again, or nothing any more
 * @param log told of what is left out for its number
 */
export function claimStores(
  finder: ClaimFinder | undefined,
  onChange: (key: ObjectKey) => void,
  log?: Pick<Log, "warn">,
): ClaimStores {
  const configured = new Map((finder?.claims ?? []).map((claim) => [serviceKeyOf(claim), claim]));
  const state: State = {
    ...{ finder, onChange, configured },
    claims: new Map([...configured].map(([key, claim]) => [key, configuredClaim(claim, undefined)])),
    sidecars: new Map(),
    peerRules: new Map(),
    room: roomOf(log),
    ready: new Map(),
    services: new Map(),
  };
  const { claims, sidecars, peerRules } = state;
  return {
    standing: { claims, sidecars, peerRules },
    stores: {
      EndpointSlice: sliceStore(state),
      Sidecar: projection("Sidecar", sidecars, state.room, toSidecar),
      PeerAuthentication: projection("PeerAuthentication", peerRules, state.room, toPeerRule),
    },
    putService: (key, raw, isOurs) => putService(state, key, raw, isOurs),
    dropService: (key) => dropService(state, key),
  };
}

function putService(state: State, key: ObjectKey, raw: RawObject, isOurs: boolean): boolean {
  const { finder, claims, configured } = state;
  const before = claims.get(key);
  const own = configured.get(key);
  const isClaiming = finder !== undefined && !isOurs && (own !== undefined || isClaimant(raw));
  if (!isClaiming) return own === undefined && forget(state, key);
  const live = toLive(raw, readyEndpoints(state, key));
  const now = own === undefined ? toClaim(raw, live) : configuredClaim(own, live);
  if (own === undefined && !state.room.has("Service", key, now.namespace, sizeOf(now))) return forget(state, key);
  if (JSON.stringify(before) === JSON.stringify(now)) return false;
  claims.set(key, now);
  return true;
}

function forget({ claims, room }: State, key: ObjectKey): boolean {
  room.free(key);
  return claims.delete(key);
}

function sizeOf({ sni = [], live }: Claim): number {
  return 1 + sni.length + (live?.ports.length ?? 0) + (live?.exportTo.length ?? 0);
}

function dropService(state: State, key: ObjectKey): void {
  const { claims, configured } = state;
  const own = configured.get(key);
  if (own === undefined) forget(state, key);
  else claims.set(key, configuredClaim(own, undefined));
}

function sliceStore(state: State): Store {
  return {
    keyOf: namespacedKey("EndpointSlice"),
    put: (slice, raw) => putSlice(state, slice, raw),
    drop: (slice) => dropSlice(state, slice),
    keys: () => [...state.services.keys()],
  };
}

function putSlice(state: State, slice: string, raw: RawObject): boolean {
  const { finder, configured, ready, services } = state;
  const { namespace = "" } = raw.metadata ?? {};
  const name = serviceOfSlice(raw);
  const key = name === undefined ? undefined : objectKey("Service", namespace, name);
  const before = services.get(slice);
  if (before !== undefined && before !== key) dropSlice(state, slice);
  if (key === undefined || !(finder?.mayClaim(namespace) || configured.has(key))) return false;
  const counts = ready.get(key) ?? new Map<string, number>();
  ready.set(key, counts);
  services.set(slice, key);
  counts.set(slice, readyCount(raw));
  recount(state, key);
  return true;
}

function dropSlice(state: State, slice: string): boolean {
  const { ready, services } = state;
  const key = services.get(slice);
  if (key === undefined) return false;
  const counts = ready.get(key);
  services.delete(slice);
  counts?.delete(slice);
  if (counts?.size === 0) ready.delete(key);
  recount(state, key);
  return true;
}

/** A claim says how many endpoints are ready; whether there are any decides what becomes of it. */
function recount(state: State, key: ObjectKey): void {
  const claim = state.claims.get(key);
  const now = readyEndpoints(state, key);
  if (claim?.live === undefined || claim.live.readyEndpoints === now) return;
  state.claims.set(key, { ...claim, live: { ...claim.live, readyEndpoints: now } });
  if (claim.live.readyEndpoints === 0 || now === 0) state.onChange(key);
}

function readyEndpoints({ ready }: State, key: ObjectKey): number {
  return [...(ready.get(key)?.values() ?? [])].reduce((sum, count) => sum + count, 0);
}

function serviceKeyOf({ by }: ConfiguredClaim): ObjectKey {
  return objectKey("Service", by.namespace, by.name);
}

/** What a namespace has no room for says nothing: it must be in nobody's way. */
function projection<Value extends SidecarScope | PeerRule>(
  kind: string,
  values: Map<ObjectKey, Value>,
  room: Room,
  project: (raw: RawObject) => Value,
): Store {
  return {
    keyOf: namespacedKey(kind),
    put(key, raw) {
      const value = project(raw);
      const size = 1 + ("egressHosts" in value ? (value.egressHosts?.length ?? 0) : 0);
      if (!room.has(kind, key, value.namespace, size)) return values.delete(key);
      if (JSON.stringify(values.get(key)) === JSON.stringify(value)) return false;
      values.set(key, value);
      return true;
    },
    drop(key) {
      room.free(key);
      return values.delete(key);
    },
    keys: () => [...values.keys()],
  };
}
