import { isServiceName } from "../../src/istio/limits.ts";
import { lowerCase } from "../../src/istio/lower-case.ts";
import { MOST_SKIPPED, namelessService, ownService, unwantedService } from "../shapes/skipped.ts";
import type { Listed, Spellings } from "./catalog-state.ts";
import { spellingOf } from "./spelling.ts";
import { inDatacenter, type ListAnswer, SERVICES, understood } from "./tables.ts";

/** A list of services, as far as it is for the mesh. */
export interface Listing extends Listed {
  readonly spellings: Spellings;
  /** Services that were listed before or stand, and are not on the list: their own answers tell whether they are gone. */
  readonly missing: ReadonlySet<string>;
  /** Whether a service that was listed before is on this list only because the token may not see it any more. */
  isOutOfSight(name: string): boolean;
}

/** How a list is read. */
export interface ListingOptions {
  readonly dc: string | undefined;
  /** Of its services in the mesh. */
  readonly namespace: string;
  /** What the token may see. */
  readonly scope: "all" | "token";
  /** Told of names in lower case. */
  readonly isWanted: (name: string) => boolean;
  /** Services of the list before. */
  readonly before: { readonly names: ReadonlySet<string>; readonly spellings: Spellings };
}

/** What of a list is for the mesh. @throws {ReadError} When it cannot be understood. */
export function listingOf(answer: ListAnswer, { dc, namespace, scope, isWanted, before }: ListingOptions): Listing {
  const all = understood(SERVICES.path, dc, () => answer.result());
  const others = all.filter((name) => lowerCase(name) !== "consul");
  const nameless = others.filter((name) => !isServiceName(name));
  const ours = others.filter((name) => isServiceName(name) && isWanted(lowerCase(name)));
  const wanted = new Map([...Map.groupBy(ours, lowerCase)].map(([name, ways]) => [name, spellingOf(ways)]));
  const why = whyPartial(answer, all.includes("consul"));
  // Where names may be missing, a service's own answer tells whether it is gone or out of the token's sight. Without a token
  // Consul never says that it holds something back.
  const isKnown = (name: string) => why !== undefined && !wanted.has(name);
  const kept = [...before.names].filter(isKnown).map((name) => [name, before.spellings.get(name) ?? name] as const);
  const names = new Map([...wanted, ...kept]);
  return {
    names: new Set(names.keys()),
    spellings: new Map([...names].filter(([name, spelled]) => name !== spelled)),
    isOutOfSight: (name) => !answer.filtered && isKnown(name),
    skipped: {
      filter: others.length - ours.length - nameless.length,
      infrastructure: all.length - others.length,
      name: nameless.length,
    },
    skippedServices: [
      ...nameless.map((name) => namelessService(namespace, name)),
      ...others.flatMap((name) =>
        isServiceName(name) && !isWanted(lowerCase(name)) ? [unwantedService(namespace, name)] : [],
      ),
      ...all.flatMap((name) => (lowerCase(name) === "consul" ? [ownService(namespace, name)] : [])),
    ].slice(0, MOST_SKIPPED),
    missing: new Set(kept.map(([name]) => name)),
    incomplete: why === undefined || scope === "token" ? undefined : `GET ${SERVICES.path}${inDatacenter(dc)}: ${why}`,
  };
}

function whyPartial({ filtered }: ListAnswer, hasConsul: boolean): string | undefined {
  if (filtered) return "the token may not read all services";
  return hasConsul ? undefined : "the list does not name consul itself, so the token may not read all services";
}
