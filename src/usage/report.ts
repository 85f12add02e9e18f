import type { NameUseJson, ServiceUseJson, UsageJson } from "./json.ts";

/** Who calls services, by what name, and which are not called. */
export interface UsageReport extends UsageJson {
  /** Asked for by a legacy name, or by a report: their callers know nothing of the mesh. */
  readonly legacy: readonly ServiceUseJson[];
  /** Neither inside nor retired. */
  readonly notMoved: readonly ServiceUseJson[];
  /** Nobody asked for them in the last `idleMs`, or since `knownSince` if that is shorter. */
  readonly idle: readonly ServiceUseJson[];
  readonly idleMs: number;
}

/** What several replicas tell of the same services, as one. */
export function mergeUsage(all: readonly UsageJson[]): UsageJson {
  const services = new Map<string, ServiceUseJson>();
  for (const one of all.flatMap((usage) => usage.services)) {
    const before = services.get(one.service);
    services.set(one.service, before === undefined ? one : mergeService(before, one));
  }
  // Only since the youngest replica counts is it known what was not asked for.
  const knownSince = all.map((usage) => usage.knownSince).reduce((a, b) => later(a, b) ?? a, "");
  return { knownSince, services: [...services.values()].sort((a, b) => (a.service < b.service ? -1 : 1)) };
}

function mergeService(a: ServiceUseJson, b: ServiceUseJson): ServiceUseJson {
  const reports = new Map(a.reports.map(({ caller, lastAsked }) => [caller, lastAsked]));
  for (const { caller, lastAsked } of b.reports) reports.set(caller, later(reports.get(caller) ?? null, lastAsked));
  const further = b.names.filter(({ name }) => !a.names.some((one) => one.name === name));
  return {
    ...a,
    names: [
      ...a.names.map((name) => {
        const other = b.names.find((one) => one.name === name.name);
        return other === undefined ? name : mergeName(name, other);
      }),
      ...further,
    ],
    reports: [...reports].map(([caller, lastAsked]) => ({ caller, lastAsked })),
    lastAsked: later(a.lastAsked, b.lastAsked),
  };
}

function mergeName(a: NameUseJson, b: NameUseJson): NameUseJson {
  const views: Record<string, number> = { ...a.views };
  for (const [view, questions] of Object.entries(b.views)) views[view] = (views[view] ?? 0) + questions;
  return {
    ...a,
    questions: a.questions + b.questions,
    lastAsked: later(a.lastAsked, b.lastAsked),
    views,
    clients: [...new Set([...a.clients, ...b.clients])],
  };
}

/** The later of two times in the same notation; `null` only when both are. */
export function later(a: string | null, b: string | null): string | null {
  if (a === null || b === null) return a ?? b;
  return a < b ? b : a;
}

/** Sort services into who is still called by old names, what is to be moved, and what nobody asks for. */
export function usageReport(
  usage: UsageJson,
  { idleMs, nowMs }: { readonly idleMs: number; nowMs: number },
): UsageReport {
  return {
    ...usage,
    legacy: usage.services.filter(
      ({ names, reports }) => reports.length > 0 || names.some((name) => name.kind === "legacy" && name.questions > 0),
    ),
    notMoved: usage.services.filter(({ stage }) => stage === "outside" || stage === "split"),
    idle: usage.services.filter(({ lastAsked }) => lastAsked === null || nowMs - Date.parse(lastAsked) >= idleMs),
    idleMs,
  };
}
