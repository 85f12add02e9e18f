import { ReadError } from "../../../src/errors.ts";
import { jsonScan } from "../../json-scan.ts";
import { parseJson } from "../../read-json.ts";
import { shorten } from "../../text.ts";

/** What a JSON object has, before anybody has looked at it. */
export type Fields = Readonly<Record<string, unknown>>;

/** Past these it is no answer about services: 100,000 names are 7 MB and as many values. */
const LIMITS = { depth: 24, values: 250_000 };
/** Nacos' own limit. */
const MOST_BYTES = 10 * 1024 * 1024;
/** Of one service. Istio takes 4096 endpoints. */
const MOST_HOSTS = 20_000;

/** One instance, as far as it is used. */
export interface RawHost {
  readonly id: string;
  readonly ip: string;
  readonly port: number;
  readonly weight: number;
  readonly isHealthy: boolean;
  readonly isEnabled: boolean;
  readonly cluster: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** How a service is at one time. */
export interface RawService {
  readonly group: string;
  readonly name: string;
  readonly hosts: readonly RawHost[];
  /** So few are healthy that the server says of all that they are. */
  readonly isProtected: boolean;
  /** The server's time, in milliseconds: what it said before is older. */
  readonly atMs: number;
}

/** The object of a JSON text that a server sent. @throws {ReadError} When it is none, or larger than it may be. */
export function parseBody(octets: Uint8Array): Fields {
  if (octets.length > MOST_BYTES) throw new ReadError("answer", `is larger than ${MOST_BYTES} bytes`);
  jsonScan(LIMITS).add(octets);
  return fieldsOf(parseJson(octets), "the answer");
}

/**
 * Names of a list of services.
 *
 * @throws {ReadError} When it is no list.
 */
export function parseNames({ count, serviceNames }: Fields): {
  readonly count: number;
  readonly names: readonly string[];
} {
  if (!Array.isArray(serviceNames) || !serviceNames.every((one) => typeof one === "string"))
    throw new ReadError("answer", "has no list of services");
  return { count: typeof count === "number" ? count : Number.NaN, names: serviceNames };
}

/**
 * The service that an answer or a push is about.
 *
 * @throws {ReadError} When it cannot be understood: one instance that cannot makes all of it doubtful.
 */
export function parseService({ serviceInfo }: Fields): RawService {
  const info = fieldsOf(serviceInfo, "serviceInfo");
  const { name, groupName, hosts, lastRefTime, reachProtectionThreshold } = info;
  if (!Array.isArray(hosts)) throw new ReadError("answer", "serviceInfo has no list of hosts");
  if (hosts.length > MOST_HOSTS)
    throw new ReadError("answer", `lists ${hosts.length} instances, ${MOST_HOSTS} are read at most`);
  // Old servers write the group into the name.
  const written = textOf(name, "name");
  const cut = written.indexOf("@@");
  return {
    group: cut < 0 ? textOf(groupName, "groupName", "DEFAULT_GROUP") : written.slice(0, cut),
    name: cut < 0 ? written : written.slice(cut + 2),
    hosts: hosts.map(hostOf),
    isProtected: reachProtectionThreshold === true,
    atMs: typeof lastRefTime === "number" ? lastRefTime : 0,
  };
}

function hostOf(given: unknown): RawHost {
  const { instanceId, ip, port, weight, healthy, enabled, clusterName, metadata } = fieldsOf(given, "an instance");
  return {
    id: textOf(instanceId, "instanceId", ""),
    ip: textOf(ip, "ip"),
    port: numberOf(port, "port"),
    weight: numberOf(weight ?? 1, "weight"),
    isHealthy: flagOf(healthy ?? true, "healthy"),
    isEnabled: flagOf(enabled ?? true, "enabled"),
    cluster: textOf(clusterName, "clusterName", "DEFAULT"),
    metadata: textsOf(metadata ?? {}),
  };
}

/** Metadata that are texts; others say nothing. */
function textsOf(given: unknown): Readonly<Record<string, string>> {
  const texts = Object.entries(fieldsOf(given, "metadata of an instance")).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string",
  );
  return Object.fromEntries(texts);
}

function fieldsOf(given: unknown, what: string): Fields {
  if (typeof given === "object" && given !== null && !Array.isArray(given)) return given as Fields;
  throw new ReadError("answer", `${what} is no object`);
}

function textOf(given: unknown, what: string, fallback?: string): string {
  if (typeof given === "string") return given;
  if ((given === undefined || given === null) && fallback !== undefined) return fallback;
  throw new ReadError(
    "answer",
    `${what} of an instance must be a text, is ${shorten(JSON.stringify(given) ?? "missing", 40)}`,
  );
}

function numberOf(given: unknown, what: string): number {
  if (typeof given === "number") return given;
  throw new ReadError(
    "answer",
    `${what} of an instance must be a number, is ${shorten(JSON.stringify(given) ?? "missing", 40)}`,
  );
}

function flagOf(given: unknown, what: string): boolean {
  if (typeof given === "boolean") return given;
  throw new ReadError(
    "answer",
    `${what} of an instance must be true or false, is ${shorten(JSON.stringify(given) ?? "missing", 40)}`,
  );
}
