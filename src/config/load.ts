import { readFile } from "node:fs/promises";
import { ConfigError } from "../errors.ts";
import type { Config, ConfigContext } from "./config.ts";
import { type Path, readDocument } from "./document.ts";
import { parseConfig } from "./parse.ts";

/**
 * Read and check a configuration file.
 *
 * @throws {ConfigError} When it cannot be read, or naming everything wrong in it.
 */
export async function loadConfig(file: string, context: ConfigContext): Promise<Config> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT") throw new ConfigError(`Cannot read config "${file}": no such file; name yours by --config`);
    if (code === "EISDIR") throw new ConfigError(`Cannot read config "${file}": it is a folder; name the file in it`);
    throw new ConfigError(`Cannot read config "${file}"`, { cause });
  }
  return parseConfig(text, file, context);
}

/**
 * Where the fields of a configuration that has been read stand in its file: `x2istio.yaml:4:18`.
 *
 * @throws When the file has gone meanwhile.
 */
export async function configPlaces(file: string, { env }: ConfigContext): Promise<(path: Path) => string> {
  return readDocument(await readFile(file, "utf8"), file, env).place;
}
