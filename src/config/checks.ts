import type { z } from "zod";
import type { Problem } from "./document.ts";
import { exposureChecks } from "./exposures.ts";
import { literalSuffix, type SocketAddress } from "./fields.ts";
import { migrationChecks } from "./migration.ts";
import type { registryFields, sectionFields } from "./schema.ts";

/** The sections that could be read. */
export type Sections = {
  readonly [Name in keyof typeof sectionFields]?: z.output<(typeof sectionFields)[Name]> | undefined;
};

/** A registry as far as it could be read. */
export interface RegistryPart {
  /** Its place in the list. */
  readonly index: number;
  /** As written, also when the rest is wrong. */
  readonly name: string | undefined;
  readonly fields: z.output<typeof registryFields> | undefined;
}

/** What is wrong between sections that are right in themselves. */
export function crossChecks(sections: Sections, registries: readonly RegistryPart[]): Problem[] {
  const names = new Set(registries.map(({ name }) => name));
  return [
    ...duplicateNames(registries),
    ...unknownNames(sections, names),
    ...exposureChecks(sections, registries),
    ...migrationChecks(sections, registries),
    ...vipChecks(sections),
    ...demandChecks(sections, registries),
    ...namespaceChecks(sections, registries),
    ...loops(sections),
  ];
}

function duplicateNames(registries: readonly RegistryPart[]): Problem[] {
  const repeated = registries.filter(
    ({ name }, index) => name !== undefined && registries.findIndex((other) => other.name === name) < index,
  );
  return repeated.map(({ index, name }) => ({
    path: ["registries", index, "name"],
    message: `"${name}" is the name of another registry`,
  }));
}

function unknownNames({ aliases = [], merge = [] }: Sections, names: ReadonlySet<string | undefined>): Problem[] {
  const message = (name: string) => `no registry is named "${name}"`;
  return [
    ...aliases.flatMap(({ registry }, index) =>
      names.has(registry) ? [] : [{ path: ["aliases", index, "registry"], message: message(registry) }],
    ),
    ...merge.flatMap((name, index) => (names.has(name) ? [] : [{ path: ["merge", index], message: message(name) }])),
  ];
}

function vipChecks({ vips, dns, target }: Sections): Problem[] {
  const problems: Problem[] = [];
  if (vips !== undefined && dns !== undefined && vips.quarantine < dns.ttl * 1000) {
    problems.push({
      path: ["vips", "quarantine"],
      message: "must be at least dns.ttl, or a cached answer could lead to another service",
    });
  }
  if (vips?.mode === "ledger" && vips.families !== undefined) {
    problems.push({ path: ["vips", "families"], message: "goes with mode istio only: ranges say the families here" });
  }
  if (vips?.mode === "istio" && target?.kind === "directory") {
    problems.push({
      path: ["vips", "mode"],
      message: "must be ledger with a directory target: no Istio gives addresses to files",
    });
  }
  return problems;
}

function demandChecks({ merge = [], http, target }: Sections, registries: readonly RegistryPart[]): Problem[] {
  const demandOf = (name: string) => registries.find((one) => one.name === name)?.fields?.demand;
  const [first = "", ...others] = merge;
  const odd = others.filter((name) => (demandOf(name) ?? demandOf(first)) !== (demandOf(first) ?? demandOf(name)));
  return [
    ...odd.map((name) => ({
      path: ["merge", merge.indexOf(name)],
      message: `must have the same demand as "${first}": of a merged service there is one entry or none`,
    })),
    ...(http?.reports?.tokenReview !== undefined && target?.kind === "directory"
      ? [
          {
            path: ["http", "reports", "tokenReview"],
            message: "goes with a kubernetes target only: no cluster can say whose a token is",
          },
        ]
      : []),
  ];
}

function namespaceChecks({ hosts, target }: Sections, registries: readonly RegistryPart[]): Problem[] {
  if (target === undefined) return [];
  const problems: Problem[] = registries.flatMap(({ index, fields }) =>
    fields?.exportTo.includes(".") && fields.exportTo.includes(target.namespace)
      ? [
          {
            path: ["registries", index, "exportTo"],
            message: `names one namespace twice: "." is "${target.namespace}"`,
          },
        ]
      : [],
  );
  const suffix = hosts === undefined ? undefined : literalSuffix(hosts.template);
  if (suffix !== undefined && `.${suffix}`.endsWith(`.${target.clusterDomain}`)) {
    problems.push({
      path: ["hosts", "template"],
      message: `must not end with the cluster's own domain ${target.clusterDomain}`,
    });
  }
  return problems;
}

function loops({ dns }: Sections): Problem[] {
  if (dns === undefined) return [];
  const toUs = (upstream: SocketAddress) => dns.listen.some((own) => reaches(upstream, own));
  const message = "leads back to our own dns.listen";
  return [
    ...dns.forward.flatMap((upstream, index) => (toUs(upstream) ? [{ path: ["dns", "forward", index], message }] : [])),
    ...(dns.zones ?? []).flatMap(({ forward }, zone) =>
      forward.flatMap((upstream, index) =>
        toUs(upstream) ? [{ path: ["dns", "zones", zone, "forward", index], message }] : [],
      ),
    ),
  ];
}

/** Whether a question to `upstream` arrives at `own`: a wildcard listens on, and a question to it goes to, every loopback address. */
function reaches(upstream: SocketAddress, own: SocketAddress): boolean {
  if (upstream.port !== own.port) return false;
  if (upstream.address === own.address) return true;
  const local = ({ address }: SocketAddress) => isWildcard(address) || address === "::1" || address.startsWith("127.");
  return (isWildcard(own.address) && local(upstream)) || (isWildcard(upstream.address) && local(own));
}

function isWildcard(address: string): boolean {
  return address === "0.0.0.0" || address === "::";
}
