import { addressAndPort } from "../../istio/address.ts";
import { protocolOf } from "../../istio/ports.ts";
import type { EntryEndpoint, EntryPort, ServiceEntry } from "../../model/objects.ts";

/** `0.1 s`, `14 s`, `3 min`, `2 h`, `5 d` */
export function age(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 1) return `${Math.max(0.1, Math.round(seconds * 10) / 10)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** `1 service`, `14 services` */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : noun.endsWith("s") ? "es" : "s"}`;
}

/** `http 8080, grpc 9090` */
export function portsText(ports: readonly EntryPort[]): string {
  return ports.map((port) => `${protocolOf(port)} ${port.number}`).join(", ");
}

/** `10.1.4.9:8080`, `[2001:db8::1]:8080`, with several ports `10.1.4.9:8080,9090` */
export function placeText(endpoint: EntryEndpoint, ports: readonly EntryPort[]): string {
  const numbers = ports.map(({ name, number, targetPort }) => endpoint.ports?.[name] ?? targetPort ?? number);
  return addressAndPort(endpoint.address, numbers.join(","));
}

/** `eu-1a  weight 100  version=v1` */
export function endpointDetails({ locality, weight, labels }: EntryEndpoint): string {
  return [
    locality,
    weight === undefined ? undefined : `weight ${weight}`,
    ...Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`),
  ]
    .filter((part) => part !== undefined)
    .join("  ");
}

/** Columns of equal width, four spaces apart; the last is not padded. */
export function table(rows: readonly (readonly string[])[], indent = ""): string[] {
  const widths: number[] = [];
  for (const row of rows) for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, cell.length);
  return rows.map((row) =>
    `${indent}${row.map((cell, at) => (at === row.length - 1 ? cell : cell.padEnd((widths[at] ?? 0) + 4))).join("")}`.trimEnd(),
  );
}

export function endpointsOf(entry: ServiceEntry): readonly EntryEndpoint[] {
  return entry.spec.endpoints ?? [];
}
