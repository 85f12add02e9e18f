import { addressAndPort, parseAddress } from "../../../src/istio/address.ts";
import { refusedLabel } from "../../../src/istio/labels.ts";
import { isNamePart, isPort, isPortName, protocolOf } from "../../../src/istio/limits.ts";
import type { LeftOut } from "../../../src/model/service.ts";
import type { Intern } from "../../intern.ts";
import { fewLabels } from "../../mapping.ts";
import { shorten } from "../../text.ts";
import type { RawInstance } from "../client/reply.ts";
import type { PolarisOptions } from "../options.ts";

/** The options that say how an instance is read. */
export type MappingOptions = Pick<PolarisOptions, "unhealthy" | "allUnhealthy">;

/** A protocol as an instance states it: the name of its port, and what Istio is told. */
export interface Protocol {
  readonly name: string;
  readonly istio: string;
}

/** One instance as the mesh sees it. */
export interface Instance {
  /** Parts instances that are otherwise alike. */
  readonly id: string;
  readonly address: string;
  readonly port: number;
  /** `undefined` when it does not say. */
  readonly protocol: Protocol | undefined;
  readonly weight: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly region?: string;
  readonly zone?: string;
  readonly subzone?: string;
  /** Set when it is not used; its port counts all the same. */
  readonly out?: LeftOut;
  /** Only its health keeps it out. */
  readonly isUnhealthy?: true;
  readonly notes: readonly string[];
}

const DEFAULT_WEIGHT = 100;

/** What an instance is; `kubernetes` with its place when it was registered from there. */
export function toInstance(
  raw: RawInstance,
  options: MappingOptions,
  pool: Intern,
): { readonly instance: Instance } | { readonly instance?: never; readonly kubernetes: string } {
  const shown = shorten(addressAndPort(raw.host, raw.port));
  if (isOfKubernetes(raw.metadata ?? {})) return { kubernetes: shown };
  const parsed = parseAddress(raw.host);
  const notes: string[] = [];
  const weight = raw.weight ?? DEFAULT_WEIGHT;
  const must = parsed.address === undefined ? parsed.must : undefined;
  const why = whyOut(raw, must, weight, options);
  const labels = labelsOf(raw, notes);
  const protocol = statedProtocol(raw.protocol ?? "", notes);
  return {
    instance: {
      id: raw.id ?? "",
      address: parsed.address ?? raw.host,
      port: raw.port,
      protocol,
      weight,
      ...(Object.keys(labels).length === 0 ? {} : { labels: pool.record(labels) }),
      ...localityOf(raw, notes, pool),
      ...(why === undefined ? {} : { out: { address: shown, ...why } }),
      ...(why?.kind === "health" ? { isUnhealthy: true as const } : {}),
      notes,
    },
  };
}

/** polaris-controller's stamps on what it registers for pods. */
function isOfKubernetes(metadata: Readonly<Record<string, string>>): boolean {
  return metadata.source === "polaris-controller" || Object.hasOwn(metadata, "clusterName");
}

function whyOut(
  raw: RawInstance,
  must: string | undefined,
  weight: number,
  { unhealthy }: MappingOptions,
): Omit<LeftOut, "address"> | undefined {
  if (must !== undefined) return { kind: "address", reason: `its address ${must}` };
  if (!isPort(raw.port)) return { kind: "port", reason: `port ${raw.port} is invalid, 1 to 65535 are allowed` };
  if (raw.isolate === true) return { kind: "disabled", reason: "isolated" };
  // Istio reads weight 0 as 1.
  if (weight === 0) return { kind: "weight", reason: "weight 0" };
  if (!Number.isInteger(weight) || weight < 0 || weight > 65535)
    return { kind: "weight", reason: `weight ${weight} is invalid, 0 to 65535 are allowed` };
  if (raw.healthy === false && unhealthy === "drop") return { kind: "health", reason: "unhealthy" };
  return undefined;
}

const SYNONYMS: Readonly<Record<string, string>> = {
  "http/1.0": "http",
  "http/1.1": "http",
  http1: "http",
  h2: "http2",
  h2c: "http2",
  "http/2": "http2",
};
/** What Aeraki routes (aeraki.net), by the name that instances state. */
const META_PROTOCOLS: Readonly<Record<string, string>> = {
  dubbo: "metaprotocol-dubbo",
  trpc: "metaprotocol-trpc",
};

function statedProtocol(stated: string, notes: string[]): Protocol | undefined {
  const lower = stated.trim().toLowerCase();
  if (lower === "") return undefined;
  const usual = Object.hasOwn(SYNONYMS, lower) ? (SYNONYMS[lower] ?? lower) : lower;
  const meta = Object.hasOwn(META_PROTOCOLS, usual) ? META_PROTOCOLS[usual] : undefined;
  const istio = meta ?? protocolOf(usual);
  if (istio === undefined) notes.push(`protocol ${shorten(stated)} is not known to Istio: TCP`);
  return { name: portName(usual), istio: istio ?? "TCP" };
}

/** A DNS label, with room for the prefix that says the protocol. */
function portName(protocol: string): string {
  const name = protocol
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, 30)
    .replace(/^-+|-+$/g, "");
  return isPortName(name) ? name : "tcp";
}

/** What Polaris writes into an instance's metadata again when it is discovered. */
function injected({ protocol, location }: RawInstance): Readonly<Record<string, string | null | undefined>> {
  return { protocol, region: location?.region, zone: location?.zone, campus: location?.campus };
}

function labelsOf(raw: RawInstance, notes: string[]): Readonly<Record<string, string>> {
  const again = injected(raw);
  const given = Object.entries(raw.metadata ?? {})
    .filter(([key, value]) => !key.startsWith("internal-") && !(Object.hasOwn(again, key) && again[key] === value))
    .filter(([key]) => key !== "version" || !raw.version);
  if (raw.version) given.push(["version", raw.version]);
  const usable = given
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .filter(([key, value]) => {
      const why = refusedLabel(key, value);
      if (why !== undefined) notes.push(`label ${shorten(key)}: ${shorten(value)} is dropped: ${why}`);
      return why === undefined;
    });
  return fewLabels(usable, notes);
}

function localityOf(
  { location }: RawInstance,
  notes: string[],
  pool: Intern,
): Pick<Instance, "region" | "zone" | "subzone"> {
  const parts: Record<string, string> = {};
  for (const [key, value] of [
    ["region", location?.region],
    ["zone", location?.zone],
    ["subzone", location?.campus],
  ] as const) {
    if (!value) continue;
    if (isNamePart(value)) parts[key] = pool.text(value);
    else notes.push(`${key} ${shorten(value)} is dropped: it has characters that a locality cannot have`);
  }
  return parts;
}
