import { dirname, resolve } from "node:path";
import type { Config, HttpConfig, NamesConfig, UpstreamConfig, ZoneConfig } from "./config.ts";
import { literalSuffix } from "./fields.ts";
import type { RegistryRead, WrittenSections } from "./written.ts";

/** The configuration of a file that has no fault: defaults that other sections give, and paths from the file's folder. */
export function assemble(file: string, registries: readonly RegistryRead[], sections: WrittenSections): Config {
  const { vips, target, dns, hosts, aliases, http } = sections;
  const dir = dirname(resolve(file));
  return {
    ...sections,
    file,
    dir,
    registries: registries.flatMap(({ fields, options, traits }) =>
      fields === undefined ? [] : [{ ...fields, ...traits, options }],
    ),
    aliases: aliases.map((rule) => ({ ...rule, in: rule.in ?? target.namespace })),
    vips: {
      ...vips,
      families: vips.families ?? ["v4"],
      ledgerNamespace: vips.ledgerNamespace ?? target.namespace,
    },
    target: target.kind === "directory" ? { ...target, path: resolve(dir, target.path) } : target,
    http: absoluteFiles(http, dir),
    dns: {
      ...dns,
      zones: (dns.zones ?? [ownZone(hosts)]).map(({ name, forward }) => ({
        name,
        forward: forward.map((upstream) => absoluteCa(upstream, dir)),
      })),
      forward: dns.forward.map((upstream) => absoluteCa(upstream, dir)),
      names: absoluteNames(dns.names, dir),
    },
  };
}

/** The domain of all hosts. */
function ownZone({ template }: Config["hosts"]): ZoneConfig {
  return { name: literalSuffix(template) ?? "", forward: [] };
}

function absoluteFiles(http: HttpConfig, dir: string): HttpConfig {
  const { tls, reports } = http;
  return {
    ...http,
    ...(tls === undefined ? {} : { tls: { certFile: resolve(dir, tls.certFile), keyFile: resolve(dir, tls.keyFile) } }),
    ...(reports?.tokenFile === undefined
      ? {}
      : { reports: { ...reports, tokenFile: resolve(dir, reports.tokenFile) } }),
  };
}

function absoluteNames({ secretFile, ca, tokenFile, suffixes }: NamesConfig, dir: string): NamesConfig {
  return {
    suffixes,
    ...(secretFile === undefined ? {} : { secretFile: resolve(dir, secretFile) }),
    ...(ca === undefined ? {} : { ca: resolve(dir, ca) }),
    ...(tokenFile === undefined ? {} : { tokenFile: resolve(dir, tokenFile) }),
  };
}

function absoluteCa(upstream: UpstreamConfig, dir: string): UpstreamConfig {
  const { tls } = upstream;
  return tls?.ca === undefined ? upstream : { ...upstream, tls: { ...tls, ca: resolve(dir, tls.ca) } };
}
