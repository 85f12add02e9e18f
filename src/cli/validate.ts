import type { Config, RegistryConfig } from "../config/config.ts";
import { formatPath } from "../config/document.ts";
import { configPlaces, loadConfig } from "../config/load.ts";
import { type Warning, warningsOf } from "../config/warnings.ts";
import { describeError } from "../errors.ts";
import type { Snapshot } from "../model/adapter.ts";
import { parseServiceKey } from "../model/service.ts";
import {
  derivedFault,
  dnsFault,
  type Named,
  unaskedNote,
  writtenFormFault,
  writtenName,
  writtenNameFault,
  writtenNote,
} from "../plan/names/dns-names.ts";
import type { CliContext, ExitCode, Format } from "./context.ts";
import { count } from "./print/text.ts";
import { closeAdapters, createAdapters, endpointsOf } from "./setup/adapters.ts";
import { unmatchedIn } from "./setup/unmatched.ts";

/** Check the configuration and what its file registries say, without a target. 0: fine, 1: not. Every fault is shown at once. */
export async function validateCommand(context: CliContext, { output }: { readonly output: Format }): Promise<ExitCode> {
  const config = await loadConfig(context.configFile, context.configContext);
  // Everything that runs must at least load; what it reads may be far away, and is not asked.
  const loaded = await createAdapters(
    config,
    context,
    undefined,
    config.registries.filter(({ kind }) => kind === "module"),
  );
  await closeAdapters(loaded, context);
  const files: FileRegistry[] = [];
  for (const registry of config.registries.filter(({ kind }) => kind === "static"))
    files.push(await checkFiles(context, config, registry));
  const faults = files.flatMap(({ registry, faults: own }) =>
    own.map((fault) => ({ registry, ...placeOf(fault), fault })),
  );
  const warnings = [...(await placedWarnings(context, config, files)), ...files.flatMap(({ notes }) => notes)];
  const { line, style } = context.out;
  if (output === "json")
    line(JSON.stringify({ valid: faults.length === 0, config: context.configFile, faults, warnings }, null, 2));
  else {
    line(`${context.configFile} is valid.`);
    for (const warning of warnings) line(style("yellow", warningText(warning)));
    for (const { registry, fault } of faults) line(style("red", `registry ${registry}, ${fault}`));
    if (faults.length === 0)
      for (const { registry, services } of files)
        line(`registry ${registry}: ${count(services.length, "service")}, all valid.`);
    for (const { registry } of loaded) line(`registry ${registry}: its module loads.`);
  }
  return faults.length === 0 ? 0 : 1;
}

/** A warning as it is shown: `place` and `path` where it is about a line of the configuration. */
interface ShownWarning {
  readonly registry?: string;
  /** `x2istio.yaml:4:18` */
  readonly place?: string;
  /** `vips.ranges[0]` */
  readonly path?: string;
  readonly message: string;
}

/** What a registry of files says. */
interface FileRegistry {
  readonly registry: string;
  readonly services: readonly Named[];
  readonly isComplete: boolean;
  readonly faults: readonly string[];
  readonly notes: readonly ShownWarning[];
}

async function checkFiles(context: CliContext, config: Config, registry: RegistryConfig): Promise<FileRegistry> {
  const { name } = registry;
  try {
    const adapter = await context.createAdapter(registry, config);
    const snapshot = await adapter.read(context.signal, { trigger: "poll" });
    const { services, incomplete } = snapshot;
    const faults = [
      ...(incomplete === undefined ? [] : [incomplete]),
      ...refusedEndpoints(endpointsOf(config, name)(snapshot)),
      ...refusedNames(snapshot, registry),
      ...services.flatMap((read) => (read.state === "failed" ? [describeError(read.cause)] : [])),
    ];
    return {
      registry: name,
      services: services.flatMap((read) => (read.state === "ok" ? [read.service] : (parseServiceKey(read.key) ?? []))),
      isComplete: incomplete === undefined,
      faults: faults.flatMap(eachFault),
      notes: oddNames(snapshot).map((message) => ({ registry: name, message })),
    };
  } catch (error) {
    return {
      registry: name,
      services: [],
      isComplete: false,
      faults: eachFault(describeError(error)),
      notes: [],
    };
  }
}

/** What there is to know of the configuration itself, with lines. */
async function placedWarnings(
  { configContext }: CliContext,
  config: Config,
  files: readonly FileRegistry[],
): Promise<readonly ShownWarning[]> {
  const complete = new Set(files.flatMap(({ registry, isComplete }) => (isComplete ? [registry] : [])));
  const { merge } = config;
  const unmatched = unmatchedIn(config, {
    // Of merged registries the first stands for all.
    services: files.flatMap(({ services }) =>
      services.map((one) => (merge.includes(one.registry) ? { ...one, registry: merge[0] ?? one.registry } : one)),
    ),
    isComplete: (registry) =>
      merge.includes(registry) ? merge.every((name) => complete.has(name)) : complete.has(registry),
  });
  const all: readonly Warning[] = [...warningsOf(config), ...unmatched.map(({ path, message }) => ({ path, message }))];
  const place = await configPlaces(config.file, configContext);
  return all.map(({ path, ...rest }) => ({ ...rest, place: place(path), path: formatPath(path) }));
}

function warningText({ registry, place, path, message }: ShownWarning): string {
  if (registry !== undefined) return `registry ${registry}: ${message}${place === undefined ? "" : ` (${place})`}`;
  return `${place} ${path}: ${message}`;
}

/** Endpoints at addresses where none may be, by the line of their service. */
function refusedEndpoints({ services }: Snapshot): readonly string[] {
  return services.flatMap((read) => {
    if (read.state !== "ok") return [];
    const { source, name, leftOut } = read.service;
    const refused = leftOut.filter(({ kind }) => kind === "address");
    return refused.map(({ address, reason }) => `${source}: endpoint ${address} of ${name} is left out: ${reason}`);
  });
}

/** Legacy names that are not given out, by the line of their service. */
function refusedNames(
  { services }: Snapshot,
  { singleLabels }: Pick<RegistryConfig, "singleLabels">,
): readonly string[] {
  return services.flatMap((read) => {
    if (read.state !== "ok") return [];
    const { source, name, legacyNames } = read.service;
    return legacyNames.flatMap((raw) => {
      const legacy = writtenName(raw);
      const why =
        writtenFormFault(raw) ?? dnsFault(legacy) ?? derivedFault(legacy) ?? writtenNameFault(legacy, singleLabels);
      return why === undefined ? [] : [`${source}: legacy name ${JSON.stringify(raw)} of ${name} is not given: ${why}`];
    });
  });
}

/** Legacy names that are asked for in another form, or that some callers never ask for. */
function oddNames({ services }: Snapshot): readonly string[] {
  return services.flatMap((read) => {
    if (read.state !== "ok") return [];
    const { source, legacyNames } = read.service;
    return legacyNames.flatMap((raw) => {
      const note = dnsFault(writtenName(raw)) === undefined ? writtenNote(raw) : undefined;
      return [...(note === undefined ? [] : [`${source}: ${note}`]), ...[unaskedNote(writtenName(raw)) ?? []].flat()];
    });
  });
}

/** The file and line that a fault begins with. */
function placeOf(fault: string): { readonly place?: string } {
  const [, place] = /^(\S+:\d+(?::\d+)?): /.exec(fault) ?? [];
  return place === undefined ? {} : { place };
}

/** One line for each place in a file; a read's error names them all. */
function eachFault(error: string): readonly string[] {
  return error.split(/; (?=\S+:\d+:\d+: )/);
}
