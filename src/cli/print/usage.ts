import { later, type UsageReport } from "../../usage/report.ts";
import type { Style } from "../context.ts";
import { age, count, table } from "./text.ts";

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
        `from ${someOf(clients)}`,
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
            `from ${someOf(reports.map(({ caller }) => caller))}`,
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

function someOf(names: readonly string[]): string {
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
