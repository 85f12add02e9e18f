import type { Care, State } from "./catalog-state.ts";
import type { Name } from "./client/reply.ts";
import { type Entry, newEntry } from "./entry.ts";
import { idOf } from "./links.ts";
import { ALL, type ListResult, listOf, readLists } from "./lists.ts";

/** Entries that are new, and those that are listed no more. */
export interface Adopted {
  readonly fresh: readonly Entry[];
  readonly missing: readonly Entry[];
}

/** Read the lists; on a hint only those that have changed. */
export function listsNow(
  { options: { client, maxInFlight }, scopes, lists, failedLists }: State,
  care: Care,
  signal: AbortSignal,
): Promise<readonly ListResult[]> {
  // The revision says nothing of the rights of the token, by which the server filters: a poll wants the whole list.
  const revisionOf = (scope: string) =>
    care === "hint" && !failedLists.has(scope) ? (lists.get(scope)?.revision ?? "") : "";
  return readLists(scopes, revisionOf, { client, maxInFlight }, signal);
}

/** Count in what stands in the mesh and was never listed to this process, as if it had been until now. */
export function claim({ entries, options: { judge, pool } }: State, standing: readonly Name[]): void {
  for (const { namespace, name } of standing) {
    const id = idOf({ namespace, name });
    if (entries.has(id) || judge({ namespace, name }) !== undefined) continue;
    entries.set(id, newEntry(id, { namespace: pool.text(namespace), name }));
  }
}

/** Take the lists over. @returns Entries that are new, and those that are listed no more. */
export function adopt(state: State, results: readonly ListResult[]): Adopted {
  const { entries, lists, failedLists } = state;
  const { judge, pool } = state.options;
  const fresh: Entry[] = [];
  const missing: Entry[] = [];
  for (const result of results) {
    if (result.state === "failed") failedLists.set(result.scope, result.cause);
    if (result.state !== "ok") continue;
    failedLists.delete(result.scope);
    const { names, ...list } = listOf(result.reply, judge);
    for (const name of names) {
      const id = idOf(name);
      if (entries.has(id)) continue;
      const entry = newEntry(id, { namespace: pool.text(name.namespace), name: name.name });
      entries.set(id, entry);
      fresh.push(entry);
    }
    lists.set(result.scope, list);
    for (const entry of entries.values())
      if ((result.scope === ALL || result.scope === entry.name.namespace) && !list.ids.has(entry.id))
        missing.push(entry);
  }
  if (fresh.length > 0) state.version++;
  return { fresh, missing };
}
