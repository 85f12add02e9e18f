import { setTimeout as delay } from "node:timers/promises";
import type { Report, ReportAnswer, ReportHandler } from "../model/report.ts";
import { registryOfKey, type ServiceKey } from "../model/service.ts";
import type { Decision } from "../plan/decision.ts";
import type { Demand } from "./demand.ts";
import { type Found, type Lookup, type LookupSources, reportLookup } from "./report-lookup.ts";

/** What reports are answered from. */
export interface ReportHandlerOptions extends LookupSources {
  /** The last decision; `undefined` before the first. */
  readonly latest: () => Decision | undefined;
  readonly demand: Demand;
  /** By the target's clock. */
  readonly nowMs: () => number;
  /** How long an answer may wait. */
  readonly waitMs: () => number;
  /** Read a registry anew, or all, and decide on it: what is not known may have been registered a moment ago. */
  readonly look?: (registry: string | undefined, signal: AbortSignal) => Promise<void>;
}

/** Requests that wait at a time; more are told to ask again. */
const MOST_WAITING = 1000;
const CHECK_AGAIN_MS = 25;
/** So long a registry may take to be read before a name counts as unknown. */
const MOST_LOOK_MS = 3000;
/** Large batches are checked less often. */
const CHECKED_AT_ONCE = 100;

interface State extends ReportHandlerOptions {
  /** Requests that wait now. */
  waiting: number;
}

/** Takes reports: what stands is answered from memory, what is only known is asked for and waited for. */
export function reportHandler(options: ReportHandlerOptions): ReportHandler {
  const state: State = { ...options, waiting: 0 };
  const { table, latest, demand, nowMs } = options;
  const find = reportLookup(options);
  return {
    async report(reports, caller, signal) {
      const decision = latest();
      if (decision === undefined || table() === undefined)
        return reports.map(() => ({ state: "unavailable", why: "the registries have not been read yet" }));
      const found = await foundAnew(
        state,
        reports,
        reports.map((one) => find(one, decision)),
        find,
      );
      const atMs = nowMs();
      for (const one of found) if (!("state" in one)) demand.ask(one.key, { caller, via: "report" }, atMs);
      return settled(state, found, signal);
    },
  };
}

/** What was found, and what is found of the rest once the registries have been read anew. */
async function foundAnew(
  state: State,
  reports: readonly Report[],
  found: readonly Found[],
  find: Lookup,
): Promise<readonly Found[]> {
  const isUnknown = (one: Found | undefined) => one !== undefined && "state" in one && one.state === "unknown";
  const unknown = reports.filter((_, at) => isUnknown(found[at]));
  if (unknown.length === 0 || state.look === undefined || state.waiting >= MOST_WAITING) return found;
  const named = new Set(unknown.map((one) => ("name" in one ? undefined : one.registry)));
  const signal = AbortSignal.timeout(MOST_LOOK_MS);
  state.waiting++;
  try {
    await Promise.all(
      [...(named.has(undefined) ? [undefined] : named)].map((registry) => state.look?.(registry, signal)),
    );
  } catch {
    // It took too long: what is known counts.
  } finally {
    state.waiting--;
  }
  const decision = state.latest();
  if (decision === undefined) return found;
  return reports.map((report, at) => (isUnknown(found[at]) ? find(report, decision) : (found[at] as Found)));
}

/** The answers once all are there, or when they have been waited for long enough. */
async function settled(state: State, found: readonly Found[], signal: AbortSignal): Promise<readonly ReportAnswer[]> {
  const endMs = performance.now() + state.waitMs();
  const againMs = CHECK_AGAIN_MS * Math.max(1, found.length / CHECKED_AT_ONCE);
  for (;;) {
    const answers = found.map((one) => answerTo(state, one));
    if (answers.every((one) => one.state !== "pending")) return answers;
    if (performance.now() >= endMs || signal.aborted || state.waiting >= MOST_WAITING) return explained(state, answers);
    state.waiting++;
    await delay(againMs);
    state.waiting--;
  }
}

function answerTo({ table }: State, found: Found): ReportAnswer {
  if ("state" in found) return found;
  const { key, host } = found;
  const row = table()?.names.get(host);
  const vips = row === undefined ? [] : [...row.a, ...row.aaaa];
  if (row === undefined || vips.length === 0 || row.settledAtMs > Date.now())
    return { state: "pending", service: key, host };
  return { state: "ready", service: key, host, vips, ports: row.ports ?? [] };
}

/** Why it may take longer, for those that are still on their way. */
function explained({ latest }: State, answers: readonly ReportAnswer[]): readonly ReportAnswer[] {
  const waited = new Set(answers.flatMap((one) => (one.state === "pending" ? [one.service] : [])));
  const holds = (latest()?.plan.hold ?? []).filter(({ service }) => service !== undefined && waited.has(service));
  const whys = new Map(holds.map(({ service, message }) => [service, message]));
  const away = latest()?.catalog.authorities;
  return answers.map((one) => {
    const why = one.state === "pending" ? (whys.get(one.service) ?? whyAway(one.service, away)) : undefined;
    return one.state === "pending" && why !== undefined ? { ...one, why } : one;
  });
}

/** That the registry of a service cannot be read now, and why. */
function whyAway(service: ServiceKey, authorities: Decision["catalog"]["authorities"] | undefined): string | undefined {
  const registry = registryOfKey(service);
  const authority = authorities?.get(registry);
  if (authority === undefined || authority.state === "complete") return undefined;
  return `registry ${registry} cannot be read now${authority.why === undefined ? "" : `: ${authority.why}`}`;
}
