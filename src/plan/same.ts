/** Structural equality of JSON-like values. Keys whose value is `undefined` count as absent. */
export function sameValue(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a))
    return Array.isArray(b) && a.length === b.length && a.every((item, at) => sameValue(item, b[at]));
  if (Array.isArray(b)) return false;
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  return includes(right, left) && includes(left, right);
}

function includes(whole: Record<string, unknown>, part: Record<string, unknown>): boolean {
  for (const key of Object.keys(part)) {
    if (part[key] !== undefined && !sameValue(whole[key], part[key])) return false;
  }
  return true;
}

/**
 * Whether `live` has every field of `wanted` with the same value; further fields of `live` (a server's defaults, other
 * people's labels) do not count. Arrays must have the same length.
 */
export function hasFields(live: unknown, wanted: unknown): boolean {
  if (wanted === undefined || live === wanted) return true;
  if (typeof live !== "object" || typeof wanted !== "object" || live === null || wanted === null) return false;
  if (Array.isArray(wanted)) {
    return (
      Array.isArray(live) && live.length === wanted.length && wanted.every((item, at) => hasFields(live[at], item))
    );
  }
  const fields = wanted as Record<string, unknown>;
  return Object.keys(fields).every((key) => hasFields((live as Record<string, unknown>)[key], fields[key]));
}
