import type { Delete } from "../model/plan.ts";
import type { Settings } from "../model/settings.ts";
import type { Standing } from "../model/standing.ts";

/** The registries of a configuration, by name. */
export interface ConfiguredRegistries {
  readonly names: readonly string[];
  /** Those that are merged into the first of them. */
  readonly merge: readonly string[];
}

export function configuredRegistries({
  registries,
  merge,
}: Pick<Settings, "registries" | "merge">): ConfiguredRegistries {
  return { names: registries.map(({ name }) => name), merge };
}

/** Whether a registry has left the configuration. The members of a merge group but the first make no objects: what stands under their name is from before. */
export function hasLeft(registry: string, { names, merge }: ConfiguredRegistries): boolean {
  return !names.includes(registry) || merge.indexOf(registry) >= 1;
}

/**
 * What is deleted when a registry that has left the configuration is pruned, sorted by key.
 *
 * @throws When it has not left.
 */
export function orphansOf(
  { objects }: Pick<Standing, "objects">,
  registry: string,
  configured: ConfiguredRegistries,
): readonly Delete[] {
  if (!hasLeft(registry, configured))
    throw new Error(
      `Cannot prune "${registry}" as it must have left the configuration: its services go when it no longer lists them`,
    );
  return [...objects.values()]
    .filter((object) => object.registry === registry && object.service !== undefined && object.yielded === undefined)
    .map((standing): Delete => ({ kind: "delete", standing, why: "its registry was pruned" }))
    .sort((a, b) => (a.standing.key < b.standing.key ? -1 : 1));
}
