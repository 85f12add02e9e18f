import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { z } from "zod";
import { crossChecks, type RegistryPart, type Sections } from "./config/checks.ts";
import { type Problem, readDocument } from "./config/document.ts";
import { literalSuffix, type SocketAddress } from "./config/fields.ts";
import { registryFields, sectionFields } from "./config/schema.ts";
import { problemsOf, sentenceOf } from "./config/sentence.ts";
import { ConfigError } from "./errors.ts";
import type { MigrationRules } from "./model/claim.ts";
import type { ExposureRule } from "./model/exposure.ts";

export type { SocketAddress } from "./config/fields.ts";

/** One entry of `registries`. */
export interface RegistryConfig {
  readonly kind: string;
  readonly name: string;
  /** Cron expression with seconds. */
  readonly poll: string;
  /** Templates with {service}, {namespace} and {registry}. */
  readonly legacyNames: readonly string[];
  readonly exportTo: readonly string[];
  readonly xds: boolean;
  /** `<namespace>/<name>` of a waypoint, or `none`. */
  readonly waypoint?: string | undefined;
  /** Whether all services stand, or those that someone asked for. */
  readonly demand: "all" | "reported";
  /** How long they stand after they were asked for last. */
  readonly demandTtlMs: number;
  /** As the adapter's own schema gives them. */
  readonly options: unknown;
}

/** One entry of `aliases`. `namespace` and `service` are globs. */
export interface AliasRule {
  readonly registry: string;
  readonly namespace: string;
  readonly service: string;
  readonly as: string;
  readonly in: string;
}

/** A zone that is ours, or with `forward` an overlay on someone else's. */
export interface ZoneConfig {
  readonly name: string;
  readonly forward: readonly UpstreamConfig[];
}

/** Another DNS server. */
export interface UpstreamConfig extends SocketAddress {
  /** Ask by TLS. `ca` is a file with certificates in PEM, absolute. */
  readonly tls?: { readonly name: string; readonly ca?: string };
}

/** What some clients are given for the names of services. */
export interface ViewConfig {
  readonly name: string;
  readonly clients: readonly string[];
  /** Or addresses of a gateway. */
  readonly answer: "vips" | "endpoints" | readonly string[];
  readonly region?: string;
  readonly zone?: string;
}

interface TargetPlace {
  readonly namespace: string;
  readonly clusterDomain: string;
}

/** Where the objects go. A directory's `path` is absolute. */
export type TargetConfig =
  | (TargetPlace & { readonly kind: "directory"; readonly path: string })
  | (TargetPlace & { readonly kind: "kubernetes"; readonly context?: string });

/** A checked configuration file. */
export interface Config {
  /** As it was asked for. */
  readonly file: string;
  /** Its folder, absolute: relative paths in it start here. */
  readonly dir: string;
  readonly owner: string;
  readonly registries: readonly RegistryConfig[];
  readonly hosts: { readonly template: string };
  readonly aliases: readonly AliasRule[];
  readonly exposures: readonly ExposureRule[];
  readonly merge: readonly string[];
  readonly vips: {
    readonly mode: "ledger" | "istio";
    readonly ranges: readonly string[];
    /** Of Istio's VIPs, those that are answered. */
    readonly families: readonly ("v4" | "v6")[];
    readonly quarantineMs: number;
    readonly ledgerNamespace: string;
  };
  readonly policy: {
    readonly mode: "sync" | "upsert-only" | "dry-run";
    readonly maxDeletePercent: number;
    readonly minDeletes: number;
    readonly keepEmptyMs: number;
    /** A brake that has been on for so long is released. */
    readonly releaseAfterMs?: number;
  };
  readonly migration: MigrationRules;
  readonly target: TargetConfig;
  readonly dns: {
    readonly listen: readonly SocketAddress[];
    readonly ttlSeconds: number;
    readonly zones: readonly ZoneConfig[];
    readonly forward: readonly UpstreamConfig[];
    /** Memory of each thread for what upstreams said. */
    readonly cacheMiB: number;
    /** CIDR ranges that are answered. */
    readonly allow: readonly string[];
    /** What the server calls itself to those who ask (NSID). */
    readonly nsid?: string;
    /** Whether TXT tells which service a name leads to. */
    readonly tellsServices: boolean;
    /** What clients are given, by the first that has them; all others get the VIPs. */
    readonly views: readonly ViewConfig[];
    /** CIDR ranges of resolvers whose word counts for where their clients are. */
    readonly clientSubnetFrom: readonly string[];
    readonly rateLimit?: { readonly perSecond: number; readonly slip: number };
    /** Share of questions that are logged. */
    readonly queryLog: number;
    /** Threads that answer; one for each core if left out. */
    readonly workers?: number;
  };
  readonly http: { readonly listen: SocketAddress; readonly reports?: ReportsConfig };
}

/** Who may report that it calls a service. */
export interface ReportsConfig {
  /** Absolute; a token on each line. */
  readonly tokenFile?: string;
  /** Audiences of which tokens must have one, as the cluster says. */
  readonly tokenReview?: { readonly audiences: readonly string[] };
  /** How long an answer may wait until the service can be called. */
  readonly waitMs: number;
  /** Reports of one caller. */
  readonly perSecond: number;
}

/** What a configuration depends on besides its text. */
export interface ConfigContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** By kind, the schema of the options that only this kind of registry takes. */
  readonly adapters: Readonly<Record<string, { readonly options: z.ZodType }>>;
}

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
  const sections: Sections = Object.fromEntries(
    Object.entries(sectionFields).map(([name, schema]) => [name, readWith(schema, raw[name], [name], name, problems)]),
  );
  problems.push(...crossChecks(sections, registries));
  return problems.length === 0
    ? assemble(file, registries, sections as Required<{ [Name in keyof Sections]: NonNullable<Sections[Name]> }>)
    : undefined;
}

interface ReadRegistry extends RegistryPart {
  readonly options: unknown;
}

function readRegistries(raw: unknown = [], adapters: ConfigContext["adapters"], problems: Problem[]): ReadRegistry[] {
  if (!Array.isArray(raw)) problems.push({ path: ["registries"], message: "must be a list" });
  return (Array.isArray(raw) ? raw : []).map((item: unknown, index) => {
    const path = ["registries", index];
    if (!isMapping(item)) problems.push({ path, message: "must be a mapping" });
    if (!isMapping(item)) return { index, name: undefined, fields: undefined, options: undefined };
    const fields = readWith(registryFields, item, path, "a registry", problems);
    const { kind, name } = item;
    const adapter = typeof kind === "string" && Object.hasOwn(adapters, kind) ? adapters[kind] : undefined;
    const own = Object.fromEntries(Object.entries(item).filter(([key]) => !Object.hasOwn(registryFields.shape, key)));
    if (adapter === undefined && typeof kind === "string")
      problems.push({
        path: [...path, "kind"],
        message: `must be a known kind of registry (${Object.keys(adapters).sort().join(", ")}), not "${kind}"`,
      });
    const options =
      adapter === undefined ? undefined : readWith(adapter.options, own, path, `a ${String(kind)} registry`, problems);
    return { index, name: typeof name === "string" ? name : undefined, fields, options };
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

function assemble(
  file: string,
  registries: readonly ReadRegistry[],
  sections: Required<{ [Name in keyof Sections]: NonNullable<Sections[Name]> }>,
): Config {
  const { vips, policy, target, dns, hosts, aliases, http } = sections;
  const dir = dirname(resolve(file));
  return {
    ...sections,
    file,
    dir,
    registries: registries.flatMap(({ fields, options }) => {
      if (fields === undefined) return [];
      const { demandTtl: demandTtlMs, ...rest } = fields;
      return [{ ...rest, demandTtlMs, options }];
    }),
    aliases: aliases.map((rule) => ({ ...rule, in: rule.in ?? target.namespace })),
    vips: {
      mode: vips.mode,
      ranges: vips.ranges,
      families: (vips.families ?? ["IPv4"]).map((family) => (family === "IPv4" ? "v4" : "v6")),
      quarantineMs: vips.quarantine,
      ledgerNamespace: vips.ledgerNamespace ?? target.namespace,
    },
    policy: {
      mode: policy.mode,
      maxDeletePercent: policy.maxDeletePercent,
      minDeletes: policy.minDeletes,
      keepEmptyMs: policy.keepEmpty,
      ...(policy.releaseAfter === undefined ? {} : { releaseAfterMs: policy.releaseAfter }),
    },
    target: target.kind === "directory" ? { ...target, path: resolve(dir, target.path) } : target,
    http: { listen: http.listen, ...(http.reports === undefined ? {} : { reports: reportsConfig(http.reports, dir) }) },
    dns: {
      listen: dns.listen,
      ttlSeconds: dns.ttl,
      zones: (dns.zones ?? [{ name: literalSuffix(hosts.template) ?? "", forward: [] }]).map(({ name, forward }) => ({
        name,
        forward: forward.map((upstream) => absoluteCa(upstream, dir)),
      })),
      forward: dns.forward.map((upstream) => absoluteCa(upstream, dir)),
      cacheMiB: dns.cacheMiB,
      allow: dns.allow,
      tellsServices: dns.txt,
      views: dns.views,
      clientSubnetFrom: dns.clientSubnetFrom,
      queryLog: dns.queryLog,
      ...(dns.rateLimit === undefined ? {} : { rateLimit: dns.rateLimit }),
      ...(dns.nsid === undefined ? {} : { nsid: dns.nsid }),
      ...(dns.workers === undefined ? {} : { workers: dns.workers }),
    },
  };
}

function reportsConfig(
  { wait, tokenFile, ...reports }: NonNullable<NonNullable<Sections["http"]>["reports"]>,
  dir: string,
): ReportsConfig {
  return { ...reports, waitMs: wait, ...(tokenFile === undefined ? {} : { tokenFile: resolve(dir, tokenFile) }) };
}

function absoluteCa(upstream: UpstreamConfig, dir: string): UpstreamConfig {
  const { tls } = upstream;
  return tls?.ca === undefined ? upstream : { ...upstream, tls: { ...tls, ca: resolve(dir, tls.ca) } };
}
