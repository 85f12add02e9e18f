import { setTimeout as delay } from "node:timers/promises";
import { ConfigError } from "../../src/errors.ts";
import type { Adapter } from "../../src/model/adapter.ts";
import type { AdapterContext } from "../context.ts";
import { parseTurn } from "../parse.ts";
import { jsonReader } from "../read-json.ts";
import { createFrom } from "./create.ts";
import { guarded } from "./guard.ts";
import { loadModule } from "./load.ts";
import type { ModuleOptions } from "./options.ts";

/**
 * A registry that a module of a third party reads. It runs in this process with all its rights; what it says is checked.
 *
 * @throws {ConfigError} When the module cannot be loaded, or refuses its options.
 */
export async function moduleAdapter(
  options: ModuleOptions,
  { registry, dir, log, metrics }: AdapterContext,
): Promise<Adapter> {
  const { path, timeout, ownNames } = options;
  const ended = new AbortController();
  const tooLong = async (): Promise<never> => {
    await delay(timeout, undefined, { signal: ended.signal });
    throw new ConfigError(`path: ${path} must load and create its adapter within ${timeout} ms`);
  };
  const readJson = jsonReader(metrics.once(parseTurn));
  const made = async () => createFrom(await loadModule(path, dir), options.options, { registry, dir, log, readJson });
  try {
    const adapter = await Promise.race([made(), tooLong()]);
    return guarded(adapter, { registry, legacyNames: ownNames, readTimeoutMs: timeout, log });
  } finally {
    ended.abort();
  }
}
