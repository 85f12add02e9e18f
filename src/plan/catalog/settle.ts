import { entryPort } from "../../istio/ports.ts";
import type { EntryPort, ServiceEntry } from "../../model/objects.ts";
import { type Endpoint, ownPort, type ServicePort } from "../../model/service.ts";
import type { PlanMemory } from "../memory.ts";
import type { CatalogService } from "./catalog.ts";

/**
 * The service with the ports that it is declared to have where neither an instance nor an entry gives any, and with the numbers of its
 * standing entry where nobody configured them, so that an instance that comes or goes never moves a port that callers use. Its endpoints go on answering where they do.
 */
export function settlePorts(
  service: CatalogService,
  entry: ServiceEntry | undefined,
  memory?: Pick<PlanMemory, "settled">,
): CatalogService {
  const isDeclared = entry === undefined && service.ports.length === 0 && service.declaredPorts !== undefined;
  if (!isDeclared && !service.ports.some(({ observed }) => observed === true)) return service;
  const standing = entry?.spec.ports;
  const before = memory?.settled.get(service);
  if (before !== undefined && (before.standing === standing || samePorts(before.standing, standing)))
    return before.settled;
  const settled = isDeclared ? { ...service, ports: service.declaredPorts ?? [] } : settle(service, standing ?? []);
  memory?.settled.set(service, { standing, settled });
  return settled;
}

function settle(service: CatalogService, standing: readonly EntryPort[]): CatalogService {
  const ports = settledPorts(service.ports, standing);
  if (ports.every(({ number }, at) => number === service.ports[at]?.number)) return service;
  return { ...service, ports, endpoints: service.endpoints.map((one) => onPorts(one, service.ports, ports)) };
}

function samePorts(a: readonly EntryPort[] = [], b: readonly EntryPort[] = []): boolean {
  return a.length === b.length && a.every(({ name, number }, at) => name === b[at]?.name && number === b[at]?.number);
}

/** Configured numbers first, then those that stand, then what was seen: a newcomer makes way to the next free number. */
function settledPorts(ports: readonly ServicePort[], standing: readonly EntryPort[]): readonly ServicePort[] {
  const taken = new Set<number>();
  const numbers = new Map<ServicePort, number>();
  const give = (port: ServicePort, number: number | undefined) => {
    if (number === undefined || taken.has(number) || numbers.has(port)) return;
    taken.add(number);
    numbers.set(port, number);
  };
  for (const port of ports) if (port.observed !== true) give(port, port.number);
  for (const port of ports) give(port, standingNumber(port, ports, standing));
  for (const port of ports) give(port, freeFrom(port.number, taken));
  return ports.map((port) => ({ ...port, number: numbers.get(port) ?? port.number }));
}

function standingNumber(
  port: ServicePort,
  all: readonly ServicePort[],
  standing: readonly EntryPort[],
): number | undefined {
  // An only port stays the same port also when its protocol, and with it its name on the entry, changes.
  const [only] = all.length === 1 && standing.length === 1 ? standing : [];
  return (standing.find(({ name }) => name === entryPort(port).name) ?? only)?.number;
}

function freeFrom(number: number, taken: ReadonlySet<number>): number | undefined {
  for (let free = number; free <= MAX_PORT; free++) if (!taken.has(free)) return free;
  for (let free = number; free > 0; free--) if (!taken.has(free)) return free;
  return undefined;
}

const MAX_PORT = 65_535;

function onPorts(
  { ports: overrides = {}, ...endpoint }: Endpoint,
  before: readonly ServicePort[],
  after: readonly ServicePort[],
): Endpoint {
  const ports = { ...overrides };
  for (const [at, port] of before.entries()) {
    const answersOn = ownPort({ ports: overrides }, port.name) ?? port.targetPort ?? port.number;
    if (answersOn === (port.targetPort ?? after[at]?.number)) delete ports[port.name];
    else ports[port.name] = answersOn;
  }
  return Object.keys(ports).length === 0 ? endpoint : { ...endpoint, ports };
}
