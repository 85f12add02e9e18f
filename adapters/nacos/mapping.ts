import { addressAndPort, parseAddress } from "../../src/istio/address.ts";
import { isPort } from "../../src/istio/limits.ts";
import type { LeftOut, Service } from "../../src/model/service.ts";
import type { Intern } from "../intern.ts";
import { type ServicePlace, usableLabels } from "../mapping.ts";
import type { Instance, InstancePort } from "../shapes/instance.ts";
import { bridgeMark } from "../shapes/marks.ts";
import { protocolName, statedProtocol } from "../shapes/protocol.ts";
import { portRuleFor, type Rules } from "../shapes/rules.ts";
import { toService as sharedService } from "../shapes/service.ts";
import { shorten } from "../text.ts";
import type { RawHost } from "./client/reply.ts";
import { dubboName } from "./names.ts";
import type { NacosOptions } from "./options.ts";

/** The options that say how an instance is read. */
export type MappingOptions = Pick<
  NacosOptions,
  "allUnhealthy" | "protocolMeta" | "versionMeta" | "labels" | "clusters"
> & { readonly rules: Rules };

/** Of an instance whose weight nobody chose: Nacos' 1, of which it takes hundredths too. */
export const DEFAULT_WEIGHT = 100;
/** Nacos' own limit. */
const MOST_NACOS_WEIGHT = 10_000;
/** Metadata by which the operator's rules know an instance's cluster. */
const CLUSTER_META = "nacos.cluster";

/** What Dubbo calls protocols that Istio calls otherwise: Triple is gRPC on the wire. */
const DUBBO_PROTOCOLS: Readonly<Record<string, string>> = { tri: "GRPC", rest: "HTTP" };

/**
 * The service that its hosts make; `undefined` where the operator's rules leave all of them out. Their order says nothing.
 *
 * @param nacosName its name in Nacos, without the group
 */
export function toService(
  place: ServicePlace,
  nacosName: string,
  hosts: readonly RawHost[],
  options: MappingOptions,
  pool: Intern,
): Service | undefined {
  const { rules, allUnhealthy } = options;
  const isDubbo = dubboName(nacosName) !== undefined;
  const besides: LeftOut[] = [];
  const instances: Instance[] = [];
  for (const host of hosts) {
    const meta = { ...host.metadata, [CLUSTER_META]: host.cluster };
    const out = besidesOf(host, meta, options);
    if (out === undefined) instances.push(toInstance(host, meta, { ...options, name: place.name, isDubbo }, pool));
    else besides.push(out);
  }
  const isOnlyPods = instances.length === 0 && besides.some(({ kind }) => kind === "kubernetes");
  if (instances.length === 0 && hosts.length > 0 && !isOnlyPods) return undefined;
  return sharedService(place, instances, besides, { pool, rules, allUnhealthy, numbersAlike: true });
}

type Meta = RawHost["metadata"];

/** Why an instance is none of the service's own: a pod, or left out by the operator's rules. */
function besidesOf(host: RawHost, meta: Meta, { rules, clusters }: MappingOptions): LeftOut | undefined {
  const address = parseAddress(host.ip).address ?? "";
  const shown = shorten(addressAndPort(address || host.ip, host.port));
  const mark = bridgeMark(meta);
  if (mark !== undefined) return { address: shown, kind: "kubernetes", reason: mark };
  if (clusters?.includes(host.cluster) === false)
    return { address: shown, kind: "filter", reason: "clusters of the registry has not its cluster" };
  const why = rules.whyOut({ address, tags: [], meta });
  return why === undefined ? undefined : { address: shown, kind: "filter", reason: why };
}

interface InstanceOptions extends MappingOptions {
  /** Of the service in the mesh. */
  readonly name: string;
  readonly isDubbo: boolean;
}

function toInstance(host: RawHost, meta: Meta, options: InstanceOptions, pool: Intern): Instance {
  const notes: string[] = [];
  const parsed = parseAddress(host.ip);
  const rule = portRuleFor(options.rules.of(options.name), { tags: [], meta }, host.port);
  const number = isPort(host.port) ? host.port : (rule?.number ?? host.port);
  const weight = weightOf(host, options.isDubbo);
  const why = whyOut(host, parsed, number, weight);
  const shown = shorten(addressAndPort(parsed.address ?? host.ip, number));
  const labels = labelsOf(meta, options, notes);
  return {
    id: `${host.cluster} ${host.id}`,
    address: parsed.address ?? host.ip,
    ports: isPort(number) ? portsOf(number, meta, options, notes) : [],
    tags: [],
    meta,
    weight: Math.max(1, Math.round(weight)),
    ...(Object.keys(labels).length === 0 ? {} : { labels: pool.record(labels) }),
    ...(why === undefined ? {} : { out: { address: shown, ...why } }),
    ...(why?.kind === "health" ? { isUnhealthy: true as const } : {}),
    notes,
  };
}

/** A hundred times Nacos' own. Dubbo's callers do not look at that, but at the one in the metadata, which is 100 by default. */
function weightOf({ weight, metadata }: RawHost, isDubbo: boolean): number {
  if (!isDubbo) return weight * DEFAULT_WEIGHT;
  const stated = own(metadata, "weight");
  return stated !== undefined && /^\d{1,6}$/.test(stated) ? Number(stated) : DEFAULT_WEIGHT;
}

function whyOut(
  host: RawHost,
  parsed: ReturnType<typeof parseAddress>,
  number: number,
  weight: number,
): Omit<LeftOut, "address"> | undefined {
  if (parsed.address === undefined) return { kind: "address", reason: `its address ${parsed.must}` };
  if (!isPort(number)) return { kind: "port", reason: `port ${host.port} is invalid, 1 to 65535 are allowed` };
  if (!host.isEnabled) return { kind: "disabled", reason: "not enabled" };
  // Istio reads weight 0 as 1.
  if (weight === 0) return { kind: "weight", reason: "weight 0" };
  if (!(weight > 0 && weight <= MOST_NACOS_WEIGHT * DEFAULT_WEIGHT))
    return { kind: "weight", reason: `weight ${host.weight} is invalid, 0 to ${MOST_NACOS_WEIGHT} are allowed` };
  return host.isHealthy ? undefined : { kind: "health", reason: "unhealthy" };
}

/** The instance's own port first, then those that its frameworks tell of. */
function portsOf(number: number, meta: Meta, options: InstanceOptions, notes: string[]): readonly InstancePort[] {
  const endpoints = dubboEndpoints(own(meta, "dubbo.endpoints"));
  const grpc = Number(own(meta, "gRPC_port") ?? own(meta, "gRPC.port"));
  const stated =
    protocolStated(own(meta, options.protocolMeta), notes) ??
    protocolStated(endpoints.find(({ port }) => port === number)?.protocol, notes) ??
    (grpc === number ? "GRPC" : springProtocol(meta, options));
  const declared = new Map<string, InstancePort>();
  for (const { port, protocol } of endpoints) {
    const istio = protocolStated(protocol, []) ?? "TCP";
    const name = protocolName(protocol) === "tcp" ? protocolName(istio) : protocolName(protocol);
    if (port !== number && !declared.has(name)) declared.set(name, { name, number: port, protocol: istio });
  }
  if (isPort(grpc) && grpc !== number) declared.set("grpc", { name: "grpc", number: grpc, protocol: "GRPC" });
  return [{ number, ...(stated === undefined ? {} : { protocol: stated }) }, ...declared.values()];
}

function protocolStated(stated: string | undefined, notes: string[]): string | undefined {
  if (stated === undefined) return undefined;
  const dubbo = DUBBO_PROTOCOLS[stated.trim().toLowerCase()];
  return dubbo ?? statedProtocol(stated, "", notes);
}

/** Spring Cloud's clients call by URL, `https` where the instance says that it is `secure`; the operator's word counts before. */
function springProtocol(meta: Meta, { rules, name }: InstanceOptions): string | undefined {
  if (own(meta, "preserved.register.source") !== "SPRING_CLOUD") return undefined;
  return rules.of(name).protocol ?? (own(meta, "secure") === "true" ? "HTTPS" : "HTTP");
}

/** The ports that a Dubbo application of today tells of: `[{"port":20880,"protocol":"dubbo"}]`. */
function dubboEndpoints(text = ""): readonly { readonly port: number; readonly protocol: string }[] {
  if (text === "" || text.length > 4096) return [];
  try {
    const list: unknown = JSON.parse(text);
    return (Array.isArray(list) ? list.slice(0, 16) : []).flatMap((one: unknown) => {
      const { port, protocol } = (one ?? {}) as { readonly port?: unknown; readonly protocol?: unknown };
      return typeof port === "number" && isPort(port) && typeof protocol === "string" ? [{ port, protocol }] : [];
    });
  } catch {
    return [];
  }
}

function labelsOf(meta: Meta, { labels = {}, versionMeta }: MappingOptions, notes: string[]): Record<string, string> {
  const chosen = Object.entries({ [versionMeta]: "version", ...labels });
  return usableLabels(
    chosen.flatMap(([key, label]): [string, string][] => {
      const value = own(meta, key) ?? "";
      return value === "" ? [] : [[label, value]];
    }),
    notes,
  );
}

function own(meta: Meta, key: string): string | undefined {
  return Object.hasOwn(meta, key) ? meta[key] : undefined;
}
