import { isSeen } from "../text.ts";

/** Protocols that Istio's webhook knows (istio.io/api networking/v1 Port.protocol), in lower case. */
export const PROTOCOLS: readonly string[] = [
  "tcp",
  "udp",
  "grpc",
  "grpc-web",
  "http",
  "http_proxy",
  "http2",
  "https",
  "tls",
  "mongo",
  "redis",
  "mysql",
];

// Limits of the ServiceEntry CRD.

/** Of one entry. */
export const MAX_ENDPOINTS = 4096;
/** Of one entry. */
export const MAX_PORTS = 256;
/** Of one endpoint. */
export const MAX_WEIGHT = 0xffffffff;

const PORT_NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const META_PROTOCOL = /^metaprotocol-[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$/;

/** No control characters, line breaks or other invisible ones; not empty. */
export function isPrintable(text: string): boolean {
  return text !== "" && isSeen(text);
}

/** A number that a port can have. */
export function isPort(number: number): boolean {
  return Number.isInteger(number) && number >= 1 && number <= 65535;
}

/** A DNS label. */
export function isPortName(text: string): boolean {
  return PORT_NAME.test(text);
}

/** What registrants write for protocols that Istio calls otherwise, in lower case; and what Aeraki routes (aeraki.net). */
const SYNONYMS: ReadonlyMap<string, string> = new Map([
  ...["http1", "http1.0", "http1.1", "http/1", "http/1.0", "http/1.1"].map((name) => [name, "HTTP"] as const),
  ...["h2", "h2c", "http/2", "http/2.0", "http2.0"].map((name) => [name, "HTTP2"] as const),
  ...["dubbo", "trpc"].map((name) => [name, `metaprotocol-${name}`] as const),
]);

/**
 * A protocol as the model has it, `HTTP` or Aeraki's `metaprotocol-dubbo`, of one in any case and by any usual name (`h2c`, `dubbo`);
 * `undefined` when there is none.
 */
export function protocolOf(text: string): string | undefined {
  const lower = text.trim().toLowerCase();
  if (META_PROTOCOL.test(lower)) return lower;
  return SYNONYMS.get(lower) ?? (PROTOCOLS.includes(lower) ? lower.toUpperCase() : undefined);
}

/** At most 253 printable characters, no space at either end: what a service's name can be. */
export function isServiceName(text: string): boolean {
  return text.length <= 253 && isPrintable(text) && text.trim() === text;
}

/** A name without slash, which parts a service's key: what a namespace, region, zone or subzone can be. */
export function isNamePart(text: string): boolean {
  return isServiceName(text) && !text.includes("/");
}
