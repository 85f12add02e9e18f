import type { RegistryConfig } from "../config/config.ts";
import { loadConfig } from "../config/load.ts";
import { type Warning, warningsOf } from "../config/warnings.ts";
import { describeError } from "../errors.ts";
import type { Snapshot } from "../model/adapter.ts";
import { derivedFault, dnsFault, legacyName, unaskedNote, writtenNameFault } from "../plan/names/dns-names.ts";
import type { CliContext, ExitCode, Format } from "./context.ts";
import { count } from "./print/text.ts";
import { closeAdapters, createAdapters, endpointsOf } from "./setup/adapters.ts";

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
  const faults: { registry: string; fault: string }[] = [];
  const unasked: Warning[] = [];
  const fine: { registry: string; services: number }[] = [];
  for (const registry of config.registries.filter(({ kind }) => kind === "static")) {
    const found: string[] = [];
    try {
      const adapter = await context.createAdapter(registry, config);
      const snapshot = await adapter.read(context.signal, { trigger: "poll" });
      const { services, incomplete } = snapshot;
      if (incomplete !== undefined) found.push(incomplete);
      found.push(...refusedEndpoints(endpointsOf(config, registry.name)(snapshot)));
      found.push(...refusedNames(snapshot, registry));
      unasked.push(...unaskedNames(snapshot).map((message) => ({ registry: registry.name, message })));
      for (const read of services) if (read.state === "failed") found.push(describeError(read.cause));
      fine.push({ registry: registry.name, services: services.length });
    } catch (error) {
      found.push(describeError(error));
    }
    faults.push(...found.flatMap(eachFault).map((fault) => ({ registry: registry.name, fault })));
  }
  const { line, style } = context.out;
  const warnings = [...warningsOf(config), ...unasked];
  if (output === "json")
    line(JSON.stringify({ valid: faults.length === 0, config: context.configFile, faults, warnings }, null, 2));
  else {
    line(`${context.configFile} is valid.`);
    for (const { registry, message } of warnings) line(style("yellow", `registry ${registry}: ${message}`));
    for (const { registry, fault } of faults) line(style("red", `registry ${registry}, ${fault}`));
    if (faults.length === 0)
      for (const { registry, services } of fine)
        line(`registry ${registry}: ${count(services, "service")}, all valid.`);
    for (const { registry } of loaded) line(`registry ${registry}: its module loads.`);
  }
  return faults.length === 0 ? 0 : 1;
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
      const legacy = legacyName(raw);
      const why = dnsFault(legacy) ?? derivedFault(legacy) ?? writtenNameFault(legacy, singleLabels);
      return why === undefined ? [] : [`${source}: legacy name ${JSON.stringify(raw)} of ${name} is not given: ${why}`];
    });
  });
}

/** Legacy names that some callers never ask for. */
function unaskedNames({ services }: Snapshot): readonly string[] {
  return services.flatMap((read) =>
    read.state === "ok" ? read.service.legacyNames.flatMap((raw) => unaskedNote(legacyName(raw)) ?? []) : [],
  );
}

/** One line for each place in a file; a read's error names them all. */
function eachFault(error: string): readonly string[] {
  return error.split(/; (?=\S+:\d+:\d+: )/);
}
