import type { EntryEndpoint, ServiceEntry } from "../model/objects.ts";
import { canonical } from "./addresses.ts";
import { isHostName } from "./host-names.ts";
import { isPort, isPortName, MAX_ENDPOINTS, PROTOCOLS } from "./limits.ts";

/** The prefix is a DNS name, of at most 253 characters. */
const LABEL_KEY =
  /^((?=[^/]{1,253}\/)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;
const UPPER_PROTOCOLS: ReadonlySet<string> = new Set(PROTOCOLS.map((protocol) => protocol.toUpperCase()));
const MAX_ENDPOINT_PORTS = 128;
/** etcd refuses requests over 1.5 MiB, 1,572,864 bytes; the API server's and istiod's own additions need room. */
const MAX_BYTES = 1_400_000;
/** More than a label, a port or all else of an endpoint can have, as JSON. */
const MOST = { label: 512, port: 96, rest: 320, localityCharacter: 6, entry: 400_000 };
/** Of all annotations of an object together (apimachinery pkg/api/validation/objectmeta.go). */
const MAX_ANNOTATION_BYTES = 262_144;

/**
 * Why Istio or Kubernetes would refuse this entry or silently drop a part of it, in one sentence; `undefined` when it is
 * fine.
 *
 * @see istio/istio pkg/config/validation/validation.go: the webhook's rules; istio/api's CRD: sizes
 */
export function entryFault(entry: ServiceEntry): string | undefined {
  const { spec } = entry;
  const endpoints = spec.endpoints ?? [];
  if (spec.ports.length === 0) return "it has no port";
  if (spec.ports.length > 256) return `it has ${spec.ports.length} ports, 256 are allowed`;
  if (spec.hosts.length > 256) return `it has ${spec.hosts.length} hosts, 256 are allowed`;
  if (endpoints.length > MAX_ENDPOINTS) return `it has ${endpoints.length} endpoints, ${MAX_ENDPOINTS} are allowed`;
  const fault = portFault(spec) ?? exportFault(spec.exportTo ?? []);
  if (fault !== undefined) return fault;
  const portNames = new Set(spec.ports.map(({ name }) => name));
  for (const endpoint of endpoints) {
    const wrong = addressFault(endpoint, spec) ?? endpointFault(endpoint, portNames);
    if (wrong !== undefined) return `endpoint ${endpoint.address}: ${wrong}`;
  }
  const noted = annotationBytes(entry.metadata.annotations ?? {});
  if (noted > MAX_ANNOTATION_BYTES)
    return `its annotations would have ${noted} bytes, ${MAX_ANNOTATION_BYTES} are allowed: it has too many names`;
  const bytes = mayBeLarge(endpoints) ? storedBytes(entry) : 0;
  return bytes > MAX_BYTES ? `it would have ${bytes} bytes, ${MAX_BYTES} are allowed` : undefined;
}

/** Cheaper than to write it out: nearly every entry is small. */
function mayBeLarge(endpoints: readonly EntryEndpoint[]): boolean {
  let bytes = MOST.entry;
  for (const { labels = {}, ports = {}, locality = "" } of endpoints) {
    bytes += MOST.rest + MOST.label * Object.keys(labels).length + MOST.port * Object.keys(ports).length;
    bytes += MOST.localityCharacter * locality.length;
  }
  return bytes > MAX_BYTES;
}

function annotationBytes(annotations: Readonly<Record<string, string>>): number {
  let bytes = 0;
  for (const [key, value] of Object.entries(annotations)) bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  return bytes;
}

/** As the API server stores it: Go writes some characters as `\u003c`. */
function storedBytes(entry: ServiceEntry): number {
  const text = JSON.stringify(entry);
  return (
    Buffer.byteLength(text) + 5 * (text.match(/[<>&]/g)?.length ?? 0) + 3 * (text.match(/[\u2028\u2029]/g)?.length ?? 0)
  );
}

function portFault({ ports }: ServiceEntry["spec"]): string | undefined {
  const names = new Set<string>();
  const numbers = new Set<number>();
  for (const { name, number, protocol, targetPort } of ports) {
    if (!isPortName(name)) return `port name "${name}" is not a DNS label`;
    if (!isPort(number)) return `port ${name} has number ${number}, 1 to 65535 are allowed`;
    if (targetPort !== undefined && !isPort(targetPort))
      return `port ${name} has target port ${targetPort}, 1 to 65535 are allowed`;
    if (!UPPER_PROTOCOLS.has(protocol)) return `port ${name} has protocol "${protocol}", which Istio does not know`;
    if (names.has(name)) return `two ports are named ${name}`;
    if (numbers.has(number)) return `two ports have the number ${number}`;
    names.add(name);
    numbers.add(number);
  }
  return undefined;
}

function exportFault(exportTo: readonly string[]): string | undefined {
  return new Set(exportTo).size === exportTo.length ? undefined : "exportTo names a namespace twice";
}

function addressFault({ address }: EntryEndpoint, { resolution }: ServiceEntry["spec"]): string | undefined {
  if (canonical(address) !== undefined) return undefined;
  if (resolution === "STATIC") return "it is not an IP address, which a STATIC entry needs";
  return isHostName(address) ? undefined : "it is neither an IP address nor a host name that ends in a dot";
}

function endpointFault(
  { ports, labels, weight, locality }: EntryEndpoint,
  portNames: ReadonlySet<string>,
): string | undefined {
  const overrides = Object.entries(ports ?? {});
  if (overrides.length > MAX_ENDPOINT_PORTS)
    return `it has ${overrides.length} ports of its own, ${MAX_ENDPOINT_PORTS} are allowed`;
  for (const [name, number] of overrides) {
    if (!portNames.has(name)) return `the service has no port ${name}`;
    if (!isPort(number)) return `port ${name} has number ${number}, 1 to 65535 are allowed`;
  }
  for (const [key, value] of Object.entries(labels ?? {})) {
    if (!LABEL_KEY.test(key) || !LABEL_VALUE.test(value))
      return `label ${JSON.stringify(`${key}=${value}`)} is not a Kubernetes label`;
  }
  if (weight !== undefined && !(Number.isInteger(weight) && weight >= 1 && weight <= 0xffffffff))
    return `its weight is ${weight}, 1 to 4294967295 are allowed`;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return locality !== undefined && /[\u0000-\u001f\u007f]/.test(locality)
    ? "its locality has control characters"
    : undefined;
}
