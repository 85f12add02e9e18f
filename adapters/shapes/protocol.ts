import { isPortName, protocolOf } from "../../src/istio/limits.ts";
import { shorten } from "../text.ts";

/** A protocol as a registrant states it, as the model has it; `undefined` when none is stated, or with a note none that Istio knows. */
export function statedProtocol(stated: string | undefined, of: string, notes: string[]): string | undefined {
  if (stated === undefined || stated.trim() === "") return undefined;
  const protocol = protocolOf(stated);
  if (protocol === undefined) notes.push(`protocol ${shorten(stated)}${of} is not known to Istio: TCP`);
  return protocol;
}

/** The same of a port that has a name: `protocol_<name>` in the metadata. What Istio does not know is TCP. */
export function protocolOfPort(
  name: string,
  meta: Readonly<Record<string, string>>,
  notes: string[],
): string | undefined {
  const stated = Object.hasOwn(meta, `protocol_${name}`) ? meta[`protocol_${name}`] : undefined;
  if (stated === undefined || stated.trim() === "") return undefined;
  return statedProtocol(stated, ` of port ${name}`, notes) ?? "TCP";
}

/** What a port is called that has no other name than its protocol's: `http`, `grpc-web`, `dubbo`. */
export function protocolName(protocol: string): string {
  return portNameOf(protocol.replace(/^metaprotocol-/, "")) ?? "tcp";
}

/** A text of a registrant as the name of a port, with room for the prefix that says the protocol; `undefined` when it can be none. */
export function portNameOf(text: string): string | undefined {
  const name = text.trim().toLowerCase().replaceAll("_", "-");
  return name.length <= 30 && isPortName(name) ? name : undefined;
}
