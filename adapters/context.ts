import type { z } from "zod";
import type { Log } from "../src/log.ts";
import type { Metrics } from "../src/metrics.ts";
import type { Adapter } from "../src/model/adapter.ts";
import type { RegistryTraits } from "../src/model/settings.ts";
import type { Secrets } from "../src/secrets.ts";

/** What an adapter is given besides its own options. */
export interface AdapterContext {
  /** Configured name of the registry. */
  readonly registry: string;
  /** Folder of the configuration file, absolute; relative paths resolve against it. */
  readonly dir: string;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Is told what the adapter reads from files of tokens and passwords; masks what a server says before it is cut. */
  readonly secrets: Secrets;
}

/** One kind of registry: the schema of its own options, and how an adapter is made of them. */
export interface AdapterKind<Options = unknown> {
  /** Strict, and without the keys that every registry has (`kind`, `name`, `poll`, …). */
  readonly options: z.ZodType<Options>;
  readonly traits?: RegistryTraits;
  /**
   * `options` is what the schema gave.
   *
   * @throws {ConfigError} When they turn out to be unusable: each line `path: sentence`, the path within the options.
   */
  create(options: Options, context: AdapterContext): Adapter | Promise<Adapter>;
}
