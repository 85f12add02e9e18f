import type { EntryPort } from "../model/objects.ts";
import type { ServicePort } from "../model/service.ts";

/** Protocols that Istio routes by Host header. */
const HTTP_FAMILY: ReadonlySet<string> = new Set(["HTTP", "HTTP2", "GRPC", "GRPC-WEB"]);

export function isHttp(protocol: string): boolean {
  return HTTP_FAMILY.has(protocol);
}

/**
 * A service's port as it stands on the entry: named by protocol, `<protocol>-<name>`, unless its name says so already: on the alias Service
 * Istio reads the protocol from the name.
 *
 * @see istio/istio pkg/config/kube/conversion.go; Aeraki expects `tcp-metaprotocol-<protocol>-…`
 */
export function entryPort(port: ServicePort): EntryPort {
  const metaProtocol = port.protocol.startsWith("metaprotocol-");
  const prefix = metaProtocol ? `tcp-${port.protocol}` : port.protocol.toLowerCase().replaceAll("_", "-");
  const named = port.name === prefix || port.name.startsWith(`${prefix}-`) ? port.name : `${prefix}-${port.name}`;
  return {
    // An endpoint's port names must be shorter than 63 characters, as Istio's CRD has it.
    name: named.slice(0, 62).replace(/-+$/, ""),
    number: port.number,
    protocol: metaProtocol ? "TCP" : port.protocol,
    ...(port.targetPort === undefined || port.targetPort === port.number ? {} : { targetPort: port.targetPort }),
  };
}

/**
 * The port's name on an alias. That of a TCP port says nothing but that: what stands in it is taken for a protocol by Aeraki, which would write a
 * filter for the port on every proxy, and a name of `tcp` alone is a finding of `istioctl analyze` (IST0150).
 */
export function aliasPortName({ name, number, protocol }: EntryPort): string {
  return protocol === "TCP" ? `tcp-p${number}` : name;
}

/** Whether Aeraki routes it: Aeraki goes by a port's name alone (aeraki internal/model/protocol/instance.go). */
export function isMetaProtocol(port: EntryPort): boolean {
  return port.name.startsWith("tcp-metaprotocol-");
}

/** The protocol as people write it: `http`, `grpc`, `metaprotocol-dubbo`. */
export function protocolOf(port: EntryPort): string {
  const meta = /^tcp-(metaprotocol-[a-z0-9]+)/.exec(port.name);
  return meta?.[1] ?? port.protocol.toLowerCase();
}
