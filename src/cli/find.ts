import type { Computation } from "../controller/compute.ts";
import { NAMES_ANNOTATION, objectKey } from "../model/objects.ts";
import type { ServiceKey } from "../model/service.ts";
import { readNames } from "../plan/names.ts";

/** One service that a name leads to, and what the name is of it: `a legacy name`, `the VIP`. */
export interface Match {
  readonly key: ServiceKey;
  readonly as: string;
}

/** Every service that `text` may mean: a service, host, legacy name, alias, VIP or endpoint address. */
export function findServices(
  text: string,
  { catalog, naming, standing, ledger }: Computation,
  clusterDomain: string,
): readonly Match[] {
  const name = text.replace(/\.$/, "");
  const lower = name.toLowerCase().replace(/^(\d+):(\d+)$/, "$1.$2");
  const matches = new Map<ServiceKey, string>();
  const add = (key: ServiceKey, as: string) => {
    if (!matches.has(key)) matches.set(key, as);
  };
  for (const key of new Set([...catalog.services.keys(), ...catalog.failed.keys(), ...standing.entries.keys()])) {
    const [, namespace = "", ...rest] = key.split("/");
    const service = rest.join("/");
    const names = naming.services.get(key);
    const entry = standing.entries.get(key)?.manifest;
    const host = names?.host ?? entry?.spec.hosts[0];
    const legacy = new Set([
      ...(names?.legacyNames ?? []).map((one) => one.name),
      ...readNames(entry?.metadata.annotations?.[NAMES_ANNOTATION]),
    ]);
    const aliases = [
      ...(names?.aliases ?? []),
      ...(standing.byService.get(key) ?? [])
        .filter(({ manifest }) => manifest.kind === "Service")
        .map(({ manifest }) => manifest.metadata),
    ];
    if (key === name) add(key, "a service");
    else if (host === lower) add(key, "the host");
    else if (legacy.has(lower)) add(key, "a legacy name");
    else if (aliases.some((alias) => aliasForms(alias, clusterDomain).includes(lower))) add(key, "an alias");
    else if (
      [...(entry?.spec.addresses ?? []), ...(host === undefined ? [] : (ledger?.vips.get(host) ?? []))].includes(name)
    )
      add(key, "the VIP");
    else if (service === name || `${namespace}/${service}` === name) add(key, "the service name");
    else {
      const endpoint =
        findEndpoint(name, catalog.services.get(key)) ??
        (entry?.spec.endpoints ?? []).some(({ address }) => address === name);
      if (endpoint !== false) add(key, "an endpoint");
    }
  }
  return [...matches].map(([key, as]) => ({ key, as }));
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
    objectKey("service", namespace, name),
  ];
}

function findEndpoint(
  text: string,
  service:
    | {
        endpoints: readonly { address: string; ports?: Readonly<Record<string, number>> }[];
        leftOut: readonly { address: string }[];
        ports: readonly { number: number; name: string; targetPort?: number }[];
      }
    | undefined,
): true | undefined {
  for (const { address, ports } of service?.endpoints ?? []) {
    if (address === text) return true;
    const numbers = (service?.ports ?? []).map((port) => ports?.[port.name] ?? port.targetPort ?? port.number);
    if (numbers.some((number) => `${address}:${number}` === text || `[${address}]:${number}` === text)) return true;
  }
  return service?.leftOut.some(
    ({ address }) => address === text || address.startsWith(`${text}:`) || address.startsWith(`[${text}]:`),
  )
    ? true
    : undefined;
}
