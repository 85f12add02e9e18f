import type { NameRow } from "../../model/name-table.ts";
import type { AnswerTable } from "../answer/table.ts";
import type { NameState, NamesMaker, NamesPart, ReadyMaker } from "./names.ts";
import { rowIndex } from "./row-index.ts";

/** Names that another thread sends. */
export interface ReceivedNames {
  readonly maker: NamesMaker;
  /** Store a part; with the last one the names change, all at once. */
  take(part: NamesPart): void;
}

/** Names that another thread sends, none yet. While all are sent anew, answers go on from the old ones. */
export function receivedNames(): ReceivedNames {
  let make: ReadyMaker | undefined;
  let state: ReceivedState | undefined;
  let next: ReceivedState | undefined;
  return {
    maker(maker) {
      make = maker;
      return { current: () => state };
    },
    take({ all, put, gone, serial, isPartial = false }) {
      if (make === undefined) return;
      if (all) next ??= receivedState(make);
      const taking = all ? next : state;
      // Changes to what was never sent: all will be sent.
      if (taking === undefined) return;
      for (const row of put) taking.put(row);
      for (const name of gone) taking.delete(name);
      if (serial === undefined) return;
      taking.table.serial = serial;
      taking.table.isPartial = isPartial;
      state = taking;
      next = undefined;
    },
  };
}

interface ReceivedState extends NameState {
  readonly table: AnswerTable & { serial: number; isPartial: boolean };
  put(row: NameRow): void;
  delete(name: string): void;
}

function receivedState(make: ReadyMaker): ReceivedState {
  const names = new Map<string, NameRow>();
  /** How many names are below. */
  const below = new Map<string, number>();
  const index = rowIndex();
  const table = {
    names,
    parents: { has: (name: string) => below.has(name) && !names.has(name) },
    serial: 0,
    isPartial: false,
    hostOf: index.hostOf,
    get hasWildcards() {
      return index.hasWildcards();
    },
  };
  const ready = make(() => table);

  function count(name: string, difference: 1 | -1): void {
    for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1)) {
      const parent = name.slice(dot + 1);
      const left = (below.get(parent) ?? 0) + difference;
      if (left > 0) below.set(parent, left);
      else below.delete(parent);
    }
  }

  return {
    table,
    ready,
    put(row) {
      const before = names.get(row.name);
      if (before === undefined) count(row.name, 1);
      index.put(row, before);
      names.set(row.name, row);
      ready.put(row);
    },
    delete(name) {
      index.delete(names.get(name));
      if (names.delete(name)) count(name, -1);
      ready.delete(name);
    },
  };
}
