import type { ServiceRead, Snapshot } from "../../model/adapter.ts";
import {
  ALIASES_ANNOTATION,
  GONE_SINCE_ANNOTATION,
  type Manifest,
  NAMES_ANNOTATION,
  type ServiceEntry,
  WAYPOINT_LABEL,
  WAYPOINT_NAMESPACE_LABEL,
} from "../../model/objects.ts";
import type { Change, Update } from "../../model/plan.ts";
import type { ServiceKey } from "../../model/service.ts";
import type { Reading } from "../../plan/catalog/catalog.ts";
import type { Decision } from "../../plan/decision.ts";
import { readNames } from "../../plan/names/names-annotation.ts";
import { isMarkOnly } from "../../plan/policy/marks.ts";
import { sameValue } from "../../plan/same.ts";
import { standingStage } from "../../plan/stages/standing-stage.ts";
import { isCompanion, isExposure } from "../../plan/standing.ts";
import type { Style } from "../context.ts";
import { holdRows } from "./holds.ts";
import { stageLine } from "./stage.ts";
import { age, count, endpointDetails, endpointsOf, placeText, portsText, table } from "./text.ts";

/** How a plan counts: by service, as people do. */
export interface PlanCounts {
  readonly create: number;
  readonly change: number;
  readonly delete: number;
  readonly held: number;
  readonly unchanged: number;
}

export function countPlan({ plan, standing, catalog }: Decision): PlanCounts {
  const byService = groupByService(plan);
  const kinds = [...byService.values()].map(({ sign }) => sign);
  const create = kinds.filter((kind) => kind === "+").length;
  const change = kinds.filter((kind) => kind === "~").length;
  const remove = kinds.filter((kind) => kind === "-").length;
  const all = new Set([...standing.entries.keys(), ...catalog.services.keys()]);
  const untouched = [...all].filter((key) => !byService.has(key) && standing.entries.has(key)).length;
  const held = new Set(plan.hold.map(({ subject }) => subject));
  const filled = [...standing.premade.keys()].filter((key) => !byService.has(key) && !held.has(key)).length;
  return { create, change, delete: remove, held: plan.hold.length, unchanged: untouched + filled };
}

/** `1 created, 1 changed, 0 deleted, 1 held, 43 unchanged.` */
export function doneText(counts: PlanCounts): string {
  return `${counts.create} created, ${counts.change} changed, ${counts.delete} deleted, ${counts.held} held, ${counts.unchanged} unchanged.`;
}

/** `1 to create, 1 to change, 0 to delete, 1 held, 43 unchanged.` */
export function countsText(counts: PlanCounts): string {
  return `${counts.create} to create, ${counts.change} to change, ${counts.delete} to delete, ${counts.held} held, ${counts.unchanged} unchanged.`;
}

/** A line for each registry: what it has, or why it cannot be read and what that means. */
export function registryLines(
  readings: ReadonlyMap<string, Reading>,
  { standing }: Decision,
  readAgoMs: number,
  style: Style,
): readonly string[] {
  const rows = [...readings].map(([registry, reading]) => {
    if (reading.state !== "read") {
      const kept = [...standing.entries.values()].filter((entry) => entry.registry === registry).length;
      const why = reading.state === "failed" ? unreadText(reading.why) : "has not been read";
      const stay = `; its ${count(kept, "service")} ${kept === 1 ? "stays as it is" : "stay as they are"}`;
      return [registry, style("red", kept === 0 ? why : why + stay)];
    }
    const { services, incomplete, notes = [] } = reading.snapshot;
    const endpoints = services.reduce(
      (sum, read) => sum + (read.state === "ok" ? read.service.endpoints.length : 0),
      0,
    );
    const skipped = skippedText(reading.snapshot, style);
    const partly = incomplete === undefined ? "" : style("yellow", `; known only in part: ${incomplete}`);
    return [
      registry,
      `${count(services.length, "service")}, ${count(endpoints, "endpoint")}   read ${age(readAgoMs)} ago${skipped}${partly}${refusedText(services, style)}${notes.map((note) => style("yellow", `; ${note}`)).join("")}`,
    ];
  });
  return rows.length === 0 ? [style("yellow", "No registry is configured.")] : table(rows);
}

/** Services that the registry lists and that are not for the mesh: `; 3 skipped (filter 2, kubernetes 1)`. */
function skippedText({ skipped = {} }: Pick<Snapshot, "skipped">, style: Style): string {
  const kinds = Object.entries(skipped).filter(([, number]) => number > 0);
  const sum = kinds.reduce((total, [, number]) => total + number, 0);
  if (sum === 0) return "";
  return style("dim", `; ${sum} skipped (${kinds.map(([kind, number]) => `${kind} ${number}`).join(", ")})`);
}

/** Endpoints that were left out for their address: how many, and the first with its reason. */
function refusedText(services: readonly ServiceRead[], style: Style): string {
  const refused = services.flatMap((read) =>
    read.state === "ok"
      ? read.service.leftOut.filter(({ kind }) => kind === "address").map((one) => ({ ...one, of: read.service.name }))
      : [],
  );
  const [first] = refused;
  if (first === undefined) return "";
  const such = refused.length === 1 ? "" : ", such as";
  return style(
    "yellow",
    `; ${count(refused.length, "endpoint")} left out for the address${such}: ${first.address} of ${first.of}: ${first.reason}`,
  );
}

/** The line begins with the registry's name: an error that begins with it too says so once. */
function unreadText(why: string): string {
  return `cannot be read: ${why.replace(/^Cannot read services of registry "[^"]*": /, "")}`;
}

/** The changes and holds, service by service; `isDone`: what was changed, and not what would be. */
export function planLines(decision: Decision, style: Style, keepEmptyMs: number, isDone: boolean): readonly string[] {
  const groups = [...groupByService(decision.plan)].sort(([a], [b]) => (a < b ? -1 : 1));
  const rows = groups.map(([, group]) => serviceRow(group, keepEmptyMs, isDone));
  const holds = holdRows(decision).map((cells) => ({ sign: "!", cells, details: [] as string[] }));
  const created = table(rows.filter(({ sign }) => sign === "+").map(({ cells }) => cells));
  const others = [...rows.filter(({ sign }) => sign !== "+"), ...holds];
  const changed = table(others.map(({ cells: [subject = "", ...cells] }) => [subject, cells.join("; ")]));
  const colours = { "+": "green", "~": "yellow", "-": "red", "!": "yellow" } as const;
  return [
    ...created.map((line) => style("green", `+ ${line}`)),
    ...others.flatMap(({ sign, details }, at) => [
      style(colours[sign as keyof typeof colours], `${sign} ${changed[at] ?? ""}`),
      ...details.map((detail) => `    ${style(colours[detail.charAt(0) as keyof typeof colours], detail)}`),
    ]),
    ...decision.plan.released.map(({ message }) => style("yellow", message)),
  ];
}

interface ServiceGroup {
  sign: "+" | "~" | "-";
  readonly changes: Change[];
}

function groupByService(plan: Decision["plan"]): ReadonlyMap<ServiceKey, ServiceGroup> {
  const groups = new Map<ServiceKey, ServiceGroup>();
  // What a brake notes on what it keeps changes nothing for anyone.
  const updates = plan.update.filter((change) => !isMarkOnly(change));
  for (const change of [...plan.create, ...updates, ...plan.delete]) {
    const { service = "", manifest } = change.kind === "delete" ? change.standing : change.object;
    // An entry that someone else wrote counts by itself.
    const id = change.kind === "update" && change.premade !== undefined ? change.object.key : service;
    const group = groups.get(id) ?? { sign: "~", changes: [] };
    if (isMain(manifest) && change.kind !== "update") group.sign = change.kind === "create" ? "+" : "-";
    group.changes.push(change);
    groups.set(id, group);
  }
  return groups;
}

function isMain(manifest: Manifest): manifest is ServiceEntry {
  return manifest.kind === "ServiceEntry" && !isCompanion(manifest.metadata);
}

interface Row {
  readonly sign: string;
  readonly cells: readonly string[];
  readonly details: readonly string[];
}

function serviceRow({ sign, changes }: ServiceGroup, keepEmptyMs: number, isDone: boolean): Row {
  const entryChange = changes.find((change) => isMain(manifestOf(change)));
  const manifest = entryChange === undefined ? undefined : (manifestOf(entryChange) as ServiceEntry);
  const subject = manifest?.spec.hosts[0] ?? serviceOf(changes[0]);
  const others = changes.filter((change) => change !== entryChange);
  if (sign === "+" && manifest !== undefined) {
    const { addresses = [], ports } = manifest.spec;
    const names = readNames(manifest.metadata.annotations?.[NAMES_ANNOTATION]);
    const cells = [
      subject,
      addresses.join(" ") || "VIP from Istio",
      portsText(ports),
      count(endpointsOf(manifest).length, "endpoint"),
      others.flatMap(wayText).sort().join(", "),
      namesText(names),
    ];
    return { sign, cells, details: [] };
  }
  if (sign === "-" && entryChange?.kind === "delete") return { sign, cells: [subject, entryChange.why], details: [] };
  const update = entryChange?.kind === "update" ? entryDiff(entryChange, keepEmptyMs) : { cells: [], details: [] };
  return {
    sign,
    cells: [subject, ...update.cells, ...others.map((change) => otherText(change, isDone))],
    details: update.details,
  };
}

/** The first of a service's further names, and how many there are besides. */
function namesText([first, ...more]: readonly string[]): string {
  if (first === undefined) return "";
  return more.length === 0 ? `also ${first}` : `also ${first} and ${more.length} more`;
}

function manifestOf(change: Change): Manifest {
  return change.kind === "delete" ? change.standing.manifest : change.object.manifest;
}

function serviceOf(change: Change | undefined): string {
  return change === undefined
    ? ""
    : ((change.kind === "delete" ? change.standing.service : change.object.service) ?? "");
}

function wayText(change: Change): readonly string[] {
  const manifest = manifestOf(change);
  const { kind, metadata } = manifest;
  if (isExposure({ manifest })) return [`exposure ${metadata.name}`];
  return kind === "Service" ? [`alias ${metadata.namespace}/${metadata.name}`] : [];
}

function otherText(change: Change, isDone: boolean): string {
  const { kind, metadata } = manifestOf(change);
  const [known] = wayText(change);
  const done = { create: "created", update: "changed", delete: "deleted" }[change.kind];
  const verb = isDone ? done : `to be ${done}`;
  const what = known ?? `${kind} ${metadata.name}`;
  return change.kind === "delete" ? `${what} ${verb}: ${change.why}` : `${what} ${verb}`;
}

function entryDiff({ object, standing, premade }: Update, keepEmptyMs: number): { cells: string[]; details: string[] } {
  const [after, before] = [object.manifest as ServiceEntry, standing.manifest as ServiceEntry];
  const cells: string[] = [];
  if (premade === "gone") cells.push("vanished from its registry");
  const gone = after.metadata.annotations?.[GONE_SINCE_ANNOTATION];
  const wasGone = before.metadata.annotations?.[GONE_SINCE_ANNOTATION];
  if (gone !== undefined && wasGone === undefined)
    cells.push(`vanished from its registry, deleted in ${age(keepEmptyMs)} unless it returns`);
  if (gone === undefined && wasGone !== undefined) cells.push("is back in its registry");
  if (!sameValue(after.spec.addresses, before.spec.addresses))
    cells.push(`VIP ${before.spec.addresses?.join(" ") ?? "none"} → ${after.spec.addresses?.join(" ") ?? "none"}`);
  if (!sameValue(after.spec.ports, before.spec.ports))
    cells.push(`ports ${portsText(before.spec.ports) || "none"} → ${portsText(after.spec.ports)}`);
  if (!sameValue(after.spec.exportTo, before.spec.exportTo))
    cells.push(`exported to ${before.spec.exportTo?.join(", ")} → ${after.spec.exportTo?.join(", ")}`);
  const [names, hadNames] = [after, before].map(
    (entry) => readNames(entry.metadata.annotations?.[NAMES_ANNOTATION]).join(", ") || "none",
  );
  if (names !== hadNames) cells.push(`legacy names ${hadNames} → ${names}`);
  const [aliases, hadAliases] = [after, before].map(
    (entry) => entry.metadata.annotations?.[ALIASES_ANNOTATION] ?? "none",
  );
  if (aliases !== hadAliases) cells.push(`names its aliases ${hadAliases} → ${aliases}`);
  const [waypoint, hadWaypoint] = [waypointOf(after), waypointOf(before)];
  if (waypoint !== undefined && waypoint !== hadWaypoint)
    cells.push(`waypoint ${hadWaypoint ?? "unset"} → ${waypoint}`);
  const [stage, hadStage] = [after, before].map((manifest) => stageLine(undefined, standingStage({ manifest })));
  if (stage !== hadStage) cells.push(`stage ${hadStage} → ${stage}`);
  const details = endpointDiff(after, before);
  if (details.length > 0) cells.push(`endpoints ${endpointsOf(before).length} → ${endpointsOf(after).length}`);
  return { cells: cells.length === 0 ? ["put back as it should be"] : cells, details };
}

function waypointOf({ metadata: { labels = {} } }: ServiceEntry): string | undefined {
  const { [WAYPOINT_LABEL]: name, [WAYPOINT_NAMESPACE_LABEL]: namespace } = labels;
  return name === undefined || name === "none" || namespace === undefined ? name : `${namespace}/${name}`;
}

function endpointDiff(after: ServiceEntry, before: ServiceEntry): string[] {
  const line = (entry: ServiceEntry) =>
    new Map(endpointsOf(entry).map((endpoint) => [placeText(endpoint, entry.spec.ports), endpointDetails(endpoint)]));
  const [now, then] = [line(after), line(before)];
  const rows: string[] = [];
  for (const [place, details] of then) if (!now.has(place)) rows.push(`- ${place}  ${details}`.trimEnd());
  for (const [place, details] of now) {
    const had = then.get(place);
    if (had === undefined) rows.push(`+ ${place}  ${details}`.trimEnd());
    else if (had !== details) rows.push(`~ ${place}  ${had || "nothing"} → ${details || "nothing"}`);
  }
  return rows;
}
