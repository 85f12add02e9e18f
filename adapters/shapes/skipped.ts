import type { SkippedService } from "../../src/model/adapter.ts";
import { shorten } from "../text.ts";

/** Services that are told to be passed over, of one registry. */
export const MOST_SKIPPED = 1000;

/** A service whose name nothing in the mesh can have. */
export function namelessService(namespace: string, name: string): SkippedService {
  const why = `a service's name must be printable and have at most 253 characters, this one has ${name.length}`;
  return { name: shorten(`${namespace}/${name}`, 400), kind: "name", why };
}

/** A service that the operator's filter leaves out. */
export function unwantedService(namespace: string, name: string): SkippedService {
  return { name: `${namespace}/${name}`, kind: "filter", why: "the registry's option services leaves it out" };
}

/** A service of the registry's own. */
export function ownService(namespace: string, name: string): SkippedService {
  return { name: `${namespace}/${name}`, kind: "infrastructure", why: "it is the registry's own" };
}
