import { z } from "zod";

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds of a text such as `500ms`, `5s`, `1m` or `1h`; `undefined` when it is none. */
export function parseDuration(text: string): number | undefined {
  const [, digits = "", unit = ""] = /^(\d{1,9})(ms|s|m|h)$/.exec(text) ?? [];
  const unitMs = UNITS_MS[unit];
  return unitMs === undefined ? undefined : Number(digits) * unitMs;
}

/** A duration from `least` to `most` (texts such as `100ms` and `1h`); its value is in milliseconds. */
export function duration(least: string, most: string) {
  const must = `must be a duration from ${least} to ${most}`;
  const [leastMs = 0, mostMs = 0] = [parseDuration(least), parseDuration(most)];
  return z
    .string({ error: must })
    .refine((text) => {
      const ms = parseDuration(text);
      return ms !== undefined && ms >= leastMs && ms <= mostMs;
    }, must)
    .transform((text) => parseDuration(text) ?? 0);
}

/** Which names an operator wants, as globs: all by default. */
export const nameGlobs = z
  .strictObject({
    include: z.array(z.string().min(1)).default(["*"]),
    exclude: z.array(z.string().min(1)).default([]),
  })
  .default({ include: ["*"], exclude: [] });

/** Whether a text is an HTTP or HTTPS URL of a server, without user, query or fragment. */
export function isServerUrl(value: string): boolean {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol)) return false;
  return [url.username, url.password, url.search, url.hash].every((part) => part === "");
}

/** No value stands twice. */
export function isDistinct(values: readonly string[]): boolean {
  return new Set(values).size === values.length;
}
