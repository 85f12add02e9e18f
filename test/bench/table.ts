/** The middle of `values`, the mean of the two middle ones of an even number; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length / 2;
  const [low = Number.NaN, high = Number.NaN] = [sorted[Math.ceil(half) - 1], sorted[Math.floor(half)]];
  return (low + high) / 2;
}

/** One figure over all rounds. */
export interface Row {
  readonly what: string;
  readonly values: readonly number[];
  /** Default 0. */
  readonly digits?: number;
}

/** Median, least and greatest of each row, in columns. */
export function table(rows: readonly Row[]): string {
  const cells = rows.map(({ what, values, digits = 0 }) => [
    what,
    ...[median(values), Math.min(...values), Math.max(...values)].map((value) => value.toFixed(digits)),
  ]);
  const lines = [["", "median", "min", "max"], ...cells];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const padded = lines.map((line) =>
    line.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))),
  );
  return padded.map((line) => `${line.join("  ").trimEnd()}\n`).join("");
}

/** Median, 99th percentile and greatest of many values in one line. */
export function figuresLine(what: string, values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  const p99 = sorted[Math.max(0, Math.ceil(sorted.length * 0.99) - 1)] ?? Number.NaN;
  const [middle, high, most] = [median(values), p99, sorted.at(-1) ?? Number.NaN].map((ms) =>
    ms.toFixed(1).padStart(7),
  );
  return `${what.padEnd(44)} p50 ${middle}  p99 ${high}  max ${most}  (${values.length})\n`;
}
