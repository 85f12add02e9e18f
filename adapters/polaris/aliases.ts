import { isDeepStrictEqual } from "node:util";
import { ReadError } from "../../src/errors.ts";
import type { ServiceRead } from "../../src/model/adapter.ts";
import { type Service, type ServiceAlias, type ServiceKey, serviceKey } from "../../src/model/service.ts";
import { shorten } from "../text.ts";
import type { Content } from "./content.ts";
import { sidNamespaces } from "./l5.ts";
import type { Name } from "./reply.ts";
import { few } from "./service.ts";

/** What is known of one name that Polaris lists. */
export interface Known {
  readonly name: Name;
  /** As last read; `undefined` when it was never read. */
  readonly content: Content | undefined;
  /** Why it could not be read this time. */
  readonly failure: ReadError | undefined;
}

/** All that is known, as the mesh is to see it. */
export interface Resolution {
  /** By service key. */
  readonly reads: readonly ServiceRead[];
  /** Services whose instances all come from Kubernetes. */
  readonly kubernetes: number;
  /** Aliases of services that should be listed and are not. */
  readonly astray: readonly Name[];
}

/** Whether a name is one that the options ask for. */
export type Scope = (name: Name) => boolean;

/** What was added to a service as it was read, and the result. */
interface Finished {
  readonly base: Service;
  readonly added: Pick<Service, "aliases" | "aliasesOnly" | "notes">;
  readonly service: Service;
}

/** Whoever may make aliases could else make an entry too large to be written. */
const MOST_ALIASES = 100;

/** A name as the key of a map. */
export function idOf({ namespace, name }: Name): string {
  return `${namespace}/${name}`;
}

/**
 * Makes services and their aliases of names. A service keeps its identity while neither it nor its aliases change.
 *
 * `mayStand` says whether an alias whose target is not listed stands as a service of its own; until then it counts as unread.
 */
export function resolver(registry: string, isAsked: Scope) {
  let finished: ReadonlyMap<string, Finished> = new Map();

  return function resolve(known: readonly Known[], mayStand: Scope): Resolution {
    const byId = new Map(known.map((one) => [idOf(one.name), one]));
    const sids = sidHolders(known.map(({ name }) => name));
    const aliases = new Map<string, ServiceAlias[]>();
    const notes = new Map<string, string[]>();
    const alone = new Map<string, string>();
    const astray: Name[] = [];
    const reads: { readonly key: ServiceKey; readonly read: ServiceRead }[] = [];
    const next = new Map<string, Finished>();
    let kubernetes = 0;

    for (const { name, content } of known) {
      const target = content?.target;
      if (target === undefined) continue;
      const found = byId.get(idOf(target));
      if (found !== undefined && found.content?.target === undefined) join(idOf(target), name);
      else {
        alone.set(idOf(name), `an alias of ${shorten(idOf(target))}, which is not read here: a service of its own`);
        if (isAsked(target) && found === undefined) astray.push(name);
      }
    }
    for (const one of known) {
      const key = serviceKey(registry, one.name.namespace, one.name.name);
      const read = readOf(one, key);
      if (read !== undefined) reads.push({ key, read });
    }
    finished = next;
    reads.sort((a, b) => (a.key < b.key ? -1 : 1));
    return { reads: reads.map(({ read }) => read), kubernetes, astray };

    function join(target: string, name: Name): void {
      const fault = sidFault(name, sids);
      const [list, entry] = fault === undefined ? [aliases, name] : [notes, `alias ${idOf(name)} is no name: ${fault}`];
      const all = (list as Map<string, unknown[]>).get(target);
      if (all === undefined) (list as Map<string, unknown[]>).set(target, [entry]);
      else all.push(entry);
    }

    function readOf({ name, content, failure }: Known, key: ServiceKey): ServiceRead | undefined {
      const id = idOf(name);
      if (failure !== undefined) return { state: "failed", key, cause: failure };
      if (content === undefined)
        return { state: "failed", key, cause: new ReadError("answer", `${id} is listed and was not read yet`) };
      const { target, service } = content;
      const why = alone.get(id);
      if (target !== undefined && why === undefined) return undefined;
      if (service === undefined) {
        kubernetes++;
        return undefined;
      }
      if (target !== undefined && isAsked(target) && !byId.has(idOf(target)) && !mayStand(name))
        return {
          state: "failed",
          key,
          cause: new ReadError("answer", `${id} leads to ${idOf(target)}, which is not listed`),
        };
      return { state: "ok", service: finish(id, service, why) };
    }

    function finish(id: string, base: Service, why: string | undefined): Service {
      const fault = sidFault(base, sids);
      const more = [...(why === undefined ? [] : [why]), ...(fault === undefined ? [] : [`it is no name: ${fault}`])];
      const before = finished.get(id);
      const all = aliases.get(id) ?? [];
      const own = all.length <= MOST_ALIASES ? all : firstComers(all, before?.added.aliases ?? []);
      if (own.length < all.length) more.push(`of ${all.length} aliases ${own.length} are kept`);
      const added = {
        ...(own.length === 0 ? {} : { aliases: own.sort(byName) }),
        ...(fault === undefined ? {} : { aliasesOnly: true as const }),
        notes: few([...base.notes, ...more, ...(notes.get(id) ?? []).sort()]),
      };
      const isSame = before?.base === base && isDeepStrictEqual(before.added, added);
      const isBare = own.length === 0 && fault === undefined && added.notes.length === base.notes.length;
      const done = isSame ? before : { base, added, service: isBare ? base : { ...base, ...added } };
      next.set(id, done);
      return done.service;
    }
  };
}

/** Of too many aliases those that were there before, then in the order of their names. */
function firstComers(all: readonly ServiceAlias[], before: readonly ServiceAlias[]): ServiceAlias[] {
  const known = new Set(before.map(idOf));
  const late = (name: ServiceAlias) => (known.has(idOf(name)) ? 0 : 1);
  return all.toSorted((a, b) => late(a) - late(b) || byName(a, b)).slice(0, MOST_ALIASES);
}

/** Namespaces in which each L5 sid is listed. */
function sidHolders(names: readonly Name[]): ReadonlyMap<string, readonly string[]> {
  const holders = new Map<string, string[]>();
  for (const { namespace, name } of names) {
    if (sidNamespaces(name) === undefined) continue;
    const all = holders.get(name);
    if (all === undefined) holders.set(name, [namespace]);
    else all.push(namespace);
  }
  return holders;
}

/** Why no L5 client finds a service by a name that is a sid; `undefined` when it does, or the name is none. */
function sidFault({ namespace, name }: Name, holders: ReadonlyMap<string, readonly string[]>): string | undefined {
  const order = sidNamespaces(name);
  if (order === undefined) return undefined;
  if (!order.includes(namespace))
    return `L5 clients look for sid ${name} ${order.length === 0 ? "nowhere" : `in ${order.join(", then ")}`}`;
  const first = order.find((one) => holders.get(name)?.includes(one) === true);
  return first === namespace ? undefined : `L5 clients find sid ${name} in ${first} first`;
}

function byName(a: Name, b: Name): number {
  const [one, other] = [idOf(a), idOf(b)];
  return one < other ? -1 : one > other ? 1 : 0;
}
