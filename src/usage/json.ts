import { inSlices, type Sliced } from "../async/slices.ts";
import { CLAIMANT_ANNOTATION, EFFECTIVE_STAGE_ANNOTATION, STAGES, type Stage } from "../model/claim.ts";
import { DEMAND_ANNOTATION, type Demands, readDemand } from "../model/demand.ts";
import type { NameTable } from "../model/name-table.ts";
import { NAMES_ANNOTATION } from "../model/objects.ts";
import type { ServiceKey } from "../model/service.ts";
import type { Decision } from "../plan/decision.ts";
import { readNames } from "../plan/names/names-annotation.ts";
import type { Usage } from "./counting.ts";

/** Use of one name, as `/api/usage` tells it. */
export interface NameUseJson {
  readonly name: string;
  /** Who calls by an alias asks for the host: the cluster's DNS follows the alias. */
  readonly kind: "host" | "legacy";
  readonly questions: number;
  readonly lastAsked: string | null;
  /** Questions by view. */
  readonly views: Readonly<Record<string, number>>;
  /** Addresses of who asked. */
  readonly clients: readonly string[];
}

/** Use of one service, as `/api/usage` tells it. */
export interface ServiceUseJson {
  readonly service: ServiceKey;
  readonly host: string | null;
  readonly stage: Stage;
  /** `<namespace>/<name>` of the Service that calls are led to. */
  readonly claimant: string | null;
  readonly names: readonly NameUseJson[];
  /** Who asked for it by a report. */
  readonly reports: readonly { readonly caller: string; readonly lastAsked: string | null }[];
  /** By any name or report. */
  readonly lastAsked: string | null;
}

/** What `/api/usage` tells. */
export interface UsageJson {
  /** A service without `lastAsked` was not asked for since then. */
  readonly knownSince: string;
  readonly services: readonly ServiceUseJson[];
}

/** A service with the names that it is asked for by. */
export interface NamedService {
  readonly service: ServiceKey;
  readonly host: string | undefined;
  readonly legacyNames: readonly string[];
  /** Of its entry. */
  readonly annotations: Readonly<Record<string, string>>;
}

/** The services that stand. */
export function namedServices(decision: Pick<Decision, "standing"> | undefined): readonly NamedService[] {
  return [...(decision?.standing.entries ?? [])].map(([service, { manifest }]) => {
    const { annotations = {} } = manifest.metadata;
    return {
      service,
      host: manifest.spec.hosts[0]?.toLowerCase(),
      legacyNames: readNames(annotations[NAMES_ANNOTATION]),
      annotations,
    };
  });
}

/** The services that a name table leads to: all that one who only answers DNS knows. */
export function servicesOfTable(table: NameTable | undefined): readonly NamedService[] {
  const services = new Map<ServiceKey, NamedService & { legacyNames: string[] }>();
  for (const { name, host, service } of table?.names.values() ?? []) {
    if (service === undefined) continue;
    const known = services.get(service) ?? { service, host, legacyNames: [], annotations: {} };
    services.set(service, known);
    if (name !== host) known.legacyNames.push(name);
  }
  return [...services.values()];
}

/** Where the use of names is read from. */
export interface UsageSource {
  readonly services: readonly NamedService[];
  readonly usage: Usage;
  readonly demands: Demands | undefined;
}

/** Who asks for which services, by which names: data with stable fields, sorted by service. */
export function* usageJson({ services, usage, demands }: UsageSource): Sliced<UsageJson> {
  const uses: ServiceUseJson[] = [];
  const sorted = [...services].sort((a, b) => (a.service < b.service ? -1 : 1));
  yield* inSlices(sorted, (named) => void uses.push(serviceUse(named, usage, demands)));
  return { knownSince: timeText(usage.knownSinceMs()), services: uses };
}

function serviceUse(
  { service: key, host, legacyNames, annotations }: NamedService,
  usage: Usage,
  demands: Demands | undefined,
): ServiceUseJson {
  const asked = demands?.get(key);
  const stood = readDemand(annotations[DEMAND_ANNOTATION]);
  const reports = new Map<string, string | null>((stood?.callers ?? []).map((caller) => [caller, null]));
  for (const { caller, via, lastMs } of asked?.by ?? []) if (via !== "dns") reports.set(caller, timeText(lastMs));
  const names = [
    ...(host === undefined ? [] : [nameUse(host, "host", usage)]),
    ...legacyNames.map((name) => nameUse(name, "legacy", usage)),
  ];
  const lastMs = Math.max(
    asked?.lastMs ?? 0,
    stood?.lastMs ?? 0,
    ...names.map(({ name }) => usage.of(name)?.lastMs ?? 0),
  );
  return {
    service: key,
    host: host ?? null,
    stage: STAGES.find((stage) => stage === annotations[EFFECTIVE_STAGE_ANNOTATION]) ?? "outside",
    claimant: annotations[CLAIMANT_ANNOTATION] ?? null,
    names,
    reports: [...reports].map(([caller, lastAsked]) => ({ caller, lastAsked })),
    lastAsked: lastMs === 0 ? null : timeText(lastMs),
  };
}

function nameUse(name: string, kind: NameUseJson["kind"], usage: Usage): NameUseJson {
  const use = usage.of(name);
  const views = [...(use?.views ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    name,
    kind,
    questions: views.reduce((sum, [, count]) => sum + count, 0),
    lastAsked: use === undefined ? null : timeText(use.lastMs),
    views: Object.fromEntries(views),
    clients: [...(use?.clients ?? [])].reverse(),
  };
}

function timeText(ms: number): string {
  return new Date(ms).toISOString();
}

/** How a service is called, for the metrics: by a legacy name within the last day, only by its host, or not at all. */
export type UseState = "legacy" | "host" | "none";

const DAY_MS = 86_400_000;

/** {@link UseState} of one service at `nowMs`. */
export function useState({ names, lastAsked }: Pick<ServiceUseJson, "names" | "lastAsked">, nowMs: number): UseState {
  const isRecent = (time: string | null) => time !== null && nowMs - Date.parse(time) < DAY_MS;
  if (names.some((name) => name.kind === "legacy" && isRecent(name.lastAsked))) return "legacy";
  return isRecent(lastAsked) ? "host" : "none";
}
