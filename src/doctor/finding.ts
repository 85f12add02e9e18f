import type { ClusterFacts, Fact } from "../model/cluster-facts.ts";

/** What is looked at, in the order in which it is shown. */
export const CHECKS = [
  "definitions",
  "istiod",
  "namespaces",
  "rights",
  "vips",
  "capture",
  "pods",
  "ambient",
  "scope",
  "exports",
  "tls",
  "names",
  "dns",
] as const;
export type CheckName = (typeof CHECKS)[number];

/** One sentence without a full stop on one thing that was looked at. */
export interface Finding {
  readonly check: CheckName;
  /** `unchecked`: it may be fine or not, and `message` says why nobody knows. */
  readonly state: "fine" | "problem" | "unchecked";
  readonly message: string;
  /** Shell command that mends it, or what to write in which file; on every problem. */
  readonly mend?: string;
}

/** The part of a configuration that a cluster has to suit. */
export interface DoctorSettings {
  /** Path of the configuration, for messages. */
  readonly file: string;
  readonly owner: string;
  readonly registries: readonly {
    readonly name: string;
    readonly exportTo: readonly string[];
    readonly demand?: "all" | "reported";
  }[];
  readonly hosts: { readonly template: string };
  readonly aliases: readonly { readonly registry: string; readonly in: string }[];
  readonly vips: {
    readonly mode: "ledger" | "istio";
    readonly ranges: readonly string[];
    /** Of Istio's own VIPs. */
    readonly families?: readonly ("v4" | "v6")[] | undefined;
    readonly ledgerNamespace: string;
  };
  readonly policy: { readonly mode: "sync" | "upsert-only" | "dry-run" };
  readonly exposures: readonly { readonly api: "istio" | "gateway"; readonly hosts: readonly string[] }[];
  /** Who may claim services; nobody if left out. */
  readonly migration?: { readonly allow: readonly object[]; readonly claims: readonly object[] };
  readonly target: { readonly namespace: string; readonly clusterDomain: string };
  readonly dns: {
    readonly listen: readonly Socket[];
    readonly zones: readonly { readonly name: string; readonly forward: readonly Socket[] }[];
    readonly forward: readonly Socket[];
    /** CIDRs. */
    readonly allow: readonly string[];
  };
  /** Who may report that it calls a service, where anyone may. */
  readonly http?: { readonly reports?: { readonly tokenReview?: object } };
  readonly istioNamespace: string;
  readonly dnsNamespace: string;
  /** Whose rights were asked for, if not one's own. */
  readonly user?: string | undefined;
}

export interface Socket {
  readonly address: string;
  readonly port: number;
}

/** What the registries and the target say together: what would stand after a pass. */
export interface EstateFacts {
  /** Every host and legacy name. */
  readonly names: readonly string[];
  /** Names that are withheld, and hosts and aliases that are held, because someone else has them; with the whole sentence. */
  readonly clashes: readonly { readonly name: string; readonly message: string }[];
  /** Every alias, `namespace/name`. */
  readonly aliases: readonly string[];
  /** Numbers of the ports of entries that would be created. */
  readonly ports: readonly number[];
  /** Services with several endpoints on one address, the first such address of each; `waypoint` as its registry says. */
  readonly crowded: readonly {
    readonly registry: string;
    readonly service: string;
    readonly waypoint?: string | undefined;
    readonly address: string;
    readonly count: number;
  }[];
  /** Entries that would be created and exported to every namespace. */
  readonly newForAll: number;
  /** Registries that could not be read, and why. */
  readonly unread: readonly string[];
}

/** One kind of look at the facts. Pure. */
export type Check = (facts: ClusterFacts, settings: DoctorSettings, estate: Fact<EstateFacts>) => readonly Finding[];

/** Judge what is known; if a part of it is not, that is the finding. */
export function whenKnown<Values extends Readonly<Record<string, unknown>>>(
  check: CheckName,
  facts: { readonly [Name in keyof Values]: Fact<Values[Name]> },
  judge: (values: Values) => readonly Finding[],
): readonly Finding[] {
  const values: Record<string, unknown> = {};
  for (const [name, fact] of Object.entries(facts) as [string, Fact<unknown>][]) {
    if (!fact.known) return [{ check, state: "unchecked", message: `could not be checked: ${fact.why}` }];
    values[name] = fact.value;
  }
  return judge(values as Values);
}

/** The value of a fact, or what stands for one that is not known. */
export function valueOr<Value>(fact: Fact<Value>, otherwise: Value): Value {
  return fact.known ? fact.value : otherwise;
}

/** `'it'\''s'`: one word of a shell, whatever is in it. Plain words stay as they are. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** `a, b, c and 4 more` */
export function someOf(names: readonly string[], most = 3): string {
  const shown = names.slice(0, most).join(", ");
  return names.length > most ? `${shown} and ${names.length - most} more` : shown;
}

/** `1 pod`, `2 pods`, `2 entries` */
export function counted(number: number, noun: string): string {
  return `${number} ${number === 1 ? noun : noun.endsWith("y") ? `${noun.slice(0, -1)}ies` : `${noun}s`}`;
}

/** Names of the namespaces that aliases are written to, sorted. */
export function aliasNamespaces({ aliases }: Pick<DoctorSettings, "aliases">): readonly string[] {
  return [...new Set(aliases.map((rule) => rule.in))].sort();
}
