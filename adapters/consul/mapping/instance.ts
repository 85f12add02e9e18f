import { addressAndPort, parseAddress } from "../../../src/istio/address.ts";
import { isNamePart, isPort, isPortName, MAX_WEIGHT, protocolOf } from "../../../src/istio/limits.ts";
import { lowerCase } from "../../../src/istio/lower-case.ts";
import type { LeftOut } from "../../../src/model/service.ts";
import type { Intern } from "../../intern.ts";
import { usableLabels } from "../../mapping.ts";
import type { Instance, InstancePort } from "../../shapes/instance.ts";
import { bridgeMark } from "../../shapes/marks.ts";
import { protocolOfPort, statedProtocol } from "../../shapes/protocol.ts";
import { portRuleFor, type Rules } from "../../shapes/rules.ts";
import { shorten } from "../../text.ts";
import type { HealthEntry } from "../client/reply.ts";
import type { ConsulOptions } from "../options.ts";

/** The options that say how an instance is read. */
export type MappingOptions = Pick<
  ConsulOptions,
  | "tags"
  | "nodeMeta"
  | "serviceMeta"
  | "warning"
  | "taggedAddress"
  | "labelSeparators"
  | "protocolMeta"
  | "versionMeta"
  | "regionMeta"
  | "zoneMeta"
  | "connectNative"
  | "labels"
> & { readonly rules: Rules };

/** Why an instance is no business of this registry's. */
export type NotOurs = "filter" | "infrastructure" | "kubernetes";

/**
 * What an entry is: an instance, or why it is passed over.
 *
 * @param name of the service that was asked for; what is registered by another one says nothing of it
 */
export function toInstance(entry: HealthEntry, options: MappingOptions, pool: Intern, name?: string): Read {
  const { address, port: registered } = placeOf(entry, options.taggedAddress);
  const parsed = parseAddress(address);
  const port = isPort(registered) ? registered : givenPort(entry, name, options, registered);
  const shown = shorten(addressAndPort(parsed.address ?? address, port));
  const notOurs = whyNotOurs(entry, parsed.address ?? "", options, shown);
  if (notOurs !== undefined) return notOurs;
  const notes: string[] = [];
  const isOther = name !== undefined && entry.service !== "" && lowerCase(entry.service) !== lowerCase(name);
  const ports = isOther ? [] : portsOf(entry, port, options, notes);
  const status = statusOf(entry);
  const weight = weightOf(entry, status.state);
  const isForeignMesh = entry.isNative && options.connectNative === "drop";
  const judged = { parsed, status, weight, ports, warning: options.warning, isForeignMesh };
  const out = isOther
    ? { kind: "name" as const, reason: `registered as ${shorten(entry.service)}` }
    : (whyUnhealthy(judged) ?? whyUnusable(judged));
  const isUnhealthy = out?.kind === "health" && !MAINTENANCE.test(status.check) && whyUnusable(judged) === undefined;
  const labels = labelsOf(entry, options, notes);
  const region =
    (options.regionMeta === undefined ? undefined : entry.node.meta[options.regionMeta]) || entry.datacenter;
  const zone = options.zoneMeta === undefined ? undefined : entry.node.meta[options.zoneMeta];
  return {
    instance: {
      id: `${entry.datacenter}/${entry.node.name}/${entry.id}`,
      address: parsed.address ?? address,
      ports,
      tags: entry.tags,
      meta: entry.meta,
      ...(weight === undefined ? {} : { weight: Math.min(weight, MAX_WEIGHT) }),
      ...(Object.keys(labels).length === 0 ? {} : { labels: pool.record(labels) }),
      ...(usable(region) ? { region: pool.text(region) } : {}),
      ...(usable(region) && usable(zone) ? { zone: pool.text(zone) } : {}),
      ...(out === undefined ? {} : { out: { address: shown, ...out } }),
      ...(isUnhealthy ? { isUnhealthy } : {}),
      notes,
    },
  };
}

function usable(value: string | undefined): value is string {
  return value !== undefined && value !== "" && isNamePart(value);
}

/** What an entry is: an instance, or what is passed over, with the reason where it is worth telling. */
type Read =
  | { readonly instance: Instance }
  | { readonly instance?: never; readonly notOurs: NotOurs; readonly out?: LeftOut };

function whyNotOurs(
  entry: HealthEntry,
  address: string,
  { tags, nodeMeta, serviceMeta, rules }: MappingOptions,
  shown: string,
): Extract<Read, { readonly notOurs: NotOurs }> | undefined {
  if (entry.kind !== "" && entry.kind !== "typical") return { notOurs: "infrastructure" };
  const mark = bridgeMark(entry.meta, entry.node.meta);
  if (mark !== undefined) return { notOurs: "kubernetes", out: { address: shown, kind: "kubernetes", reason: mark } };
  const has = (wanted: Readonly<Record<string, string>>, meta: Readonly<Record<string, string>>) =>
    Object.entries(wanted).every(([key, value]) => Object.hasOwn(meta, key) && meta[key] === value);
  const fits =
    tags.every((tag) => entry.tags.includes(tag)) && has(nodeMeta, entry.node.meta) && has(serviceMeta, entry.meta);
  if (!fits) return { notOurs: "filter" };
  const why = rules.whyOut({ address, tags: entry.tags, meta: entry.meta });
  return why === undefined ? undefined : { notOurs: "filter", out: { address: shown, kind: "filter", reason: why } };
}

/** The port that the operator's rules give an instance that registered none. */
function givenPort(
  entry: HealthEntry,
  name: string | undefined,
  { rules }: MappingOptions,
  registered: number,
): number {
  if (entry.ports.some(({ number }) => isPort(number))) return registered;
  return portRuleFor(rules.of(name ?? entry.service), entry, registered)?.number ?? registered;
}

function placeOf(entry: HealthEntry, tag: string | undefined): { readonly address: string; readonly port: number } {
  const own = tag !== undefined && Object.hasOwn(entry.tagged, tag) ? entry.tagged[tag] : undefined;
  if (own !== undefined && own.address !== "") return { address: own.address, port: own.port || entry.port };
  if (entry.address !== "") return { address: entry.address, port: entry.port };
  const ofNode = tag !== undefined && Object.hasOwn(entry.node.tagged, tag) ? entry.node.tagged[tag] : undefined;
  return { address: ofNode || entry.node.address, port: entry.port };
}

function portsOf(entry: HealthEntry, port: number, options: MappingOptions, notes: string[]): readonly InstancePort[] {
  const declared = Object.keys(entry.meta)
    .filter((key) => key.startsWith("port_"))
    .sort()
    .flatMap((key) => declaredPort(entry, key.slice("port_".length), notes) ?? []);
  const named = entry.ports.flatMap(({ name, number }) => namedPort(entry, name, number, notes) ?? []);
  const known = new Set(named.map(({ name }) => name));
  const all = [...named, ...declared.filter(({ name }) => !known.has(name))];
  const protocol = statedProtocol(entry.meta[options.protocolMeta], "", notes);
  if (!isPort(port) || all.some(({ number }) => number === port)) return all;
  return [{ number: port, ...(protocol === undefined ? {} : { protocol }) }, ...all];
}

/** One of `Ports`, by which newer Consuls know several ports of an instance. */
function namedPort(entry: HealthEntry, name: string, number: number, notes: string[]): InstancePort | undefined {
  if (isPortName(name) && isPort(number)) return { name, number, protocol: protocolFor(entry, name, notes) };
  notes.push(`port ${shorten(name)}: ${number} is dropped: its name is not a DNS label, or it is not a port number`);
  return undefined;
}

function declaredPort(entry: HealthEntry, name: string, notes: string[]): InstancePort | undefined {
  const { meta } = entry;
  const value = meta[`port_${name}`] ?? "";
  const number = /^[1-9]\d{0,4}$/.test(value) ? Number(value) : 0;
  const why = !isPortName(name)
    ? "its name is not a DNS label"
    : isPort(number)
      ? undefined
      : "it is not a port number";
  if (why !== undefined) {
    notes.push(`meta port_${shorten(name)}: ${shorten(value)} is dropped: ${why}`);
    return undefined;
  }
  return { name, number, protocol: protocolFor(entry, name, notes) };
}

/** The protocol that is stated of a declared port, else the one that its name begins with. */
function protocolFor({ meta }: HealthEntry, name: string, notes: string[]): string {
  return protocolOfPort(name, meta, notes) ?? protocolOf(name) ?? protocolOf(name.replace(/-.*$/, "")) ?? "TCP";
}

interface Status {
  readonly state: "passing" | "warning" | "critical";
  /** The check that says so. */
  readonly check: string;
}

/** Checks that an agent makes of maintenance. */
const MAINTENANCE = /^_(node|service)_maintenance/;

/** The worst of all checks, those of the node among them. A status that nobody knows counts as critical. */
function statusOf({ checks }: HealthEntry): Status {
  const critical = checks.filter(({ status }) => status !== "passing" && status !== "warning");
  const maintenance = critical.find(({ id }) => MAINTENANCE.test(id));
  const [first] = critical;
  if (first !== undefined) return { state: "critical", check: (maintenance ?? first).id };
  const warning = checks.find(({ status }) => status === "warning");
  return warning === undefined ? { state: "passing", check: "" } : { state: "warning", check: warning.id };
}

function weightOf({ weights }: HealthEntry, state: Status["state"]): number | undefined {
  return state === "warning" ? weights?.warning : weights?.passing;
}

interface Judged {
  readonly parsed: ReturnType<typeof parseAddress>;
  readonly status: Status;
  readonly weight: number | undefined;
  readonly ports: readonly InstancePort[];
  readonly warning: MappingOptions["warning"];
  readonly isForeignMesh: boolean;
}

function whyUnhealthy({ status: { state, check }, warning }: Judged): Omit<LeftOut, "address"> | undefined {
  if (state === "critical" || (state === "warning" && warning === "exclude"))
    return { kind: "health", reason: `${state}: ${shorten(check)}` };
  return undefined;
}

function whyUnusable(of: Judged): Omit<LeftOut, "address"> | undefined {
  const { state } = of.status;
  if (of.parsed.address === undefined) return { kind: "address", reason: `its address ${of.parsed.must}` };
  if (of.isForeignMesh)
    return {
      kind: "mesh",
      reason: "it is of Consul's own mesh: its server wants that mesh's certificates (connectNative: keep)",
    };
  if (of.ports.length === 0) return { kind: "port", reason: "it has no port" };
  // Istio reads weight 0 as 1.
  if (of.weight !== undefined && of.weight <= 0)
    return { kind: "weight", reason: `weight ${of.weight} while ${state}` };
  return undefined;
}

function labelsOf(
  { tags, meta }: HealthEntry,
  { labelSeparators, versionMeta, labels = {} }: MappingOptions,
  notes: string[],
): Readonly<Record<string, string>> {
  const found = new Map<string, string>();
  for (const tag of tags) {
    const at = labelSeparators.map((part) => [tag.indexOf(part), part] as const).filter(([index]) => index > 0);
    const [[index, part] = [-1, ""]] = at.sort(([a], [b]) => a - b);
    if (index > 0) found.set(tag.slice(0, index), tag.slice(index + part.length));
  }
  for (const [key, label] of Object.entries(labels)) {
    const value = Object.hasOwn(meta, key) ? meta[key] : undefined;
    if (value !== undefined) found.set(label, value);
  }
  const version = Object.hasOwn(meta, versionMeta) ? meta[versionMeta] : undefined;
  if (version !== undefined && version !== "") found.set("version", version);
  return usableLabels([...found], notes);
}
