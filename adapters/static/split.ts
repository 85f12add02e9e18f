import type { Sliced } from "../../src/async/slices.ts";

/** One item of a list as it stands in the file: whole lines, with their indentation. */
export interface WrittenItem {
  readonly text: string;
  /** How many lines stand before it. */
  readonly line: number;
}

/** Comments and empty lines, then `services:` and nothing beside it. */
const HEAD = /^(?:---[ \t]*\r?\n)?(?:[ \t]*(?:#[^\n]*)?\r?\n)*services:[ \t]*(?:#[^\n]*)?\r?\n/;
/** Where an anchor or an alias may stand; in a quoted text it is taken for one, too. */
const ANCHOR = /(?:^|[\s[{,])[&*][^\s,[\]{}]/;
const LINES_IN_SLICE = 1000;

/**
 * Cut a file whose one key is `services`, with a block list that uses no anchors, into its items, without parsing it. In valid YAML a line
 * of such a list that begins with its indentation and `- ` begins an item: whatever goes on over several lines is indented further.
 *
 * @returns `undefined` where the file is written in another way and must be parsed as a whole
 */
export function* splitItems(text: string): Sliced<readonly WrittenItem[] | undefined> {
  const head = HEAD.exec(text)?.[0];
  if (head === undefined) return undefined;
  const items: WrittenItem[] = [];
  let indentation: number | undefined;
  let from = head.length;
  let fromLine = head.split("\n").length - 1;
  const end = (at: number) => {
    const item = { text: text.slice(from, at), line: fromLine };
    items.push(item);
    return !ANCHOR.test(item.text);
  };
  let line = fromLine;
  for (let at = head.length; at < text.length; line++) {
    if (line % LINES_IN_SLICE === 0) yield;
    const next = text.indexOf("\n", at) + 1 || text.length;
    const begins = lineOf(text, at, next);
    const isFirst = indentation === undefined;
    if (begins !== undefined && (isFirst || begins.indentation <= (indentation ?? 0))) {
      if (!begins.isItem || (!isFirst && begins.indentation !== indentation)) return undefined;
      if (!isFirst && !end(at)) return undefined;
      indentation = begins.indentation;
      from = at;
      fromLine = line;
    }
    at = next;
  }
  return indentation !== undefined && end(text.length) ? items : undefined;
}

/** How a line begins; `undefined` for an empty one and a comment. */
function lineOf(text: string, from: number, next: number): { indentation: number; isItem: boolean } | undefined {
  let at = from;
  while (at < next && text[at] === " ") at++;
  const first = text[at];
  if (at >= next || first === "\n" || first === "\r" || first === "#") return undefined;
  const isItem = first === "-" && [" ", "\n", "\r", undefined].includes(text[at + 1]);
  return { indentation: at - from, isItem };
}
