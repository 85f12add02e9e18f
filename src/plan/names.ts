import { createHash } from "node:crypto";
import { NAMES_ANNOTATION, type ObjectKey, objectKey } from "../model/objects.ts";
import type { Hold } from "../model/plan.ts";
import { type ServiceKey, serviceKey } from "../model/service.ts";
import type { ForeignObject } from "../model/standing.ts";
import { keptNames } from "./kept-names.ts";
import type { Catalog, CatalogService } from "./merge.ts";
import type { IndexedStanding, StandingEntry } from "./standing.ts";
import { atOnce, ITEMS_PER_STEP, type Steps } from "./steps.ts";

/** A further DNS name of a service. */
export interface LegacyName {
  readonly name: string;
  /** Set when Istio cannot carry it as a host, so that it works by VIP only. */
  readonly dnsOnly?: string;
}

export interface AliasName {
  readonly namespace: string;
  readonly name: string;
}

/** The names that a service has been given. Equal names keep their identity from pass to pass. */
export interface ServiceNames {
  readonly host: string;
  /** Set when the entry keeps a host that the template would no longer give. */
  readonly templateHost?: string;
  readonly legacyNames: readonly LegacyName[];
  readonly aliases: readonly AliasName[];
  /** Names that DNS cannot carry and so were dropped: whole sentences without a full stop. */
  readonly notes: readonly string[];
}

export interface Naming {
  /** A service without names here is held. */
  readonly services: ReadonlyMap<ServiceKey, ServiceNames>;
  readonly holds: readonly Hold[];
  /** Aliases that are not to be touched in this pass, whatever stands there. */
  readonly heldAliases: ReadonlySet<string>;
}

export interface AliasRule {
  readonly registry: string;
  /** Glob. */
  readonly namespace: string;
  /** Glob. */
  readonly service: string;
  /** Template with {service}, {namespace}, {registry}. */
  readonly as: string;
  /** Kubernetes namespace of the ExternalName Service. */
  readonly in: string;
}

export interface NamingOptions {
  readonly template: string;
  readonly clusterDomain: string;
  /** Templates by registry. */
  readonly legacyNames: ReadonlyMap<string, readonly string[]>;
  readonly aliases: readonly AliasRule[];
}

/** What a service would be called if nobody else wanted the same. Its aliases' object keys are in the order of the aliases. */
interface Wishes {
  readonly host: string;
  readonly hostFault: string | undefined;
  readonly legacyNames: readonly (LegacyName & { readonly raw: string; readonly fault: string | undefined })[];
  readonly aliases: readonly AliasName[];
  readonly aliasKeys: readonly ObjectKey[];
  /** Of legacy names that DNS cannot carry. */
  readonly notes: readonly string[];
}

/** Wishes of services and names of entries that were worked out before; the caller keeps it from pass to pass. */
export interface NameMemo {
  readonly wishes: WeakMap<CatalogService, Wishes>;
  readonly names: WeakMap<StandingEntry, readonly string[]>;
}

/**
 * Give every service its host, legacy names and aliases.
 *
 * Who holds a name in the target keeps it; then registry order, then service key. A host clash holds the newcomer, a clash
 * of a legacy name or alias withholds only that name. A host once written is kept when the template changes.
 */
export const nameHosts = atOnce(nameHostsSteps);

/** {@link nameHosts} in steps. */
export function* nameHostsSteps(
  catalog: Catalog,
  standing: IndexedStanding,
  options: NamingOptions,
  previous?: Naming,
  memo: NameMemo = { wishes: new WeakMap(), names: new WeakMap() },
): Steps<Naming> {
  const claims = yield* standingClaims(standing, memo);
  const takenBy = foreignHosts(standing, options.clusterDomain);
  const routes = foreignRoutes(standing);
  const kept = keptNames(catalog, options.legacyNames, fillLegacy);
  let wished: ReadonlySet<string> | undefined;
  const services = new Map<ServiceKey, ServiceNames>();
  const heldAliases = new Set<string>();
  const holds: Hold[] = [];
  const named: { readonly key: ServiceKey; readonly service: CatalogService; wishes: Wishes; host: string }[] = [];
  let serviceNames: ReadonlyMap<string, readonly NamedService[]> | undefined;
  let looked = 0;
  for (const key of inOrder(catalog)) {
    if (++looked % ITEMS_PER_STEP === 0) yield;
    const service = catalog.services.get(key);
    if (service === undefined) continue;
    const wishes = wishesOf(service);
    const host = giveHost(key, service, wishes);
    if (host !== undefined) named.push({ key, service, wishes, host });
  }
  // Hosts first: a legacy name must not take the host of a service that comes later.
  for (const { key, service, wishes, host } of named) {
    if (++looked % ITEMS_PER_STEP === 0) yield;
    const names: ServiceNames = {
      host,
      ...(wishes.host === host ? {} : { templateHost: wishes.host }),
      legacyNames: giveLegacyNames(key, service, wishes, host),
      aliases: wishes.aliases.filter((alias, at) => mayHaveAlias(key, service, alias, wishes.aliasKeys[at] ?? "")),
      notes: wishes.notes,
    };
    const before = previous?.services.get(key);
    services.set(key, before !== undefined && sameNames(before, names) ? before : names);
  }
  return { services, holds, heldAliases };

  function hold(
    service: CatalogService,
    key: ServiceKey,
    reason: Hold["reason"],
    subject: string,
    message: string,
    regarding?: ObjectKey,
  ): void {
    holds.push({ reason, subject, service: key, registry: service.registry, message, ...(regarding && { regarding }) });
  }

  function wishesOf(service: CatalogService): Wishes {
    const known = memo.wishes.get(service);
    if (known !== undefined) return known;
    const wishes = wish(service, options);
    memo.wishes.set(service, wishes);
    return wishes;
  }

  function giveHost(key: ServiceKey, service: CatalogService, { host: wanted, hostFault }: Wishes): string | undefined {
    const standingHost = standing.entries.get(key)?.manifest.spec.hosts[0];
    const host = standingHost ?? wanted;
    const holder = claims.names.get(host);
    const isTaken = holder !== undefined && holder !== key;
    const fault = standingHost === undefined ? hostFault : undefined;
    const foreign = standingHost === undefined ? takenBy(host) : undefined;
    if (fault !== undefined) hold(service, key, "invalid", host, fault);
    else if (isTaken) hold(service, key, "name", host, `host ${host} belongs to ${holder}`);
    else if (foreign !== undefined)
      hold(service, key, "name", host, `host ${host} is taken by ${foreign}, which is not ours`);
    if (fault !== undefined || isTaken || foreign !== undefined) return undefined;
    claims.names.set(host, key);
    return host;
  }

  function giveLegacyNames(
    key: ServiceKey,
    service: CatalogService,
    wishes: Wishes,
    host: string,
  ): readonly LegacyName[] {
    const entry = standing.entries.get(key);
    const before = entry === undefined ? NO_NAMES : namesOf(entry, memo);
    const unread = before.filter((name) => isKept(service, wishes, name));
    if (wishes.legacyNames.length + unread.length === 0) return NO_NAMES;
    const all = [...wishes.legacyNames, ...unread.map(unreadName)];
    // In the order in which they stand, so that nothing is written.
    const place = (name: string) => before.indexOf(name) + 1 || all.length + 1;
    if (unread.length > 0) all.sort((a, b) => place(a.name) - place(b.name));
    const given: LegacyName[] = [];
    for (const { name, dnsOnly, fault } of all) {
      if (fault !== undefined || name === host) continue;
      const clash = legacyClash(key, name, host);
      if (clash !== undefined) hold(service, key, "name", name, `legacy name ${name} withheld: ${clash}`);
      else {
        claims.names.set(name, key);
        given.push(dnsOnly === undefined ? { name } : { name, dnsOnly });
      }
    }
    return given;
  }

  /** Whether a name that stands and that nothing gives in this pass may be of an alias, or a member, that could not be read. */
  function isKept({ registry, isPartial }: CatalogService, { legacyNames }: Wishes, name: string): boolean {
    if (legacyNames.some((one) => one.name === name)) return false;
    if (isPartial !== true && !kept.mayBeOfAlias(registry, name)) return false;
    wished ??= new Set(named.flatMap(({ wishes }) => wishes.legacyNames.map((one) => one.name)));
    return !wished.has(name);
  }

  function legacyClash(key: ServiceKey, name: string, host: string): string | undefined {
    const holder = claims.names.get(name);
    if (holder !== undefined && holder !== key) return `it belongs to ${holder}`;
    const short = shortForm(key, name);
    if (short !== undefined) return `it also means ${short}`;
    // Who holds it keeps it: anyone who can write a ServiceEntry could take it away otherwise.
    if (holder === key) return undefined;
    const foreign = takenBy(name);
    if (foreign !== undefined) return `it also means ${notOurs(foreign)}`;
    const route = routes.get(name);
    // Someone's route for our host may well name our legacy names: held VirtualServices ask for just that.
    if (route === undefined || route.hosts.includes(host)) return undefined;
    return `${describe(route)}, which is not ours, routes it`;
  }

  /** `orders.shop`, or `orders.shop.svc`, is also Kubernetes' short form of a Service, and `orders` that of one in the caller's namespace. */
  function shortForm(key: ServiceKey, name: string): string | undefined {
    const [first = "", namespace, ...more] = name.replace(/\.svc$/, "").split(".");
    if (more.length > 0) return undefined;
    serviceNames ??= allServices(standing);
    const meant = serviceNames.get(first) ?? [];
    // An alias of this service itself leads to the same place.
    const other = meant.find((one) => one.service !== key && (namespace === undefined || one.namespace === namespace));
    if (other === undefined) return undefined;
    const what = `Service ${other.namespace}/${first}`;
    return other.service === undefined ? notOurs(what) : `${what} of ${other.service}`;
  }

  function mayHaveAlias(key: ServiceKey, service: CatalogService, alias: AliasName, object: ObjectKey): boolean {
    const holder = claims.aliases.get(object);
    const phase = standing.namespaces === undefined ? "active" : standing.namespaces.get(alias.namespace);
    const withhold = (reason: Hold["reason"], why: string, regarding?: ObjectKey) => {
      const id = `${alias.namespace}/${alias.name}`;
      hold(service, key, reason, id, `alias ${id} held: ${why}`, regarding);
      return false;
    };
    if (!DNS_LABEL.test(alias.name)) return withhold("invalid", `"${alias.name}" is not a DNS label`);
    if (holder !== undefined && holder !== key) return withhold("name", `it belongs to ${holder}`);
    if (standing.foreign.has(object))
      return withhold("foreign", "a Service of that name exists and is not ours", object);
    claims.aliases.set(object, key);
    if (phase === "active") return true;
    heldAliases.add(object);
    return withhold(
      "namespace",
      `namespace ${alias.namespace} ${phase === undefined ? "does not exist" : "is being deleted"}`,
    );
  }
}

function wish(service: CatalogService, options: NamingOptions): Wishes {
  const host = hostFromTemplate(service, options.template);
  const templates = options.legacyNames.get(service.registry) ?? [];
  const legacyNames = new Map<string, Wishes["legacyNames"][number]>();
  const { registry } = service;
  const known = service.aliasesOnly === true ? [] : [service];
  const put = (raw: string, moreFault?: string) => {
    const name = legacyName(raw);
    const dnsOnly = carryFault(name);
    const fault = dnsFault(name) ?? moreFault;
    if (!legacyNames.has(name))
      legacyNames.set(name, { raw, name, fault, ...(dnsOnly === undefined ? {} : { dnsOnly }) });
  };
  for (const raw of service.legacyNames) put(raw);
  for (const { namespace, name } of [...known, ...(service.aliases ?? [])])
    for (const template of templates) {
      const raw = fill(template, { registry, namespace, name: legacySid(name) });
      put(raw, templateFault(legacyName(raw), template, options.clusterDomain));
    }
  const aliases = new Map<string, AliasName>();
  for (const rule of options.aliases) {
    const name = fill(rule.as, service).toLowerCase();
    if (ruleMatches(rule, service)) aliases.set(`${rule.in}/${name}`, { namespace: rule.in, name });
  }
  return {
    host,
    hostFault: hostFault(host),
    legacyNames: [...legacyNames.values()],
    aliases: [...aliases.values()],
    aliasKeys: [...aliases.values()].map(({ namespace, name }) => objectKey("Service", namespace, name)),
    notes: [...legacyNames.values()].flatMap(({ raw, fault }) =>
      fault === undefined ? [] : [droppedNote(raw, fault)],
    ),
  };
}

const NO_NAMES: readonly never[] = [];

/** A name that stands, as the wishes have it. */
function unreadName(name: string): LegacyName & { readonly fault?: string } {
  const dnsOnly = carryFault(name);
  return dnsOnly === undefined ? { name } : { name, dnsOnly };
}

function sameNames(a: ServiceNames, b: ServiceNames): boolean {
  return (
    a.host === b.host &&
    a.templateHost === b.templateHost &&
    sameList(a.legacyNames, b.legacyNames, (one, other) => one.name === other.name && one.dnsOnly === other.dnsOnly) &&
    sameList(a.aliases, b.aliases, (one, other) => one.name === other.name && one.namespace === other.namespace) &&
    sameList(a.notes, b.notes, (one, other) => one === other)
  );
}

function sameList<Item>(a: readonly Item[], b: readonly Item[], isSame: (a: Item, b: Item) => boolean): boolean {
  return a === b || (a.length === b.length && a.every((item, at) => isSame(item, b[at] as Item)));
}

function droppedNote(raw: string, fault: string): string {
  return `legacy name ${JSON.stringify(raw)} was dropped: ${fault}`;
}

function ruleMatches(rule: AliasRule, service: CatalogService): boolean {
  return (
    rule.registry === service.registry &&
    globMatches(rule.namespace, service.namespace) &&
    globMatches(rule.service, service.name)
  );
}

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** Registries in configuration order, then services by key. */
function inOrder(catalog: Catalog): readonly ServiceKey[] {
  const byRegistry = new Map<string, ServiceKey[]>([...catalog.authorities.keys()].map((registry) => [registry, []]));
  for (const [key, { registry }] of catalog.services) byRegistry.get(registry)?.push(key);
  return [...byRegistry.values()].flatMap((keys) => keys.sort());
}

interface Claims {
  /** Host or legacy name → service. */
  readonly names: Map<string, ServiceKey>;
  /** Object key of an alias → service. */
  readonly aliases: Map<ObjectKey, ServiceKey>;
}

interface NamedService {
  readonly namespace: string;
  /** Whose alias it is; `undefined` when it is not ours. */
  readonly service: ServiceKey | undefined;
}

function* standingClaims(standing: IndexedStanding, memo: NameMemo): Steps<Claims> {
  const claims: Claims = { names: new Map(), aliases: new Map() };
  const further: (readonly [ServiceKey, readonly string[]])[] = [];
  let looked = 0;
  for (const [key, entry] of standing.entries) {
    if (++looked % ITEMS_PER_STEP === 0) yield;
    for (const host of entry.manifest.spec.hosts) claims.names.set(host, key);
    if (entry.manifest.metadata.annotations?.[NAMES_ANNOTATION] !== undefined)
      further.push([key, namesOf(entry, memo)]);
  }
  for (const [key, names] of further) {
    for (const name of names) {
      if (!claims.names.has(name)) claims.names.set(name, key);
    }
  }
  for (const { key, manifest, service } of standing.objects.values()) {
    if (++looked % ITEMS_PER_STEP === 0) yield;
    if (manifest.kind === "Service" && service !== undefined) claims.aliases.set(key, service);
  }
  return claims;
}

function namesOf(entry: StandingEntry, memo: NameMemo): readonly string[] {
  const known = memo.names.get(entry);
  if (known !== undefined) return known;
  const names = readNames(entry.manifest.metadata.annotations?.[NAMES_ANNOTATION]);
  memo.names.set(entry, names);
  return names;
}

/** Name of a Service, aliases of ours among them → all such Services. */
function allServices(standing: IndexedStanding): ReadonlyMap<string, readonly NamedService[]> {
  const services = new Map<string, NamedService[]>();
  for (const { manifest, service } of standing.objects.values()) {
    if (manifest.kind !== "Service" || service === undefined) continue;
    add(manifest.metadata.name, { namespace: manifest.metadata.namespace, service });
  }
  for (const { kind, namespace, name } of standing.foreign.values()) {
    if (kind === "Service") add(name, { namespace, service: undefined });
  }
  return services;

  function add(name: string, service: NamedService): void {
    const others = services.get(name);
    if (others === undefined) services.set(name, [service]);
    else others.push(service);
  }
}

/** Host → the VirtualService or HTTPRoute of someone else that speaks for it: two of them do not merge, the older wins silently. */
export function foreignRoutes(standing: Pick<IndexedStanding, "foreign">): ReadonlyMap<string, ForeignObject> {
  const routes = new Map<string, ForeignObject>();
  for (const foreign of standing.foreign.values()) {
    if (foreign.kind === "VirtualService" || foreign.kind === "HTTPRoute")
      for (const host of foreign.hosts) if (!routes.has(host) || foreign.isNarrow !== true) routes.set(host, foreign);
  }
  return routes;
}

function notOurs(what: string): string {
  return `${what}, which is not ours`;
}

/** Who else has a host. A Service has its name in the cluster's domain. */
function foreignHosts(standing: IndexedStanding, clusterDomain: string): (host: string) => string | undefined {
  const hosts = new Map<string, ForeignObject>();
  for (const foreign of standing.foreign.values()) {
    if (foreign.kind === "ServiceEntry") for (const host of foreign.hosts) hosts.set(host.toLowerCase(), foreign);
  }
  const suffix = `.svc.${clusterDomain}`;
  return (host) => {
    const foreign =
      hosts.get(host) ?? (host.endsWith(suffix) ? serviceNamed(host.slice(0, -suffix.length)) : undefined);
    return foreign === undefined ? undefined : describe(foreign);
  };

  function serviceNamed(text: string): ForeignObject | undefined {
    const [name = "", namespace = "", ...more] = text.split(".");
    return more.length > 0 ? undefined : standing.foreign.get(objectKey("Service", namespace, name));
  }
}

function describe({ kind, namespace, name }: ForeignObject): string {
  return `${kind} ${namespace}/${name}`;
}

/** Write the names annotation: every DNS name of a service besides its host. */
export function writeNames(names: readonly LegacyName[]): string {
  return JSON.stringify(names.map(({ name }) => ({ name })));
}

/** Read the names annotation; what cannot be read gives no names. */
export function readNames(annotation: string | undefined): readonly string[] {
  if (annotation === undefined) return [];
  try {
    const rows: unknown = JSON.parse(annotation);
    if (!Array.isArray(rows)) return [];
    return rows.flatMap((row: unknown) =>
      typeof row === "object" && row !== null && "name" in row && typeof row.name === "string" ? [row.name] : [],
    );
  } catch {
    return [];
  }
}

/**
 * The host that `template` gives a service: lower case; dots in a service name stay label separators; any other character
 * that a host cannot have becomes `-`, and its label then ends in `-` and 8 hex digits of SHA-256 of the service's key.
 */
export function hostFromTemplate(service: Pick<Service, "registry" | "namespace" | "name">, template: string): string {
  const key = serviceKey(service.registry, service.namespace, service.name);
  // One label may be made of template text and values ({service}-{namespace}), so labels are judged after filling.
  return fill(template, service)
    .toLowerCase()
    .split(".")
    .map((label) => hostLabel(label, key))
    .join(".");
}

type Service = CatalogService;

function hostLabel(label: string, key: ServiceKey): string {
  if (DNS_LABEL.test(label)) return label;
  const hash = createHash("sha256").update(key).digest("hex").slice(0, 8);
  const cut = label
    .replace(/[^a-z0-9-]/gu, "-")
    .replace(/^-+/, "")
    .slice(0, 54)
    .replace(/-+$/, "");
  return cut === "" ? hash : `${cut}-${hash}`;
}

function fill(template: string, service: Pick<Service, "registry" | "namespace" | "name">): string {
  const values: Record<string, string> = {
    service: service.name,
    namespace: service.namespace,
    registry: service.registry,
  };
  return template.replace(/\{(service|namespace|registry)\}/g, (_, name: string) => values[name] ?? "");
}

/** The legacy name that a template gives. */
function fillLegacy(template: string, { registry, namespace, name }: Pick<Service, "registry" | "namespace" | "name">) {
  return legacyName(fill(template, { registry, namespace, name: legacySid(name) }));
}

/** Lower case, without a trailing dot; an L5 sid as `modid.cmdid`. */
export function legacyName(raw: string): string {
  return legacySid(raw).replace(/\.$/, "").toLowerCase();
}

/** An L5 sid `modid:cmdid` as DNS can carry it; any other name as it is. */
function legacySid(name: string): string {
  return name.replace(/^(\d+):(\d+)$/, "$1.$2");
}

function hostFault(host: string): string | undefined {
  if (host.length > 253) return `its host would have ${host.length} characters, 253 are allowed`;
  if (!host.split(".").every((label) => DNS_LABEL.test(label))) return `its host "${host}" is not a DNS name`;
  if (/(^|\.)\d+$/.test(host)) return `its host "${host}" ends in a number, which Istio refuses`;
  return undefined;
}

/** Why DNS cannot carry a name (RFC 1035 §2.3.4, with `_` allowed, and `*` before two labels, RFC 4592), or `undefined`. */
function dnsFault(name: string): string | undefined {
  if (name.length > 253) return `it has ${name.length} characters, 253 are allowed`;
  for (const label of name.replace(/^\*\.(?=.+\.)/, "").split(".")) {
    if (label === "") return "it has an empty label";
    if (label.length > 63) return `its label "${label}" has ${label.length} characters, 63 are allowed`;
    if (!/^[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?$/.test(label))
      return `its label ${JSON.stringify(label)} has characters that a DNS name cannot have`;
  }
  return undefined;
}

/** Why a registry's own words cannot make a name in the cluster's domain, or a wildcard: the operator's template has to say so. */
function templateFault(name: string, template: string, clusterDomain: string): string | undefined {
  const domain = `.${clusterDomain}`;
  if (name.endsWith(domain) && !template.toLowerCase().endsWith(domain))
    return `only a template that ends in ${clusterDomain} can give names in that domain`;
  return name.startsWith("*.") && !template.startsWith("*.")
    ? "only a template that begins with *. can give wildcards"
    : undefined;
}

/** Why Istio cannot carry a DNS name as a host, or `undefined`. */
function carryFault(name: string): string | undefined {
  if (!name.includes(".")) return "Istio reads a name of one label as a Service of the VirtualService's namespace";
  if (/(^|\.)\d+$/.test(name)) return "its last label is a number";
  if (name.includes("_")) return "it has an underscore";
  if (name.startsWith("*.")) return "a wildcard is answered by DNS only";
  return undefined;
}

const globs = /[.+^${}()|[\]\\]/g;

/** `*` is any run of characters, `?` any one; everything else is itself. */
export function globMatches(glob: string, text: string): boolean {
  if (glob === "*" || glob === text) return true;
  if (!/[*?]/.test(glob)) return false;
  return new RegExp(`^${glob.replace(globs, "\\$&").replaceAll("*", ".*").replaceAll("?", ".")}$`, "s").test(text);
}
