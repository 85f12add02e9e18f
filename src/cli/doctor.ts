import type { Config } from "../config/config.ts";
import { loadConfig } from "../config/load.ts";
import { foreignTemplates } from "../config/template-zones.ts";
import { neededRights } from "../doctor/checks/rights.ts";
import { diagnose } from "../doctor/diagnose.ts";
import type { CheckName } from "../doctor/finding.ts";
import type { InstallationFacts } from "../doctor/installation.ts";
import type { DoctorSettings } from "../doctor/settings.ts";
import { describeError } from "../errors.ts";
import { sharedAddresses } from "../istio/shared-addresses.ts";
import type { ClusterFacts, Fact } from "../model/cluster-facts.ts";
import { NAMES_ANNOTATION } from "../model/objects.ts";
import { readNames } from "../plan/names/names-annotation.ts";
import type { CliContext, ExitCode, Format } from "./context.ts";
import { findingLines } from "./print/findings.ts";
import { type Once, once } from "./setup/once.ts";

export interface DoctorOptions {
  readonly output: Format;
  readonly skip: readonly CheckName[];
  /** Whose rights are asked for. */
  readonly as?: string;
  readonly istioNamespace: string;
  readonly dnsNamespace: string;
}

/** Check a cluster, before or after the installation, and write nothing. 0: all is fine, 1: something is not, or is not known. */
export async function doctorCommand(context: CliContext, options: DoctorOptions): Promise<ExitCode> {
  const config = await loadConfig(context.configFile, context.configContext);
  if (config.target.kind !== "kubernetes")
    throw new Error(
      `Cannot check a cluster as target.kind must be kubernetes: in ${context.configFile} it is ${config.target.kind}`,
    );
  const facts = await readFacts(config, config.target, context, options);
  const settings: DoctorSettings = {
    ...config,
    ...options,
    file: context.configFile,
    templateWarnings: foreignTemplates(config),
    user: options.as ?? (context.kubeconfig === undefined && context.pod !== undefined ? POD : undefined),
  };
  const findings = diagnose(facts, settings, await readInstallation(context), options.skip);
  const isFine = findings.every(({ state }) => state === "fine" || state === "warning");
  const { line } = context.out;
  if (options.output === "json") line(JSON.stringify({ ok: isFine, findings }, null, 2));
  else for (const text of findingLines(findings, context.out.style)) line(text);
  return isFine ? 0 : 1;
}

/** In a pod it has the rights of the program's account. */
const POD = "system:serviceaccount:x2istio-system:x2istio";

async function readFacts(
  config: Config,
  { context: name }: Extract<Config["target"], { kind: "kubernetes" }>,
  context: CliContext,
  { istioNamespace, dnsNamespace, as }: DoctorOptions,
): Promise<ClusterFacts> {
  const { kubeClient } = await import("../kube/client/client.ts");
  const { readClusterFacts } = await import("../kube/facts/cluster-facts.ts");
  const client = await kubeClient({
    kubeconfig: context.kubeconfig,
    pod: context.pod,
    ...(name === undefined ? {} : { context: name }),
    userAgent: `x2istio/${context.version}`,
  });
  try {
    return await readClusterFacts(client, {
      istioNamespace,
      dnsNamespace,
      rights: neededRights(config),
      user: as,
      signal: context.signal,
      onProgress: (title) => context.out.progress(`reading ${title}`),
    });
  } finally {
    context.out.progress("");
    await client.close();
  }
}

/** What a pass would make of the registries and of what stands. If it cannot be known, the checks that need it say why. */
async function readInstallation(context: CliContext): Promise<Fact<InstallationFacts>> {
  try {
    return { known: true, value: await once(context, async (read) => installationOf(read)) };
  } catch (error) {
    context.signal.throwIfAborted();
    return { known: false, why: describeError(error) };
  }
}

function installationOf({ config, decide, readings }: Once): InstallationFacts {
  const { catalog, naming, plan, standing } = decide();
  const names = new Set(
    [...naming.services.values()].flatMap((one) => [one.host, ...one.legacyNames.map(({ name }) => name)]),
  );
  for (const { manifest } of standing.entries.values()) {
    for (const name of manifest.spec.hosts) names.add(name);
    for (const name of readNames(manifest.metadata.annotations?.[NAMES_ANNOTATION])) names.add(name);
  }
  const created = plan.create.flatMap(({ object: { manifest } }) =>
    manifest.kind === "ServiceEntry" ? [manifest.spec] : [],
  );
  return {
    names: [...names],
    clashes: [
      ...naming.holds
        .filter(({ reason }) => reason === "name" || reason === "foreign")
        .map(({ subject, message }) => ({ name: subject, message })),
      ...[...naming.services.values()].flatMap(({ rivals = [] }) => rivals),
    ],
    vipClashes: plan.hold.flatMap(({ reason, regarding, message }) =>
      reason === "address" && regarding !== undefined ? [{ object: regarding, message }] : [],
    ),
    aliasHosts: new Map(
      [...naming.services.values()].flatMap((one) =>
        one.aliases.map(({ namespace, name }) => [`${namespace}/${name}`, one.host] as const),
      ),
    ),
    ports: [...new Set(created.flatMap(({ ports }) => ports.map(({ number }) => number)))],
    crowded: [...catalog.services].flatMap(([service, { registry, endpoints }]) => {
      const waypoint = config.registries.find(({ name }) => name === registry)?.waypoint;
      const [shared] = sharedAddresses(endpoints);
      return shared === undefined ? [] : [{ registry, service, waypoint, address: shared[0], count: shared[1] }];
    }),
    newForAll: created.filter(({ exportTo }) => exportTo?.includes("*") !== false).length,
    unread: config.registries.flatMap(({ name }) => {
      const reading = readings.get(name);
      return reading?.state === "failed" ? [`registry ${name} cannot be read: ${reading.why}`] : [];
    }),
  };
}
