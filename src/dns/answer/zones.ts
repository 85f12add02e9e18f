import type { Upstream } from "../forward/upstream.ts";
import { parentOf } from "../wire/wire-name.ts";

/** A zone of ours, or with upstreams an overlay: someone else's zone of which only some names are answered here. */
export interface Zone {
  readonly name: string;
  /** Empty for a zone of ours. */
  readonly forward: readonly Upstream[];
}

/** Zones as they are looked up. */
export interface ZoneIndex {
  /** By name, lower case without trailing dot; see `zonesByName`. */
  readonly byName: ReadonlyMap<string, Zone>;
}

/** Zones by the form in which `answer` looks them up. */
export function zonesByName(zones: readonly Zone[]): ReadonlyMap<string, Zone> {
  const canonical = zones.map((zone) => ({ ...zone, name: zone.name.toLowerCase().replace(/\.$/, "") }));
  return new Map(canonical.map((zone) => [zone.name, zone]));
}

/** Name of the zone of ours that `name` lies in; undefined in an overlay and outside of all zones. */
export function denyingZone(name: string, zones: ZoneIndex): string | undefined {
  const zone = zoneOf(name, zones.byName);
  return zone?.forward.length === 0 ? zone.name : undefined;
}

/** The zone that matches most labels of `name`. A dot inside a label is `\046` in names, so cutting at dots cuts at labels. */
export function zoneOf(name: string, byName: ReadonlyMap<string, Zone>): Zone | undefined {
  for (let suffix = name; ; suffix = parentOf(suffix)) {
    const zone = byName.get(suffix);
    if (zone !== undefined || suffix === "") return zone;
  }
}

/**
 * The zone that denies `name`. A legacy name outside of our zones is a zone of its own: an SOA further up would assert authority over
 * neighbours that are not ours, and one without SOA would not be cached at all (RFC 2308 §5).
 */
export function soaOwner(name: string, zones: ZoneIndex): string {
  return denyingZone(name, zones) ?? name;
}
