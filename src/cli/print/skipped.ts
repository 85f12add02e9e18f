import { isServiceName } from "../../istio/limits.ts";
import type { SkipKind, SkippedName } from "../../model/adapter.ts";
import type { Reading } from "../../plan/catalog/catalog.ts";
import { plainText } from "../../text.ts";
import { table } from "./text.ts";

const WHY: Readonly<Record<SkipKind, string>> = {
  filter: "the registry's own options leave it out (services.include, services.exclude, namespaces and the like)",
  infrastructure: "it is the registry's own, or a proxy: a sidecar or gateway of another mesh",
  kubernetes: "all its instances come from Kubernetes, where they have a Service of their own",
};
const MOST_CHARACTERS = 100;

/** A service that a registry lists and that is not for the mesh. */
export interface SkippedService extends SkippedName {
  readonly registry: string;
}

/** All that could be named, by registry. */
export function skippedServices(readings: ReadonlyMap<string, Reading>): readonly SkippedService[] {
  return [...readings].flatMap(([registry, reading]) =>
    reading.state === "read" ? (reading.snapshot.skippedNames ?? []).map((one) => ({ ...one, registry })) : [],
  );
}

/** Those that `text` may mean: as `<registry>/<namespace>/<name>`, without the registry, or as the name alone. */
export function skippedBy(text: string, readings: ReadonlyMap<string, Reading>): readonly SkippedService[] {
  const wanted = text.toLowerCase();
  return skippedServices(readings).filter(({ registry, namespace, name }) =>
    [name, `${namespace}/${name}`, `${registry}/${namespace}/${name}`].some((form) => form.toLowerCase() === wanted),
  );
}

/** Why it is not for the mesh; one sentence without a full stop. */
export function whySkipped({ name, why }: SkippedName): string {
  if (isServiceName(name)) return WHY[why];
  return name.length > 253
    ? `its name has ${name.length} characters, 253 are allowed`
    : "its name has characters that no name can have: control characters, or space at an end";
}

/** A line for each, for people. */
export function skippedLines(readings: ReadonlyMap<string, Reading>): readonly string[] {
  return table(
    skippedServices(readings).map((one) => [
      `skipped ${one.registry}/${one.namespace}/${plainText(one.name, MOST_CHARACTERS)}`,
      whySkipped(one),
    ]),
  );
}
