/** Text of a registry as it may be shown: on one line, not too long, and without control characters. */
export function shorten(value: string): string {
  const line = value.replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, "?");
  return line.length <= 120 ? line : `${line.slice(0, 119)}…`;
}
