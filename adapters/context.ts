import type { z } from "zod";
import type { Adapter } from "../src/model/adapter.ts";

/** The part of a pino logger that adapters use: fields first, then a constant message. */
export interface AdapterLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

/** What an adapter is given besides its own options. */
export interface AdapterContext {
  /** Configured name of the registry. */
  readonly registry: string;
  /** Folder of the configuration file; relative paths resolve against it. */
  readonly dir: string;
  /** Namespace of services that name none. */
  readonly namespace: string;
  readonly log: AdapterLog;
}

/** One kind of registry: the schema of its own options, and how an adapter is made of them. */
export interface AdapterKind<Options = unknown> {
  /** Strict, and without the keys that every registry has (`kind`, `name`, `namespace`, `poll`, …). */
  readonly options: z.ZodType<Options> & { readonly shape: Readonly<Record<string, z.ZodType>> };
  create(options: Options, context: AdapterContext): Adapter;
}
