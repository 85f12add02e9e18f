const SPECIAL = /[.+^${}()|[\]\\]/g;

/** `*` is any run of characters, `?` any one; everything else is itself. */
export function globMatches(glob: string, text: string): boolean {
  if (glob === "*" || glob === text) return true;
  if (!/[*?]/.test(glob)) return false;
  return new RegExp(`^${glob.replace(SPECIAL, "\\$&").replaceAll("*", ".*").replaceAll("?", ".")}$`, "s").test(text);
}
