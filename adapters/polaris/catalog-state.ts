import { type Verifying, type VerifyingOptions, verifying } from "../../src/async/verifying.ts";
import { ReadError } from "../../src/errors.ts";
import type { Intern } from "../intern.ts";
import type { PolarisClient } from "./client/client.ts";
import type { Name } from "./client/reply.ts";
import type { Entry } from "./entry.ts";
import { ALL, type List } from "./lists.ts";
import type { ContentOptions } from "./mapping/content.ts";
import type { Outside } from "./scope.ts";

/** How closely names are checked: a poll trusts no revision that was seen only once. */
export type Care = "poll" | "hint";

/** What a catalog is made of. */
export interface CatalogOptions extends ContentOptions {
  readonly namespaces: readonly string[] | undefined;
  readonly maxInFlight: number;
  readonly verifyEvery: number;
  readonly client: PolarisClient;
  readonly judge: (name: Name) => Outside | undefined;
  readonly pool: Intern;
}

/** All that is known of one registry. */
export interface State {
  readonly options: CatalogOptions;
  readonly content: ContentOptions;
  /** Namespaces that are listed, or the one scope that is all. */
  readonly scopes: readonly string[];
  readonly entries: Map<string, Entry>;
  /** By id, what is verified in turn while somebody waits for changes. */
  readonly turns: Verifying;
  /** Ids of listed names that the server did not know, or that could not be read: the next poll decides. */
  readonly suspects: Set<string>;
  /** The last good list of each scope, and why there is none this time. */
  readonly lists: Map<string, Omit<List, "names">>;
  readonly failedLists: Map<string, ReadError>;
  /** What the operator should know of the lists, and the empty ones that it is about. */
  notes: readonly string[];
  emptyScopes: string;
  version: number;
  /** The last name that was read well. */
  lastGood: Entry | undefined;
}

/** Nothing is known at first. @param verify Asks for one name, by its id. */
export function newState(options: CatalogOptions, verify: VerifyingOptions["read"]): State {
  const { registry, unhealthy, allUnhealthy, labels, rules, namespaces = [ALL] } = options;
  return {
    options,
    content: { registry, unhealthy, allUnhealthy, labels, rules },
    scopes: namespaces,
    entries: new Map(),
    turns: verifying({ everyMs: options.verifyEvery, read: verify }),
    suspects: new Set(),
    lists: new Map(),
    failedLists: new Map(),
    notes: [],
    emptyScopes: "",
    version: 0,
    lastGood: undefined,
  };
}

/** A name could not be read this time. */
export function fail(state: State, entry: Entry, cause: ReadError): void {
  entry.failures++;
  if (entry.failure?.message === cause.message) return;
  entry.failure = cause;
  state.version++;
}

/** Remove a name that the server does not know any more, unless the server may lag behind the one before. */
export function remove(state: State, entry: Entry): void {
  if (state.options.client.isNewServer()) {
    const why = `${entry.id} is not known to the server that was switched to a moment ago`;
    fail(state, entry, new ReadError("answer", why));
    return;
  }
  state.entries.delete(entry.id);
  state.turns.forget(entry.id);
  state.suspects.delete(entry.id);
  if (state.lastGood === entry) state.lastGood = undefined;
  state.version++;
}
