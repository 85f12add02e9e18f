import type { NameRow } from "../../model/name-table.ts";
import type { AnswerTable } from "../answer/table.ts";
import type { ReadyAnswers } from "./ready-answers.ts";

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

/** A part of the names. They change when the last part has come, all at once. */
export interface NamesPart {
  /** Whether the parts up to the last replace all names, or change some. */
  readonly all: boolean;
  readonly put: readonly NameRow[];
  readonly gone: readonly string[];
  /** Whether the table is partial, with the last part. */
  readonly isPartial?: boolean;
  /** The table's serial, with the last part. */
  readonly serial: number | undefined;
}
