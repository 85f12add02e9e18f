/** An object of which nothing is certain: anyone may have written it. */
export type Fields = Readonly<Record<string, unknown>>;

/** The fields of `value`, none if it is no object. */
export function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

/** The elements of `value`, none if it is no array. */
export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The strings of an array, without empty ones. */
export function stringsOf(value: unknown): string[] {
  return listOf(value).filter((item): item is string => typeof item === "string" && item !== "");
}

/** The string entries of an object. */
export function stringMapOf(value: unknown): Readonly<Record<string, string>> {
  const fields = fieldsOf(value);
  const entries = Object.entries(fields);
  if (entries.every(([, item]) => typeof item === "string")) return fields as Record<string, string>;
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === "string"));
}

/** Milliseconds since the epoch of an RFC 3339 time. */
export function timeOf(value: unknown): number | undefined {
  const ms = typeof value === "string" ? Date.parse(value) : Number.NaN;
  return Number.isNaN(ms) ? undefined : ms;
}
