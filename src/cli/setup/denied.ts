import type { Config, ConfigContext } from "../../config/config.ts";
import type { Path } from "../../config/document.ts";
import { configPlaces } from "../../config/load.ts";
import { describeError, ReadError, readFailure } from "../../errors.ts";
import { isSecretField } from "../../secrets.ts";

/** An error of a registry that refuses who reads it, with the options and lines that say who that is; any other error as it is. */
export async function withOptions(
  error: unknown,
  registry: Config["registries"][number],
  config: Config,
  context: ConfigContext,
): Promise<unknown> {
  if (readFailure(error) !== "denied") return error;
  const said = describeError(error);
  const at = config.registries.indexOf(registry);
  const all = secretOptions(registry.options, ["registries", at]);
  const named = all.filter(({ value }) => said.includes(`Cannot read ${value}:`));
  const meant = named.length > 0 ? named : all;
  const place = await configPlaces(config.file, context).catch(() => undefined);
  const options = meant.map(({ path, name }) => `${name}${place === undefined ? "" : ` (${place(path)})`}`);
  const hint =
    options.length === 0
      ? "no token is sent: its options are token and tokenFile"
      : named.length > 0
        ? `that is the registry's ${options.join(" and ")}`
        : `what was refused is the registry's ${options.join(" and ")}`;
  return new ReadError("denied", `${said}; ${hint}`);
}

interface SecretOption {
  readonly path: Path;
  /** `basicAuth.passwordFile` */
  readonly name: string;
  readonly value: string;
}

/** Options that are secret, or name a file that is; and files of keys and certificates. */
function secretOptions(options: unknown, path: Path, names: readonly string[] = []): readonly SecretOption[] {
  if (typeof options !== "object" || options === null || names.length > 8) return [];
  return Object.entries(options).flatMap(([name, value]: [string, unknown]) => {
    const inner = [...names, name];
    const isMeant = isSecretField(name.replace(/File$/, "")) || names.at(-1) === "tls";
    if (typeof value === "string" && isMeant) return [{ path: [...path, name], name: inner.join("."), value }];
    return secretOptions(value, [...path, name], inner);
  });
}
