import type { NameRow } from "../model/name-table.ts";
import type { NameQuestions } from "../model/usage.ts";
import type { AnswerEvent, AnswerPath, LoggedQuery, Wanted } from "./events.ts";
import type { ListenAddress } from "./server.ts";
import type { ThreadOptions } from "./thread.ts";

/** What a worker is started with. */
export interface WorkerSetup {
  readonly options: Omit<ThreadOptions, "names" | "tcp" | "reusePort" | "log" | "hooks">;
  readonly tcp: boolean;
  readonly reusePort: boolean;
  /** Listen only after all names were told once. */
  readonly namesFirst: boolean;
}

/** A part of the names. They change when the last part has come, all at once. */
export interface NamesPart {
  readonly kind: "names";
  /** Whether the parts up to the last replace all names, or change some. */
  readonly all: boolean;
  readonly put: readonly NameRow[];
  readonly gone: readonly string[];
  /** The table's serial, with the last part. */
  readonly serial: number | undefined;
}

/** To a worker. */
export type ToWorker = NamesPart | { readonly kind: "stop" };

/** Answers of one kind. */
export type AnswerCount = readonly [event: AnswerEvent, count: number];

/** From a worker. */
export type FromWorker =
  | { readonly kind: "listening"; readonly bound: readonly ListenAddress[] }
  /** It could not listen. */
  | { readonly kind: "failed"; readonly message: string; readonly cause: unknown }
  /** It has taken over a part of the names and wants the next. */
  | { readonly kind: "taken" }
  | { readonly kind: "answers"; readonly counts: readonly AnswerCount[] }
  | { readonly kind: "durations"; readonly durations: readonly (readonly [path: AnswerPath, seconds: number])[] }
  | { readonly kind: "query"; readonly query: LoggedQuery }
  | { readonly kind: "wanted"; readonly wanted: Wanted }
  | { readonly kind: "held"; readonly answered: number; readonly failed: number }
  | { readonly kind: "questions"; readonly questions: readonly NameQuestions[] }
  | { readonly kind: "exception"; readonly error: unknown }
  | { readonly kind: "log"; readonly fields: Readonly<Record<string, unknown>>; readonly message: string };
