import { MAX_WEIGHT } from "../../istio/limits.ts";
import type { Endpoint } from "../../model/service.ts";
import type { RegistrySettings } from "../../model/settings.ts";

/** What the weights of one registry's endpoints count among those of others. */
export interface WeightScale {
  /** What an endpoint without a weight counts as in its registry. */
  readonly defaultWeight: number;
  readonly factor: number;
}

/** By registry. */
export type WeightScales = ReadonlyMap<string, WeightScale>;

/**
 * Registries that are merged weigh by their own measures (1 is usual in Consul, 100 in Polaris): of each, the default counts as its share,
 * which is 1 if nobody says otherwise. Empty where their measures are the same.
 */
export function weightScales(group: readonly string[], registries: readonly RegistrySettings[]): WeightScales {
  const members = group.flatMap((registry) => registries.find(({ name }) => name === registry) ?? []);
  const measures = members.map(({ name, defaultWeight = 1, share = 1 }) => ({ name, defaultWeight, share }));
  const common = measures.reduce((all, { defaultWeight }) => (all * defaultWeight) / divisor(all, defaultWeight), 1);
  const factors = measures.map(({ defaultWeight, share }) => (common / defaultWeight) * share);
  const least = factors.reduce(divisor, 0);
  if (factors.every((factor) => factor === least) && measures.every(({ defaultWeight }) => defaultWeight === 1))
    return new Map();
  return new Map(
    measures.map(({ name, defaultWeight }, at) => [name, { defaultWeight, factor: (factors[at] ?? 1) / least }]),
  );
}

function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b);
}

/** Envoy takes no more in sum. */
const MOST_IN_SUM = MAX_WEIGHT;

/** Endpoints of one registry with the weights that they have among those of others, each at least 1. */
export function scaled(endpoints: readonly Endpoint[], scale: WeightScale | undefined): readonly Endpoint[] {
  if (scale === undefined) return endpoints;
  const weights = endpoints.map(({ weight = scale.defaultWeight }) => weight * scale.factor);
  const sum = weights.reduce((all, one) => all + one, 0);
  // Half of it, so that others have as much.
  const shrink = Math.min(1, MOST_IN_SUM / 2 / sum);
  return endpoints.map((endpoint, at) => ({
    ...endpoint,
    weight: Math.max(1, Math.floor((weights[at] ?? 1) * shrink)),
  }));
}
