import { EFFECTIVE_STAGE_ANNOTATION } from "../model/claim.ts";
import {
  type Asked,
  callerText,
  DEMAND_ANNOTATION,
  type Demands,
  IDLE_SINCE_ANNOTATION,
  readDemand,
  writeDemand,
} from "../model/demand.ts";
import { rfc3339 } from "../model/rfc3339.ts";
import { registryOfKey, type ServiceKey } from "../model/service.ts";
import type { Catalog, CatalogService } from "./catalog/catalog.ts";
import type { IndexedStanding, StandingEntry } from "./standing.ts";

export interface DemandOptions {
  /** By registry, for how long after the last question a service stands; other registries' services all stand. */
  readonly ttlMs: ReadonlyMap<string, number>;
  /** Services that the configuration itself asks for. */
  readonly wanted: ReadonlySet<ServiceKey>;
  /** How long an idle service stays whole before it goes. */
  readonly keepEmptyMs: number;
}

/** What an entry says of the demand for its service. */
export interface DemandMarks {
  readonly demand: string;
  readonly idleSince?: string;
}

/** Which services are built, and which are only known. */
export interface Demanded {
  readonly catalog: Catalog;
  /** Listed, or listed when that was last known, and nobody asks for them. */
  readonly undemanded: ReadonlyMap<ServiceKey, CatalogService>;
  /** Of the services that are built, those whose entries say who asked. */
  readonly marks: ReadonlyMap<ServiceKey, DemandMarks>;
  /** Services that stand and go now, as nobody has asked for them in a long time. */
  readonly decayed: ReadonlySet<ServiceKey>;
}

const DAY_MS = 86_400_000;

/** How much newer a question must be than what stands on the entry to be written there: a day, less where the TTL is short. */
export function rewriteEveryMs(ttlMs: number): number {
  return Math.min(DAY_MS, ttlMs / 8);
}

/** Services that were known and not asked for, and that nobody can say are gone: their names must not be denied meanwhile. */
export function stillKnown(
  catalog: Catalog,
  previous: ReadonlyMap<ServiceKey, CatalogService>,
): ReadonlyMap<ServiceKey, CatalogService> {
  const known = [...previous].filter(([key, { registry }]) => {
    const state = catalog.authorities.get(registry)?.state;
    return !catalog.services.has(key) && state !== undefined && (state !== "complete" || catalog.failed.has(key));
  });
  return new Map(known);
}

/**
 * Divide the services of registries that run with `demand: reported`.
 *
 * An entry that stands is a demand; so are a question within the TTL, a line of the configuration and an entry that someone wrote by
 * hand. Once the last question is older than the TTL (and what may be missing on the entry), the entry is marked idle and stays
 * as it is, whole, for `keepEmptyMs`, in which any question takes the mark away; then entry, names and aliases go together. No
 * caller meets an emptied service so.
 *
 * It never happens to a service past stage `outside`; where its registry does not list everything; or while nobody asks for
 * anything in its registry, which says more about our ears than about the callers.
 *
 * @param unlisted what {@link stillKnown} gives
 */
export function divideByDemand(
  catalog: Catalog,
  unlisted: ReadonlyMap<ServiceKey, CatalogService>,
  standing: IndexedStanding,
  { asked, nowMs }: { readonly asked: Demands; readonly nowMs: number },
  options: DemandOptions,
): Demanded {
  if (options.ttlMs.size === 0) return { catalog, undemanded: new Map(), marks: new Map(), decayed: new Set() };
  const services = new Map<ServiceKey, CatalogService>();
  const undemanded = new Map(unlisted);
  const marks = new Map<ServiceKey, DemandMarks>();
  const decayed = new Set<ServiceKey>();
  const heardMs = lastHeard(standing, asked, options);
  for (const [key, service] of catalog.services) {
    const ttlMs = options.ttlMs.get(service.registry);
    if (ttlMs === undefined) {
      services.set(key, service);
      continue;
    }
    const entry = standing.entries.get(key);
    const question = asked.get(key);
    const isWanted = options.wanted.has(key) || standing.premadeOf.has(key);
    if (entry === undefined) {
      if (!isWanted && !isAskedFor(question, nowMs, ttlMs)) {
        undemanded.set(key, service);
        continue;
      }
      services.set(key, service);
      marks.set(key, { demand: textOf(undefined, question, nowMs) });
      continue;
    }
    const mayDecay =
      !isWanted &&
      !isMoved(entry) &&
      catalog.authorities.get(service.registry)?.state === "complete" &&
      nowMs - (heardMs.get(service.registry) ?? 0) < limitMs(ttlMs);
    const idleSince = mayDecay ? idleSinceOf(entry, question, nowMs, ttlMs) : undefined;
    if (idleSince !== undefined && Date.parse(idleSince) + options.keepEmptyMs <= nowMs) {
      decayed.add(key);
      undemanded.set(key, service);
      continue;
    }
    services.set(key, service);
    const demand = demandOf(entry, question, nowMs, ttlMs);
    marks.set(key, idleSince === undefined ? { demand } : { demand, idleSince });
  }
  return { catalog: { ...catalog, services }, undemanded, marks, decayed };
}

/** How long after the last question an entry stays unmarked: the TTL, and what may be missing on the entry. */
function limitMs(ttlMs: number): number {
  return ttlMs + rewriteEveryMs(ttlMs);
}

/** Since when nobody has asked for an entry's service, or `undefined` while somebody has. */
function idleSinceOf(
  entry: StandingEntry,
  question: Asked | undefined,
  nowMs: number,
  ttlMs: number,
): string | undefined {
  if (nowMs - lastOf(entry, question, nowMs) < limitMs(ttlMs)) return undefined;
  return annotationOf(entry, IDLE_SINCE_ANNOTATION) ?? rfc3339(nowMs);
}

/** Whether a question is news that the entry should say, or that needs an entry: what a pass is made for. */
export function isNews(entry: StandingEntry | undefined, lastMs: number, ttlMs: number): boolean {
  if (entry === undefined || annotationOf(entry, IDLE_SINCE_ANNOTATION) !== undefined) return true;
  const known = readDemand(annotationOf(entry, DEMAND_ANNOTATION));
  return known === undefined || lastMs - known.lastMs >= rewriteEveryMs(ttlMs);
}

/** When anything of a registry was asked for last. */
function lastHeard(
  { entries }: IndexedStanding,
  asked: Demands,
  { ttlMs }: DemandOptions,
): ReadonlyMap<string, number> {
  const heardMs = new Map<string, number>();
  const hear = (registry: string, ms: number) => heardMs.set(registry, Math.max(heardMs.get(registry) ?? 0, ms));
  for (const entry of entries.values())
    if (ttlMs.has(entry.registry))
      hear(entry.registry, readDemand(annotationOf(entry, DEMAND_ANNOTATION))?.lastMs ?? 0);
  for (const [key, { lastMs }] of asked) hear(registryOfKey(key), lastMs);
  return heardMs;
}

function isAskedFor(question: Asked | undefined, nowMs: number, ttlMs: number): boolean {
  return question !== undefined && nowMs - question.lastMs < ttlMs;
}

/** An entry that says nothing stood before its registry ran on demand: it was asked for now. */
function lastOf(entry: StandingEntry, question: Asked | undefined, nowMs: number): number {
  const standing = readDemand(annotationOf(entry, DEMAND_ANNOTATION))?.lastMs ?? nowMs;
  return Math.max(standing, question?.lastMs ?? 0);
}

function demandOf(entry: StandingEntry, question: Asked | undefined, nowMs: number, ttlMs: number): string {
  const text = annotationOf(entry, DEMAND_ANNOTATION);
  const isDue = question !== undefined && isNews(entry, question.lastMs, ttlMs);
  return text === undefined || readDemand(text) === undefined || isDue ? textOf(text, question, nowMs) : text;
}

function textOf(before: string | undefined, question: Asked | undefined, nowMs: number): string {
  const known = readDemand(before);
  return writeDemand({
    lastMs: Math.max(known?.lastMs ?? 0, question?.lastMs ?? 0) || nowMs,
    callers: [...(question?.by ?? []).map(callerText), ...(known?.callers ?? [])],
  });
}

function isMoved(entry: StandingEntry): boolean {
  return (annotationOf(entry, EFFECTIVE_STAGE_ANNOTATION) ?? "outside") !== "outside";
}

function annotationOf({ manifest }: StandingEntry, name: string): string | undefined {
  return manifest.metadata.annotations?.[name];
}
