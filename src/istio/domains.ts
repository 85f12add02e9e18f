/** Whether a name is one of the domains, or below one; `""` has all names below it. All in lower case, without a trailing dot. */
export function isInDomains(domains: ReadonlySet<string>, name: string): boolean {
  if (domains.has("")) return true;
  for (let at = 0; at >= 0; at = name.indexOf(".", at) + 1 || -1) if (domains.has(name.slice(at))) return true;
  return false;
}
