/**
 * Domains that are not looked up in DNS (IANA's special-use domain names, RFC 6761): callers never ask for them, or whoever answered would take
 * over what is meant to stay on a machine. `test`, `home.arpa` and domains below `local` that are a company's own are looked up like any other.
 */
export const SPECIAL_DOMAINS: ReadonlySet<string> = new Set(["localhost", "invalid", "onion", "alt"]);

/** Names by which programs look for whoever may configure them, in whatever domain they are: proxies, and tunnels. */
const CONFIGURING_LABELS: ReadonlySet<string> = new Set(["wpad", "isatap"]);

/** Why a DNS name, in lower case, is not given out whoever wants it; reads on from the name. `undefined` if it may be. */
export function specialNameFault(name: string): string | undefined {
  const labels = name.replace(/^\*\./, "").split(".");
  const [first = ""] = labels;
  const last = labels.at(-1) ?? "";
  if (SPECIAL_DOMAINS.has(last)) return `is in ${last}, a domain that is never looked up in DNS (RFC 6761)`;
  // nss-mdns and systemd-resolved ask the link for names of two labels; `orders.corp.local` is looked up in DNS.
  if (last === "local" && labels.length <= 2)
    return "is in local, a domain that is looked up on the link only (RFC 6762)";
  if (last === "arpa" && labels.at(-2) !== "home") return "is in arpa, a domain for addresses and numbers (RFC 3172)";
  if (CONFIGURING_LABELS.has(first))
    return `begins with ${first}, by which programs look for who configures ${first === "wpad" ? "their proxies" : "their tunnels"}`;
  return undefined;
}
