import { ReadError } from "../../src/errors.ts";
import type { SkippedService } from "../../src/model/adapter.ts";
import { adopt, claim, listsNow } from "./adopt.ts";
import { ask, askAll, askInTurn } from "./ask.ts";
import { type CatalogOptions, fail, newState, remove, type State } from "./catalog-state.ts";
import type { Name } from "./client/reply.ts";
import type { Entry } from "./entry.ts";
import { ALL, type ListResult } from "./lists.ts";
import { noteNamespaces } from "./namespaces.ts";
import type { Outside } from "./scope.ts";
import { verify } from "./verify.ts";

/** All names that Polaris lists, and what they stand for. */
export interface Catalog {
  /** Live, in no order. */
  readonly entries: ReadonlyMap<string, Entry>;
  /** Counts up with every change, of content or of what can be read. */
  version(): number;
  /**
   * Read all lists, then ask for all names; for new, doubtful and failed ones alone where the others are asked for in turn.
   *
   * @param standing names that are asked for even if no list has them and none ever had
   * @param isWatched whether somebody has waited for changes since the last poll
   * @throws {ReadError} When no list can be read, or one request after the other fails.
   */
  poll(signal: AbortSignal, standing: readonly Name[], isWatched: boolean): Promise<void>;
  /** Ask for all names in turn, each at least once in `verifyEvery`, until `signal` aborts. */
  verify(signal: AbortSignal): Promise<void>;
  /** Read the lists that have changed and ask for the names that are new on them or gone from them. */
  pollLists(signal: AbortSignal): Promise<void>;
  /** Ask for one name; a failure leaves it as it is. `listed` is false when the server does not know it. */
  askAgain(entry: Entry, signal: AbortSignal): Promise<{ readonly listed: boolean }>;
  /** Why the lists are known only in part. */
  incomplete(): string | undefined;
  /** Listed names that are none of ours. */
  skipped(): Readonly<Record<Outside, number>>;
  /** Some of them. */
  skippedServices(): readonly SkippedService[];
  /** What the operator should know of the lists. */
  notes(): readonly string[];
}

/** Nothing is known at first. */
export function catalog(options: CatalogOptions): Catalog {
  const state: State = newState(options, (id, signal) => askInTurn(state, id, signal));
  return {
    entries: state.entries,
    version: () => state.version,
    poll: (signal, standing, isWatched) => poll(state, standing, isWatched ? "watched" : "poll", signal),
    verify: (signal) => state.turns.run(signal),
    pollLists: (signal) => pollLists(state, signal),
    askAgain: (entry, signal) => askAgain(state, entry, signal),
    incomplete: () => incomplete(state),
    skipped: () => skipped(state),
    skippedServices: () => [...state.lists.values()].flatMap((list) => list.skippedServices ?? []),
    notes: () => state.notes,
  };
}

/** Which names are asked for: on a hint those that are new, by a poll all, or, where all are asked for in turn, those in doubt. */
type Extent = "hint" | "watched" | "poll";

/** Obey the lists. @returns Listed entries that the server does not know. */
async function follow(
  state: State,
  results: readonly ListResult[],
  extent: Extent,
  signal: AbortSignal,
): Promise<readonly Entry[]> {
  const { fresh, missing } = adopt(state, results);
  const unlisted = new Set(missing);
  const listed = [...state.entries.values()].filter((entry) => !unlisted.has(entry));
  const isInDoubt = ({ id, content, failure }: Entry) =>
    content === undefined || failure !== undefined || state.suspects.has(id);
  const asked = extent === "hint" ? fresh : extent === "poll" ? listed : listed.filter(isInDoubt);
  const absent = await askAll(state, asked, signal);
  const others = extent === "watched" ? listed.filter((entry) => !isInDoubt(entry)) : [];
  await verify(state, { missing, others }, extent === "hint" ? "hint" : "poll", signal);
  return absent;
}

/** Names that a list has and the server does not know: the list is read again before one of the two is believed. */
async function resolveAbsent(state: State, absent: readonly Entry[], signal: AbortSignal): Promise<void> {
  if (absent.length === 0) return;
  const unknown = new Set(absent);
  const { fresh, missing } = adopt(state, await listsNow(state, "poll", signal));
  for (const entry of missing) if (unknown.delete(entry)) remove(state, entry);
  for (const entry of unknown)
    fail(
      state,
      entry,
      new ReadError("answer", `${entry.id} is listed, but the server answers that there is no such service`),
    );
  const gone = await askAll(state, fresh, signal);
  for (const entry of gone) remove(state, entry); // came and went meanwhile; the next poll sees
}

async function askAgain(state: State, entry: Entry, signal: AbortSignal): Promise<{ readonly listed: boolean }> {
  try {
    return { listed: (await ask(state, entry, "hint", signal)) !== "absent" };
  } catch (cause) {
    state.suspects.add(entry.id);
    throw cause;
  }
}

async function poll(
  state: State,
  standing: readonly Name[],
  extent: "watched" | "poll",
  signal: AbortSignal,
): Promise<void> {
  claim(state, standing);
  try {
    const results = await listsNow(state, "poll", signal);
    const failures = results.filter((result) => result.state === "failed");
    const [first] = failures;
    if (first !== undefined && failures.length === state.scopes.length) throw first.cause;
    await resolveAbsent(state, await follow(state, results, extent, signal), signal);
    await noteNamespaces(state, signal);
  } catch (cause) {
    signal.throwIfAborted();
    if (!(cause instanceof ReadError)) throw cause;
    throw new ReadError(cause.failure, `Cannot read services of registry "${state.options.registry}"`, { cause });
  }
}

async function pollLists(state: State, signal: AbortSignal): Promise<void> {
  const results = (await listsNow(state, "hint", signal)).filter((result) => result.state === "ok");
  await resolveAbsent(state, await follow(state, results, "hint", signal), signal);
}

function incomplete({ options, lists, failedLists, entries }: State): string | undefined {
  const failed = [...failedLists.values()].map(({ message }) => message);
  if (failed.length > 0) return failed.join("; ");
  // Polaris is a service of its own, so that its list is never empty.
  if (options.namespaces === undefined && lists.get(ALL)?.count === 0 && entries.size === 0)
    return "no service is listed, not even Polaris's own: the token may lack the right to read";
  return undefined;
}

function skipped({ lists }: State): Readonly<Record<Outside, number>> {
  const all = [...lists.values()].map((list) => list.skipped);
  const sum = (kind: Outside) => all.reduce((total, counts) => total + counts[kind], 0);
  return { infrastructure: sum("infrastructure"), filter: sum("filter"), name: sum("name") };
}
