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
