import type { EntryPort, ServiceEntry } from "../model/objects.ts";
import { type Endpoint, ownPort, type ServicePort } from "../model/service.ts";
import type { CatalogService } from "./merge.ts";
import { entryPort } from "./ports.ts";

/** What was settled before, by the service as its registry gave it; the caller keeps it from pass to pass. */
export type SettleMemo = WeakMap<CatalogService, { readonly numbers: string; readonly settled: CatalogService }>;

/**
 * The service with the port numbers of its standing entry where nobody configured them, so that an instance that comes or
 * goes never moves a port that callers use. Its endpoints go on answering where they do.
 */
export function settlePorts(
  service: CatalogService,
  entry: ServiceEntry | undefined,
  memo: SettleMemo = new WeakMap(),
): CatalogService {
  if (entry === undefined || !service.ports.some(({ observed }) => observed === true)) return service;
  const ports = service.ports.map((port) => ({ ...port, number: numberOf(port, service.ports, entry.spec.ports) }));
  const isUnique = new Set(ports.map(({ number }) => number)).size === ports.length;
  if (!isUnique || ports.every(({ number }, at) => number === service.ports[at]?.number)) return service;
  const numbers = ports.map(({ number }) => number).join();
  const known = memo.get(service);
  if (known?.numbers === numbers) return known.settled;
  const endpoints = service.endpoints.map((endpoint) => onPorts(endpoint, service.ports, ports));
  const settled = { ...service, ports, endpoints };
  memo.set(service, { numbers, settled });
  return settled;
}

function numberOf(port: ServicePort, all: readonly ServicePort[], standing: readonly EntryPort[]): number {
  if (port.observed !== true) return port.number;
  // An only port stays the same port also when its protocol, and with it its name on the entry, changes.
  const [only] = all.length === 1 && standing.length === 1 ? standing : [];
  return (standing.find(({ name }) => name === entryPort(port).name) ?? only)?.number ?? port.number;
}

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
