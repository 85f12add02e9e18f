import type { ReadError } from "../../src/errors.ts";
import type { Name } from "./client/reply.ts";
import type { Known } from "./links.ts";
import type { Content } from "./mapping/content.ts";

/** What is known of one name, and how far it can be trusted. */
export interface Entry extends Known {
  readonly id: string;
  content: Content | undefined;
  failure: ReadError | undefined;
  /** Of the last whole answer. */
  revision: string;
  /** Two whole answers had the same revision and said the same: the server computes it apart from what it answers. */
  isSure: boolean;
  /** A question for it is under way. */
  isBeingAsked: boolean;
  /** Times of performance.now(). */
  askedAtMs: number;
  changedAtMs: number;
  /** Failed reads in a row. */
  failures: number;
  /** Polls in a row in which no list had it and the server closed the connection on its name. */
  closedPolls: number;
}

/** A name that was never asked for. */
export function newEntry(id: string, name: Name): Entry {
  return {
    id,
    name,
    content: undefined,
    failure: undefined,
    revision: "",
    isSure: false,
    isBeingAsked: false,
    askedAtMs: 0,
    changedAtMs: Number.NEGATIVE_INFINITY,
    failures: 0,
    closedPolls: 0,
  };
}
