/** Names further away than this are other names. */
const MOST_EDITS = 3;
/** Names that are compared letter by letter; all others are only measured. */
const MOST_COMPARED = 20_000;

/**
 * Those of `names` that `wanted` was probably meant to be: at most `most`, the nearest first, none that differs in more than 3
 * letters or in a quarter of them (of `letters`, where not all of a name may be mistaken). Bounded: of very many names of the same length not all are compared.
 */
export function nearestNames(
  wanted: string,
  names: Iterable<string>,
  { most = 3, letters = wanted.length }: { readonly most?: number; readonly letters?: number } = {},
): readonly string[] {
  const limit = Math.min(MOST_EDITS, Math.max(1, Math.floor(letters / 4)));
  const found: { readonly name: string; readonly edits: number }[] = [];
  let compared = 0;
  for (const name of names) {
    if (Math.abs(name.length - wanted.length) > limit) continue;
    if (++compared > MOST_COMPARED) break;
    const edits = editsBetween(wanted, name, limit);
    if (edits <= limit) found.push({ name, edits });
  }
  return found
    .sort((a, b) => a.edits - b.edits || (a.name < b.name ? -1 : 1))
    .slice(0, most)
    .map(({ name }) => name);
}

/** Letters to put in, take out or exchange to make one text of the other; anything above `limit` where there are more. */
export function editsBetween(a: string, b: string, limit: number): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    let least = i;
    for (let j = 1; j <= b.length; j++) {
      const isSame = a.charCodeAt(i - 1) === b.charCodeAt(j - 1);
      const edits = Math.min((row[j - 1] ?? 0) + (isSame ? 0 : 1), (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1);
      next.push(edits);
      if (edits < least) least = edits;
    }
    if (least > limit) return limit + 1;
    row = next;
  }
  return row[b.length] ?? 0;
}
