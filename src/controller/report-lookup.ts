import type { NameTable } from "../model/name-table.ts";
import type { Report, ReportAnswer } from "../model/report.ts";
import { parseServiceKey, type ServiceKey, serviceKey } from "../model/service.ts";
import type { Decision } from "../plan/decision.ts";
import { knows } from "../plan/known.ts";
import { legacyName } from "../plan/names/dns-names.ts";
import { nearestNames } from "../plan/names/nearest.ts";

/** The service that a report means, or why none is found. */
export type Found =
  | { readonly key: ServiceKey; readonly host: string }
  | Extract<ReportAnswer, { readonly state: "unknown" | "unavailable" }>;

/** Searches for names that are nearly the same, which take some milliseconds each. */
const GUESSES_PER_SECOND = 5;

/** What reports are looked up in. */
export interface LookupSources {
  readonly table: () => NameTable | undefined;
  /** Registries that are merged, as configured. */
  readonly merge: () => readonly string[];
}

/** What lookups keep. */
interface State extends LookupSources {
  /** Of the current second. */
  readonly guesses: { second: number; left: number };
  /** Services by the other names that registries have for them, and the catalog that they are of. */
  aliases: { readonly of: Decision["catalog"]; readonly keys: ReadonlyMap<string, readonly ServiceKey[]> } | undefined;
}

/** Finds the service that a report means. */
export type Lookup = (report: Report, decision: Decision) => Found;

export function reportLookup(sources: LookupSources): Lookup {
  const state: State = { ...sources, guesses: { second: 0, left: GUESSES_PER_SECOND }, aliases: undefined };
  return (report, decision) =>
    "name" in report ? findName(state, report.name, decision) : findService(state, report, decision);
}

function findService(
  state: State,
  { registry, namespace, service }: Exclude<Report, { readonly name: string }>,
  decision: Decision,
): Found {
  const group = state.merge();
  const owner = group.includes(registry) ? (group[0] ?? registry) : registry;
  const key = serviceKey(owner, namespace, service);
  const found = placeOf(key, decision);
  if (found !== undefined) return found;
  const alias = aliasesOf(state, decision).get(`${owner}/${namespace}/${service}`);
  const of = alias?.length === 1 && alias[0] !== undefined ? placeOf(alias[0], decision) : undefined;
  if (of !== undefined) return of;
  const { authorities, failed, services } = decision.catalog;
  const authority = authorities.get(owner);
  if (authority === undefined) return { state: "unknown", nearest: guess(state, owner, authorities.keys()) };
  if (authority.state !== "complete") return unavailable(owner, authority.why);
  const failure = failed.get(key);
  if (failure !== undefined) return unavailable(owner, failure);
  const keys = [...services.keys(), ...decision.undemanded.keys()];
  const elsewhere = keys.filter((one) => parseServiceKey(one)?.name === service).slice(0, 3);
  return { state: "unknown", nearest: elsewhere.length > 0 ? elsewhere : guess(state, key, keys, service.length) };
}

function findName(state: State, text: string, decision: Decision): Found {
  const table = state.table();
  const name = legacyName(text);
  const row = table?.names.get(name);
  if (row?.service !== undefined) return { key: row.service, host: row.host };
  const [key, ...others] = aliasesOf(state, decision).get(text) ?? [];
  if (others.length > 0) return { state: "unknown", nearest: [key ?? "", ...others].slice(0, 3) };
  const found = key === undefined ? undefined : placeOf(key, decision);
  if (found !== undefined) return found;
  const doubtful = [...decision.catalog.authorities].find(([, authority]) => authority.state !== "complete");
  if (doubtful !== undefined) return unavailable(doubtful[0], doubtful[1].why);
  return { state: "unknown", nearest: guess(state, name, table?.names.keys() ?? []) };
}

/**
 * Services by the other names that their registries have for them, such as L5 sids, alone and with registry and namespace; and by their
 * own, as `explain` takes them.
 */
function aliasesOf(state: State, { catalog, undemanded }: Decision): ReadonlyMap<string, readonly ServiceKey[]> {
  if (state.aliases?.of === catalog) return state.aliases.keys;
  const keys = new Map<string, ServiceKey[]>();
  const put = (name: string, key: ServiceKey) => {
    const known = keys.get(name);
    if (known === undefined) keys.set(name, [key]);
    else if (!known.includes(key)) known.push(key);
  };
  for (const [key, service] of [...catalog.services, ...undemanded]) {
    for (const { namespace, name } of service.aliases ?? []) {
      put(name, key);
      put(`${namespace}/${name}`, key);
      put(`${service.registry}/${namespace}/${name}`, key);
    }
    for (const name of [service.name, `${service.namespace}/${service.name}`, key]) put(name, key);
  }
  state.aliases = { of: catalog, keys };
  return keys;
}

function placeOf(key: ServiceKey, decision: Decision): Found | undefined {
  if (!knows(decision, key)) return undefined;
  const host = decision.naming.services.get(key)?.host ?? decision.standing.entries.get(key)?.manifest.spec.hosts[0];
  if (host !== undefined) return { key, host };
  const why = decision.plan.hold.find(({ service }) => service === key)?.message;
  return { state: "unavailable", why: why ?? "it is held" };
}

function guess(
  { guesses }: State,
  wanted: string,
  names: Iterable<string>,
  letters = wanted.length,
): readonly string[] {
  const second = Math.floor(performance.now() / 1000);
  if (guesses.second !== second) Object.assign(guesses, { second, left: GUESSES_PER_SECOND });
  return guesses.left-- > 0 ? nearestNames(wanted, names, { letters }) : [];
}

function unavailable(registry: string, why: string | undefined): Found {
  return { state: "unavailable", why: `registry ${registry} cannot be read now${why === undefined ? "" : `: ${why}`}` };
}
