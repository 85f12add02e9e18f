import { inSlices, type Sliced } from "../../async/slices.ts";
import type { NameRow, NameTable } from "../../model/name-table.ts";
import type { Standing, StandingObject } from "../../model/standing.ts";
import {
  type ClaimedRow,
  endingRow,
  isAnswered,
  keepRow,
  type NameTableOptions,
  rowsOf,
  waitingRow,
} from "./name-rows.ts";
import { isBefore } from "./precedence.ts";

/**
 * The names that stand in the target, with the addresses that stand there: what the DNS server answers from.
 *
 * Of several entries with one name the one answers that {@link isBefore} says: while a name moves, two have it. A row whose entry has no
 * address is left out: nothing could be answered.
 *
 * @param previous the table before: rows of unchanged entries keep their identity, new names settle; without one (at start)
 *   everything that stands has settled
 */
export function* buildNameTable(
  standing: Pick<Standing, "objects">,
  options: NameTableOptions,
  previous?: NameTable,
): Sliced<NameTable> {
  const claimed = yield* claimedRows(standing, options);
  const names = new Map<string, NameRow>();
  const parents = new Set<string>();
  const changed: string[] = [];
  let renewAtMs = Number.POSITIVE_INFINITY;
  const put = (row: NameRow, before: NameRow | undefined) => {
    names.set(row.name, row);
    if (row !== before) changed.push(row.name);
  };
  const [hosts, others] = [true, false].map((isHost) =>
    [...claimed.values()].filter(({ claim }) => claim.isHost === isHost),
  );
  yield* inSlices([...(hosts ?? []), ...(others ?? [])], ({ row }) => {
    const before = previous?.names.get(row.name);
    const atMs = previous === undefined ? 0 : settledAtMs(row, names, previous, options);
    const stays = atMs > options.nowMs ? whereItLed(before, row, claimed, previous, options.nowMs) : undefined;
    if (stays !== undefined) renewAtMs = Math.min(renewAtMs, atMs);
    put(stays ?? keepRow(row, before, atMs), before);
  });
  yield* inSlices(options.waiting ?? [], (waiting) => {
    if (names.has(waiting.name)) return;
    const before = previous?.names.get(waiting.name);
    put(waitingRow(waiting, before), before);
  });
  yield* inSlices(previous?.names.values() ?? [], (before) => {
    const ending = names.has(before.name) ? undefined : endingRow(before, options.nowMs);
    if (ending === undefined) return;
    renewAtMs = Math.min(renewAtMs, Number(ending.ends));
    put(ending, before);
  });
  yield* inSlices(names.keys(), (name) => addParents(name, parents, names));
  const table = {
    ...{ names, parents, serial: nextSerial(previous?.serial, options.nowMs) },
    ...(options.endpoints === true ? { hasEndpoints: true } : {}),
    ...(options.isPartial === true ? { isPartial: true as const } : {}),
    ...(renewAtMs === Number.POSITIVE_INFINITY ? {} : { renewAtMs }),
  };
  if (previous === undefined) return table;
  yield* inSlices(previous.names.keys(), (name) => {
    if (!names.has(name)) changed.push(name);
  });
  return { ...table, changes: { since: previous.serial, names: changed } };
}

/** By name, what answers. */
function* claimedRows(
  { objects }: Pick<Standing, "objects">,
  options: NameTableOptions,
): Sliced<ReadonlyMap<string, ClaimedRow>> {
  const claimed = new Map<string, ClaimedRow>();
  yield* inSlices([...objects.values()].filter(isAnswered).sort(byKey), (entry) => {
    for (const one of rowsOf(entry, options)) {
      const other = claimed.get(one.row.name);
      if (other === undefined || isBefore(one.claim, other.claim)) claimed.set(one.row.name, one);
    }
  });
  return claimed;
}

/** A name whose host the mesh has had all along leads to what it has, if the name is not new to it. */
function settledAtMs(
  { host, name }: NameRow,
  names: ReadonlyMap<string, NameRow>,
  previous: NameTable,
  { nowMs, settleMs }: NameTableOptions,
): number {
  const before = name === host ? undefined : previous.names.get(name);
  const isOld = before !== undefined && before.waits !== true;
  const known = names.get(host);
  return isOld && known !== undefined && known === previous.names.get(host) ? known.settledAtMs : nowMs + settleMs;
}

/** The row of a name that moved to a new entry, as long as the mesh may not have its VIP: whom it led to is still there. */
function whereItLed(
  before: NameRow | undefined,
  { host }: NameRow,
  claimed: ReadonlyMap<string, ClaimedRow>,
  previous: NameTable | undefined,
  nowMs: number,
): NameRow | undefined {
  if (before === undefined || before.waits === true || before.host === host) return undefined;
  const there = claimed.get(before.host);
  const leads = (there?.entry.manifest.spec.endpoints ?? []).length > 0;
  if (!leads || before.settledAtMs > nowMs) return undefined;
  const was = previous?.names.get(before.host);
  return was?.a.join() === there?.row.a.join() && was?.aaaa.join() === there?.row.aaaa.join() ? before : undefined;
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
