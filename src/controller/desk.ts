import type { NameTable } from "../model/name-table.ts";
import type { Report, ReportAnswer, ReportDesk } from "../model/report.ts";
import { parseServiceKey, type ServiceKey, serviceKey } from "../model/service.ts";
import { legacyName } from "../plan/names.ts";
import { nearestNames } from "../plan/nearest.ts";
import type { Decision } from "./compute.ts";
import type { Demand } from "./demand.ts";
import { knows } from "./known.ts";

/** What the desk answers from. */
export interface DeskOptions {
  readonly table: () => NameTable | undefined;
  /** The last decision; `undefined` before the first. */
  readonly latest: () => Decision | undefined;
  readonly demand: Demand;
  /** By the target's clock. */
  readonly nowMs: () => number;
  /** Registries that are merged, as configured. */
  readonly merge: () => readonly string[];
  /** How long an answer may wait. */
  readonly waitMs: () => number;
}

/** Requests that wait at a time; more are told to ask again. */
const MOST_WAITING = 1000;
const LOOK_AGAIN_MS = 25;
/** Large batches look less often. */
const LOOKED_AT_ONCE = 100;
/** Looks for names that are nearly the same, which take some milliseconds each. */
const GUESSES_PER_SECOND = 5;

type Found =
  | { readonly key: ServiceKey; readonly host: string }
  | Extract<ReportAnswer, { readonly state: "unknown" | "unavailable" }>;

/** Takes reports: what stands is answered from memory, what is only known is asked for and waited for. */
export function reportDesk(options: DeskOptions): ReportDesk {
  const { table, latest, demand, nowMs, merge, waitMs } = options;
  const guesses = { secondsAt: 0, left: GUESSES_PER_SECOND };
  let waiting = 0;
  let aliases:
    | { readonly of: Decision["catalog"]; readonly keys: ReadonlyMap<string, readonly ServiceKey[]> }
    | undefined;

  function find(report: Report, decision: Decision): Found {
    return "name" in report ? findName(report.name, decision) : findService(report, decision);
  }

  function findService(
    { registry, namespace, service }: Exclude<Report, { readonly name: string }>,
    decision: Decision,
  ): Found {
    const group = merge();
    const owner = group.includes(registry) ? (group[0] ?? registry) : registry;
    const key = serviceKey(owner, namespace, service);
    const found = placeOf(key, decision);
    if (found !== undefined) return found;
    const authority = decision.catalog.authorities.get(owner);
    if (authority === undefined)
      return { state: "unknown", nearest: guess(owner, decision.catalog.authorities.keys()) };
    if (authority.state !== "complete") return unavailable(owner, authority.why);
    const failure = decision.catalog.failed.get(key);
    if (failure !== undefined) return unavailable(owner, failure);
    const keys = [...decision.catalog.services.keys(), ...decision.undemanded.keys()];
    const elsewhere = keys.filter((one) => parseServiceKey(one)?.name === service).slice(0, 3);
    return { state: "unknown", nearest: elsewhere.length > 0 ? elsewhere : guess(key, keys, service.length) };
  }

  function findName(text: string, decision: Decision): Found {
    const name = legacyName(text);
    const row = table()?.names.get(name);
    if (row?.service !== undefined) return { key: row.service, host: row.host };
    const [key, ...others] = aliasesOf(decision).get(text) ?? [];
    if (others.length > 0) return { state: "unknown", nearest: [key ?? "", ...others].slice(0, 3) };
    const found = key === undefined ? undefined : placeOf(key, decision);
    if (found !== undefined) return found;
    const doubtful = [...decision.catalog.authorities].find(([, { state }]) => state !== "complete");
    if (doubtful !== undefined) return unavailable(doubtful[0], doubtful[1].why);
    return { state: "unknown", nearest: guess(name, table()?.names.keys() ?? []) };
  }

  /** Services by the other names that their registries have for them, such as L5 sids. */
  function aliasesOf({ catalog, undemanded }: Decision): ReadonlyMap<string, readonly ServiceKey[]> {
    if (aliases?.of === catalog) return aliases.keys;
    const keys = new Map<string, ServiceKey[]>();
    for (const [key, service] of [...catalog.services, ...undemanded])
      for (const { name } of service.aliases ?? []) keys.set(name, [...(keys.get(name) ?? []), key]);
    aliases = { of: catalog, keys };
    return keys;
  }

  function placeOf(key: ServiceKey, decision: Decision): Found | undefined {
    if (!knows(decision, key)) return undefined;
    const host = decision.naming.services.get(key)?.host ?? decision.standing.entries.get(key)?.manifest.spec.hosts[0];
    if (host !== undefined) return { key, host };
    const why = decision.plan.hold.find(({ service }) => service === key)?.message;
    return { state: "unavailable", why: why ?? "it is held" };
  }

  function guess(wanted: string, names: Iterable<string>, letters = wanted.length): readonly string[] {
    const second = Math.floor(performance.now() / 1000);
    if (guesses.secondsAt !== second) Object.assign(guesses, { secondsAt: second, left: GUESSES_PER_SECOND });
    return guesses.left-- > 0 ? nearestNames(wanted, names, { letters }) : [];
  }

  function answer(found: Found): ReportAnswer {
    if ("state" in found) return found;
    const { key, host } = found;
    const row = table()?.names.get(host);
    const vips = row === undefined ? [] : [...row.a, ...row.aaaa];
    if (row === undefined || vips.length === 0 || row.settledAtMs > Date.now())
      return { state: "pending", service: key, host };
    return { state: "ready", service: key, host, vips, ports: row.ports ?? [] };
  }

  /** Why it may take longer, for those that are still on their way. */
  function explained(answers: readonly ReportAnswer[]): readonly ReportAnswer[] {
    const waited = new Set(answers.flatMap((one) => (one.state === "pending" ? [one.service] : [])));
    const holds = (latest()?.plan.hold ?? []).filter(({ service }) => service !== undefined && waited.has(service));
    const whys = new Map(holds.map(({ service, message }) => [service, message]));
    return answers.map((one) => {
      const why = one.state === "pending" ? whys.get(one.service) : undefined;
      return one.state === "pending" && why !== undefined ? { ...one, why } : one;
    });
  }

  async function settled(found: readonly Found[], signal: AbortSignal): Promise<readonly ReportAnswer[]> {
    const endMs = performance.now() + waitMs();
    const againMs = LOOK_AGAIN_MS * Math.max(1, found.length / LOOKED_AT_ONCE);
    for (;;) {
      const answers = found.map(answer);
      const isDone = answers.every(({ state }) => state !== "pending");
      if (isDone) return answers;
      if (performance.now() >= endMs || signal.aborted || waiting >= MOST_WAITING) return explained(answers);
      waiting++;
      await new Promise((resolve) => setTimeout(resolve, againMs));
      waiting--;
    }
  }

  return {
    async report(reports, caller, signal) {
      const decision = latest();
      if (decision === undefined || table() === undefined)
        return reports.map(() => ({ state: "unavailable", why: "the registries have not been read yet" }));
      const found = reports.map((one) => find(one, decision));
      const atMs = nowMs();
      for (const one of found) if (!("state" in one)) demand.ask(one.key, { caller, via: "report" }, atMs);
      return settled(found, signal);
    },
  };
}

function unavailable(registry: string, why: string | undefined): Found {
  return { state: "unavailable", why: `registry ${registry} cannot be read now${why === undefined ? "" : `: ${why}`}` };
}
