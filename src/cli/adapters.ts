import type { Config } from "../config.ts";
import { ConfigError } from "../errors.ts";
import type { Adapter } from "../model/adapter.ts";
import { withoutLoops } from "../plan/loops.ts";
import type { CliContext } from "./context.ts";

/**
 * The adapters of all configured registries, in configuration order.
 *
 * @throws {ConfigError} Naming everything that is wrong with any of them; none is left open then.
 */
export async function createAdapters(
  config: Config,
  context: Pick<CliContext, "createAdapter" | "log">,
  registries: Config["registries"] = config.registries,
): Promise<readonly Adapter[]> {
  const made = await Promise.allSettled(registries.map(async (registry) => context.createAdapter(registry, config)));
  const failed = made.flatMap((one) => (one.status === "rejected" ? [one.reason as unknown] : []));
  const adapters = made.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  if (failed.length === 0) return adapters.map((adapter) => withoutVips(adapter, config.vips.ranges));
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

/** No registry may lead the mesh back into itself. */
function withoutVips(adapter: Adapter, ranges: readonly string[]): Adapter {
  const clean = withoutLoops(ranges);
  return { ...adapter, read: async (signal, options) => clean(await adapter.read(signal, options)) };
}

/** Let go of all that adapters hold. One that cannot is logged, and keeps no other from it. */
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
