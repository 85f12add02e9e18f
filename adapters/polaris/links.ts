import type { ReadError } from "../../src/errors.ts";
import type { ServiceAlias } from "../../src/model/service.ts";
import { shorten } from "../text.ts";
import type { Name } from "./client/reply.ts";
import { sidNamespaces } from "./l5.ts";
import type { Content } from "./mapping/content.ts";

/** What is known of one name that Polaris lists. */
export interface Known {
  readonly name: Name;
  /** As last read; `undefined` when it was never read. */
  readonly content: Content | undefined;
  /** Why it could not be read this time. */
  readonly failure: ReadError | undefined;
}

/** Whether a name is one that is meant. */
export type Scope = (name: Name) => boolean;

/** A name as the key of a map. */
export function idOf({ namespace, name }: Name): string {
  return `${namespace}/${name}`;
}

/** How the names of one registry belong together; keys are ids. */
export interface Links {
  readonly byId: ReadonlyMap<string, Known>;
  /** Namespaces in which each L5 sid is listed. */
  readonly sids: ReadonlyMap<string, readonly string[]>;
  /** Of each service. */
  readonly aliases: ReadonlyMap<string, readonly ServiceAlias[]>;
  /** On each service: which of its aliases are no names, and why. */
  readonly notes: ReadonlyMap<string, readonly string[]>;
  /** Why an alias is a service of its own. */
  readonly alone: ReadonlyMap<string, string>;
  /** Aliases of services that should be listed and are not. */
  readonly dangling: readonly Name[];
}

/** Find out which names are aliases of which services. */
export function linksOf(known: readonly Known[], isAsked: Scope): Links {
  const byId = new Map(known.map((one) => [idOf(one.name), one]));
  const sids = sidHolders(known.map(({ name }) => name));
  const aliases = new Map<string, ServiceAlias[]>();
  const notes = new Map<string, string[]>();
  const alone = new Map<string, string>();
  const dangling: Name[] = [];
  for (const { name, content } of known) {
    const target = content?.target;
    if (target === undefined) continue;
    const [id, targetId] = [idOf(name), idOf(target)];
    const found = byId.get(targetId);
    if (found !== undefined && found.content?.target === undefined) {
      const fault = sidFault(name, sids);
      if (fault === undefined) put(aliases, targetId, name);
      else put(notes, targetId, `alias ${id} is not a valid name: ${fault}`);
      continue;
    }
    alone.set(id, `an alias of ${shorten(targetId)}, which is not read here: a service of its own`);
    if (isAsked(target) && found === undefined) dangling.push(name);
  }
  return { byId, sids, aliases, notes, alone, dangling };
}

function put<Item>(lists: Map<string, Item[]>, key: string, item: Item): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [item]);
  else list.push(item);
}

/** Namespaces in which each L5 sid is listed. */
function sidHolders(names: readonly Name[]): ReadonlyMap<string, readonly string[]> {
  const holders = new Map<string, string[]>();
  for (const { namespace, name } of names) {
    if (sidNamespaces(name) === undefined) continue;
    put(holders, name, namespace);
  }
  return holders;
}

/** Why no L5 client finds a service by a name that is a sid; `undefined` when it does, or the name is none. */
export function sidFault(
  { namespace, name }: Name,
  holders: ReadonlyMap<string, readonly string[]>,
): string | undefined {
  const order = sidNamespaces(name);
  if (order === undefined) return undefined;
  if (!order.includes(namespace))
    return `L5 clients look for sid ${name} ${order.length === 0 ? "nowhere" : `in ${order.join(", then ")}`}`;
  const first = order.find((one) => holders.get(name)?.includes(one) === true);
  return first === namespace ? undefined : `L5 clients find sid ${name} in ${first} first`;
}
