import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { ConfigError, describeError } from "../../src/errors.ts";
import type { AdapterModule } from "../contract.ts";
import { plain } from "../trust.ts";

/**
 * Load the module in a file and take what it exports as `adapter`. A file is loaded once in the life of a process.
 *
 * @param path as configured, relative to `dir`
 * @throws {ConfigError} When there is no such file, it does not run, or it exports something else.
 */
export async function loadModule(path: string, dir: string): Promise<AdapterModule> {
  const file = resolve(dir, path);
  const found = await stat(file).catch(() => undefined);
  if (found?.isFile() !== true) throw new ConfigError(`path: ${path}: no such file (${file})`);
  let exported: { readonly adapter?: unknown };
  try {
    exported = await import(pathToFileURL(file).href);
  } catch (error) {
    const where = error instanceof SyntaxError ? `; node --check ${file} shows where` : "";
    throw new ConfigError(`path: ${path} cannot be loaded: ${plain(describeError(error))}${where}`);
  }
  return asModule(exported.adapter, path, Object.keys(exported));
}

function asModule(adapter: unknown, path: string, exported: readonly string[]): AdapterModule {
  if (adapter === undefined)
    throw new ConfigError(
      `path: ${path} must export "adapter", exports ${exported.length === 0 ? "nothing" : exported.join(", ")}`,
    );
  const { create, schema } = (adapter ?? {}) as { readonly create?: unknown; readonly schema?: unknown };
  if (typeof create !== "function") throw new ConfigError(`path: ${path}: adapter.create must be a function`);
  if (schema !== undefined && !isStandardSchema(schema))
    throw new ConfigError(`path: ${path}: adapter.schema must be a Standard Schema of version 1, or absent`);
  return adapter as AdapterModule;
}

/** A schema may be a function with properties, as those of ArkType are. */
function isStandardSchema(schema: unknown): boolean {
  if (schema === null || (typeof schema !== "object" && typeof schema !== "function")) return false;
  const { "~standard": standard } = schema as { readonly "~standard"?: { version?: unknown; validate?: unknown } };
  return standard?.version === 1 && typeof standard.validate === "function";
}
