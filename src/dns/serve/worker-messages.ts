import type { NameQuestions } from "../../model/usage.ts";
import type { AnswerEvent, AnswerPath, Dropped, LoggedQuery, Wanted } from "../observe/hooks.ts";
import type { NamesPart } from "../ready/names.ts";
import type { ListenAddress, ThreadOptions } from "./options.ts";

/** What a worker is started with. */
export interface WorkerSetup {
  readonly options: Omit<ThreadOptions, "names" | "tcp" | "reusePort" | "log" | "hooks">;
  readonly tcp: boolean;
  readonly reusePort: boolean;
  /** Listen only after all names were received once. */
  readonly namesFirst: boolean;
}

/** To a worker. */
export type ToWorker = ({ readonly kind: "names" } & NamesPart) | { readonly kind: "stop" };

/** Answers of one kind. */
export type AnswerCount = readonly [event: AnswerEvent, count: number];

/** From a worker. */
export type FromWorker =
  | { readonly kind: "listening"; readonly bound: readonly ListenAddress[] }
  /** It could not listen. */
  | { readonly kind: "failed"; readonly message: string; readonly cause: unknown }
  /** It has stored a part of the names and waits for the next. */
  | { readonly kind: "taken" }
  | { readonly kind: "answers"; readonly counts: readonly AnswerCount[] }
  | { readonly kind: "durations"; readonly durations: readonly (readonly [path: AnswerPath, seconds: number])[] }
  | { readonly kind: "query"; readonly query: LoggedQuery }
  | { readonly kind: "wanted"; readonly wanted: Wanted }
  | { readonly kind: "held"; readonly answered: number; readonly failed: number }
  | { readonly kind: "dropped"; readonly counts: readonly (readonly [what: Dropped, count: number])[] }
  | { readonly kind: "questions"; readonly questions: readonly NameQuestions[] }
  | { readonly kind: "exception"; readonly error: unknown }
  | { readonly kind: "log"; readonly fields: Readonly<Record<string, unknown>>; readonly message: string };
