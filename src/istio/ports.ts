import type { EntryPort } from "../model/objects.ts";
import type { ServicePort } from "../model/service.ts";

/** Protocols that Istio routes by Host header. */
const HTTP_FAMILY: ReadonlySet<string> = new Set(["HTTP", "HTTP2", "GRPC", "GRPC-WEB"]);

export function isHttp(protocol: string): boolean {
  return HTTP_FAMILY.has(protocol);
}

/**
 * A service's port as it stands on the entry: named by protocol, `<protocol>-<name>`, unless its name says so already, so
 * that the alias Service, where Istio reads the protocol from the name, says the same.
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

/** Whether Aeraki routes it: Aeraki goes by a port's name alone (aeraki internal/model/protocol/instance.go). */
export function isMetaProtocol(port: EntryPort): boolean {
  return port.name.startsWith("tcp-metaprotocol-");
}

/** The protocol as people write it: `http`, `grpc`, `metaprotocol-dubbo`. */
export function protocolOf(port: EntryPort): string {
  const meta = /^tcp-(metaprotocol-[a-z0-9]+)/.exec(port.name);
  return meta?.[1] ?? port.protocol.toLowerCase();
}
