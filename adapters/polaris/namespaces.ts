import { shorten } from "../text.ts";
import type { State } from "./catalog-state.ts";
import { ALL, readLists } from "./lists.ts";

const MOST_NAMED = 10;

/**
 * Note which of the namespaces that are asked for have no service, and which ones there are: a server answers for a namespace that it does
 * not have as for an empty one, and a namespace in other letters is another one. Asked once for the same empty lists.
 */
export async function noteNamespaces(state: State, signal: AbortSignal): Promise<void> {
  const { options, scopes, lists } = state;
  const empty = scopes.filter((scope) => scope !== ALL && lists.get(scope)?.count === 0);
  if (empty.join("\0") === state.emptyScopes) return;
  const [all] = empty.length === 0 ? [] : await readLists([ALL], () => "", options, signal);
  if (all !== undefined && all.state !== "ok") return; // the next poll asks again
  state.emptyScopes = empty.join("\0");
  const others = [...new Set((all?.reply.services ?? []).map(({ namespace }) => namespace))].sort();
  const named = others.slice(0, MOST_NAMED).map((one) => shorten(one));
  const rest = others.length > MOST_NAMED ? [`${others.length - MOST_NAMED} more`] : [];
  state.notes = empty.map(
    (scope) =>
      `no service is listed in namespace ${scope}; namespaces with services are ${[...named, ...rest].join(", ") || "none"}`,
  );
  state.version++;
}
