import type { Config, ZoneConfig } from "./config.ts";
import type { Path } from "./document.ts";
import { literalSuffix } from "./fields.ts";

/**
 * Templates of legacy names that end in a zone that is not ours: whoever may register a service takes any name there from who has it. Names
 * that Consul's own DNS gives to the same services (`{service}.service.consul`) are taken from nobody.
 */
export function foreignTemplates({ registries, dns }: Pick<Config, "registries" | "dns">): readonly {
  readonly registry: string;
  /** Where the template stands in the configuration. */
  readonly path: Path;
  /** Reads on from the registry: `its legacy names … end in …`. */
  readonly message: string;
}[] {
  return registries.flatMap(({ name, legacyNames }, at) =>
    legacyNames.flatMap((template, index) => {
      const where = foreignEnd(template, dns.zones);
      if (where === undefined) return [];
      const message = `its legacy names ${JSON.stringify(template)} ${where}: whoever may register a service there takes any name in it`;
      return [{ registry: name, path: ["registries", at, "legacyNames", index], message }];
    }),
  );
}

/** Where a template ends if not in a zone of ours; reads on from the template. */
function foreignEnd(template: string, zones: readonly ZoneConfig[]): string | undefined {
  if (CONSULS_OWN.test(template)) return undefined;
  const suffix = literalSuffix(template)?.toLowerCase();
  if (suffix === undefined) return "end in what a registry chooses, which may be any domain";
  const [zone] = zones
    .filter((one) => `.${suffix}`.endsWith(`.${one.name}`))
    .sort((a, b) => b.name.length - a.name.length);
  if (zone === undefined) return `end in ${suffix}, which is in none of dns.zones`;
  return zone.forward.length === 0 ? undefined : `end in ${suffix}, which is in ${zone.name}, a zone of others`;
}

/** With or without a datacenter behind. */
const CONSULS_OWN = /^\{service\}\.service\./;
