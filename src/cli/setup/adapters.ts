import type { Config } from "../../config/config.ts";
import { ConfigError } from "../../errors.ts";
import { vipRanges } from "../../istio/ranges.ts";
import type { Adapter, Snapshot } from "../../model/adapter.ts";
import { type AdmitEndpoints, admitEndpoints } from "../../plan/catalog/admit-endpoints.ts";
import { placeInNetworks } from "../../plan/catalog/networks.ts";
import type { CliContext } from "../context.ts";
import { withOptions } from "./denied.ts";

/** What the cluster's Services have, as far as it can be told now; it never fails. */
export type ServiceRanges = () => Promise<readonly string[]>;

/**
 * The adapters of all configured registries, in configuration order.
 *
 * @param serviceRanges where the target knows them
 * @throws {ConfigError} Naming everything that is wrong with any of them; none is left open then.
 */
export async function createAdapters(
  config: Config,
  context: Pick<CliContext, "createAdapter" | "configContext" | "log">,
  serviceRanges?: ServiceRanges,
  registries: Config["registries"] = config.registries,
): Promise<readonly Adapter[]> {
  const made = await Promise.allSettled(registries.map(async (registry) => context.createAdapter(registry, config)));
  const failed = made.flatMap((one) => (one.status === "rejected" ? [one.reason as unknown] : []));
  const adapters = made.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  if (failed.length === 0)
    return adapters.map((adapter, at) => {
      const { registry: name } = adapter;
      const admitted = admitting(adapter, endpointsOf(config, name), networksOf(config, name), serviceRanges);
      const registry = registries[at];
      return registry === undefined ? admitted : namingOptions(admitted, registry, config, context);
    });
  await closeAdapters(adapters, context);
  const bug = failed.find((error) => !(error instanceof ConfigError));
  if (bug !== undefined) throw bug;
  const lines = made.flatMap((one, at) =>
    one.status === "rejected"
      ? (one.reason as ConfigError).message.split("\n").map((line) => `registry "${registries[at]?.name}": ${line}`)
      : [],
  );
  throw new ConfigError([`Cannot use config "${config.file}":`, ...lines].join("\n  "));
}

/** Where the endpoints of a registry may be. */
export function endpointsOf(config: Config, registry: string): AdmitEndpoints {
  const rules = config.registries.find(({ name }) => name === registry)?.endpoints;
  const zones = config.dns.zones.flatMap(({ name, forward }) => (forward.length === 0 ? [name] : []));
  return admitEndpoints({ ...rules, vips: vipRanges(config), zones, clusterDomain: config.target.clusterDomain });
}

/** Where a registry refuses who reads it, its error says which options are meant. */
function namingOptions(
  adapter: Adapter,
  registry: Config["registries"][number],
  config: Config,
  { configContext }: Pick<CliContext, "configContext">,
): Adapter {
  return {
    ...adapter,
    async read(signal, options) {
      try {
        return await adapter.read(signal, options);
      } catch (error) {
        throw await withOptions(error, registry, config, configContext);
      }
    },
  };
}

/** Which network the endpoints of a registry are in. */
function networksOf(config: Config, registry: string): (snapshot: Snapshot) => Snapshot {
  const networks = config.registries.find(({ name }) => name === registry)?.network;
  return networks === undefined ? (snapshot) => snapshot : placeInNetworks(networks);
}

/** No registry may lead the mesh back into itself, or its callers to what is theirs alone. */
function admitting(
  adapter: Adapter,
  admit: AdmitEndpoints,
  place: (snapshot: Snapshot) => Snapshot,
  serviceRanges: ServiceRanges = async () => [],
): Adapter {
  return {
    ...adapter,
    async read(signal, options) {
      const [snapshot, services] = await Promise.all([adapter.read(signal, options), serviceRanges()]);
      return place(admit(snapshot, services));
    },
  };
}

/** Close adapters. One that cannot be closed is logged, and the others are closed all the same. */
export async function closeAdapters(adapters: readonly Adapter[], { log }: Pick<CliContext, "log">): Promise<void> {
  const closed = adapters.map(async (adapter) => {
    try {
      await adapter.close?.();
    } catch (error) {
      log.warn({ registry: adapter.registry, error }, "the registry's adapter could not be closed");
    }
  });
  await Promise.all(closed);
}
