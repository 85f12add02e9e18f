import type { ServiceRead, SkipKind, SkippedService } from "../../src/model/adapter.ts";
import type { LeftOut, Service } from "../../src/model/service.ts";
import type { Intern } from "../intern.ts";
import type { AllUnhealthy } from "../mapping.ts";
import type { Instance } from "../shapes/instance.ts";
import type { Rules } from "../shapes/rules.ts";
import type { NotOurs } from "./mapping/instance.ts";

/** What one datacenter says of one service. */
export type Part =
  | {
      readonly state: "ok";
      readonly datacenter: string;
      readonly instances: readonly Instance[];
      /** What was registered besides: pods, and what the operator leaves out. */
      readonly besides: readonly LeftOut[];
    }
  | { readonly state: "skipped"; readonly why: NotOurs }
  | { readonly state: "failed"; readonly cause: unknown };

/** One datacenter as the catalog sees it; without a name, the agent's own. */
export interface Member {
  readonly name: string | undefined;
}

/** By name in lower case, the name as it is written. */
export type Spellings = ReadonlyMap<string, string>;

/** The services of one datacenter. */
export interface Listed {
  /** Those that are for the mesh, as far as their names tell, in lower case: Consul compares names without case. */
  readonly names: ReadonlySet<string>;
  /** How those of them are written that the list does not have in lower case. */
  readonly spellings?: Spellings;
  /** How many are not, by kind. */
  readonly skipped: Readonly<Record<ListSkip, number>>;
  /** Some of them. */
  readonly skippedServices?: readonly SkippedService[];
  /** Why there may be more. */
  readonly incomplete: string | undefined;
}

/** Why a name on the list is passed over: the operator's filter, Consul's own, or no name that can be. */
export type ListSkip = "filter" | "infrastructure" | "name";

/** Nothing is passed over. */
export const NONE_SKIPPED: Listed["skipped"] = { filter: 0, infrastructure: 0, name: 0 };

/** What is kept of a datacenter. */
export interface Kept {
  /** `undefined` until it was listed once. */
  services: ReadonlySet<string> | undefined;
  spellings: Spellings;
  readonly parts: Map<string, Part>;
  skipped: Listed["skipped"];
  skippedServices: readonly SkippedService[];
  incomplete: string | undefined;
  /** Why its services are not known at the moment. */
  lost: unknown;
}

/** What all datacenters together make of one service. */
export type Composed = ServiceRead | { readonly state: "skipped"; readonly why: SkipKind };

/** Whose services these are, and who wants to know of changes. */
export interface CatalogOptions {
  readonly registry: string;
  readonly namespace: string;
  readonly pool: Intern;
  /** Of a service of which no instance is healthy; `drop` if left out. */
  readonly allUnhealthy?: AllUnhealthy;
  readonly rules: Rules;
  /** Told whenever the version counts up. */
  readonly onChange: () => void;
}

/** All that is known of one registry. Datacenters put what they read into `kept`; composing makes the rest of it. */
export interface State {
  readonly options: CatalogOptions;
  readonly kept: Map<Member, Kept>;
  readonly composed: Map<string, Composed>;
  /** Services as they were last read, also while they cannot be read. */
  readonly good: Map<string, Service>;
  /** Names of what is composed; `undefined` when they have to be sorted anew. */
  sorted: readonly string[] | undefined;
  version: number;
}

/** No datacenter has been counted in. */
export function newState(options: CatalogOptions): State {
  return { options, kept: new Map(), composed: new Map(), good: new Map(), sorted: undefined, version: 1 };
}

/** What is kept of a datacenter that was counted in. */
export function keptOf({ kept }: State, member: Member): Kept {
  const found = kept.get(member);
  if (found === undefined) throw new Error("Cannot keep services of a datacenter that is not a member");
  return found;
}

/** What a snapshot says has changed. */
export function changed(state: State): void {
  state.version++;
  state.options.onChange();
}
