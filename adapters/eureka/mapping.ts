import { addressAndPort, parseAddress } from "../../src/istio/address.ts";
import { isNamePart, isPort, isServiceName, MAX_ENDPOINTS, protocolOf } from "../../src/istio/limits.ts";
import { lowerCase } from "../../src/istio/lower-case.ts";
import type { Endpoint, LeftOut, Service, ServiceAlias } from "../../src/model/service.ts";
import type { Intern } from "../intern.ts";
import {
  DUPLICATE,
  endpointOf,
  fewNotes,
  judgedTogether,
  MOST_LEFT_OUT,
  PAST_LIMIT,
  type ServicePlace,
  usableLabels,
} from "../mapping.ts";
import type { Instance as SharedInstance } from "../shapes/instance.ts";
import { bridgeMark } from "../shapes/marks.ts";
import type { Rules } from "../shapes/rules.ts";
import { toService as sharedService } from "../shapes/service.ts";
import { shorten } from "../text.ts";
import type { EurekaOptions } from "./options.ts";
import { type Ported, type SettledPort, settlePorts } from "./ports.ts";
import type { RawInstance } from "./reply.ts";

/** The options that say how an instance is read. */
export type MappingOptions = Pick<
  EurekaOptions,
  "allUnhealthy" | "protocolMeta" | "versionMeta" | "zoneMeta" | "region" | "labels"
> & { readonly rules: Rules };

interface Instance extends Omit<SharedInstance, "ports" | "tags" | "weight">, Pick<Ported, "ports" | "protocol"> {
  readonly vips: readonly string[];
}

/**
 * The service that the instances of an application make; `undefined` where the operator's rules leave all of them out. Their order says
 * nothing.
 */
export function toService(
  place: ServicePlace,
  raw: readonly RawInstance[],
  options: MappingOptions,
  pool: Intern,
): Service | undefined {
  const { rules, allUnhealthy } = options;
  const own = rules.of(place.name);
  const notes = new Set<string>();
  if (raw.some(({ isOverdue }) => isOverdue))
    notes.add(
      "instances have not renewed their leases for long and are listed as UP: the server may be in self-preservation, and they may be gone",
    );
  const besides: LeftOut[] = [];
  const read: Instance[] = [];
  for (const one of raw) {
    const parsed = placeOf(one);
    const out = besidesOf(one, parsed, rules);
    if (out === undefined) read.push(toInstance(one, parsed, options, pool));
    else besides.push(out);
  }
  read.sort(byPlace);
  const isOnlyPods = read.length === 0 && besides.some(({ kind }) => kind === "kubernetes");
  if (read.length === 0 && raw.length > 0 && !isOnlyPods) return undefined;
  if (own.apart.length > 0 || own.rest !== undefined) {
    const shared = read.map((one) => asShared(one, own.protocol));
    const service = sharedService(place, shared, besides, { pool, rules, allUnhealthy });
    return { ...service, aliases: aliasesOf(place, read), notes: fewNotes([...notes, ...service.notes]) };
  }
  const instances = judgedTogether(read, allUnhealthy, notes);
  const ports = settlePorts(instances, own.protocol, notes);
  const endpoints = new Map<string, Endpoint>();
  const leftOut = besides.slice(0, MOST_LEFT_OUT).sort((a, b) => (a.address < b.address ? -1 : 1));
  for (const instance of instances) {
    for (const note of instance.notes) notes.add(note);
    const out = instance.out ?? addEndpoint(instance, ports, endpoints, pool);
    if (out !== undefined && leftOut.length < MOST_LEFT_OUT) leftOut.push({ ...out, reason: pool.text(out.reason) });
  }
  return {
    ...place,
    ports: ports.map(({ port }) => port),
    endpoints: [...endpoints.values()],
    leftOut,
    metadata: {},
    legacyNames: [],
    aliases: aliasesOf(place, instances),
    notes: fewNotes([...notes]),
    ...(isOnlyPods ? { podsOnly: true as const } : {}),
  };
}

/** Why an instance is none of the application's own: a pod, or left out by the operator's rules. */
function besidesOf(raw: RawInstance, { address = "" }: Place, rules: Rules): LeftOut | undefined {
  const shown = shorten(addressAndPort(address || raw.ipAddr || raw.hostName, raw.port || raw.securePort));
  const mark = bridgeMark(raw.metadata);
  if (mark !== undefined) return { address: shown, kind: "kubernetes", reason: mark };
  const why = rules.whyOut({ address, tags: [], meta: raw.metadata });
  return why === undefined ? undefined : { address: shown, kind: "filter", reason: why };
}

/** Where the operator says what the ports are, the plain one is the instance's own. */
function asShared({ ports, protocol, vips: _, ...rest }: Instance, fallback = "HTTP"): SharedInstance {
  const plain = ports.plain === undefined ? [] : [{ number: ports.plain, protocol: protocol ?? fallback }];
  const secure = ports.secure === undefined ? [] : [{ name: "https", number: ports.secure, protocol: "HTTPS" }];
  return { ...rest, ports: [...plain, ...secure], tags: [] };
}

function toInstance(raw: RawInstance, parsed: Place, options: MappingOptions, pool: Intern): Instance {
  const notes: string[] = [];
  const ports = {
    ...(isPort(raw.port) ? { plain: raw.port } : {}),
    ...(isPort(raw.securePort) ? { secure: raw.securePort } : {}),
  };
  const health = whyNotUp(raw);
  const unusable = whyUnusable(parsed, ports);
  const out = health ?? unusable;
  const shown = addressAndPort(raw.ipAddr || raw.hostName, raw.port || raw.securePort);
  const { [options.protocolMeta]: stated, [options.versionMeta]: version } = raw.metadata;
  const protocol = stated === undefined ? undefined : protocolOf(stated);
  if (stated !== undefined && protocol === undefined)
    notes.push(`protocol ${shorten(stated)} is not known to Istio: HTTP`);
  return {
    id: raw.id,
    address: parsed.address ?? raw.ipAddr,
    ports,
    protocol,
    ...labelsOf({ ...chosen(raw.metadata, options.labels), version }, pool, notes),
    meta: raw.metadata,
    ...localityOf(raw, options, pool, notes),
    vips: raw.vips.map(lowerCase),
    ...(out === undefined ? {} : { out: { ...out, address: shorten(shown) } }),
    ...(health?.kind === "health" && raw.status !== "STARTING" && unusable === undefined ? { isUnhealthy: true } : {}),
    notes,
  };
}

type Place = ReturnType<typeof parseAddress>;

/** Where an instance is: its address, else its host name, which callers' proxies resolve. */
function placeOf({ ipAddr, hostName }: RawInstance): Place {
  const byAddress = parseAddress(ipAddr);
  if (byAddress.address !== undefined) return byAddress;
  const byName = parseAddress(hostName);
  return byName.address === undefined ? byAddress : byName;
}

function whyNotUp({ status, isOverridden }: RawInstance): Omit<LeftOut, "address"> | undefined {
  if (status === "UP") return undefined;
  if (status === "OUT_OF_SERVICE")
    return { kind: "disabled", reason: `OUT_OF_SERVICE${isOverridden ? ", by an override" : ""}` };
  return { kind: "health", reason: `${shorten(status)}${isOverridden ? ", by an override" : ""}` };
}

function whyUnusable(parsed: Place, ports: Instance["ports"]): Omit<LeftOut, "address"> | undefined {
  if (parsed.address === undefined) return { kind: "address", reason: `its address ${parsed.must}` };
  return Object.keys(ports).length === 0 ? { kind: "port", reason: "it has no port that is enabled" } : undefined;
}

/** Metadata that the operator wants as labels, by what these are called. */
function chosen(
  metadata: RawInstance["metadata"],
  labels: EurekaOptions["labels"] = {},
): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(labels).map(([key, label]) => [label, Object.hasOwn(metadata, key) ? metadata[key] : undefined]),
  );
}

function labelsOf(
  given: Readonly<Record<string, string | undefined>>,
  pool: Intern,
  notes: string[],
): Pick<Instance, "labels"> {
  const stated = Object.entries(given).flatMap(([key, value = ""]) => (value === "" ? [] : [[key, value] as const]));
  const labels = usableLabels(stated, notes);
  return Object.keys(labels).length === 0 ? {} : { labels: pool.record(labels) };
}

function localityOf(
  { availabilityZone, metadata }: RawInstance,
  { zoneMeta, region }: MappingOptions,
  pool: Intern,
  notes: string[],
): Pick<Instance, "region" | "zone"> {
  // us-east-1c lies in us-east-1.
  if (availabilityZone !== undefined && /^[a-z0-9-]{3,40}[a-z]$/.test(availabilityZone))
    return { region: pool.text(availabilityZone.slice(0, -1)), zone: pool.text(availabilityZone) };
  const own = region === undefined ? {} : { region };
  const zone = Object.hasOwn(metadata, zoneMeta) ? metadata[zoneMeta] : undefined;
  if (zone === undefined || zone === "") return own;
  if (!isNamePart(zone)) notes.push(`zone ${shorten(zone)} is dropped: it has characters that a locality cannot have`);
  else if (region === undefined) notes.push("zones are dropped, as Istio knows none without a region (option region)");
  else return { region, zone: pool.text(zone) };
  return own;
}

function addEndpoint(
  instance: Instance,
  settled: readonly SettledPort[],
  endpoints: Map<string, Endpoint>,
  pool: Intern,
): LeftOut | undefined {
  const { address, labels, region, zone } = instance;
  const shown = addressAndPort(address, instance.ports.plain ?? instance.ports.secure ?? 0);
  const overrides: [string, number][] = [];
  for (const { port, kind } of settled) {
    const number = instance.ports[kind];
    if (number === undefined) return { address: shown, kind: "port", reason: `it has no ${kind} port, as others have` };
    if (number !== port.number) overrides.push([port.name, number]);
  }
  const key = JSON.stringify([address, overrides]);
  if (endpoints.has(key)) return { address: shown, ...DUPLICATE };
  if (endpoints.size >= MAX_ENDPOINTS) return { address: shown, ...PAST_LIMIT };
  const ports = overrides.length === 0 ? undefined : pool.record(Object.fromEntries(overrides));
  endpoints.set(key, endpointOf(address, { ports, labels, region, zone }));
  return undefined;
}

/** The names by which most instances say that callers know them: one instance alone cannot take a name for all. */
function aliasesOf({ namespace, name }: ServicePlace, instances: readonly Instance[]): readonly ServiceAlias[] {
  const votes = new Map<string, number>();
  for (const { vips } of instances)
    for (const vip of new Set(vips)) if (vip !== name && isServiceName(vip)) votes.set(vip, (votes.get(vip) ?? 0) + 1);
  return [...votes]
    .filter(([, count]) => 2 * count > instances.length)
    .map(([vip]) => ({ namespace, name: vip }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function byPlace(a: Instance, b: Instance): number {
  if (a.address !== b.address) return a.address < b.address ? -1 : 1;
  const [one, other] = [a, b].map(({ ports }) => ports.plain ?? ports.secure ?? 0) as [number, number];
  return one - other || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}
