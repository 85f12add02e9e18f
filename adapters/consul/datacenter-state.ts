import { type Clock, type Verifying, type VerifyingOptions, verifying } from "../../src/async/verifying.ts";
import { lowerCase } from "../../src/istio/lower-case.ts";
import { type NameGlobs, nameFilter } from "../globs.ts";
import type { Intern } from "../intern.ts";
import type { Rules } from "../shapes/rules.ts";
import type { Catalog } from "./catalog.ts";
import type { Member, Spellings } from "./catalog-state.ts";
import type { ConsulClient } from "./client/client.ts";
import type { ConsulOptions } from "./options.ts";
import type { Indexes } from "./tables.ts";

/** What the reader of one datacenter works with. */
export interface Environment {
  readonly name: string | undefined;
  readonly client: ConsulClient;
  readonly options: ConsulOptions;
  readonly rules: Rules;
  readonly catalog: Catalog;
  readonly pool: Intern;
  /** Told after each change of the list or of a service's index. */
  readonly onRead: (name: string, hasChanged: boolean) => void;
  /** Told when something is in doubt, which only a poll can settle. */
  readonly onDoubt: () => void;
  readonly clock?: Clock;
}

/** What is remembered of the last answer about a service. */
export interface Held {
  readonly index: number;
  readonly digest: string;
  readonly isGood: boolean;
  /** It was good, and named no instance at all. */
  readonly isEmpty?: boolean;
  /** By the clock that counts requests. */
  readonly setAt: number;
}

/** What is known of one datacenter. Polls and lists change what is below `held`, reads of services `held` itself. */
export interface State extends Member {
  readonly env: Environment;
  /** By the operator's filter, of a name in lower case. */
  readonly isWanted: (name: string) => boolean;
  readonly held: Map<string, Held>;
  /** All reads of single services. */
  readonly reads: Verifying;
  /** Counts requests and answers: which of two answers was asked for first. */
  clock: number;
  /** As the datacenter names itself. */
  dcName: string;
  /** An index went backwards, so nothing is sure until the next poll. Also set by reads and by blocking queries. */
  isDoubtful: boolean;
  /** Reads are to be sure ones. */
  isSure: boolean;
  /** Services that are listed and wanted, in lower case, as everywhere here. */
  names: ReadonlySet<string>;
  /** Services that stand in the mesh and were never listed, while a poll asks for them. */
  claimed: Spellings;
  /** Of the last list, whether or not it has been taken over. */
  spellings: Spellings;
  /** Of the last list, and of the last poll's other queries. */
  indexes: Indexes;
  /** Of the last poll's tables; empty when it showed nothing. */
  evidence: string;
  /** Why the last list may lack services. */
  incomplete: string | undefined;
  /** Of the list that was taken over last: one that is the same has nothing new. */
  listDigest: string;
}

/** Nothing is known, and nothing is sure. @param read Reads one service. */
export function newState(env: Environment, read: VerifyingOptions["read"]): State {
  const { clock, options } = env;
  return {
    name: env.name,
    env,
    isWanted: nameFilter(inLowerCase(options.services)),
    held: new Map(),
    reads: verifying({ everyMs: options.verifyEvery, read, ...(clock === undefined ? {} : { clock }) }),
    clock: 0,
    dcName: env.name ?? "",
    isDoubtful: true,
    isSure: false,
    names: new Set(),
    claimed: new Map(),
    spellings: new Map(),
    indexes: { services: 0, nodes: 0, checks: 0 },
    evidence: "",
    incomplete: undefined,
    listDigest: "",
  };
}

/** An index went backwards, so nothing is sure until the next poll. */
export function doubt(state: State): void {
  if (state.isDoubtful) return;
  state.isDoubtful = true;
  state.env.onDoubt();
}

function inLowerCase({ include, exclude }: NameGlobs): NameGlobs {
  return { include: include.map(lowerCase), exclude: exclude.map(lowerCase) };
}
