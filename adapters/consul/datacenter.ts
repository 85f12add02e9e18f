import { ReadError } from "../../src/errors.ts";
import { isServiceName } from "../../src/istio/limits.ts";
import { lowerCase } from "../../src/istio/lower-case.ts";
import type { Spellings } from "./catalog-state.ts";
import { type Environment, newState, type State } from "./datacenter-state.ts";
import { type Listing, listingOf } from "./listing.ts";
import {
  acceptService,
  fail,
  hasChanged,
  instancesQuery,
  pathOf,
  readAll,
  readService,
  type ServiceAnswer,
} from "./service-reads.ts";
import { type Indexes, isBehind, type ListAnswer, readTables, type Tables } from "./tables.ts";

/** A service for which no index moved is read all the same once in so many polls. */
const ROUNDS = 10;

/** Reads one datacenter into the catalog. */
export interface Datacenter {
  /** `undefined` for the agent's own. */
  readonly name: string | undefined;
  /**
   * Read all that may have changed, and a share of the rest.
   *
   * @param standing services that are read by name where the list is not whole, though none ever had them
   * @returns Whether an index went backwards, now or since the last poll: what waits for an index then waits in vain.
   * @throws {ReadError} When the list cannot be read.
   */
  poll(standing: readonly string[], signal: AbortSignal): Promise<boolean>;
  /** A poll has failed: nothing that the datacenter may have is known. */
  lose(cause: unknown): void;
  /** Take in a list that a blocking query gave, and read the services that are new on it. */
  acceptList(answer: ListAnswer, signal: AbortSignal): Promise<void>;
  /** Take in a service that a blocking query gave. */
  acceptService(name: string, answer: ServiceAnswer): void;
  readService(name: string, signal: AbortSignal): Promise<void>;
  /** Whether a service's index differs from that of its last read. Costs Consul far less than a read. @throws {ReadError} */
  hasChanged(name: string, signal: AbortSignal): Promise<boolean>;
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
  const state = newState(env);
  env.catalog.add(state);
  return {
    name: env.name,
    poll: (standing, signal) => poll(state, standing, signal),
    lose: (cause) => env.catalog.lose(state, cause),
    acceptList: (answer, signal) => acceptList(state, answer, signal),
    acceptService: (name, answer) => acceptService(state, name, answer),
    async readService(name, signal) {
      await readService(state, name, signal);
    },
    hasChanged: (name, signal) => hasChanged(state, name, signal),
    names: () => state.names,
    pathOf: (name) => pathOf(state, name),
    instancesQuery: instancesQuery(env.options),
    indexOf(name) {
      const held = state.held.get(name);
      return held?.isGood === true ? held.index : 0;
    },
    indexes: () => state.indexes,
    doubt() {
      state.isDoubtful = true;
    },
    isDoubtful: () => state.isDoubtful,
  };
}

interface Found extends Pick<Tables, "indexes" | "evidence"> {
  readonly listing: Listing;
}

async function find(state: State, isSure: boolean, signal: AbortSignal): Promise<Found> {
  const { client } = state.env;
  const { list, indexes, evidence } = await readTables({ client, dc: state.name, isSure }, signal);
  return { listing: listingNow(state, list), indexes, evidence };
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

async function poll(state: State, standing: readonly string[], signal: AbortSignal): Promise<boolean> {
  state.claimed = claimed(state, standing);
  const wasDoubtful = state.isDoubtful;
  let found = await find(state, wasDoubtful, signal);
  const isBack = isBehind(found.indexes, state.indexes);
  // A leader that has just begun may not know yet all that was there: only a sure answer is to be believed.
  if (!wasDoubtful && (isBack || state.isDoubtful)) found = await find(state, true, signal);
  const isQuiet = found.evidence === state.evidence && !state.isDoubtful && !isBack;
  state.isSure = state.isDoubtful || isBack;
  state.isDoubtful = false;
  await readListed(state, found.listing, isQuiet, signal);
  if (state.isDoubtful && !state.isSure) {
    state.isSure = true;
    found = await find(state, true, signal);
    await readAll(state, [...found.listing.names], signal);
  }
  const wentBack = wasDoubtful || isBack || state.isDoubtful;
  await takeOver(state, found.indexes, withoutGone(state, found.listing));
  state.evidence = found.evidence ?? "";
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

/** Read what a list names; of a quiet datacenter only what is not known well, and a share of the rest. */
async function readListed(state: State, listing: Listing, isQuiet: boolean, signal: AbortSignal): Promise<void> {
  const { names, isOutOfSight, incomplete } = listing;
  const round = (state.round + 1) % ROUNDS;
  state.round = round;
  for (const name of names) if (isOutOfSight(name)) fail(state, name, new ReadError("denied", incomplete ?? ""));
  const inSight = [...names].filter((name) => !isOutOfSight(name));
  const isDue = (name: string, at: number) => at % ROUNDS === round || state.held.get(name)?.isGood !== true;
  await readAll(state, isQuiet ? inSight.filter(isDue) : inSight, signal);
}

async function acceptList(state: State, answer: ListAnswer, signal: AbortSignal): Promise<void> {
  const listing = listingNow(state, answer);
  const unknown = [...listing.names].filter((name) => !state.held.has(name));
  await readAll(state, unknown, signal);
  // What is no longer listed may be out of sight or gone: a poll asks for each.
  if (listing.incomplete !== state.incomplete && listing.incomplete !== undefined) state.isDoubtful = true;
  await takeOver(state, { ...state.indexes, services: answer.index }, listing);
}

async function takeOver(state: State, indexes: Indexes, listing: Listing): Promise<void> {
  for (const name of state.held.keys()) if (!listing.names.has(name)) state.held.delete(name);
  state.names = listing.names;
  state.claimed = new Map();
  state.incomplete = listing.incomplete;
  state.indexes = indexes;
  await state.env.catalog.list(state, listing);
}
