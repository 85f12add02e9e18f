/** A time as annotations have it, in whole seconds: `2026-03-01T11:00:00Z`. */
export function rfc3339(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
