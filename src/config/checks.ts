import { covers, overlaps } from "../istio/ranges.ts";
import type { SocketAddress } from "./config.ts";
import type { Problem } from "./document.ts";
import { exposureChecks } from "./exposures.ts";
import { literalSuffix } from "./fields.ts";
import { migrationChecks } from "./migration.ts";
import type { RegistryRead, SectionsRead } from "./written.ts";

/** What is wrong between sections that are right in themselves. */
export function crossChecks(sections: SectionsRead, registries: readonly RegistryRead[]): Problem[] {
  const names = new Set(registries.map(({ name }) => name));
  return [
    ...duplicateNames(registries),
    ...unknownNames(sections, names),
    ...exposureChecks(sections, registries),
    ...migrationChecks(sections, registries),
    ...vipChecks(sections),
    ...registryRangeChecks(sections, registries),
    ...endpointChecks(sections, registries),
    ...demandChecks(sections, registries),
    ...tokenChecks(sections),
    ...namespaceChecks(sections, registries),
    ...loops(sections),
  ];
}

function duplicateNames(registries: readonly RegistryRead[]): Problem[] {
  const repeated = registries.filter(
    ({ name }, index) => name !== undefined && registries.findIndex((other) => other.name === name) < index,
  );
  return repeated.map(({ index, name }) => ({
    path: ["registries", index, "name"],
    message: `"${name}" is the name of another registry`,
  }));
}

function unknownNames({ aliases = [], merge = [] }: SectionsRead, names: ReadonlySet<string | undefined>): Problem[] {
  const message = (name: string) => `no registry is named "${name}"`;
  return [
    ...aliases.flatMap(({ registry }, index) =>
      names.has(registry) ? [] : [{ path: ["aliases", index, "registry"], message: message(registry) }],
    ),
    ...merge.flatMap((name, index) => (names.has(name) ? [] : [{ path: ["merge", index], message: message(name) }])),
  ];
}

function vipChecks({ vips, dns, target }: SectionsRead): Problem[] {
  const problems: Problem[] = [];
  if (vips !== undefined && dns !== undefined && vips.quarantineMs < dns.ttlSeconds * 1000) {
    problems.push({
      path: ["vips", "quarantine"],
      message: "must be at least dns.ttl, or a cached answer could lead to another service",
    });
  }
  if (vips?.mode === "ledger" && vips.families !== undefined) {
    problems.push({
      path: ["vips", "families"],
      message: "is valid with mode istio only: here the ranges determine the families",
    });
  }
  if (vips?.mode === "istio" && target?.kind === "directory") {
    problems.push({
      path: ["vips", "mode"],
      message: "must be ledger with a directory target: Istio allocates addresses only in a cluster",
    });
  }
  return problems;
}

/** VIPs of one registry's own ranges are nobody else's, and of the same families: no service loses one of its VIPs for them. */
function registryRangeChecks({ vips, merge = [] }: SectionsRead, registries: readonly RegistryRead[]): Problem[] {
  const familiesOf = (ranges: readonly string[]) =>
    [...new Set(ranges.map((range) => (range.includes(":") ? "IPv6" : "IPv4")))].sort().join();
  const taken = (vips?.ranges ?? []).map((range) => ({ range, whose: "vips.ranges" }));
  return registries.flatMap(({ index, name, fields }) => {
    const at = ["registries", index, "ranges"];
    const problems: Problem[] = [];
    const later = merge.indexOf(name ?? "") > 0;
    for (const option of ["ranges", "maxServices"] as const)
      if (later && fields?.[option] !== undefined)
        problems.push({
          path: ["registries", index, option],
          message: `of merged registries that of "${merge[0]}" counts`,
        });
    const ranges = fields?.ranges;
    if (ranges === undefined || vips === undefined) return problems;
    if (vips.mode === "istio")
      problems.push({ path: at, message: "is valid with vips.mode ledger only: Istio has its own ranges" });
    ranges.forEach((range, place) => {
      const other = taken.find((one) => overlaps(one.range, range));
      if (other !== undefined)
        problems.push({ path: [...at, place], message: `overlaps ${other.range} of ${other.whose}` });
    });
    taken.push(...ranges.map((range) => ({ range, whose: `registry "${name}"` })));
    if (familiesOf(ranges) !== familiesOf(vips.ranges))
      problems.push({ path: at, message: "must be of the same address families as vips.ranges" });
    return problems;
  });
}

function endpointChecks({ vips }: SectionsRead, registries: readonly RegistryRead[]): Problem[] {
  const all = [...(vips?.ranges ?? []), ...registries.flatMap(({ fields }) => fields?.ranges ?? [])];
  return registries.flatMap(({ index, fields }) =>
    (fields?.endpoints.allow ?? []).flatMap((range, at) => {
      const own = all.find((one) => covers(one, range));
      if (own === undefined) return [];
      const message = `is in ${own}, a range of VIPs: a call to such an endpoint would loop back into the mesh`;
      return [{ path: ["registries", index, "endpoints", "allow", at], message }];
    }),
  );
}

function demandChecks({ merge = [] }: SectionsRead, registries: readonly RegistryRead[]): Problem[] {
  const demandOf = (name: string) => registries.find((one) => one.name === name)?.fields?.demand;
  const [first = "", ...others] = merge;
  const odd = others.filter((name) => (demandOf(name) ?? demandOf(first)) !== (demandOf(first) ?? demandOf(name)));
  return [
    ...odd.map((name) => ({
      path: ["merge", merge.indexOf(name)],
      message: `must have the same demand as "${first}": of a merged service there is one entry or none`,
    })),
  ];
}

function tokenChecks({ http, target }: SectionsRead): Problem[] {
  if (target?.kind !== "directory") return [];
  const message = "is valid with a kubernetes target only: tokens are verified by its cluster";
  return [
    ...(http?.reports?.tokenReview === undefined ? [] : [{ path: ["http", "reports", "tokenReview"], message }]),
    ...(http?.authorization === undefined ? [] : [{ path: ["http", "authorization"], message }]),
  ];
}

function namespaceChecks({ hosts, target }: SectionsRead, registries: readonly RegistryRead[]): Problem[] {
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

function loops({ dns }: SectionsRead): Problem[] {
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
