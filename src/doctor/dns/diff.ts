const CONTEXT = 3;

/**
 * A unified diff of two texts of which one has further lines at its end, or other lines in the same places: what we change in a
 * Corefile. Empty where they are equal.
 */
export function diffOf(title: string, before: string, after: string): string {
  const [old, now] = [linesOf(before), linesOf(after)];
  const changed = Array.from({ length: Math.max(old.length, now.length) }, (_, at) => at).filter(
    (at) => old[at] !== now[at],
  );
  const [first] = changed;
  const last = changed.at(-1);
  if (first === undefined || last === undefined) return "";
  const from = Math.max(0, first - CONTEXT);
  const to = last + 1 + CONTEXT;
  const isChanged = new Set(changed);
  const body = Array.from({ length: Math.min(to, Math.max(old.length, now.length)) - from }, (_, n) => {
    const at = from + n;
    if (!isChanged.has(at)) return [` ${old[at] ?? ""}`];
    return [...(at < old.length ? [`-${old[at]}`] : []), ...(at < now.length ? [`+${now[at]}`] : [])];
  }).flat();
  const count = (lines: readonly string[]) => Math.max(0, Math.min(to, lines.length) - from);
  const head = `@@ -${from + 1},${count(old)} +${from + 1},${count(now)} @@`;
  return [`--- ${title}`, `+++ ${title}`, head, ...body].join("\n");
}

function linesOf(text: string): readonly string[] {
  return text === "" ? [] : text.replace(/\n$/, "").split("\n");
}
