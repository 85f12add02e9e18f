import type { NameEndpoint, NamePort, NameRow, NameTable, WaitingName } from "../model/name-table.ts";
import {
  type EntryPort,
  NAMES_ANNOTATION,
  type ObjectKey,
  SERVICE_ANNOTATION,
  type ServiceEntry,
} from "../model/objects.ts";
import type { Standing, StandingObject } from "../model/standing.ts";
import { canonical, familyOf } from "./addresses.ts";
import { readNames } from "./names.ts";
import { sameValue } from "./same.ts";
import { isCompanion } from "./standing.ts";
import { insideAddresses } from "./standing-stage.ts";
import { atOnce, ITEMS_PER_STEP, type Steps } from "./steps.ts";

const MOST_ENDPOINTS = 256;

/** An entry of ours, also one of which nobody can tell the service any more. */
interface AnsweredEntry extends StandingObject {
  readonly manifest: ServiceEntry;
}

export interface NameTableOptions {
  /** How long after its entry is first seen a new name is held up, so that the mesh can have its VIP. */
  readonly settleMs: number;
  /** `Date.now()`. */
  readonly nowMs: number;
  /** Of VIPs that Istio gave, the families that are answered; all if it is left out. */
  readonly families?: readonly ("v4" | "v6")[];
  /** Whether rows have the endpoints. Default false: they change often. */
  readonly endpoints?: boolean;
  /** Names of services that stand only on demand: those that do not stand wait. The same list is the same object. */
  readonly waiting?: readonly WaitingName[] | undefined;
}

/**
 * The names that stand in the target, with the addresses that stand there: what the DNS server answers from.
 *
 * Of two entries with one name the one whose key sorts first answers; names are never given out twice by us, but a second
 * installation may do so. A row whose entry has no address is left out: nothing could be answered.
 *
 * @param previous the table before: rows of unchanged entries keep their identity, new names settle; without one (at start)
 *   everything that stands has settled
 */
export const buildNameTable = atOnce(buildNameTableSteps);

/** {@link buildNameTable} in steps. Entries are those that stood before the first. */
export function* buildNameTableSteps(
  standing: Pick<Standing, "objects">,
  options: NameTableOptions,
  previous?: NameTable,
): Steps<NameTable> {
  const names = new Map<string, NameRow>();
  const parents = new Set<string>();
  const entries = [...standing.objects.values()].filter(isAnswered).sort(byKey);
  const changed: string[] = [];
  let looked = 0;
  for (const entry of entries) {
    if (++looked % ITEMS_PER_STEP === 0) yield;
    for (const row of rowsOf(entry, options)) {
      if (names.has(row.name)) continue;
      const before = previous?.names.get(row.name);
      const now = keepRow(row, before, previous === undefined ? 0 : settledAt(row, before));
      names.set(row.name, now);
      if (now !== before) changed.push(row.name);
    }
  }
  for (const waiting of options.waiting ?? []) {
    if (++looked % ITEMS_PER_STEP === 0) yield;
    if (names.has(waiting.name)) continue;
    const before = previous?.names.get(waiting.name);
    const now = waitingRow(waiting, before);
    names.set(waiting.name, now);
    if (now !== before) changed.push(waiting.name);
  }
  for (const name of names.keys()) {
    if (++looked % ITEMS_PER_STEP === 0) yield;
    addParents(name, parents, names);
  }
  const table = {
    ...{ names, parents, serial: nextSerial(previous?.serial, options.nowMs) },
    ...(options.endpoints === true ? { hasEndpoints: true } : {}),
  };
  if (previous === undefined) return table;
  for (const name of previous.names.keys()) {
    if (++looked % ITEMS_PER_STEP === 0) yield;
    if (!names.has(name)) changed.push(name);
  }
  return { ...table, changes: { since: previous.serial, names: changed } };

  /** A name that comes or goes inside with its service leads to what the mesh has had all along, as its host does. */
  function settledAt({ host, name }: NameRow, before: NameRow | undefined): number {
    const isOld = before?.host === host && name !== host;
    const known = names.get(host);
    return isOld && known !== undefined && known === previous?.names.get(host)
      ? known.settledAtMs
      : options.nowMs + options.settleMs;
  }
}

/** The table for one who asks again and again. */
export interface NameTables {
  /**
   * The table of what stands, in steps; the one before when nothing that it is made of changed.
   *
   * @param changed keys of what changed since the call before; `undefined` when they are not known
   */
  renew(
    standing: Pick<Standing, "objects">,
    changed: ReadonlySet<ObjectKey> | undefined,
    options: NameTableOptions,
  ): Steps<NameTable>;
}

export function nameTables(): NameTables {
  let table: NameTable | undefined;
  /** Whether `entries` are what `table` was made of. */
  let isCurrent = false;
  let entries = new Map<ObjectKey, AnsweredEntry>();
  let waiting: readonly WaitingName[] | undefined;
  return {
    *renew({ objects: live }, changed, options) {
      const hasSameNames = waiting === options.waiting;
      const isAlike = isCurrent && hasSameNames && (table?.hasEndpoints ?? false) === (options.endpoints ?? false);
      if (isAlike && table !== undefined && changed !== undefined && !exchangeAll(live, changed, options)) return table;
      isCurrent = false;
      const objects = new Map(live);
      table = yield* buildNameTableSteps({ objects }, options, table);
      entries = new Map([...objects.values()].filter(isAnswered).map((entry) => [entry.key, entry]));
      waiting = options.waiting;
      isCurrent = true;
      return table;
    },
  };

  /** Take over entries that moved; tells whether names or addresses did. */
  function exchangeAll(live: Standing["objects"], changed: ReadonlySet<ObjectKey>, options: NameTableOptions): boolean {
    for (const key of changed) {
      const object = live.get(key);
      const now = object !== undefined && isAnswered(object) ? object : undefined;
      const before = entries.get(key);
      if (before === now) continue;
      if (before === undefined || now === undefined || !sameValue(sourceOf(before, options), sourceOf(now, options)))
        return true;
      entries.set(key, now);
    }
    return false;
  }
}

/** All that rows are made of. */
function sourceOf({ manifest, statusAddresses }: AnsweredEntry, { endpoints: hasEndpoints }: NameTableOptions): object {
  const { spec, metadata } = manifest;
  const { hosts, addresses, ports } = spec;
  const endpoints = hasEndpoints === true ? spec.endpoints : undefined;
  const { [NAMES_ANNOTATION]: names, [SERVICE_ANNOTATION]: service } = metadata.annotations ?? {};
  const inside = insideAddresses({ manifest });
  return { host: hosts[0], addresses, statusAddresses, ports, endpoints, names, service, inside };
}

function isAnswered(object: StandingObject): object is AnsweredEntry {
  return object.manifest.kind === "ServiceEntry" && !isCompanion(object.manifest.metadata);
}

function byKey(a: StandingObject, b: StandingObject): number {
  return a.key < b.key ? -1 : 1;
}

function rowsOf(entry: AnsweredEntry, options: NameTableOptions): readonly NameRow[] {
  const { spec, metadata } = entry.manifest;
  const host = spec.hosts[0];
  if (host === undefined) return [];
  const addresses = (spec.addresses ?? ofFamilies(entry.statusAddresses, options)).flatMap(
    (address) => canonical(address) ?? [],
  );
  const a = addresses.filter((address) => familyOf(address) === "v4");
  const aaaa = addresses.filter((address) => familyOf(address) === "v6");
  if (addresses.length === 0) return [];
  const names = [host, ...readNames(metadata.annotations?.[NAMES_ANNOTATION])];
  const service = metadata.annotations?.[SERVICE_ANNOTATION];
  const common = {
    ...{ host, a, aaaa, ports: spec.ports.map(portOf) },
    ...(options.endpoints === true ? { endpoints: endpointsOf(spec) } : {}),
    ...(service === undefined ? {} : { service }),
  };
  // Its host and VIP lead inside too; who asks by an old name need not pass by them.
  const inside = byFamily(insideAddresses(entry));
  return names.map((name) => ({
    ...{ name: name.toLowerCase(), ...common, settledAtMs: 0 },
    ...(name === host ? {} : inside),
  }));
}

/** Addresses to answer with; nothing when there are none. */
function byFamily(addresses: readonly string[]): Partial<Pick<NameRow, "a" | "aaaa">> {
  if (addresses.length === 0) return {};
  return {
    a: addresses.filter((address) => familyOf(address) === "v4"),
    aaaa: addresses.filter((address) => familyOf(address) === "v6"),
  };
}

function ofFamilies(addresses: readonly string[], { families }: NameTableOptions): readonly string[] {
  if (families === undefined) return addresses;
  return addresses.filter((address) => families.includes(familyOf(address)));
}

/** What has an address, at most 256 of them: no answer has room for more. */
function endpointsOf({ endpoints = [] }: AnsweredEntry["manifest"]["spec"]): readonly NameEndpoint[] {
  return endpoints.slice(0, MOST_ENDPOINTS).flatMap(({ address, ports = {}, locality }) => {
    const text = canonical(address);
    const [region, zone] = locality?.split("/") ?? [];
    const lower = Object.entries(ports).map(([name, number]) => [name.toLowerCase(), number] as const);
    if (text === undefined) return [];
    return [
      {
        address: text,
        ...(lower.length === 0 ? {} : { ports: Object.fromEntries(lower) }),
        ...(region === undefined ? {} : { region }),
        ...(zone === undefined ? {} : { zone }),
      },
    ];
  });
}

function portOf({ name, number, protocol }: EntryPort): NamePort {
  return { name: name.toLowerCase(), number, transport: protocol.toUpperCase() === "UDP" ? "udp" : "tcp" };
}

function keepRow(row: NameRow, before: NameRow | undefined, settledAtMs: number): NameRow {
  if (before === undefined) return { ...row, settledAtMs };
  const isSame = before.host === row.host && before.a.join() === row.a.join() && before.aaaa.join() === row.aaaa.join();
  if (!isSame) return { ...row, settledAtMs };
  // The mesh has its address, whatever else changed.
  const isWhole =
    sameValue(before.ports, row.ports) && sameValue(before.endpoints, row.endpoints) && before.service === row.service;
  return isWhole ? before : { ...row, settledAtMs: before.settledAtMs };
}

function waitingRow({ name, host, service }: WaitingName, before: NameRow | undefined): NameRow {
  const isSame = before?.waits === true && before.host === host && before.service === service;
  return isSame ? before : { name, host, a: [], aaaa: [], service, waits: true, settledAtMs: 0 };
}

/** Add to `parents` what lies above `name` and is in neither. */
export function addParents(name: string, parents: Set<string>, names: ReadonlyMap<string, NameRow>): void {
  for (let dot = name.indexOf("."); dot !== -1; dot = name.indexOf(".", dot + 1)) {
    const parent = name.slice(dot + 1);
    if (parents.has(parent)) return;
    if (!names.has(parent)) parents.add(parent);
  }
}

/** Seconds since the epoch, so that it goes up over restarts and is alike on replicas (RFC 1982: it must only increase). */
function nextSerial(before: number | undefined, nowMs: number): number {
  const now = Math.floor(nowMs / 1000) % 2 ** 32;
  return before === undefined ? now : Math.max(now, (before + 1) % 2 ** 32);
}
