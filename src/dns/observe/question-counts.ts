import type { NameQuestions } from "../../model/usage.ts";
import { readName } from "../wire/wire-name.ts";

/** Names that one thread counts in one interval; further ones are not counted in it. */
const MOST_NAMES = 1000;

/** Counts who asked for which name, apart from the answers, which must not wait for that. */
export interface QuestionCounts {
  /**
   * Begin to count the name at `start` of a packet, whose further questions are counted where its answer lies ready. False when
   * there are too many names: it may begin later.
   */
  begin(packet: Uint8Array, start: number, client: string): boolean;
  /** Count a question that was answered in some other way. */
  add(name: string, view: string, client: string): void;
  /** What was counted since the last time. `take` gives the number that lies with a ready answer, and sets it to 0. */
  flush(take: (name: string) => number): readonly NameQuestions[];
}

/** Counts of one thread, of 1,000 names in an interval at most: a flood of questions costs no more than that. */
export function questionCounts(): QuestionCounts {
  /** First client by name. */
  let ready = new Map<string, string>();
  /** By view and name. */
  let others = new Map<
    string,
    { readonly name: string; readonly view: string; readonly client: string; count: number }
  >();
  return {
    begin(packet, start, client) {
      if (ready.size >= MOST_NAMES) return false;
      const name = readName(packet, start)?.name;
      if (name !== undefined && !ready.has(name)) ready.set(name, client);
      return true;
    },
    add(name, view, client) {
      const key = `${view} ${name}`;
      const known = others.get(key);
      if (known !== undefined) known.count++;
      else if (others.size < MOST_NAMES) others.set(key, { name, view, client, count: 1 });
    },
    flush(take) {
      // A name whose answer was made anew meanwhile has lost its number, but not that someone asked.
      const counted = [...ready].map(([name, client]) => ({ name, view: "mesh", client, count: take(name) || 1 }));
      const all = [...counted, ...others.values()];
      ready = new Map();
      others = new Map();
      return all;
    },
  };
}
