import type { ConfigContext } from "../../config/config.ts";
import { configPlaces } from "../../config/load.ts";
import { describeError } from "../../errors.ts";

/** An error at a start that names an address of the configuration, with the line where that stands; any other error as it is. */
export async function placed(error: unknown, file: string, context: ConfigContext): Promise<unknown> {
  const [, section, field] = /\b(dns|http)\.(listen)\b/.exec(describeError(error)) ?? [];
  if (section === undefined || field === undefined) return error;
  const place = await configPlaces(file, context).catch(() => undefined);
  // What the file leaves out has its default, and no line.
  return place === undefined ? error : new Error(`${describeError(error)} (${place([section, field])})`);
}
