import type { NameRow, NameTable } from "../model/name-table.ts";
import { NAMES_ANNOTATION } from "../model/objects.ts";
import type { Standing, StandingObject } from "../model/standing.ts";
import { canonical, familyOf } from "./addresses.ts";
import { readNames } from "./names.ts";
import { isEntry, type StandingEntry } from "./standing.ts";

export interface NameTableOptions {
  /** How long after its entry is first seen a new name is held up, so that the mesh can have its VIP. */
  readonly settleMs: number;
  /** `Date.now()`. */
  readonly nowMs: number;
}

/**
 * The names that stand in the target, with the addresses that stand there: what the DNS server answers from.
 *
 * Of two entries with one name the one whose key sorts first answers; names are never given out twice by us, but a second
 * installation may do so. A row whose entry has no address is left out: nothing could be answered.
 *
 * @param previous the table before: rows of unchanged entries keep their identity, new names settle; without one (at start)
 *   everything that stands has settled
 */
export function buildNameTable(standing: Standing, options: NameTableOptions, previous?: NameTable): NameTable {
  const names = new Map<string, NameRow>();
  const parents = new Set<string>();
  const entries = [...standing.objects.values()].filter(isEntry).sort(byKey);
  for (const entry of entries) {
    for (const row of rowsOf(entry)) {
      if (names.has(row.name)) continue;
      const before = previous?.names.get(row.name);
      names.set(row.name, keepRow(row, before, previous === undefined ? 0 : options.nowMs + options.settleMs));
    }
  }
  for (const name of names.keys()) addParents(name, parents, names);
  return { names, parents, serial: nextSerial(previous?.serial, options.nowMs) };
}

function byKey(a: StandingObject, b: StandingObject): number {
  return a.key < b.key ? -1 : 1;
}

function rowsOf(entry: StandingEntry): readonly NameRow[] {
  const { spec, metadata } = entry.manifest;
  const host = spec.hosts[0];
  if (host === undefined) return [];
  const addresses = (spec.addresses ?? entry.statusAddresses).flatMap((address) => canonical(address) ?? []);
  const a = addresses.filter((address) => familyOf(address) === "v4");
  const aaaa = addresses.filter((address) => familyOf(address) === "v6");
  if (addresses.length === 0) return [];
  const names = [host, ...readNames(metadata.annotations?.[NAMES_ANNOTATION])];
  return names.map((name) => ({ name: name.toLowerCase(), host, a, aaaa, settledAtMs: 0 }));
}

function keepRow(row: NameRow, before: NameRow | undefined, settledAtMs: number): NameRow {
  if (before === undefined) return { ...row, settledAtMs };
  const isSame = before.host === row.host && before.a.join() === row.a.join() && before.aaaa.join() === row.aaaa.join();
  return isSame ? before : { ...row, settledAtMs };
}

function addParents(name: string, parents: Set<string>, names: ReadonlyMap<string, NameRow>): void {
  for (let dot = name.indexOf("."); dot !== -1; dot = name.indexOf(".", dot + 1)) {
    const parent = name.slice(dot + 1);
    if (parents.has(parent)) return;
    if (!names.has(parent)) parents.add(parent);
  }
}

/** Seconds since the epoch, so that it goes up over restarts and is alike on replicas (RFC 1982: it must only increase). */
function nextSerial(before: number | undefined, nowMs: number): number {
  const now = Math.floor(nowMs / 1000) % 2 ** 32;
  return before === undefined ? now : Math.max(now, (before + 1) % 2 ** 32);
}
