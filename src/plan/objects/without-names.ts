import { type Manifest, NAMES_ANNOTATION } from "../../model/objects.ts";
import { readWrittenNames, writeNames } from "../names/names-annotation.ts";
import { isCompanion } from "../standing.ts";

/** Annotations of an entry that give these names no more. */
export function annotationsWithout(
  annotations: Readonly<Record<string, string>>,
  names: ReadonlySet<string>,
): Readonly<Record<string, string>> {
  const before = readWrittenNames(annotations[NAMES_ANNOTATION]);
  const left = before.filter(({ name }) => !names.has(name));
  if (left.length === before.length) return annotations;
  const { [NAMES_ANNOTATION]: _, ...others } = annotations;
  return left.length === 0 ? others : { ...others, [NAMES_ANNOTATION]: writeNames(left) };
}

/** What routes some names, or listens to them, without others; `undefined` where it is needed for none any more. */
export function withoutNames(manifest: Manifest, names: ReadonlySet<string>): Manifest | undefined {
  const isEntry = manifest.kind === "ServiceEntry" && isCompanion(manifest.metadata);
  if (names.size === 0 || !(manifest.kind === "VirtualService" || isEntry)) return manifest;
  const hosts = manifest.spec.hosts.filter((name) => !names.has(name));
  if (hosts.length === manifest.spec.hosts.length) return manifest;
  // A VirtualService has its service's own host first.
  if (hosts.length <= (isEntry ? 0 : 1)) return undefined;
  return { ...manifest, spec: { ...manifest.spec, hosts } } as Manifest;
}
