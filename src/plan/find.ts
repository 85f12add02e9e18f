import { addressAndPort, addressText } from "../istio/address.ts";
import { canonical } from "../istio/addresses.ts";
import { asciiName } from "../istio/host-names.ts";
import { NAMES_ANNOTATION } from "../model/objects.ts";
import { ownPort, type ServiceKey } from "../model/service.ts";
import type { StandingObject } from "../model/standing.ts";
import type { CatalogService } from "./catalog/catalog.ts";
import type { Decision } from "./decision.ts";
import { readNames } from "./names/names-annotation.ts";
import { isExposure } from "./standing.ts";

/** One service that a name leads to, and what the name is of it: `a legacy name`, `the VIP`. */
export interface Match {
  readonly key: ServiceKey;
  readonly as: string;
}

/** Every service that `text` may mean: a service, host, legacy name, alias, VIP, endpoint address, or another name that its registry has for it. */
export function findServices(text: string, decision: Decision, clusterDomain: string): readonly Match[] {
  const { catalog, standing } = decision;
  const name = text.replace(/\.$/, "");
  const ascii = asciiName(name);
  const lower = ascii.toLowerCase().replace(/^(\d+):(\d+)$/, "$1.$2");
  const keys = new Set([
    ...catalog.services.keys(),
    ...decision.undemanded.keys(),
    ...decision.beyond.keys(),
    ...catalog.failed.keys(),
    ...standing.entries.keys(),
    ...standing.premadeOf.keys(),
  ]);
  return [...keys].flatMap((key) => {
    const as = meaningOf(key, name, lower, decision, clusterDomain);
    return as === undefined ? [] : [{ key, as }];
  });
}

/** What `name` is of the service, or `undefined`. The first of several meanings counts. */
function meaningOf(
  key: ServiceKey,
  name: string,
  lower: string,
  decision: Decision,
  clusterDomain: string,
): string | undefined {
  const { catalog, naming, standing, ledger } = decision;
  const names = naming.services.get(key);
  const entry = standing.entries.get(key)?.manifest;
  const host = names?.host ?? entry?.spec.hosts[0];
  const legacy = [
    ...(names?.legacyNames ?? []).map((one) => one.name),
    ...readNames(entry?.metadata.annotations?.[NAMES_ANNOTATION]),
  ];
  const ownAliases = (standing.byService.get(key) ?? []).filter(({ manifest }) => manifest.kind === "Service");
  const aliases = [...(names?.aliases ?? []), ...ownAliases.map(({ manifest }) => manifest.metadata)];
  const vips = [
    ...(entry?.spec.addresses ?? []),
    ...(standing.entries.get(key)?.statusAddresses ?? []),
    ...(ledger?.vips.get(host ?? "") ?? []),
  ];
  const service = key.slice(key.indexOf("/") + 1);
  if (key === name) return "a service";
  if (host === lower) return "the host";
  if (legacy.includes(lower)) return "a legacy name";
  if (aliases.some((alias) => aliasForms(alias, clusterDomain).includes(lower))) return "an alias";
  const address = canonical(name) ?? name;
  if (vips.some((vip) => (canonical(vip) ?? vip) === address)) return "the VIP";
  if ((standing.byService.get(key) ?? []).some((object) => exposedHosts(object).includes(lower)))
    return "an exposed host";
  const filled = (standing.premadeOf.get(key) ?? []).flatMap(({ manifest: { spec } }) => [
    ...spec.hosts.map((one) => one.toLowerCase()),
    ...(spec.addresses ?? []),
  ]);
  if (filled.includes(lower)) return "a name on an entry written by hand";
  const called = [service, service.slice(service.indexOf("/") + 1)].map((one) => one.toLowerCase());
  if (called.includes(name.toLowerCase())) return "the service name";
  const known = catalog.services.get(key) ?? decision.undemanded.get(key);
  if ((known?.aliases ?? []).some((one) => [one.name, `${one.namespace}/${one.name}`].includes(name)))
    return "a name that its registry's clients ask for";
  const places = [
    ...endpointPlaces(catalog.services.get(key)),
    ...(entry?.spec.endpoints ?? []).map(({ address }) => addressText(address)),
  ];
  return places.includes(address) || places.includes(lower) ? "an endpoint" : undefined;
}

/** Hosts by which a gateway's callers reach a service. */
function exposedHosts(object: StandingObject): readonly string[] {
  const { manifest } = object;
  if (manifest.kind === "HTTPRoute") return manifest.spec.hostnames;
  return manifest.kind === "VirtualService" && isExposure(object) ? manifest.spec.hosts : [];
}

function aliasForms(
  { namespace, name }: { readonly namespace: string; readonly name: string },
  clusterDomain: string,
): readonly string[] {
  return [
    `${namespace}/${name}`,
    `${name}.${namespace}`,
    `${name}.${namespace}.svc`,
    `${name}.${namespace}.svc.${clusterDomain}`,
  ];
}

/** Addresses with and without port, of endpoints that are used and of those left out. */
function endpointPlaces(service: CatalogService | undefined): readonly string[] {
  const used = (service?.endpoints ?? []).flatMap(({ address, ports }) => {
    const numbers = (service?.ports ?? []).map(
      (port) => ownPort({ ports }, port.name) ?? port.targetPort ?? port.number,
    );
    return [addressText(address), ...numbers.map((number) => addressAndPort(address, number))];
  });
  const out = (service?.leftOut ?? []).flatMap(({ address }) => [
    address,
    address.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1"),
  ]);
  return [...used, ...out];
}
