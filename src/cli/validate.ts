import { loadConfig } from "../config.ts";
import { describeError } from "../errors.ts";
import { closeAdapters, createAdapters } from "./adapters.ts";
import type { CliContext, ExitCode, Format } from "./context.ts";
import { count } from "./text.ts";

/** Check the configuration and what its file registries say, without a target. 0: fine, 1: not. Every fault is shown at once. */
export async function validateCommand(context: CliContext, { output }: { readonly output: Format }): Promise<ExitCode> {
  const config = await loadConfig(context.configFile, context.configContext);
  // Everything that runs must at least load; what it reads may be far away, and is not asked.
  const loaded = await createAdapters(
    config,
    context,
    config.registries.filter(({ kind }) => kind === "module"),
  );
  await closeAdapters(loaded, context);
  const faults: { registry: string; fault: string }[] = [];
  const fine: { registry: string; services: number }[] = [];
  for (const registry of config.registries.filter(({ kind }) => kind === "static")) {
    const found: string[] = [];
    try {
      const adapter = await context.createAdapter(registry, config);
      const { services, incomplete } = await adapter.read(context.signal, { trigger: "poll" });
      if (incomplete !== undefined) found.push(incomplete);
      for (const read of services) if (read.state === "failed") found.push(describeError(read.cause));
      fine.push({ registry: registry.name, services: services.length });
    } catch (error) {
      found.push(describeError(error));
    }
    faults.push(...found.flatMap(eachFault).map((fault) => ({ registry: registry.name, fault })));
  }
  const { line, style } = context.out;
  if (output === "json")
    line(JSON.stringify({ valid: faults.length === 0, config: context.configFile, faults }, null, 2));
  else {
    line(`${context.configFile} is valid.`);
    for (const { registry, fault } of faults) line(style("red", `registry ${registry}, ${fault}`));
    if (faults.length === 0)
      for (const { registry, services } of fine)
        line(`registry ${registry}: ${count(services, "service")}, all valid.`);
    for (const { registry } of loaded) line(`registry ${registry}: its module loads.`);
  }
  return faults.length === 0 ? 0 : 1;
}

/** One line for each place in a file; a read's error names them all. */
function eachFault(error: string): readonly string[] {
  return error.split(/; (?=\S+:\d+:\d+: )/);
}
