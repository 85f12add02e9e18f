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
