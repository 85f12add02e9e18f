import { OWNER_LABEL } from "./objects.ts";
import { type ServiceKey, serviceKey } from "./service.ts";

/** Names the namespace of the service that a ServiceEntry written by hand is to be filled from (aeraki-mesh/polaris2istio). */
export const PREMADE_NAMESPACE_ANNOTATION = "aeraki.net/polarisNamespace";
/** Names that service. */
export const PREMADE_SERVICE_ANNOTATION = "aeraki.net/polarisService";
/** Names a registry of the configuration, or with `polaris` the only one of that kind. */
export const PREMADE_REGISTRY_LABEL = "registry";

const POLARIS = "polaris";
/** Printable; a slash would part a service's key elsewhere. */
const NAMESPACE = /^[^\p{C}\p{Zl}\p{Zp}/]{1,253}$/u;
const NAME = /^[^\p{C}\p{Zl}\p{Zp}]{1,253}$/u;

/** Where entries written by hand count, and which registry each is filled from. */
export interface PremadeRule {
  /** An entry that carries the owner label belongs to that installation only. */
  readonly owner: string;
  /** The first is the one where our own entries stand. */
  readonly namespaces: ReadonlySet<string>;
  readonly registries: readonly {
    readonly name: string;
    readonly kind: string;
    /** Whom its own entries are exported to: nobody else is to learn its endpoints by an entry written by hand. */
    readonly exportTo: readonly string[];
  }[];
  /** Registries whose services are joined: the first stands for all. */
  readonly merge: readonly string[];
}

/** What the author of an entry asks for. */
export interface PremadeRequest {
  /** `undefined` when no registry can be told: `fault` says why. */
  readonly service: ServiceKey | undefined;
  readonly registry: string;
  readonly fault?: string;
  /** It stands beside aliases, where others than the operator may write. */
  readonly isApart?: true;
}

/** What an entry's annotations ask for, or `undefined` when they ask for nothing here. */
export function premadeRequest(
  { namespace, labels, annotations }: AskingEntry,
  { owner, namespaces, registries, merge }: PremadeRule,
): PremadeRequest | undefined {
  const from = annotations?.[PREMADE_NAMESPACE_ANNOTATION];
  const name = annotations?.[PREMADE_SERVICE_ANNOTATION];
  if (!from || !name || !namespaces.has(namespace) || (labels?.[OWNER_LABEL] ?? owner) !== owner) return undefined;
  if (!NAMESPACE.test(from) || !NAME.test(name))
    return { service: undefined, registry: "", fault: "its annotations name no service that a registry could have" };
  const found = registryOf(labels?.[PREMADE_REGISTRY_LABEL], registries);
  if ("fault" in found) return { service: undefined, registry: "", fault: found.fault };
  const [first = found.registry] = merge;
  const registry = merge.includes(found.registry) ? first : found.registry;
  const [home] = namespaces;
  const exportTo = registries.find((one) => one.name === registry)?.exportTo ?? [];
  if (namespace !== home && !exportTo.includes("*") && !exportTo.includes(namespace))
    return {
      service: undefined,
      registry: "",
      fault: `registry ${registry} is not exported to namespace ${namespace}`,
    };
  return { service: serviceKey(registry, from, name), registry, ...(namespace === home ? {} : { isApart: true }) };
}

interface AskingEntry {
  readonly namespace: string;
  readonly labels?: Readonly<Record<string, string>> | null | undefined;
  readonly annotations?: Readonly<Record<string, string>> | null | undefined;
}

function registryOf(
  label: string | undefined,
  registries: PremadeRule["registries"],
): { readonly registry: string } | { readonly fault: string } {
  if (label !== undefined && registries.some(({ name }) => name === label)) return { registry: label };
  if (label !== undefined && label !== POLARIS)
    return { fault: `its label ${PREMADE_REGISTRY_LABEL} says ${label}, which is no configured registry` };
  const [only, ...more] = registries.filter(({ kind }) => kind === POLARIS);
  if (only === undefined)
    return { fault: `no registry of kind ${POLARIS} is configured; label ${PREMADE_REGISTRY_LABEL} can name another` };
  if (more.length === 0) return { registry: only.name };
  const names = [only, ...more].map(({ name }) => name).join(", ");
  return { fault: `it may mean any of the registries ${names}: name one by its label ${PREMADE_REGISTRY_LABEL}` };
}
