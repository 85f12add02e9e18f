import { addressAndPort, parseAddress } from "../../../src/istio/address.ts";
import { refusedLabel } from "../../../src/istio/labels.ts";
import { isNamePart, isPort, isPortName, MAX_WEIGHT, protocolOf } from "../../../src/istio/limits.ts";
import { lowerCase } from "../../../src/istio/lower-case.ts";
import type { LeftOut } from "../../../src/model/service.ts";
import type { Intern } from "../../intern.ts";
import { fewLabels } from "../../mapping.ts";
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
>;

/** A port that an instance says it has. */
export interface InstancePort {
  /** Of `port_<name>`; `undefined` for the service's own port, which is named by its protocol. */
  readonly name?: string;
  readonly number: number;
  /** `undefined` when the instance does not say. */
  readonly protocol?: string;
}

/** One instance as the mesh sees it. */
export interface Instance {
  /** Parts instances of one service that are otherwise alike. */
  readonly id: string;
  readonly address: string;
  readonly ports: readonly InstancePort[];
  readonly weight?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly region?: string;
  readonly zone?: string;
  /** Set when it is not used; its ports count all the same. */
  readonly out?: LeftOut;
  /** Only its checks keep it out, and it is not under maintenance. */
  readonly isUnhealthy?: true;
  readonly notes: readonly string[];
}

/** Why an instance is no business of this registry's. */
export type NotOurs = "filter" | "infrastructure" | "kubernetes";

/**
 * What an entry is: an instance, or why it is passed over.
 *
 * @param name of the service that was asked for; what is registered by another one says nothing of it
 */
export function toInstance(
  entry: HealthEntry,
  options: MappingOptions,
  pool: Intern,
  name?: string,
): { readonly instance: Instance } | { readonly instance?: never; readonly notOurs: NotOurs; readonly shown: string } {
  const notOurs = whyNotOurs(entry, options);
  const { address, port } = placeOf(entry, options.taggedAddress);
  const shown = shorten(addressAndPort(address, port));
  if (notOurs !== undefined) return { notOurs, shown };
  const parsed = parseAddress(address);
  const notes: string[] = [];
  const isOther = name !== undefined && entry.service !== "" && lowerCase(entry.service) !== lowerCase(name);
  const ports = isOther ? [] : portsOf(entry, port, options, notes);
  const status = statusOf(entry);
  const weight = weightOf(entry, status.state);
  const judged = { parsed, status, weight, ports, warning: options.warning };
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

function whyNotOurs(entry: HealthEntry, { tags, nodeMeta, serviceMeta }: MappingOptions): NotOurs | undefined {
  if (entry.kind !== "" && entry.kind !== "typical") return "infrastructure";
  if (isOfKubernetes(entry.meta) || isOfKubernetes(entry.node.meta)) return "kubernetes";
  const has = (wanted: Readonly<Record<string, string>>, meta: Readonly<Record<string, string>>) =>
    Object.entries(wanted).every(([key, value]) => Object.hasOwn(meta, key) && meta[key] === value);
  const fits =
    tags.every((tag) => entry.tags.includes(tag)) && has(nodeMeta, entry.node.meta) && has(serviceMeta, entry.meta);
  return fits ? undefined : "filter";
}

/** What consul-k8s writes on all that it registers, by catalog sync and by its endpoints controller. */
function isOfKubernetes(meta: Readonly<Record<string, string>>): boolean {
  return Object.entries(meta).some(
    ([key, value]) =>
      key.startsWith("external-k8s-") ||
      (key === "external-source" && value === "kubernetes") ||
      (key === "managed-by" && value.startsWith("consul-k8s")),
  );
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
  const stated = entry.meta[options.protocolMeta];
  const protocol = stated === undefined ? undefined : protocolOf(stated);
  if (stated !== undefined && protocol === undefined)
    notes.push(`protocol ${shorten(stated)} is not known to Istio: TCP`);
  if (!isPort(port) || declared.some(({ number }) => number === port)) return declared;
  return [{ number: port, ...(protocol === undefined ? {} : { protocol }) }, ...declared];
}

function declaredPort({ meta }: HealthEntry, name: string, notes: string[]): InstancePort | undefined {
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
  const stated = meta[`protocol_${name}`];
  const known = stated === undefined ? undefined : protocolOf(stated);
  if (stated !== undefined && known === undefined)
    notes.push(`protocol ${shorten(stated)} of port ${name} is not known to Istio: TCP`);
  const guessed = protocolOf(name) ?? protocolOf(name.replace(/-.*$/, ""));
  return { name, number, protocol: (stated === undefined ? guessed : known) ?? "TCP" };
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
}

function whyUnhealthy({ status: { state, check }, warning }: Judged): Omit<LeftOut, "address"> | undefined {
  if (state === "critical" || (state === "warning" && warning === "exclude"))
    return { kind: "health", reason: `${state}: ${shorten(check)}` };
  return undefined;
}

function whyUnusable(of: Judged): Omit<LeftOut, "address"> | undefined {
  const { state } = of.status;
  if (of.parsed.address === undefined) return { kind: "address", reason: `its address ${of.parsed.must}` };
  if (of.ports.length === 0) return { kind: "port", reason: "it has no port" };
  // Istio reads weight 0 as 1.
  if (of.weight !== undefined && of.weight <= 0)
    return { kind: "weight", reason: `weight ${of.weight} while ${state}` };
  return undefined;
}

function labelsOf(
  { tags, meta }: HealthEntry,
  { labelSeparators, versionMeta }: MappingOptions,
  notes: string[],
): Readonly<Record<string, string>> {
  const found = new Map<string, string>();
  for (const tag of tags) {
    const at = labelSeparators.map((part) => [tag.indexOf(part), part] as const).filter(([index]) => index > 0);
    const [[index, part] = [-1, ""]] = at.sort(([a], [b]) => a - b);
    if (index > 0) found.set(tag.slice(0, index), tag.slice(index + part.length));
  }
  const version = Object.hasOwn(meta, versionMeta) ? meta[versionMeta] : undefined;
  if (version !== undefined && version !== "") found.set("version", version);
  const usableLabels = [...found].filter(([key, value]) => {
    const why = refusedLabel(key, value);
    if (why !== undefined) notes.push(`label ${shorten(`${key}: ${value}`)} is dropped: ${why}`);
    return why === undefined;
  });
  return fewLabels(usableLabels, notes);
}
