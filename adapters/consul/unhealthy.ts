import { lowerCase } from "../../src/istio/lower-case.ts";
import type { Check } from "./client/reply.ts";

/** Checks of one state by where they are, with the service that they are about; "" where they are about a whole node. */
export type Checks = ReadonlyMap<string, string>;

/** By place, with the names of services in lower case. */
export function checksByPlace(checks: readonly Check[]): Checks {
  return new Map(checks.map(({ node, id, service }) => [JSON.stringify([node, id]), lowerCase(service)]));
}

/** The services of which a check has come into the state or has left it; "" where one of a node has. */
export function movedServices(before: Checks, now: Checks): Set<string> {
  const isOther = (other: Checks) => (place: string, service: string) => other.get(place) !== service;
  const moved = (checks: Checks, test: (place: string, service: string) => boolean) =>
    [...checks].flatMap(([place, service]) => (test(place, service) ? [service] : []));
  return new Set([...moved(now, isOther(before)), ...moved(before, isOther(now))]);
}
