import { type Service, type ServiceKey, serviceKey } from "../../src/model/service.ts";
import type { Effect } from "./effects.ts";
import { NAMES, NAMESPACE, type Registry } from "./registry.ts";
import type { Step } from "./steps.ts";

/** What registries do with names and by degrees: each gives what it came to, or nothing where nothing was there for it. */
export const MOVES = {
  /** Half of the endpoints go, as an autoscaler takes them. */
  halve({ n }: Step, registry: Registry): Effect | undefined {
    const service = listed(registry, n);
    if (service === undefined || service.endpoints.length < 2) return undefined;
    const left = service.endpoints.slice(0, Math.ceil(service.endpoints.length / 2));
    registry.set(service.name, { ...service, endpoints: left });
    return "a service loses half of its endpoints";
  },

  /** The same service by another name, with its endpoints and legacy names. */
  rename({ n, m }: Step, registry: Registry, heirs: Set<ServiceKey>): Effect | undefined {
    const service = listed(registry, n);
    const free = NAMES.filter((name) => !registry.services.has(name));
    const name = free[m % Math.max(1, free.length)];
    if (service === undefined || name === undefined) return undefined;
    registry.set(name, { ...service, name });
    heirs.add(serviceKey(registry.name, NAMESPACE, name));
    registry.set(service.name, undefined);
    return "a service goes by another name";
  },

  /** A legacy name moves to another service, perhaps of the other registry; or two swap theirs; or both have it. */
  moveName({ n, m }: Step, registry: Registry, other: Registry, heirs: Set<ServiceKey>): Effect | undefined {
    const to = m % 4 === 3 ? other : registry;
    const from = listed(registry, n, ({ legacyNames }) => legacyNames.length > 0);
    const heir = listed(to, m, (one) => one !== from);
    if (from === undefined || heir === undefined) return undefined;
    for (const { registry: of, name } of [from, heir]) heirs.add(serviceKey(of, NAMESPACE, name));
    const how = m % 3;
    const own = how === 0 ? [] : how === 1 ? heir.legacyNames : from.legacyNames;
    registry.set(from.name, { ...from, legacyNames: own });
    to.set(heir.name, { ...heir, legacyNames: from.legacyNames });
    if (how === 0) return "a legacy name moves to another service";
    return how === 1 ? "two services swap their legacy names" : "two services claim one legacy name";
  },

  /** A registry that compares names without case writes one in other letters. */
  spelling({ n }: Step, registry: Registry): Effect | undefined {
    const service = listed(registry, n);
    if (service === undefined || registry.spelt === undefined) return undefined;
    const { name } = service;
    if (!registry.spelt.delete(name)) registry.spelt.set(name, name.toUpperCase());
    registry.set(name, service);
    return "a service is written in other letters";
  },
} as const;

function listed(
  { services }: Registry,
  n: number,
  fits: (service: Service) => boolean = () => true,
): Service | undefined {
  const fitting = [...services.values()].filter(fits);
  return fitting[n % Math.max(1, fitting.length)];
}
