import { type Config, loadConfig } from "../config.ts";
import { diagnose } from "../doctor/diagnose.ts";
import type { CheckName, DoctorSettings, EstateFacts, Finding } from "../doctor/finding.ts";
import { neededRights } from "../doctor/rights.ts";
import { describeError } from "../errors.ts";
import type { ClusterFacts, Fact } from "../model/cluster-facts.ts";
import { NAMES_ANNOTATION } from "../model/objects.ts";
import { readNames } from "../plan/names.ts";
import type { CliContext, ExitCode, Format } from "./context.ts";
import { type Once, once } from "./once.ts";
import { sharedAddresses } from "./shared-addresses.ts";
import { count, table } from "./text.ts";

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
  const facts = await look(config, config.target, context, options);
  const settings: DoctorSettings = { ...config, file: context.configFile, ...options, user: options.as };
  const findings = diagnose(facts, settings, await readEstate(context), options.skip);
  const isFine = findings.every(({ state }) => state === "fine");
  const { line } = context.out;
  if (options.output === "json") line(JSON.stringify({ ok: isFine, findings }, null, 2));
  else for (const text of findingLines(findings, context.out.style)) line(text);
  return isFine ? 0 : 1;
}

async function look(
  config: Config,
  { context: name }: Extract<Config["target"], { kind: "kubernetes" }>,
  context: CliContext,
  { istioNamespace, dnsNamespace, as }: DoctorOptions,
): Promise<ClusterFacts> {
  const { kubeClient } = await import("../kube/client.ts");
  const { lookAtCluster } = await import("../kube/look.ts");
  const client = await kubeClient({
    kubeconfig: context.kubeconfig,
    pod: context.pod,
    ...(name === undefined ? {} : { context: name }),
    userAgent: `x2istio/${context.version}`,
  });
  try {
    return await lookAtCluster(client, {
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

/** What a pass would make of the registries and of what stands. Whatever keeps it from that is told by the checks that need it. */
async function readEstate(context: CliContext): Promise<Fact<EstateFacts>> {
  try {
    return { known: true, value: await once(context, async (read) => estateOf(read)) };
  } catch (error) {
    context.signal.throwIfAborted();
    return { known: false, why: describeError(error) };
  }
}

function estateOf({ config, compute, readings }: Once): EstateFacts {
  const { catalog, naming, plan, standing } = compute();
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
    clashes: naming.holds
      .filter(({ reason }) => reason === "name" || reason === "foreign")
      .map(({ subject, message }) => ({ name: subject, message })),
    aliases: [...naming.services.values()].flatMap((one) =>
      one.aliases.map(({ namespace, name }) => `${namespace}/${name}`),
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

function findingLines(findings: readonly Finding[], style: CliContext["out"]["style"]): readonly string[] {
  const marks = { fine: " ", problem: "!", unchecked: "?" } as const;
  const colours = { fine: "dim", problem: "red", unchecked: "yellow" } as const;
  const rows = table(findings.map(({ check, state, message }) => [`${marks[state]} ${check}`, message]));
  const lines = findings.flatMap(({ state, mend }, at) => [
    style(colours[state], rows[at] ?? ""),
    ...(mend === undefined ? [] : mend.split("\n").map((text, row) => (row === 0 ? `    ${text}` : text))),
  ]);
  const number = (state: Finding["state"]) => findings.filter((one) => one.state === state).length;
  const unchecked = number("unchecked");
  return [
    ...lines,
    "",
    `${count(findings.length, "check")}: ${number("fine")} fine, ${number("problem")} to mend${unchecked > 0 ? `, ${unchecked} could not be made` : ""}. Nothing was written.`,
  ];
}
