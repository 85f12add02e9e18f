import type { NameRow, NameTable } from "../model/name-table.ts";
import type { AnswerTable } from "./answer.ts";
import type { ReadyAnswers } from "./ready-answers.ts";
import type { NamesPart } from "./worker-messages.ts";

/** One state of the names: a table, and ready-made answers in step with it. */
export interface NameState {
  readonly table: AnswerTable;
  readonly ready: ReadyAnswers;
}

/** The names that are answered. */
export interface Names {
  /** Their state now, which is not changed as long as the caller does not give up control; undefined as long as they are not known. */
  current(): NameState | undefined;
}

/** Makes ready-made answers, none yet, that read what they need besides from `table`. */
export type ReadyMaker = (table: () => AnswerTable | undefined) => ReadyAnswers;

/** Names, given a way to make ready-made answers. */
export type NamesMaker = (make: ReadyMaker) => Names;

/** What turns one name table into another. */
export interface NameChanges {
  /** Rows that are new or differ. */
  readonly put: readonly NameRow[];
  /** Names that no longer have a row. */
  readonly gone: readonly string[];
}

/** Names of a table in this thread's own memory: whenever `table` gives another one, what differs is taken over at once. */
export function followedNames(table: () => NameTable | undefined): NamesMaker {
  return (make) => {
    let known: NameTable | undefined;
    let state: NameState | undefined;
    const ready = make(() => state?.table);
    const reverse = reverseNames();
    const wildcards = new Set<string>();
    return {
      current() {
        const now = table();
        if (now === known) return state;
        if (now === undefined) return undefined;
        const { put, gone } = nameChanges(known, now);
        for (const name of gone) {
          ready.delete(name);
          reverse.delete(known?.names.get(name));
          wildcards.delete(name);
        }
        for (const row of put) {
          ready.put(row);
          reverse.delete(known?.names.get(row.name));
          reverse.put(row);
          if (isWildcard(row.name)) wildcards.add(row.name);
        }
        known = now;
        const { names, parents, serial } = now;
        const hasWildcards = wildcards.size > 0;
        state = { table: { names, parents, serial, hasWildcards, hostOf: reverse.hostOf }, ready };
        return state;
      },
    };
  };
}

/** Names that another thread tells. */
export interface ToldNames {
  readonly maker: NamesMaker;
  /** Take over a part; with the last one the names change, all at once. */
  take(part: Omit<NamesPart, "kind">): void;
}

/** Names that another thread tells, none yet. While all are told anew, answers go on from the old ones. */
export function toldNames(): ToldNames {
  let make: ReadyMaker | undefined;
  let state: ToldState | undefined;
  let next: ToldState | undefined;
  return {
    maker(maker) {
      make = maker;
      return { current: () => state };
    },
    take({ all, put, gone, serial }) {
      if (make === undefined) return;
      if (all) next ??= toldState(make);
      const taking = all ? next : state;
      // Changes to what was never told: all will be told.
      if (taking === undefined) return;
      for (const row of put) taking.put(row);
      for (const name of gone) taking.delete(name);
      if (serial === undefined) return;
      taking.table.serial = serial;
      state = taking;
      next = undefined;
    },
  };
}

interface ToldState extends NameState {
  readonly table: AnswerTable & { serial: number; readonly hasWildcards: boolean };
  put(row: NameRow): void;
  delete(name: string): void;
}

function toldState(make: ReadyMaker): ToldState {
  const names = new Map<string, NameRow>();
  /** How many names are below. */
  const below = new Map<string, number>();
  const reverse = reverseNames();
  const parents = { has: (name: string) => below.has(name) && !names.has(name) };
  const wildcards = new Set<string>();
  const table = {
    names,
    parents,
    serial: 0,
    hostOf: reverse.hostOf,
    get hasWildcards() {
      return wildcards.size > 0;
    },
  };
  const ready = make(() => table);

  function count(name: string, step: 1 | -1): void {
    for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1)) {
      const parent = name.slice(dot + 1);
      const left = (below.get(parent) ?? 0) + step;
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
      reverse.delete(before);
      reverse.put(row);
      names.set(row.name, row);
      if (isWildcard(row.name)) wildcards.add(row.name);
      ready.put(row);
    },
    delete(name) {
      reverse.delete(names.get(name));
      if (names.delete(name)) count(name, -1);
      wildcards.delete(name);
      ready.delete(name);
    },
  };
}

function isWildcard(name: string): boolean {
  return name.startsWith("*.");
}

/** Hosts by their addresses. An address that two rows have leads to the one put last. */
function reverseNames() {
  const hosts = new Map<string, string>();
  const addressesOf = (row: NameRow | undefined) =>
    row === undefined || row.name !== row.host ? [] : [...row.a, ...row.aaaa];
  return {
    put(row: NameRow): void {
      for (const address of addressesOf(row)) hosts.set(address, row.host);
    },
    delete(row: NameRow | undefined): void {
      for (const address of addressesOf(row)) if (hosts.get(address) === row?.host) hosts.delete(address);
    },
    hostOf: (address: string) => hosts.get(address),
  };
}

/**
 * Changes from `before` to `after`. By the table's own account where it has one that fits; else every row is compared, by identity,
 * which takes some milliseconds for 100,000.
 */
export function nameChanges(before: NameTable | undefined, after: NameTable): NameChanges {
  if (before === undefined) return { put: [...after.names.values()], gone: [] };
  const isNext = after.changes !== undefined && after.changes.since === before.serial;
  const put: NameRow[] = [];
  const gone: string[] = [];
  for (const name of isNext ? after.changes.names : differing(before, after)) {
    const row = after.names.get(name);
    if (row === undefined) gone.push(name);
    else put.push(row);
  }
  return { put, gone };
}

function* differing(before: NameTable, after: NameTable): Generator<string> {
  for (const [name, row] of after.names) if (before.names.get(name) !== row) yield name;
  for (const name of before.names.keys()) if (!after.names.has(name)) yield name;
}
