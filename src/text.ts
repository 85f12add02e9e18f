/**
 * What a terminal obeys or nobody sees: control characters (C0, DEL, C1), bidirectional overrides, zero-width and other format
 * characters, separators of lines and paragraphs, lone surrogates, and what Unicode has no character for.
 */
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;
const UNSEEN_RUNS = new RegExp(`${UNSEEN.source}+`, "gu");
const UNSEEN_BUT_LINES = new RegExp(`(?![\\n\\t])${UNSEEN.source}`, "gu");
/** Letters carry one or two marks; with dozens they cover the lines above. */
const MARKS = /(\p{M}{4})\p{M}+/gu;

/**
 * A text that a stranger wrote (a registry, its tenants, the cluster's, a server's error) as it is kept and shown: on one line,
 * nothing unseen in it, at most `most` UTF-16 units. `instead` stands for what was taken out.
 */
export function plainText(text: string, most: number, instead = " "): string {
  // What is cut off need not be looked at.
  const line = text
    .slice(0, 4 * most)
    .replace(UNSEEN_RUNS, instead)
    .replace(MARKS, "$1");
  const isCut = line.length > most || text.length > 4 * most;
  if (!isCut) return line;
  const kept = line.slice(0, most - 1);
  return `${kept.isWellFormed() ? kept : kept.slice(0, -1)}…`;
}

/** Whether every character of a text can be seen. */
export function isSeen(text: string): boolean {
  return !UNSEEN.test(text);
}

/**
 * A text as it leaves for a terminal, a log or an API: what is unseen stands as `\u202e`, which is also how JSON writes it, so that
 * JSON stays the same value. Line ends and tabs are kept.
 */
export function escapedText(text: string): string {
  return text.replace(UNSEEN_BUT_LINES, (unseen) => {
    const units = Array.from({ length: unseen.length }, (_, at) => unseen.charCodeAt(at));
    return units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
  });
}
