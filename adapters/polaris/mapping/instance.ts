import { addressAndPort, parseAddress } from "../../../src/istio/address.ts";
import { isNamePart, isPort, isPortName } from "../../../src/istio/limits.ts";
import type { LeftOut } from "../../../src/model/service.ts";
import type { Intern } from "../../intern.ts";
import { usableLabels } from "../../mapping.ts";
import type { Instance as SharedInstance } from "../../shapes/instance.ts";
import { bridgeMark } from "../../shapes/marks.ts";
import { protocolName, statedProtocol } from "../../shapes/protocol.ts";
import { portRuleFor, type Rules } from "../../shapes/rules.ts";
import { shorten } from "../../text.ts";
import type { RawInstance } from "../client/reply.ts";
import type { PolarisOptions } from "../options.ts";

/** The options that say how an instance is read. */
export type MappingOptions = Pick<PolarisOptions, "unhealthy" | "allUnhealthy" | "labels"> & { readonly rules: Rules };

/** A protocol as an instance states it: the name of its port, and what Istio is told. */
export interface Protocol {
  readonly name: string;
  readonly istio: string;
}

/** One instance as the mesh sees it. */
export interface Instance extends Omit<SharedInstance, "ports" | "tags" | "weight"> {
  readonly port: number;
  /** `undefined` when it does not say. */
  readonly protocol: Protocol | undefined;
  readonly weight: number;
}

/** Of an instance that states none. */
export const DEFAULT_WEIGHT = 100;

/** What an instance of the service `name` is; or why it is passed over: a pod, or left out by the operator's rules. */
export function toInstance(
  given: RawInstance,
  options: MappingOptions,
  pool: Intern,
  name: string,
): { readonly instance: Instance } | { readonly instance?: never; readonly out: LeftOut } {
  const meta = given.metadata ?? {};
  const parsed = parseAddress(given.host);
  const rule = portRuleFor(options.rules.of(name), { tags: [], meta }, given.port);
  const raw = isPort(given.port) || rule?.number === undefined ? given : { ...given, port: rule.number };
  const shown = shorten(addressAndPort(parsed.address ?? raw.host, raw.port));
  const mark = bridgeMark(meta);
  if (mark !== undefined) return { out: { address: shown, kind: "kubernetes", reason: mark } };
  const excluded = options.rules.whyOut({ address: parsed.address ?? "", tags: [], meta });
  if (excluded !== undefined) return { out: { address: shown, kind: "filter", reason: excluded } };
  const notes: string[] = [];
  const weight = raw.weight ?? DEFAULT_WEIGHT;
  const must = parsed.address === undefined ? parsed.must : undefined;
  const why = whyOut(raw, must, weight, options);
  const labels = labelsOf(raw, options, notes);
  return {
    instance: {
      id: raw.id ?? "",
      address: parsed.address ?? raw.host,
      port: raw.port,
      protocol: protocolStated(raw.protocol ?? "", notes),
      weight,
      meta,
      ...(Object.keys(labels).length === 0 ? {} : { labels: pool.record(labels) }),
      ...localityOf(raw, notes, pool),
      ...(why === undefined ? {} : { out: { address: shown, ...why } }),
      ...(why?.kind === "health" ? { isUnhealthy: true as const } : {}),
      notes,
    },
  };
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

/** A protocol that Istio does not know parts ports too: it is called as it is stated, and is TCP. */
function protocolStated(stated: string, notes: string[]): Protocol | undefined {
  if (stated.trim() === "") return undefined;
  const istio = statedProtocol(stated, "", notes);
  return istio === undefined ? { name: portName(stated), istio: "TCP" } : { name: protocolName(istio), istio };
}

/** A DNS label, with room for the prefix that says the protocol. */
function portName(protocol: string): string {
  const name = protocol
    .trim()
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, 30)
    .replace(/^-+|-+$/g, "");
  return isPortName(name) ? name : "tcp";
}

/** What Polaris writes into an instance's metadata again when it is discovered. */
function injected({ protocol, location }: RawInstance): Readonly<Record<string, string | null | undefined>> {
  return { protocol, region: location?.region, zone: location?.zone, campus: location?.campus };
}

function labelsOf(
  raw: RawInstance,
  { labels: wanted }: MappingOptions,
  notes: string[],
): Readonly<Record<string, string>> {
  const again = injected(raw);
  const given = Object.entries(raw.metadata ?? {})
    .filter(([key, value]) => !key.startsWith("internal-") && !(Object.hasOwn(again, key) && again[key] === value))
    .filter(([key]) => key !== "version" || !raw.version)
    .flatMap(([key, value]): [string, string][] => {
      if (wanted === undefined) return [[key, value]];
      const label = Object.hasOwn(wanted, key) ? wanted[key] : undefined;
      return label === undefined ? [] : [[label, value]];
    });
  if (raw.version) given.push(["version", raw.version]);
  return usableLabels(
    given.sort(([a], [b]) => (a < b ? -1 : 1)),
    notes,
  );
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
