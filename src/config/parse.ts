import type { z } from "zod";
import { ConfigError } from "../errors.ts";
import { assemble } from "./assemble.ts";
import { crossChecks } from "./checks.ts";
import type { Config, ConfigContext } from "./config.ts";
import { type Problem, readDocument } from "./document.ts";
import { registryFields, registryShape, sectionFields } from "./schema.ts";
import { problemsOf, sentenceOf } from "./sentence.ts";
import type { RegistryRead, WrittenSections } from "./written.ts";

/**
 * Check the text of a configuration file.
 *
 * @throws {ConfigError} Naming everything wrong, each line `file:line:col path: sentence`.
 */
export function parseConfig(text: string, file: string, { env, adapters }: ConfigContext): Config {
  const document = readDocument(text, file, env);
  const problems = [...document.problems];
  const raw = document.value;
  if (raw !== undefined) {
    const unset = new Set(problems.map(({ path }) => path.join("\0"))); // a value without its variable is wrong only once
    const found: Problem[] = [];
    const config = read(raw, file, adapters, found);
    problems.push(...found.filter(({ path }) => !unset.has(path.join("\0"))));
    if (config !== undefined && problems.length === 0) return config;
  }
  throw new ConfigError([`Cannot use config "${file}":`, ...document.describe(problems)].join("\n  "));
}

function read(
  raw: unknown,
  file: string,
  adapters: ConfigContext["adapters"],
  problems: Problem[],
): Config | undefined {
  if (!isMapping(raw)) {
    problems.push({
      path: [],
      message:
        raw === null || raw === undefined
          ? "is empty; a configuration with all defaults is written {}"
          : "must be a mapping",
    });
    return undefined;
  }
  const known = ["registries", ...Object.keys(sectionFields)];
  for (const key of Object.keys(raw))
    if (!known.includes(key))
      problems.push({ path: [key], isKey: true, message: `is not an option; known here: ${known.join(", ")}` });
  const registries = readRegistries(raw.registries, adapters, problems);
  const sections: Partial<WrittenSections> = Object.fromEntries(
    Object.entries(sectionFields).map(([name, schema]) => [name, readWith(schema, raw[name], [name], name, problems)]),
  );
  problems.push(...crossChecks(sections, registries));
  return problems.length === 0 ? assemble(file, registries, sections as WrittenSections) : undefined;
}

function readRegistries(raw: unknown = [], adapters: ConfigContext["adapters"], problems: Problem[]): RegistryRead[] {
  if (!Array.isArray(raw)) problems.push({ path: ["registries"], message: "must be a list" });
  return (Array.isArray(raw) ? raw : []).map((item: unknown, index) => {
    const path = ["registries", index];
    if (!isMapping(item)) problems.push({ path, message: "must be a mapping" });
    if (!isMapping(item)) return { index, name: undefined, fields: undefined, options: undefined };
    const fields = readWith(registryFields, item, path, "a registry", problems);
    const { kind, name } = item;
    const adapter = typeof kind === "string" && Object.hasOwn(adapters, kind) ? adapters[kind] : undefined;
    const own = Object.fromEntries(Object.entries(item).filter(([key]) => !Object.hasOwn(registryShape, key)));
    if (adapter === undefined && typeof kind === "string")
      problems.push({
        path: [...path, "kind"],
        message: `must be a known kind of registry (${Object.keys(adapters).sort().join(", ")}), not "${kind}"`,
      });
    const options =
      adapter === undefined ? undefined : readWith(adapter.options, own, path, `a ${String(kind)} registry`, problems);
    return { index, name: typeof name === "string" ? name : undefined, fields, options, traits: adapter?.traits };
  });
}

function readWith<Schema extends z.ZodType>(
  schema: Schema,
  raw: unknown,
  path: Problem["path"],
  optionsOf: string,
  problems: Problem[],
): z.output<Schema> | undefined {
  const result = schema.safeParse(raw, { error: sentenceOf });
  if (!result.success) problems.push(...problemsOf(result.error.issues, path, optionsOf));
  return result.data;
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
