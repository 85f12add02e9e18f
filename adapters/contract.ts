import type { Adapter } from "../src/model/adapter.ts";

/**
 * What the file of a registry of kind `module` exports under the name `adapter`.
 *
 * `options` of the configuration reach `create` as `schema` gives them, or as they were written where there is no schema.
 */
export interface AdapterModule<Options = unknown> {
  /** Checks the options. Zod, Valibot, ArkType and others make such schemas; without one, `create` checks for itself. */
  readonly schema?: StandardSchema<Options>;

  /**
   * Make the adapter of one configured registry. Called once for each, at the start and when a changed configuration is taken over.
   *
   * Reads nothing yet: a registry that is down is for `read` to tell.
   *
   * @throws When the options cannot be used: the configuration is refused with this error's message.
   */
  create(options: Options, context: ModuleContext): Adapter | Promise<Adapter>;
}

/** What a module is given besides its own options. */
export interface ModuleContext {
  /** Configured name of the registry: every service carries it, and the adapter bears it. */
  readonly registry: string;
  /** Folder of the configuration file, absolute; relative paths in options resolve against it. */
  readonly dir: string;
  readonly log: ModuleLog;
  readonly readJson: ReadJson;
}

/**
 * The JSON of an answer of `fetch`, within limits that keep this process alive whatever a registry sends: 64 MiB, inflated, nested 64
 * deep, a million values; what is heavy is parsed by another thread. `answer.json()` has no limit.
 *
 * @throws A ReadError when it is no JSON or more than that; the signal's reason when `signal` aborts.
 */
export type ReadJson = (answer: Response, signal?: AbortSignal) => Promise<unknown>;

/** A structured log: fields, then a constant message. A field `error` is written as one sentence with its causes. */
export interface ModuleLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** The part of Standard Schema 1 that is used here (https://standardschema.dev). */
export interface StandardSchema<Output = unknown> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined;
  };
}

/** A checked value, or everything that is wrong with it. */
export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

/** One thing that is wrong. `message` reads on from the path: `must be a URL`. */
export interface StandardIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}
