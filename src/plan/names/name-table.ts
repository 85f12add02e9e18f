import { inSlices, type Sliced } from "../../async/slices.ts";
import type { NameRow, NameTable } from "../../model/name-table.ts";
import type { Standing, StandingObject } from "../../model/standing.ts";
import { isAnswered, keepRow, type NameTableOptions, rowsOf, waitingRow } from "./name-rows.ts";

/**
 * The names that stand in the target, with the addresses that stand there: what the DNS server answers from.
 *
 * Of two entries with one name the one whose key sorts first answers; names are never given out twice by us, but a second
 * installation may do so. A row whose entry has no address is left out: nothing could be answered.
 *
 * @param previous the table before: rows of unchanged entries keep their identity, new names settle; without one (at start)
 *   everything that stands has settled
 */
export function* buildNameTable(
  standing: Pick<Standing, "objects">,
  options: NameTableOptions,
  previous?: NameTable,
): Sliced<NameTable> {
  const names = new Map<string, NameRow>();
  const parents = new Set<string>();
  const changed: string[] = [];
  const put = (row: NameRow, before: NameRow | undefined) => {
    names.set(row.name, row);
    if (row !== before) changed.push(row.name);
  };
  const entries = [...standing.objects.values()].filter(isAnswered).sort(byKey);
  yield* inSlices(entries, (entry) => {
    for (const row of rowsOf(entry, options)) {
      if (names.has(row.name)) continue;
      const before = previous?.names.get(row.name);
      put(keepRow(row, before, previous === undefined ? 0 : settledAtMs(row, names, previous, options)), before);
    }
  });
  yield* inSlices(options.waiting ?? [], (waiting) => {
    if (names.has(waiting.name)) return;
    const before = previous?.names.get(waiting.name);
    put(waitingRow(waiting, before), before);
  });
  yield* inSlices(names.keys(), (name) => addParents(name, parents, names));
  const table = {
    ...{ names, parents, serial: nextSerial(previous?.serial, options.nowMs) },
    ...(options.endpoints === true ? { hasEndpoints: true } : {}),
  };
  if (previous === undefined) return table;
  yield* inSlices(previous.names.keys(), (name) => {
    if (!names.has(name)) changed.push(name);
  });
  return { ...table, changes: { since: previous.serial, names: changed } };
}

/** A name that comes or goes inside with its service leads to what the mesh has had all along, as its host does. */
function settledAtMs(
  { host, name }: NameRow,
  names: ReadonlyMap<string, NameRow>,
  previous: NameTable,
  { nowMs, settleMs }: NameTableOptions,
): number {
  const isOld = previous.names.get(name)?.host === host && name !== host;
  const known = names.get(host);
  return isOld && known !== undefined && known === previous.names.get(host) ? known.settledAtMs : nowMs + settleMs;
}

function byKey(a: StandingObject, b: StandingObject): number {
  return a.key < b.key ? -1 : 1;
}

/** Add to `parents` what lies above `name` and is in neither. */
export function addParents(name: string, parents: Set<string>, names: ReadonlyMap<string, NameRow>): void {
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
