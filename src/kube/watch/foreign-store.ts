import { MOST_OF_ONE } from "../../istio/clashes.ts";
import type { Log } from "../../log.ts";
import type { ObjectKey } from "../../model/objects.ts";
import type { ForeignObject } from "../../model/standing.ts";

/** The most objects, the most hosts, and the most addresses that are known of one namespace. */
export const MOST_OF_NAMESPACE = 10_000;
/** Namespaces of which something is said. */
const MOST_SAID = 1000;

/** What is known of others' objects, within bounds. */
export interface ForeignStore {
  /** A live view. */
  readonly objects: ReadonlyMap<ObjectKey, ForeignObject>;
  /** Keep an object, or as much of it as its namespace may have; tells whether that changed anything. */
  put(key: ObjectKey, object: ForeignObject): boolean;
  /** Tells whether it was known. */
  drop(key: ObjectKey): boolean;
}

/** How much is known of a namespace. */
interface Share {
  readonly objects: number;
  readonly hosts: number;
  readonly addresses: number;
}

interface State {
  readonly objects: Map<ObjectKey, ForeignObject>;
  readonly shares: Map<string, Share>;
  readonly warn: (object: Pick<ForeignObject, "kind" | "namespace" | "name">, message: string) => void;
}

/** Nothing is known. What is left out for its number is said once for each namespace. */
export function foreignStore(log: Pick<Log, "warn"> | undefined): ForeignStore {
  const objects = new Map<ObjectKey, ForeignObject>();
  const state: State = { objects, shares: new Map(), warn: oncePerNamespace(log) };
  return {
    objects,
    put: (key, object) => put(state, key, object),
    drop(key) {
      const object = objects.get(key);
      if (object !== undefined) addShare(state, object, -1);
      return objects.delete(key);
    },
  };
}

/** Says something of a namespace once, naming one object there. */
export function oncePerNamespace(log: Pick<Log, "warn"> | undefined): State["warn"] {
  const said = new Set<string>();
  return ({ kind, namespace, name }, message) => {
    if (said.has(namespace) || said.size === MOST_SAID) return;
    said.add(namespace);
    log?.warn({ namespace, object: `${kind} ${namespace}/${name}` }, message);
  };
}

function put(state: State, key: ObjectKey, object: ForeignObject): boolean {
  const known = state.objects.get(key);
  if (known !== undefined) addShare(state, known, -1);
  const kept = withinShare(state, object);
  if (kept !== undefined) addShare(state, kept, 1);
  if (known === kept || (known !== undefined && kept !== undefined && isSame(known, kept))) return false;
  if (kept === undefined) state.objects.delete(key);
  else state.objects.set(key, kept);
  return true;
}

function withinShare({ shares, warn }: State, object: ForeignObject): ForeignObject | undefined {
  const { objects, hosts, addresses } = shares.get(object.namespace) ?? NOTHING;
  if (objects >= MOST_OF_NAMESPACE) {
    warn(
      object,
      `only ${MOST_OF_NAMESPACE} objects of a namespace are compared with ours: names of the others may be given to services`,
    );
    return undefined;
  }
  const lists = [object.hosts, object.handedOver ?? [], object.addresses, object.askedAddresses ?? []];
  if (lists.some(({ length }) => length >= MOST_OF_ONE))
    warn(
      object,
      `only ${MOST_OF_ONE} hosts and addresses of an object are compared with ours: others may be given to services`,
    );
  const [hostRoom, addressRoom] = [MOST_OF_NAMESPACE - hosts, MOST_OF_NAMESPACE - addresses];
  const isWhole = hostsOf(object) <= hostRoom && addressesOf(object) <= addressRoom;
  if (isWhole || (object.kind === "Service" && addressesOf(object) <= addressRoom)) return object;
  warn(
    object,
    `only ${MOST_OF_NAMESPACE} hosts and addresses of a namespace are compared with ours: others may be given to services`,
  );
  return {
    ...object,
    hosts: object.hosts.slice(0, hostRoom),
    addresses: object.addresses.slice(0, addressRoom),
    ...(object.askedAddresses && {
      askedAddresses: object.askedAddresses.slice(0, Math.max(0, addressRoom - object.addresses.length)),
    }),
    ...(object.handedOver && { handedOver: object.handedOver.slice(0, hostRoom) }),
  };
}

const NOTHING: Share = { objects: 0, hosts: 0, addresses: 0 };

function addShare({ shares }: State, object: ForeignObject, sign: 1 | -1): void {
  const { objects, hosts, addresses } = shares.get(object.namespace) ?? NOTHING;
  if (objects + sign === 0) shares.delete(object.namespace);
  else
    shares.set(object.namespace, {
      objects: objects + sign,
      hosts: hosts + sign * hostsOf(object),
      addresses: addresses + sign * addressesOf(object),
    });
}

/** Hosts of an object beside its own name. */
function hostsOf({ kind, hosts, handedOver = [] }: ForeignObject): number {
  return kind === "Service" ? 0 : hosts.length + handedOver.length;
}

function addressesOf({ addresses, askedAddresses = [] }: ForeignObject): number {
  return addresses.length + askedAddresses.length;
}

function isSame(a: ForeignObject, b: ForeignObject): boolean {
  return (
    a.uid === b.uid &&
    a.owner === b.owner &&
    a.isNarrow === b.isNarrow &&
    isSameList(a.hosts, b.hosts) &&
    isSameList(a.handedOver ?? [], b.handedOver ?? []) &&
    isSameList(a.addresses, b.addresses) &&
    isSameList(a.askedAddresses ?? [], b.askedAddresses ?? [])
  );
}

function isSameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index]);
}
