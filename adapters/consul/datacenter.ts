import { ReadError } from "../../src/errors.ts";
import { isServiceName } from "../../src/istio/limits.ts";
import { lowerCase } from "../../src/istio/lower-case.ts";
import type { Spellings } from "./catalog-state.ts";
import { doubt, type Environment, newState, type State } from "./datacenter-state.ts";
import { type Listing, listingOf } from "./listing.ts";
import {
  acceptService,
  changedOf,
  fail,
  instancesQuery,
  pathOf,
  readAll,
  readService,
  type ServiceAnswer,
} from "./service-reads.ts";
import { type Indexes, isBehind, type ListAnswer, readTables, type Tables } from "./tables.ts";

/** How a datacenter is polled. */
export interface PollOptions {
  /** Services that are read by name where the list is not whole, though none ever had them. */
  readonly standing: readonly string[];
  /**
   * Whether each change of a service is told by a blocking query, or searched for at once, so that it need not be read. Missing where
   * nobody waits for changes: then what is due to be verified is read too.
   */
  readonly isCovered?: (name: string) => boolean;
  /** Nobody waits for the poll: where something is in doubt it is left to one that is waited for. */
  readonly isBeside?: true;
}

/** Reads one datacenter into the catalog. */
export interface Datacenter {
  /** `undefined` for the agent's own. */
  readonly name: string | undefined;
  /**
   * Read the list, and all that may have changed.
   *
   * @returns Whether an index went backwards, now or since the last poll: what waits for an index then waits in vain.
   * @throws {ReadError} When the list cannot be read.
   */
  poll(options: PollOptions, signal: AbortSignal): Promise<boolean>;
  /** Read one service after the other, each at least once in `verifyEvery`, until `signal` aborts. */
  verify(signal: AbortSignal): Promise<void>;
  /** A poll has failed: nothing that the datacenter may have is known. */
  lose(cause: unknown): void;
  /** Take in a list that a blocking query gave, and read the services that are new on it. */
  acceptList(answer: ListAnswer, signal: AbortSignal): Promise<void>;
  /** Take in a service that a blocking query gave. @throws {ReadError} When it cannot be understood; it is failed then. */
  acceptService(name: string, answer: ServiceAnswer): void;
  /** Read one service, once more where it is being read. A failure is in the catalog. @throws When `signal` aborts. */
  readService(name: string, signal: AbortSignal): Promise<void>;
  /** Those whose index differs from that of their last read. Costs Consul far less than reads. @throws {ReadError} */
  changedOf(names: readonly string[], signal: AbortSignal): Promise<readonly string[]>;
  /** Services that are listed and wanted, in lower case, as they are named to all other methods. */
  names(): ReadonlySet<string>;
  /** Where the instances of a service are read. */
  pathOf(name: string): string;
  /** With which parameters, and by what they are understood. */
  readonly instancesQuery: ReturnType<typeof instancesQuery>;
  /** Index of the last good answer; 0 when there is none. */
  indexOf(name: string): number;
  /** Indexes of the last list, and of the last poll's other queries. */
  indexes(): Indexes;
  /** An index went backwards, so nothing is sure until the next poll. */
  doubt(): void;
  isDoubtful(): boolean;
}

/** The reader of one datacenter. */
export function datacenter(env: Environment): Datacenter {
  const state: State = newState(env, (name, signal) => readService(state, name, signal));
  env.catalog.add(state);
  return {
    name: env.name,
    poll: (options, signal) => poll(state, options, signal),
    verify: (signal) => state.reads.run(signal),
    lose: (cause) => env.catalog.lose(state, cause),
    acceptList: (answer, signal) => acceptList(state, answer, signal),
    acceptService: (name, answer) => acceptService(state, name, answer),
    readService: (name, signal) => readAll(state, [name], signal),
    changedOf: (names, signal) => changedOf(state, names, signal),
    names: () => state.names,
    pathOf: (name) => pathOf(state, name),
    instancesQuery: instancesQuery(env.options),
    indexOf(name) {
      const held = state.held.get(name);
      return held?.isGood === true ? held.index : 0;
    },
    indexes: () => state.indexes,
    doubt: () => doubt(state),
    isDoubtful: () => state.isDoubtful,
  };
}

interface Found extends Pick<Tables, "indexes" | "evidence"> {
  readonly listing: Listing;
  readonly digest: string;
}

async function find(state: State, isSure: boolean, signal: AbortSignal): Promise<Found> {
  const { client } = state.env;
  const { list, indexes, evidence } = await readTables({ client, dc: state.name, isSure }, signal);
  return { listing: listingNow(state, list), digest: digestOf(list), indexes, evidence };
}

function listingNow(state: State, list: ListAnswer): Listing {
  const { name: dc, isWanted, claimed: also } = state;
  const names = new Set([...state.names, ...also.keys()]);
  const listing = listingOf(list, {
    dc,
    namespace: state.env.options.namespace,
    scope: state.env.options.scope,
    isWanted,
    before: { names, spellings: new Map([...state.spellings, ...also]) },
  });
  state.spellings = listing.spellings;
  return listing;
}

async function poll(state: State, options: PollOptions, signal: AbortSignal): Promise<boolean> {
  const { isBeside = false } = options;
  state.claimed = claimed(state, options.standing);
  const wasDoubtful = state.isDoubtful;
  const { indexes } = state; // those that a blocking query brings meanwhile may be newer than what is found
  let found = await find(state, wasDoubtful, signal);
  const isBack = isBehind(found.indexes, indexes);
  if (isBack && isBeside) doubt(state);
  if (state.isDoubtful && isBeside) return false;
  // A leader that has just begun may not know yet all that was there: only a sure answer is to be believed.
  if (!wasDoubtful && (isBack || state.isDoubtful)) found = await find(state, true, signal);
  const isQuiet = found.evidence === state.evidence && !state.isDoubtful && !isBack;
  state.isSure = state.isDoubtful || isBack;
  state.isDoubtful = false;
  failUnseen(state, found.listing);
  await readAll(state, toRead(state, found.listing, isQuiet, options), signal);
  if (state.isDoubtful && isBeside) return false;
  if (state.isDoubtful && !state.isSure) {
    state.isSure = true;
    found = await find(state, true, signal);
    await readAll(state, [...found.listing.names], signal);
  }
  const wentBack = wasDoubtful || isBack || state.isDoubtful;
  // A blocking query may have brought a newer list meanwhile.
  const isNewest = wentBack || found.indexes.services >= state.indexes.services;
  if (isNewest) await takeOver(state, found.indexes, withoutGone(state, found.listing), found.digest);
  state.evidence = isNewest ? (found.evidence ?? "") : "";
  state.isSure = false;
  state.isDoubtful = false;
  return wentBack;
}

/** Where a token's list is whole for what it may see, a service that is not on it and has no instance is gone: nothing was held back. */
function withoutGone({ env, held }: State, listing: Listing): Listing {
  if (env.options.scope !== "token") return listing;
  const isGone = (name: string) => listing.missing.has(name) && held.get(name)?.isEmpty === true;
  return { ...listing, names: new Set([...listing.names].filter((name) => !isGone(name))) };
}

/** What stands in the mesh and is not listed counts as listed until now: a process that has just started has seen no list before. */
function claimed({ isWanted, names }: State, standing: readonly string[]): Spellings {
  const ours = standing.filter(
    (name) => isServiceName(name) && isWanted(lowerCase(name)) && !names.has(lowerCase(name)),
  );
  return new Map(ours.map((name) => [lowerCase(name), name]));
}

function failUnseen(state: State, { names, isOutOfSight, incomplete }: Listing): void {
  for (const name of names) if (isOutOfSight(name)) fail(state, name, new ReadError("denied", incomplete ?? ""));
}

/** What a poll reads of a list: what is not known well, what may have changed, and what is due where nobody verifies all the time. */
function toRead(
  state: State,
  { names, isOutOfSight }: Listing,
  isQuiet: boolean,
  { isCovered }: PollOptions,
): readonly string[] {
  const inSight = [...names].filter((name) => !isOutOfSight(name));
  if (state.isSure) return inSight;
  const due = new Set(isCovered === undefined ? state.reads.due() : []);
  const isKnown = (name: string) => state.held.get(name)?.isGood === true;
  const mayHaveChanged = (name: string) => !isQuiet && isCovered?.(name) !== true;
  return inSight.filter((name) => !isKnown(name) || due.has(name) || mayHaveChanged(name));
}

async function acceptList(state: State, answer: ListAnswer, signal: AbortSignal): Promise<void> {
  if (digestOf(answer) === state.listDigest) {
    state.indexes = { ...state.indexes, services: answer.index };
    return;
  }
  const listing = listingNow(state, answer);
  const unknown = [...listing.names].filter((name) => !state.held.has(name));
  await readAll(state, unknown, signal);
  // What is no longer listed may be out of sight or gone: a poll asks for each.
  if (listing.incomplete !== state.incomplete && listing.incomplete !== undefined) doubt(state);
  await takeOver(state, { ...state.indexes, services: answer.index }, listing, digestOf(answer));
}

/** Differs when what a list says does. */
function digestOf(answer: ListAnswer): string {
  return `${answer.digest()} ${answer.filtered}`;
}

async function takeOver(state: State, indexes: Indexes, listing: Listing, digest: string): Promise<void> {
  for (const name of state.held.keys()) {
    if (listing.names.has(name)) continue;
    state.held.delete(name);
    state.reads.forget(name);
  }
  state.names = listing.names;
  state.claimed = new Map();
  state.incomplete = listing.incomplete;
  state.indexes = indexes;
  state.listDigest = digest;
  await state.env.catalog.list(state, listing);
}
