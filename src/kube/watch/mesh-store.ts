import { type Clashes, type ClashRules, clashes, MOST_OF_ONE } from "../../istio/clashes.ts";
import { fieldsOf, listOf } from "../../istio/fields.ts";
import type { Log } from "../../log.ts";
import type { MeshKind, ObjectKey } from "../../model/objects.ts";
import { type PremadeRule, premadeRequest } from "../../model/premade.ts";
import type { PremadeEntry, StandingObject } from "../../model/standing.ts";
import type { RawObject } from "../client/raw.ts";
import { type AliasPlaces, aliasPlaces } from "./alias-places.ts";
import type { ClaimStores } from "./claim-stores.ts";
import { type ForeignStore, foreignStore, oncePerNamespace } from "./foreign-store.ts";
import { isOurs, type Pool, toForeign, toPremade, toStanding, valuePool } from "./project.ts";
import { namespaceShares, type Shares } from "./shares.ts";
import { namespacedKey, type Store } from "./store.ts";

/** What decides whose an object is. */
export interface MeshRules {
  readonly owner: string;
  readonly clusterDomain: string;
  /** Where our entries, VirtualServices and routes stand. Elsewhere our labels prove nothing, as anyone may set them on an object of their own. */
  readonly namespace: string;
  /** Where aliases stand. Anywhere else a Service is ours only if an entry of ours names it: an alias whose rule was removed. */
  readonly aliasNamespaces: ReadonlySet<string>;
  /** Which entries of others are to be filled; without it none. */
  readonly premade?: PremadeRule | undefined;
  /** What of others' objects is worth knowing. Default: any name and address. */
  readonly clashes?: ClashRules | undefined;
  /** Told of what is left out. */
  readonly log?: Pick<Log, "warn"> | undefined;
}

/** The mesh objects that stand. Only the stores of this file change it; an object is ours or foreign, never both. */
export interface MeshState {
  readonly rules: MeshRules;
  readonly objects: Map<ObjectKey, StandingObject>;
  readonly foreign: ForeignStore;
  readonly aliases: AliasPlaces;
  /** Says of a namespace that something there carries our labels and is not ours. */
  readonly warnOfStray: ReturnType<typeof oncePerNamespace>;
  /** Those of `foreign` that are to be filled, as a whole. */
  readonly premade: Map<ObjectKey, PremadeEntry>;
  /** What those have that others than the operator may write, in characters. */
  readonly premadeRoom: Shares;
  readonly warnOfRoom: ReturnType<typeof oncePerNamespace>;
  readonly pooled: Pool;
  readonly may: Clashes;
  /** Told of each Service, as it may claim a service. */
  readonly claims: Pick<ClaimStores, "putService" | "dropService">;
}

/** Of one namespace: they are kept, and written, as a whole. */
const MOST_PREMADE_CHARACTERS = 2 ** 25;

/** Nothing stands. */
export function meshState(rules: MeshRules, claims: MeshState["claims"]): MeshState {
  const stores = { objects: new Map(), foreign: foreignStore(rules.log), premade: new Map() };
  const premadeRoom = namespaceShares(MOST_PREMADE_CHARACTERS);
  const [warnOfStray, warnOfRoom] = [oncePerNamespace(rules.log), oncePerNamespace(rules.log)];
  return {
    rules,
    claims,
    ...stores,
    aliases: aliasPlaces(),
    ...{ warnOfStray, premadeRoom, warnOfRoom },
    pooled: valuePool(),
    may: clashes(rules.clashes),
  };
}

/** Keeps the objects of one kind. */
export function meshStore(state: MeshState, kind: MeshKind): Store {
  const { objects, foreign, aliases, claims } = state;
  return {
    keyOf: namespacedKey(kind),
    put: (key, raw) => put(state, kind, key, raw),
    drop(key) {
      if (kind === "Service") claims.dropService(key);
      const wasOurs = objects.delete(key);
      aliases.drop(key);
      forgetPremade(state, key);
      return foreign.drop(key) || wasOurs;
    },
    keys: () => [...keysOfKind(objects.keys(), kind), ...keysOfKind(foreign.objects.keys(), kind)],
  };
}

function put(state: MeshState, kind: MeshKind, key: ObjectKey, raw: RawObject): boolean {
  const hasOurLabels = isOurs(raw, state.rules.owner);
  const isClaim = kind === "Service" && state.claims.putService(key, raw, hasOurLabels);
  if (hasOurLabels && isInPlace(state, kind, key, raw)) return putOurs(state, kind, key, raw);
  const isNews = putForeign(state, kind, key, raw, isClaim);
  if (hasOurLabels && !state.premade.has(key)) warn(state, kind, raw);
  return isNews;
}

/** Whether ours may stand there. */
function isInPlace({ rules, aliases }: MeshState, kind: MeshKind, key: ObjectKey, { metadata }: RawObject): boolean {
  const { namespace = "" } = metadata ?? {};
  if (namespace === rules.namespace) return true;
  return kind === "Service" && (rules.aliasNamespaces.has(namespace) || aliases.has(key));
}

/** Tenants may imitate our labels; but it may also be what an earlier configuration wrote, which is then to be removed by hand. */
function warn({ warnOfStray }: MeshState, kind: MeshKind, { metadata }: RawObject): void {
  const { namespace = "", name = "" } = metadata ?? {};
  warnOfStray(
    { kind, namespace, name },
    "an object carries our labels where we do not write; it is treated as someone else's",
  );
}

function putOurs(state: MeshState, kind: MeshKind, key: ObjectKey, raw: RawObject) {
  const { objects, foreign, aliases, pooled } = state;
  const known = objects.get(key);
  if (known !== undefined && known.resourceVersion === raw.metadata?.resourceVersion) return false;
  const object = toStanding(kind, raw, pooled);
  foreign.drop(key);
  forgetPremade(state, key);
  objects.set(key, object);
  if (kind === "ServiceEntry") aliases.put(object);
  return true;
}

/** @param isClaim whether it changed a claim, which counts as a change too */
function putForeign(state: MeshState, kind: MeshKind, key: ObjectKey, raw: RawObject, isClaim: boolean): boolean {
  const { rules, objects, foreign, aliases, pooled, may } = state;
  const isFilled = putPremade(state, kind, key, raw);
  const object = toForeign(kind, raw, { clusterDomain: rules.clusterDomain, owner: rules.owner, clashes: may }, pooled);
  const { hosts, handedOver = [], addresses } = object;
  // Most have nothing in common with ours, and can clash by their name alone.
  const isOther = hosts.length + handedOver.length + addresses.length === 0 && object.namespace !== rules.namespace;
  const wasOurs = objects.delete(key);
  if (wasOurs) aliases.drop(key);
  const isNews = isOther ? foreign.drop(key) : foreign.put(key, object);
  return isNews || wasOurs || isFilled || isClaim;
}

/** Keep an entry of someone else's as a whole when it is to be filled; tells whether that changed anything. */
function putPremade(state: MeshState, kind: MeshKind, key: ObjectKey, raw: RawObject): boolean {
  const { rules, premade, pooled } = state;
  const { namespace = "", labels, annotations, resourceVersion } = raw.metadata ?? {};
  const { hosts, addresses } = fieldsOf(raw.spec);
  const isBounded = listOf(hosts).length <= MOST_OF_ONE && listOf(addresses).length <= MOST_OF_ONE;
  const isEntry = kind === "ServiceEntry" && rules.premade !== undefined && isBounded;
  const request = isEntry ? premadeRequest({ namespace, labels, annotations }, rules.premade) : undefined;
  if (request === undefined) return forgetPremade(state, key);
  if (premade.get(key)?.resourceVersion === resourceVersion) return false;
  if (request.isApart === true && !hasRoom(state, key, namespace, raw)) return forgetPremade(state, key);
  premade.set(key, toPremade(raw, request, pooled));
  return true;
}

/** Anyone could else have any number of entries written with the endpoints of the largest service. */
function hasRoom({ premadeRoom, warnOfRoom }: MeshState, key: ObjectKey, namespace: string, raw: RawObject): boolean {
  if (premadeRoom.take(key, namespace, JSON.stringify(raw).length)) return true;
  const object = { kind: "ServiceEntry", namespace, name: raw.metadata?.name ?? "" };
  warnOfRoom(object, "only 32 MiB of entries written by hand are filled in a namespace of aliases: the others are not");
  return false;
}

function forgetPremade({ premade, premadeRoom }: MeshState, key: ObjectKey): boolean {
  premadeRoom.free(key);
  return premade.delete(key);
}

function keysOfKind(keys: Iterable<string>, kind: string): string[] {
  return [...keys].filter((key) => key.startsWith(`${kind}/`));
}
