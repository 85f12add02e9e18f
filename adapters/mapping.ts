import { refusedLabel } from "../src/istio/labels.ts";
import { MAX_ENDPOINTS } from "../src/istio/limits.ts";
import type { Endpoint, LeftOut } from "../src/model/service.ts";
import { few, shorten } from "./text.ts";

const MOST_NOTES = 20;

/** Instances of one service that are told to be left out, at most. */
export const MOST_LEFT_OUT = MAX_ENDPOINTS;

const MOST_LABELS = 64;

/** Labels of an instance that Kubernetes and Istio take, with a note of each other one; at most 64, by their keys: every endpoint is written with its own. */
export function usableLabels(given: readonly (readonly [string, string])[], notes: string[]): Record<string, string> {
  const labels = given.filter(([key, value]) => {
    const why = refusedLabel(key, value);
    if (why !== undefined) notes.push(`label ${shorten(key)}: ${shorten(value)} is dropped: ${why}`);
    return why === undefined;
  });
  if (labels.length > MOST_LABELS) notes.push(`of ${labels.length} labels of an instance ${MOST_LABELS} are kept`);
  return Object.fromEntries(labels.toSorted(([a], [b]) => (a < b ? -1 : 1)).slice(0, MOST_LABELS));
}

/** Whose instances these are. */
export interface ServicePlace {
  readonly registry: string;
  readonly namespace: string;
  readonly name: string;
  readonly source: string;
}

/** Why a further instance of an endpoint is none. */
export const DUPLICATE: Omit<LeftOut, "address"> = { kind: "duplicate", reason: "registered more than once" };
/** Why an instance is no endpoint that would be one too many. */
export const PAST_LIMIT: Omit<LeftOut, "address"> = {
  kind: "disabled",
  reason: `past the ${MAX_ENDPOINTS} endpoints that Istio takes`,
};

/** At most twenty notes, and how many there would be more. */
export function fewNotes(notes: readonly string[]): readonly string[] {
  return few(notes, MOST_NOTES, (rest) => `${rest} further notes are left out`);
}

type EndpointParts = { readonly [Field in Exclude<keyof Endpoint, "address">]?: Endpoint[Field] | undefined };

/** An endpoint without the fields that nobody gave. */
export function endpointOf(address: string, parts: EndpointParts): Endpoint {
  const { ports, weight, labels, region, zone, subzone } = parts;
  return {
    address,
    ...(ports === undefined ? {} : { ports }),
    ...(weight === undefined ? {} : { weight }),
    ...(labels === undefined ? {} : { labels }),
    ...(region === undefined ? {} : { region }),
    ...(zone === undefined ? {} : { zone }),
    ...(subzone === undefined ? {} : { subzone }),
  };
}

/** What is done with a service of which no instance is healthy: nothing is called, or all that could be. */
export type AllUnhealthy = "drop" | "keep";

/** An instance of any registry. */
interface Judged {
  readonly out?: LeftOut;
  /** Only its health keeps it out. */
  readonly isUnhealthy?: true;
}

/** The instances, of which those are in that only their health keeps out if no other is and this is wanted; then with a note of it. */
export function judgedTogether<One extends Judged>(
  instances: readonly One[],
  allUnhealthy: AllUnhealthy,
  notes: Set<string>,
): readonly One[] {
  const isKept = allUnhealthy === "keep" && instances.every(({ out }) => out !== undefined);
  if (!isKept || !instances.some(({ isUnhealthy }) => isUnhealthy === true)) return instances;
  notes.add("no instance is healthy, so all are used that are not left out for another reason (allUnhealthy: keep)");
  return instances.map((instance) => {
    if (instance.isUnhealthy !== true) return instance;
    const { out: _, ...rest } = instance;
    return rest as One;
  });
}
