import type { Config } from "../../config/config.ts";
import { literalSuffix } from "../../config/fields.ts";
import type { ClashRules } from "../../istio/clashes.ts";
import { vipRanges } from "../../istio/ranges.ts";

/** What names and VIPs of this configuration can be. */
export function clashRules({ hosts, registries, aliases, dns, vips, target }: Config): ClashRules {
  const templates = registries.flatMap(({ name, legacyNames }) =>
    [hosts.template, ...legacyNames].map((template) => template.replaceAll("{registry}", name)),
  );
  const domains = [
    ...dns.zones.map((zone) => zone.name),
    ...templates.map((template) => literalSuffix(template) ?? ""),
    ...aliases.map((rule) => `${rule.in}.svc.${target.clusterDomain}`),
  ];
  return {
    domains: [...new Set(domains.map((domain) => domain.toLowerCase().replace(/\.$/, "")))],
    ranges: vips.mode === "istio" ? [] : vipRanges({ vips, registries }),
  };
}
