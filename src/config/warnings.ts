import { vipRangeDoubt } from "../istio/ranges.ts";
import { hasSecretField } from "../secrets.ts";
import type { Config, RegistryConfig } from "./config.ts";
import type { Path } from "./document.ts";
import { foreignTemplates } from "./template-zones.ts";

/** Something that is allowed and hardly ever wanted. */
export interface Warning {
  /** Whose it is; without it the message reads on from the path. */
  readonly registry?: string;
  readonly path: Path;
  /** Reads on from the registry, `its token …`, or from the path: `240.0.0.0/16 overlaps …`. */
  readonly message: string;
}

/** What in a valid configuration its author should know. */
export function warningsOf(config: Pick<Config, "registries" | "dns" | "vips">): readonly Warning[] {
  return [...config.registries.flatMap(clearSecrets), ...foreignTemplates(config), ...doubtfulRanges(config)];
}

/** A token that goes over plain HTTP can be read, and used, by whoever is on the way. */
function clearSecrets({ name, options }: Pick<RegistryConfig, "name" | "options">, at: number): readonly Warning[] {
  if (!hasSecretField(options)) return [];
  return [...new Set(textsIn(options).filter(isClear))].map((address) => ({
    registry: name,
    path: ["registries", at],
    message: `its token or password goes to ${address} unencrypted, so that everyone on the way can read it: use https://`,
  }));
}

/** Ranges of VIPs in which addresses mostly are somebody's. */
function doubtfulRanges({ vips, registries }: Pick<Config, "registries" | "vips">): readonly Warning[] {
  const all = [
    { path: ["vips", "ranges"], ranges: vips.mode === "ledger" ? vips.ranges : [] },
    ...registries.map(({ ranges = [] }, at) => ({ path: ["registries", at, "ranges"], ranges })),
  ];
  return all.flatMap(({ path, ranges }) =>
    ranges.flatMap((range, index) => {
      const doubt = vipRangeDoubt(range);
      return doubt === undefined ? [] : [{ path: [...path, index], message: `${range} ${doubt}` }];
    }),
  );
}

function isClear(text: string): boolean {
  if (!/^http:\/\//i.test(text) || !URL.canParse(text)) return false;
  const { hostname } = new URL(text);
  return !(/^(?:.*\.)?localhost\.?$/.test(hostname) || /^127\.\d+\.\d+\.\d+$/.test(hostname) || hostname === "[::1]");
}

function textsIn(value: unknown, depth = 0): readonly string[] {
  if (typeof value === "string") return [value];
  if (typeof value !== "object" || value === null || depth > 32) return [];
  return Object.values(value).flatMap((inner) => textsIn(inner, depth + 1));
}
