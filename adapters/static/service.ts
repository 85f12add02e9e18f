import { addressAndPort } from "../../src/istio/address.ts";
import { droppedLabel } from "../../src/istio/labels.ts";
import { type Endpoint, type LeftOut, ownPort, type Service, type ServicePort } from "../../src/model/service.ts";
import { endpointOf } from "../mapping.ts";
import { few } from "../text.ts";
import type { EndpointForm, ItemForm } from "./schema.ts";

const MOST_NOTES = 20;

/** Where a service and its endpoints stand: `services.yaml:12`. */
export interface Places {
  readonly service: string;
  endpoint(index: number): string;
}

/** The service that a valid item describes. Endpoints keep the order of the file. */
export function toService(
  item: ItemForm,
  key: { readonly registry: string; readonly namespace: string },
  places: Places,
): Service {
  const ports = item.ports.map(toPort);
  const endpoints = new Map<string, { readonly endpoint: Endpoint; readonly index: number }>();
  const leftOut: LeftOut[] = [];
  const notes = new Set<string>();
  for (const [index, form] of item.endpoints.entries()) {
    const endpoint = toEndpoint(form, ports, notes);
    const same = JSON.stringify([endpoint.address, Object.entries(endpoint.ports ?? {}).sort()]);
    const why = whyOut(form, index, endpoints.get(same)?.index, places);
    if (why === undefined) endpoints.set(same, { endpoint, index });
    else leftOut.push({ address: shownAddress(endpoint, ports), ...why });
  }
  return {
    registry: key.registry,
    namespace: key.namespace,
    name: item.name,
    ports,
    endpoints: [...endpoints.values()].map(({ endpoint }) => endpoint),
    leftOut,
    metadata: item.metadata ?? {},
    legacyNames: item.legacyNames ?? [],
    source: places.service,
    notes: few([...notes], MOST_NOTES, (rest) => `${rest} further labels are dropped`),
  };
}

/** The port number of an endpoint, in Istio's order: its own, else the service's target port, else the number. */
export function portOf(endpoint: Endpoint, port: ServicePort): number {
  return ownPort(endpoint, port.name) ?? port.targetPort ?? port.number;
}

/** An endpoint as people know it: its address and its first port. */
export function shownAddress(endpoint: Endpoint, ports: readonly ServicePort[]): string {
  const [first] = ports;
  return first === undefined ? endpoint.address : addressAndPort(endpoint.address, portOf(endpoint, first));
}

function whyOut(
  form: EndpointForm,
  index: number,
  twin: number | undefined,
  places: Places,
): Omit<LeftOut, "address"> | undefined {
  const place = places.endpoint(index);
  if (form.enabled === false) return { kind: "disabled", reason: `disabled in ${place}` };
  // Istio reads weight 0 as 1.
  if (form.weight === 0) return { kind: "weight", reason: `weight 0 in ${place}` };
  if (twin === undefined) return undefined;
  return { kind: "duplicate", reason: `in ${place} again, as in ${places.endpoint(twin)}` };
}

function toPort({ name, number, protocol, targetPort }: ItemForm["ports"][number]): ServicePort {
  return { name, number, protocol, ...(targetPort === undefined || targetPort === number ? {} : { targetPort }) };
}

function toEndpoint(form: EndpointForm, ports: readonly ServicePort[], notes: Set<string>): Endpoint {
  const { address, weight, region, zone, subzone } = form;
  const overrides = ports.flatMap((port): [string, number][] => {
    const number = ownPort(form, port.name);
    return number === undefined || number === portOf({ address }, port) ? [] : [[port.name, number]];
  });
  const labels = usableLabels(form.labels ?? {}, notes);
  return endpointOf(address, {
    ports: overrides.length === 0 ? undefined : Object.fromEntries(overrides),
    weight,
    labels: labels.length === 0 ? undefined : Object.fromEntries(labels),
    region,
    zone,
    subzone,
  });
}

function usableLabels(labels: Readonly<Record<string, string>>, notes: Set<string>): [string, string][] {
  return Object.entries(labels).filter(([key, value]) => {
    const why = droppedLabel(key, value);
    if (why !== undefined) notes.add(`label ${key}: ${value} is dropped: ${why}`);
    return why === undefined;
  });
}
