import { isPort } from "../../../src/istio/limits.ts";
import type { ServicePort } from "../../../src/model/service.ts";
import { protocolName } from "../../shapes/protocol.ts";
import type { Instance } from "./instance.ts";

/** A port of the service and all instances that answer on it, used ones and others. */
export interface PortGroup {
  readonly port: ServicePort;
  readonly instances: readonly Instance[];
}

interface Candidate {
  readonly name: string;
  readonly istio: string;
  readonly instances: Instance[];
}

/** Anyone who registers an instance can state a protocol of his own, and every endpoint is written with all ports. */
const MOST_PORTS = 32;

/**
 * The ports that a service has in the mesh, by name: one for each protocol.
 *
 * @param fallback what the operator says of protocols that nobody states
 *
 * Istio takes every endpoint of a service to answer on every port of it. So besides the port that most hosts have, another
 * stays only if at least half of them have it too; the others are then left out by who makes the endpoints.
 */
export function settlePorts(
  instances: readonly Instance[],
  fallback: string | undefined,
  notes: Set<string>,
): readonly PortGroup[] {
  const taken = new Set<number>();
  const groups: PortGroup[] = [];
  const whole = wholeHosts();
  for (const candidate of byHosts(grouped(instances, fallback ?? "TCP", notes))) {
    const numbers = [...new Set(candidate.instances.map(({ port }) => port))].sort((a, b) => a - b);
    const number = numbers.find((one) => !taken.has(one));
    const [main] = groups;
    const why =
      number === undefined
        ? `its number ${numbers[0]} is that of another protocol`
        : main === undefined || groups.length >= MOST_PORTS
          ? undefined
          : whole.without(candidate, main);
    if (why !== undefined || number === undefined || groups.length >= MOST_PORTS) {
      notes.add(`port ${candidate.name} is dropped: ${why ?? `a service has at most ${MOST_PORTS} ports`}`);
      continue;
    }
    taken.add(number);
    whole.add(candidate);
    const port: ServicePort = { name: candidate.name, number, protocol: candidate.istio, observed: true };
    groups.push({ port, instances: candidate.instances });
  }
  return groups.sort((a, b) => (a.port.name < b.port.name ? -1 : 1)); // an order that no count of hosts moves
}

function grouped(instances: readonly Instance[], fallback: string, notes: Set<string>): readonly Candidate[] {
  const candidates = new Map<string, Candidate>();
  const put = (name: string, istio: string, instance: Instance) => {
    const known = candidates.get(name);
    if (known === undefined) candidates.set(name, { name, istio, instances: [instance] });
    else known.instances.push(instance);
  };
  const withPort = instances.filter(({ port }) => isPort(port));
  for (const instance of withPort)
    if (instance.protocol !== undefined) put(instance.protocol.name, instance.protocol.istio, instance);
  const stated = byHosts([...candidates.values()]).map(({ name, istio, instances: ones }) => ({
    name,
    istio,
    numbers: new Set(ones.map(({ port }) => port)),
  }));
  const [only] = stated.length === 1 ? stated : [];
  for (const instance of withPort.filter(({ protocol }) => protocol === undefined)) {
    const like = stated.find(({ numbers }) => numbers.has(instance.port)) ?? only;
    if (like !== undefined) notes.add(`instances that state no protocol are taken for ${like.name}, as others state`);
    put(like?.name ?? protocolName(fallback), like?.istio ?? fallback, instance);
  }
  return [...candidates.values()];
}

/** Protocols of which nothing can be used come last, else the one of the most hosts comes first. */
function byHosts(candidates: readonly Candidate[]): readonly Candidate[] {
  const counted = candidates.map((candidate) => ({
    candidate,
    hosts: hostsOf(candidate.instances).size,
    used: hostsOf(usable(candidate.instances)).size,
  }));
  counted.sort(
    (a, b) =>
      Math.sign(b.used) - Math.sign(a.used) ||
      b.hosts - a.hosts ||
      b.used - a.used ||
      (a.candidate.name < b.candidate.name ? -1 : 1),
  );
  return counted.map(({ candidate }) => candidate);
}

function hostsOf(instances: readonly Instance[]): ReadonlySet<string> {
  return new Set(instances.map(({ address }) => address));
}

function usable(instances: readonly Instance[]): readonly Instance[] {
  return instances.filter(({ out }) => out === undefined);
}

type Pick = (instances: readonly Instance[]) => readonly Instance[];

/** The hosts that have all ports which are kept, kept up to date so that many ports cost no more than their instances. */
function wholeHosts() {
  const picks: readonly { readonly what: string; readonly pick: Pick }[] = [
    { what: "hosts", pick: (instances) => instances },
    { what: "usable hosts", pick: usable },
  ];
  let kept: readonly ReadonlySet<string>[] | undefined;
  return {
    add({ instances }: Candidate): void {
      const own = picks.map(({ pick }) => hostsOf(pick(instances)));
      kept = kept?.map((hosts, at) => both(hosts, own[at] ?? hosts)) ?? own;
    },
    /** Why a port is not kept; `undefined` when it is. */
    without({ instances }: Candidate, main: PortGroup): string | undefined {
      for (const [at, { what, pick }] of picks.entries()) {
        const all = hostsOf(pick(main.instances)).size;
        const whole = both(hostsOf(pick(instances)), kept?.[at] ?? new Set()).size;
        if (whole * 2 < all) return `${whole} of ${all} ${what} with ${main.port.name} have it`;
      }
      return undefined;
    },
  };
}

function both(one: ReadonlySet<string>, other: ReadonlySet<string>): ReadonlySet<string> {
  return new Set([...one].filter((host) => other.has(host)));
}
