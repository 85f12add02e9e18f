import { readFile } from "node:fs/promises";
import { ConfigError } from "../errors.ts";
import type { Config, ConfigContext } from "./config.ts";
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
