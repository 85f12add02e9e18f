import { GONE_SINCE_ANNOTATION, type ObjectKey } from "../../model/objects.ts";
import type { StandingObject } from "../../model/standing.ts";

/** What an entry says of its claim to a name. */
export interface NameClaim {
  readonly key: ObjectKey;
  readonly isHost: boolean;
  readonly isGone: boolean;
  /** When the name came to it from another entry, RFC 3339. */
  readonly since: string | undefined;
}

/** The claim of an entry to a name of its. */
export function claimOf({ key, manifest }: StandingObject, isHost: boolean, since?: string): NameClaim {
  const isGone = manifest.metadata.annotations?.[GONE_SINCE_ANNOTATION] !== undefined;
  return { key, isHost, isGone, since };
}

/**
 * Whether `a` has a name rather than `b`, by what stands alone, so that every process says the same while a name moves: a host before a
 * legacy name, then the entry that the name came to last, then one whose service is listed.
 */
export function isBefore(a: NameClaim, b: NameClaim): boolean {
  if (a.isHost !== b.isHost) return a.isHost;
  const [sinceA, sinceB] = [sinceMs(a), sinceMs(b)];
  if (sinceA !== sinceB) return sinceA > sinceB;
  if (a.isGone !== b.isGone) return b.isGone;
  return a.key < b.key;
}

function sinceMs({ since }: NameClaim): number {
  return since === undefined ? 0 : Date.parse(since);
}
