import {
  HELD_LOSS_ANNOTATION,
  HELD_SERVICES_ANNOTATION,
  type Manifest,
  type Metadata,
  type ServiceEntry,
} from "../../model/objects.ts";
import type { Change } from "../../model/plan.ts";
import { rfc3339 } from "../../model/rfc3339.ts";
import { sameValue } from "../same.ts";

/** What a brake keeps of the endpoints of an entry. */
export interface HeldLoss {
  /** How many endpoints it had. */
  readonly from: number;
  /** How many its registry listed then. */
  readonly listed: number;
  readonly atMs: number;
}

/** What a brake keeps of the services of a registry. */
export interface HeldServices {
  readonly lost: number;
  readonly atMs: number;
}

type Annotated = { readonly metadata: Metadata };

/** `5 2 2026-11-30T12:00:00Z`; whatever else someone wrote there is no mark. */
export function readHeldLoss({ metadata }: Annotated): HeldLoss | undefined {
  const text = metadata.annotations?.[HELD_LOSS_ANNOTATION];
  const [, from = "", listed = "", at = ""] = /^(\d{1,6}) (\d{1,6}) (\S+)$/.exec(text ?? "") ?? [];
  const atMs = Date.parse(at);
  return Number.isNaN(atMs) ? undefined : { from: Number(from), listed: Number(listed), atMs };
}

/** `53 2026-11-30T12:00:00Z` */
export function readHeldServices({ metadata }: Annotated): HeldServices | undefined {
  const text = metadata.annotations?.[HELD_SERVICES_ANNOTATION];
  const [, lost = "", at = ""] = /^(\d{1,6}) (\S+)$/.exec(text ?? "") ?? [];
  const atMs = Date.parse(at);
  return Number.isNaN(atMs) ? undefined : { lost: Number(lost), atMs };
}

/** The entry with the mark of what is kept of it. */
export function withHeldLoss(entry: ServiceEntry, { from, listed, atMs }: HeldLoss): ServiceEntry {
  return annotated(entry, { [HELD_LOSS_ANNOTATION]: `${from} ${listed} ${rfc3339(atMs)}` });
}

/** The entry with the mark of what is kept of its registry. */
export function withHeldServices(entry: ServiceEntry, { lost, atMs }: HeldServices): ServiceEntry {
  return annotated(entry, { [HELD_SERVICES_ANNOTATION]: `${lost} ${rfc3339(atMs)}` });
}

function annotated(entry: ServiceEntry, annotations: Readonly<Record<string, string>>): ServiceEntry {
  const { metadata } = entry;
  return { ...entry, metadata: { ...metadata, annotations: { ...metadata.annotations, ...annotations } } };
}

/** Whether a change writes or removes nothing but marks of brakes. */
export function isMarkOnly(change: Change): boolean {
  if (change.kind !== "update") return false;
  const [wanted, stands] = [change.object.manifest, change.standing.manifest];
  return (
    !sameValue(wanted.metadata.annotations, stands.metadata.annotations) &&
    sameValue(otherAnnotations(wanted), otherAnnotations(stands)) &&
    sameValue(wanted.spec, stands.spec)
  );
}

function otherAnnotations({ metadata }: Manifest): Readonly<Record<string, string>> {
  const { [HELD_LOSS_ANNOTATION]: _, [HELD_SERVICES_ANNOTATION]: __, ...others } = metadata.annotations ?? {};
  return others;
}
