import type { Style } from "./context.ts";
import { age, count, table } from "./text.ts";
import type { NameUseJson, ServiceUseJson, UsageJson } from "./usage-json.ts";

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

/** Of two times in the same notation. */
function later(a: string | null, b: string | null): string | null {
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

/** The report for people. */
export function reportLines(report: UsageReport, nowMs: number, style: Style): readonly string[] {
  const { legacy, notMoved, idle, services, idleMs } = report;
  const knownMs = nowMs - Date.parse(report.knownSince);
  const ago = (time: string | null) => (time === null ? "" : `last ${age(nowMs - Date.parse(time))} ago`);
  const calls = legacy.flatMap(({ service, stage, names, reports }) => [
    ...names
      .filter(({ kind, questions }) => kind === "legacy" && questions > 0)
      .map(({ name, questions, views, clients, lastAsked }) => [
        name,
        service,
        stage,
        viewsText(questions, views),
        ago(lastAsked),
        `from ${some(clients)}`,
      ]),
    ...(reports.length === 0
      ? []
      : [
          [
            "a report",
            service,
            stage,
            count(reports.length, "caller"),
            ago(reports.reduce<string | null>((last, one) => later(last, one.lastAsked), null)),
            `from ${some(reports.map(({ caller }) => caller))}`,
          ],
        ]),
  ]);
  const span = knownMs < idleMs ? `the ${age(knownMs)} that questions were counted` : age(idleMs);
  return [
    ...section("Called by a legacy name or a report", table(calls, "  "), style),
    ...section(
      "Not yet moved",
      table(
        notMoved.map(({ service, stage, claimant }) => [service, stage, claimant ?? "nobody claims it"]),
        "  ",
      ),
      style,
    ),
    ...section(
      `Nobody asked for in ${span}`,
      table(
        idle.map(({ service, stage, host }) => [service, stage, host ?? ""]),
        "  ",
      ),
      style,
    ),
    `${count(services.length, "service")}: ${legacy.length} called by a legacy name, ${notMoved.length} not yet moved, ${idle.length} that nobody asks for. Questions are counted since ${report.knownSince.slice(0, 16).replace("T", " ")} UTC.`,
  ];
}

function section(title: string, rows: readonly string[], style: Style): readonly string[] {
  return rows.length === 0 ? [] : [style("bold", title), ...rows, ""];
}

/** `1204 questions`, with more than one view `1204 questions (mesh 1200, hall-1 4)` */
function viewsText(questions: number, views: Readonly<Record<string, number>>): string {
  const parts = Object.entries(views).map(([view, number]) => `${view} ${number}`);
  return `${count(questions, "question")}${parts.length > 1 ? ` (${parts.join(", ")})` : ""}`;
}

const SHOWN = 3;

function some(names: readonly string[]): string {
  const more = names.length - SHOWN;
  return `${names.slice(0, SHOWN).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

const CSV_HEAD = ["service", "stage", "claimant", "kind", "name", "view", "questions", "last_asked", "from"];

/** The report as CSV (RFC 4180): a line for each name and view, each caller that reported, and each service that nobody asked for. */
export function reportCsv({ services }: UsageReport): readonly string[] {
  const rows = services.flatMap((service): readonly (readonly string[])[] => {
    const head = [service.service, service.stage, service.claimant ?? ""];
    const names = service.names.flatMap((name) =>
      Object.entries(name.views).map(([view, questions]) => [
        ...head,
        ...[name.kind, name.name, view, String(questions), name.lastAsked ?? "", name.clients.join(" ")],
      ]),
    );
    const reports = service.reports.map(({ caller, lastAsked }) => [
      ...head,
      ...["report", "", "", "", lastAsked ?? "", caller],
    ]);
    const all = [...names, ...reports];
    return all.length > 0 ? all : [[...head, ...["none", "", "", "0", service.lastAsked ?? "", ""]]];
  });
  return [CSV_HEAD, ...rows].map((row) => row.map(csvField).join(","));
}

/** Callers name themselves: a text that a spreadsheet would take for a formula begins with an apostrophe. */
function csvField(text: string): string {
  const plain = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}
