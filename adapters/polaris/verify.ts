import { ReadError } from "../../src/errors.ts";
import { askAll } from "./ask.ts";
import { type Care, fail, remove, type State } from "./catalog-state.ts";
import { wasClosed } from "./client/exchange.ts";
import type { Entry } from "./entry.ts";
import { ALL } from "./lists.ts";

/** So many polls must agree that a server closes the connection on a name because the service is deleted. */
const CLOSED_POLLS = 3;

/** Names that are listed no more, and those of the others that were not asked for. */
export interface Unlisted {
  readonly missing: readonly Entry[];
  readonly others: readonly Entry[];
}

/** What is listed no more is gone only if the server does not know it either: a list without it may be that of a token with fewer rights. */
export async function verify(
  state: State,
  { missing, others }: Unlisted,
  care: Care,
  signal: AbortSignal,
): Promise<void> {
  const denied: ReadError[] = [];
  const closed: Entry[] = [];
  const absent = await askAll(state, missing, signal, (entry, cause) => {
    fail(state, entry, cause);
    if (isEmptied(state, entry) && cause.failure === "denied") denied.push(cause);
    if (!isEmptied(state, entry) && wasClosed(cause)) closed.push(entry);
    else entry.closedPolls = 0;
  });
  const [cause] = denied;
  if (cause !== undefined)
    throw new ReadError("denied", "no service is listed where some were, and the token may not read", { cause });
  const answered = missing.filter((entry) => entry.failure === undefined && !absent.includes(entry));
  const inconsistent = new Set(
    answered.filter((entry) => isEmptied(state, entry)).map((entry) => scopeOf(state, entry)),
  );
  for (const entry of absent)
    if (!inconsistent.has(scopeOf(state, entry))) remove(state, entry);
    else fail(state, entry, new ReadError("answer", `${entry.id} is not known, but no list has those that are either`));
  // A network that closes connections does so on others too, which they have to be asked for to tell.
  if (closed.length > 0) await askAll(state, others, signal);
  if (care === "poll") for (const entry of closed) if (isDeleted(state, entry, missing)) remove(state, entry);
}

function scopeOf({ scopes }: State, { name }: Entry): string {
  return scopes.includes(ALL) ? ALL : name.namespace;
}

function isEmptied(state: State, entry: Entry): boolean {
  return (state.lists.get(scopeOf(state, entry))?.count ?? 0) === 0;
}

/**
 * A server closes the connection on the name of a deleted service if another namespace exports one of that name. So does a
 * network that fails, which is believed neither once nor while it closes on other names too.
 */
function isDeleted({ entries, scopes }: State, entry: Entry, missing: readonly Entry[]): boolean {
  const others = [...entries.values()].filter((other) => other !== entry);
  const mayBeExported = !scopes.includes(ALL) || others.some(({ name }) => name.name === entry.name.name);
  const isAlone = others.every((other) => missing.includes(other) || !wasClosed(other.failure));
  entry.closedPolls = mayBeExported && isAlone ? entry.closedPolls + 1 : 0;
  return entry.closedPolls >= CLOSED_POLLS;
}
