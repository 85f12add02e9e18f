import type { SkippedService } from "../../model/adapter.ts";
import type { Reading } from "../../plan/catalog/catalog.ts";
import { plainText } from "../../text.ts";
import { table } from "./text.ts";

/** As adapters cut the names of what they skip. */
const MOST_CHARACTERS = 400;
const MOST_SHOWN = 100;

/** A service that a registry lists and that is not for the mesh. */
export interface SkippedOf extends SkippedService {
  readonly registry: string;
}

/** All that are named, by registry, each once: several datacenters may skip the same. */
function skippedServices(readings: ReadonlyMap<string, Reading>): readonly SkippedOf[] {
  return [...readings].flatMap(([registry, reading]) => {
    const all = reading.state === "read" ? (reading.snapshot.skippedServices ?? []) : [];
    return [...new Map(all.map((one) => [one.name, { ...one, registry }])).values()];
  });
}

/** Those that `text` may mean: as `<registry>/<namespace>/<name>`, without the registry, or as the name alone. */
export function skippedBy(text: string, readings: ReadonlyMap<string, Reading>): readonly SkippedOf[] {
  const wanted = plainText(text.toLowerCase(), MOST_CHARACTERS, "?");
  return skippedServices(readings).filter(({ registry, name }) => {
    const own = name.toLowerCase();
    return [own.slice(own.indexOf("/") + 1), own, `${registry}/${own}`].includes(wanted);
  });
}

/** A line for each, for people. */
export function skippedLines(readings: ReadonlyMap<string, Reading>): readonly string[] {
  return table(
    skippedServices(readings).map(({ registry, name, why }) => [
      `skipped ${registry}/${plainText(name, MOST_SHOWN)}`,
      why,
    ]),
  );
}
