import { shorten } from "../../text.ts";
import { type DubboUrl, dubboKey, param } from "./url.ts";

/** What operators have written beside the providers of an interface, in the order in which it counts. */
export type Configurators = readonly DubboUrl[];

const ANY_HOST = "0.0.0.0";
const ANY = "*";

/** What is not said of the providers but of who calls them, or where. */
const CONDITIONS = ["application", "applications", "providerAddresses", "services"];

/**
 * The rules of an interface that count for every caller.
 *
 * Dubbo's consumers apply those for any host first, then those for one, and in each by `priority` (Configurator.compareTo). What is
 * only for consumers of one address or application is no property of a provider.
 */
export function configuratorsOf(urls: readonly DubboUrl[], notes: Set<string>): Configurators {
  const rules = urls.filter((url) => {
    if (url.protocol !== "override" && url.protocol !== "absent") return false;
    if (param(url, "enabled") === "false") return false;
    const why = whyUnused(url);
    if (why !== undefined) notes.add(`a configurator for ${shorten(url.host)} is not used: ${why}`);
    return why === undefined;
  });
  const priority = (url: DubboUrl) => Number(param(url, "priority") ?? 0) || 0;
  const text = (url: DubboUrl) => JSON.stringify(url);
  return rules.toSorted(
    (a, b) =>
      Number(a.host !== ANY_HOST) - Number(b.host !== ANY_HOST) ||
      (a.host < b.host ? -1 : Number(a.host > b.host)) ||
      priority(a) - priority(b) ||
      (text(a) < text(b) ? -1 : 1),
  );
}

function whyUnused(url: DubboUrl): string | undefined {
  const { host, port, params } = url;
  if (host !== ANY_HOST && port === 0) return "it is for callers at that address";
  const conditions = [...CONDITIONS.filter((key) => (param(url, key) ?? ANY) !== ANY)];
  if (conditions.length > 0) return `it has the condition ${conditions[0]}`;
  if (Object.keys(params).some((key) => key.startsWith("~"))) return "it has a condition";
  const side = param(url, "side");
  return side === "provider" ? "it is for the providers themselves" : undefined;
}

/** A provider's parameters as its callers see them. */
export function configured(provider: DubboUrl, interfaceName: string, configurators: Configurators): DubboUrl {
  const key = dubboKey(interfaceName, provider);
  let params = provider.params;
  for (const rule of configurators) {
    if (dubboKey(interfaceName, rule) !== key) continue;
    if (rule.port !== 0 && (rule.port !== provider.port || (rule.host !== ANY_HOST && rule.host !== provider.host)))
      continue;
    params = rule.protocol === "override" ? { ...params, ...settingsOf(rule) } : { ...settingsOf(rule), ...params };
  }
  return { ...provider, params };
}

/** Of a provider only these two say whether and how much it is called. */
function settingsOf(rule: DubboUrl): Readonly<Record<string, string>> {
  return Object.fromEntries(
    ["disabled", "weight"].flatMap((key) => {
      const value = param(rule, key);
      return value === undefined ? [] : [[key, value]];
    }),
  );
}
