import { hasSecretField } from "../secrets.ts";
import type { Config, RegistryConfig } from "./config.ts";
import { foreignTemplates } from "./template-zones.ts";

/** Something that is allowed and hardly ever wanted. */
export interface Warning {
  readonly registry: string;
  /** Reads on from the registry: `its token …`. */
  readonly message: string;
}

/** What in a valid configuration its author should know. */
export function warningsOf(config: Pick<Config, "registries" | "dns">): readonly Warning[] {
  return [...config.registries.flatMap(clearSecrets), ...foreignTemplates(config)];
}

/** A token that goes over plain HTTP can be read, and used, by whoever is on the way. */
function clearSecrets({ name, options }: Pick<RegistryConfig, "name" | "options">): readonly Warning[] {
  if (!hasSecretField(options)) return [];
  return [...new Set(textsIn(options).filter(isClear))].map((address) => ({
    registry: name,
    message: `its token or password goes to ${address} unencrypted, so that everyone on the way can read it: use https://`,
  }));
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
