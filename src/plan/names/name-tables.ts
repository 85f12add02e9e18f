import type { Sliced } from "../../async/slices.ts";
import type { NameTable, WaitingName } from "../../model/name-table.ts";
import type { ObjectKey } from "../../model/objects.ts";
import type { Standing } from "../../model/standing.ts";
import { sameValue } from "../same.ts";
import { type AnsweredEntry, isAnswered, type NameTableOptions, sourceOf } from "./name-rows.ts";
import { buildNameTable } from "./name-table.ts";

/** The table for one who asks again and again. */
export interface NameTables {
  /**
   * The table of what stands, the one before when nothing that it is made of changed.
   *
   * @param changed keys of what changed since the call before; `undefined` when they are not known
   */
  renew(
    standing: Pick<Standing, "objects">,
    changed: ReadonlySet<ObjectKey> | undefined,
    options: NameTableOptions,
  ): Sliced<NameTable>;
}

export function nameTables(): NameTables {
  let table: NameTable | undefined;
  /** Whether `entries` are what `table` was made of. */
  let isCurrent = false;
  let entries = new Map<ObjectKey, AnsweredEntry>();
  let waiting: readonly WaitingName[] | undefined;
  return {
    *renew({ objects: live }, changed, options) {
      const hasSameNames = waiting === options.waiting;
      const isDue = (table?.renewAtMs ?? Number.POSITIVE_INFINITY) <= options.nowMs;
      const isOfKind =
        (table?.hasEndpoints ?? false) === (options.endpoints ?? false) &&
        (table?.isPartial ?? false) === (options.isPartial ?? false);
      const isAlike = isCurrent && !isDue && hasSameNames && isOfKind;
      if (isAlike && table !== undefined && changed !== undefined && !exchangeAll(live, changed, options)) return table;
      isCurrent = false;
      const objects = new Map(live);
      table = yield* buildNameTable({ objects }, options, table);
      entries = new Map([...objects.values()].filter(isAnswered).map((entry) => [entry.key, entry]));
      waiting = options.waiting;
      isCurrent = true;
      return table;
    },
  };

  /** Take over entries that moved; tells whether names or addresses did. */
  function exchangeAll(live: Standing["objects"], changed: ReadonlySet<ObjectKey>, options: NameTableOptions): boolean {
    for (const key of changed) {
      const object = live.get(key);
      const now = object !== undefined && isAnswered(object) ? object : undefined;
      const before = entries.get(key);
      if (before === now) continue;
      if (before === undefined || now === undefined || !sameValue(sourceOf(before, options), sourceOf(now, options)))
        return true;
      entries.set(key, now);
    }
    return false;
  }
}
