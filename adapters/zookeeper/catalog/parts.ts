import type { Judged } from "../mapping/candidate.ts";

/** What was read of one node below the root: an interface, or an application. */
export type Part =
  | {
      readonly state: "ok";
      /** Differs when what was read does. */
      readonly digest: string;
      /** By the services of the mesh that they are of. */
      readonly offers: ReadonlyMap<string, readonly Judged[]>;
      /** How many these are. */
      readonly registrations: number;
      readonly notes: readonly string[];
    }
  | { readonly state: "failed"; readonly cause: unknown };

/** What was read of all nodes, and which of them speak of which service. */
export interface Parts {
  /** By node. */
  readonly all: ReadonlyMap<string, Part>;
  /** Services of which a node spoke when it could be read last. */
  servicesOf(node: string): readonly string[];
  nodesOf(service: string): ReadonlySet<string>;
  /** Of all nodes together. */
  registrations(): number;
  put(node: string, part: Part): void;
  /** These nodes are listed, and no others. */
  retain(nodes: ReadonlySet<string>): void;
  /** A service that is to be made anew, which then is not any more. */
  takeTouched(): string | undefined;
  touch(service: string): void;
  /** Forget what nodes offered of a service, but that they did: it has been made of it. */
  letGo(service: string): void;
}

const NONE: ReadonlySet<string> = new Set();

/** Nothing has been read yet. */
export function createParts(): Parts {
  const all = new Map<string, Part>();
  const services = new Map<string, readonly string[]>();
  const nodes = new Map<string, Set<string>>();
  const touched = new Set<string>();
  let registrations = 0;

  function setServices(node: string, now: readonly string[]): void {
    for (const service of services.get(node) ?? []) {
      const own = nodes.get(service);
      own?.delete(node);
      if (own?.size === 0) nodes.delete(service);
      touched.add(service);
    }
    services.set(node, now);
    for (const service of now) {
      nodes.set(service, (nodes.get(service) ?? new Set()).add(node));
      touched.add(service);
    }
  }

  return {
    all,
    servicesOf: (node) => services.get(node) ?? [],
    nodesOf: (service) => nodes.get(service) ?? NONE,
    registrations: () => registrations,
    put(node, part) {
      registrations += sizeOf(part) - sizeOf(all.get(node));
      all.set(node, part);
      setServices(node, part.state === "ok" ? [...part.offers.keys()] : (services.get(node) ?? []));
    },
    retain(listed) {
      for (const node of all.keys()) {
        if (listed.has(node)) continue;
        registrations -= sizeOf(all.get(node));
        all.delete(node);
        setServices(node, []);
        services.delete(node);
      }
    },
    takeTouched() {
      const [first] = touched;
      if (first !== undefined) touched.delete(first);
      return first;
    },
    touch: (service) => void touched.add(service),
    letGo(service) {
      for (const node of nodes.get(service) ?? []) {
        const part = all.get(node);
        if (part?.state === "ok") all.set(node, { ...part, offers: new Map(part.offers).set(service, []) });
      }
    },
  };
}

function sizeOf(part: Part | undefined): number {
  return part?.state === "ok" ? part.registrations : 0;
}
