import { type ServiceEntry, SHRUNK_ANNOTATION, SUCCEEDED_BY_ANNOTATION } from "../../model/objects.ts";
import { rfc3339 } from "../../model/rfc3339.ts";
import type { PremadeEntry, StandingObject } from "../../model/standing.ts";
import { isInside } from "../stages/standing-stage.ts";
import { type HeldLoss, readHeldLoss } from "./marks.ts";

/** What a service has by what stands, on its entry and on those that are filled from it. */
export interface Holding {
  readonly registry: string;
  readonly endpoints: number;
  /** How many its entry had before it lost some, and when that began. */
  readonly shrunk?: Shrunk | undefined;
  /** What a brake keeps of its entry. */
  readonly held?: HeldLoss | undefined;
}

interface Shrunk {
  readonly from: number;
  readonly atMs: number;
}

/** What a service has; what is left on the entry of one that is inside is meant to go, and what is on one that another succeeded is that one's. */
export function holdingOf(entry: StandingObject | undefined, premade: readonly PremadeEntry[]): Holding {
  const registry = (entry ?? premade[0])?.registry ?? "";
  const counted = premade.filter(({ isApart }) => isApart !== true);
  const isOthers = entry?.manifest.metadata.annotations?.[SUCCEEDED_BY_ANNOTATION] !== undefined;
  const own = entry === undefined || isInside(entry) || isOthers ? [] : [entry];
  const endpoints = [...own, ...counted].reduce(
    (sum, { manifest }) => sum + endpointCount(manifest as ServiceEntry),
    0,
  );
  const shrunk = readShrunk(own[0]?.manifest.metadata.annotations?.[SHRUNK_ANNOTATION]);
  const held = own[0] === undefined ? undefined : readHeldLoss(own[0].manifest);
  return { registry, endpoints, shrunk, held };
}

function endpointCount({ spec }: ServiceEntry): number {
  return spec.endpoints?.length ?? 0;
}

/** `10 2026-11-30T12:00:00Z`; whatever else someone wrote there is no mark. */
function readShrunk(text: string | undefined): Shrunk | undefined {
  const [, from = "", at = ""] = /^(\d{1,6}) (\S+)$/.exec(text ?? "") ?? [];
  const atMs = Date.parse(at);
  return Number.isNaN(atMs) ? undefined : { from: Number(from), atMs };
}

/** The mark of an entry that had `endpoints` until now: one that goes on shrinking keeps the mark of when it began. */
export function writeShrunk(
  before: string | undefined,
  endpoints: number,
  { nowMs, afterMs }: { readonly nowMs: number; readonly afterMs: number },
): string {
  const known = readShrunk(before);
  if (known === undefined || known.atMs <= afterMs) return `${endpoints} ${rfc3339(nowMs)}`;
  return known.from >= endpoints ? (before ?? "") : `${endpoints} ${rfc3339(known.atMs)}`;
}

/** The mark that a listed service's entry keeps: none once it has as many endpoints again. */
export function keptShrunk(standing: string | undefined, endpoints: number): string | undefined {
  const known = readShrunk(standing);
  return known === undefined || endpoints >= known.from ? undefined : standing;
}
