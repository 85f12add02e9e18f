import { inSlices, type Sliced } from "../async/slices.ts";
import {
  CLAIMANT_ANNOTATION,
  EFFECTIVE_STAGE_ANNOTATION,
  EFFECTIVE_WEIGHT_ANNOTATION,
  INSIDE_ADDRESSES_ANNOTATION,
  STEPPED_BACK_ANNOTATION,
} from "../model/claim.ts";
import {
  EMPTY_SINCE_ANNOTATION,
  GONE_SINCE_ANNOTATION,
  NAMES_ANNOTATION,
  type ObjectKey,
  SUCCEEDED_BY_ANNOTATION,
} from "../model/objects.ts";
import type { ServiceKey } from "../model/service.ts";
import type { PremadeEntry, Standing, StandingObject } from "../model/standing.ts";
import { sameValue } from "./same.ts";
import { type Exchange, type IndexedStanding, isCompanion, premadeService } from "./standing.ts";

/** What changed in the target, read before the first slice: the target moves on meanwhile. */
export type ChangedVersions = ReadonlyMap<ObjectKey, ChangedVersion>;

interface ChangedVersion {
  readonly objects: readonly [StandingObject | undefined, StandingObject | undefined];
  readonly premade: readonly [PremadeEntry | undefined, PremadeEntry | undefined];
  readonly isForeignSame: boolean;
}

export function versionsOf(
  standing: IndexedStanding,
  live: Standing,
  changed: ReadonlySet<ObjectKey>,
): ChangedVersions {
  const versions = new Map<ObjectKey, ChangedVersion>();
  for (const key of changed)
    versions.set(key, {
      objects: [standing.objects.get(key), live.objects.get(key)],
      premade: [standing.premade.get(key), live.premade.get(key)],
      isForeignSame: standing.foreign.get(key) === live.foreign.get(key),
    });
  return versions;
}

export interface ChangedObjects {
  /** Whose objects have newer versions. */
  readonly services: ReadonlySet<ServiceKey>;
  readonly exchange: Exchange;
  /** Services of which something changed that cannot be judged by itself. */
  readonly unclear: ReadonlySet<ServiceKey | undefined>;
}

/** What became of the objects that changed. */
export function* objectsChanged(standing: IndexedStanding, versions: ChangedVersions): Sliced<ChangedObjects> {
  const services = new Set<ServiceKey>();
  const unclear = new Set<ServiceKey | undefined>();
  const objects: (readonly [StandingObject, StandingObject])[] = [];
  const premade: (readonly [PremadeEntry, PremadeEntry])[] = [];
  yield* inSlices(versions.values(), (version) => {
    const [filled, filledNow] = version.premade;
    if (filled !== undefined && filledNow !== undefined && version.isForeignSame) {
      if (filled === filledNow) return;
      if (filled.service !== undefined && isSameButForContent(filled, filledNow)) {
        premade.push([filled, filledNow]);
        services.add(premadeService(standing, filled) ?? filled.service);
        return;
      }
    }
    const [before, now] = version.objects;
    if (before !== undefined && before === now) return;
    if (before?.service === undefined || now === undefined || !isSameButForContent(before, now)) {
      unclear.add((before ?? filled)?.service).add((now ?? filledNow)?.service);
      return;
    }
    objects.push([before, now]);
    services.add(before.service);
  });
  return { services, unclear, exchange: { objects, premade } };
}

const MARKS: readonly string[] = [
  NAMES_ANNOTATION,
  SUCCEEDED_BY_ANNOTATION,
  EMPTY_SINCE_ANNOTATION,
  GONE_SINCE_ANNOTATION,
  EFFECTIVE_STAGE_ANNOTATION,
  EFFECTIVE_WEIGHT_ANNOTATION,
  CLAIMANT_ANNOTATION,
  INSIDE_ADDRESSES_ANNOTATION,
  STEPPED_BACK_ANNOTATION,
];

/** Whether both give the same names, VIPs and marks to the same service, so that only what is written into them differs. */
function isSameButForContent(a: StandingObject, b: StandingObject): boolean {
  return (
    a.service === b.service &&
    a.registry === b.registry &&
    a.uid === b.uid &&
    a.createdMs === b.createdMs &&
    b.yielded === undefined &&
    a.terminating === b.terminating &&
    sameEntry(a, b)
  );
}

function sameEntry({ manifest: a }: StandingObject, { manifest: b }: StandingObject): boolean {
  if (a.kind !== "ServiceEntry" || b.kind !== "ServiceEntry") return a.kind === b.kind;
  return (
    isCompanion(a.metadata) === isCompanion(b.metadata) &&
    sameValue(a.spec.hosts, b.spec.hosts) &&
    sameValue(a.spec.addresses, b.spec.addresses) &&
    sameValue(a.spec.ports, b.spec.ports) &&
    MARKS.every((name) => a.metadata.annotations?.[name] === b.metadata.annotations?.[name])
  );
}
