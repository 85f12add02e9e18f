import { canonical, familyOf } from "../../istio/addresses.ts";
import { isHostName } from "../../istio/host-names.ts";
import type { NameEndpoint, NamePort, NameRow, WaitingName } from "../../model/name-table.ts";
import {
  type EntryPort,
  GONE_SINCE_ANNOTATION,
  NAMES_ANNOTATION,
  SERVICE_ANNOTATION,
  type ServiceEntry,
} from "../../model/objects.ts";
import type { StandingObject } from "../../model/standing.ts";
import { sameValue } from "../same.ts";
import { insideAddresses } from "../stages/standing-stage.ts";
import { isCompanion } from "../standing.ts";
import { readWrittenNames, type WrittenName } from "./names-annotation.ts";
import { claimOf, type NameClaim } from "./precedence.ts";

/** As an answer by TCP has room for. */
const MOST_ENDPOINTS = 4000;

/** An entry of ours, also one of which nobody can tell the service any more. */
export interface AnsweredEntry extends StandingObject {
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
  /** Whether names are missing, as a registry was never read. */
  readonly isPartial?: boolean;
  /** Names of services that stand only on demand: those that do not stand wait. The same list is the same object. */
  readonly waiting?: readonly WaitingName[] | undefined;
}

/** All that rows are made of. */
export function sourceOf(
  { manifest, statusAddresses, terminating }: AnsweredEntry,
  { endpoints: hasEndpoints }: NameTableOptions,
): object {
  const { spec, metadata } = manifest;
  const { hosts, addresses, ports } = spec;
  const endpoints = hasEndpoints === true ? spec.endpoints : undefined;
  const { [NAMES_ANNOTATION]: names, [SERVICE_ANNOTATION]: service } = metadata.annotations ?? {};
  const inside = insideAddresses({ manifest });
  const isGone = metadata.annotations?.[GONE_SINCE_ANNOTATION] !== undefined;
  return { host: hosts[0], addresses, statusAddresses, ports, endpoints, names, service, inside, isGone, terminating };
}

/** Whether DNS answers from it. */
export function isAnswered(object: StandingObject): object is AnsweredEntry {
  return object.manifest.kind === "ServiceEntry" && !isCompanion(object.manifest.metadata);
}

/** A row, and what it is preferred to that of another entry for. */
export interface ClaimedRow {
  readonly row: NameRow;
  readonly claim: NameClaim;
  readonly entry: AnsweredEntry;
}

/** All names of an entry, its host first; none where it has no address. */
export function rowsOf(entry: AnsweredEntry, options: NameTableOptions): readonly ClaimedRow[] {
  const { spec, metadata } = entry.manifest;
  const host = spec.hosts[0];
  if (host === undefined) return [];
  const addresses = (spec.addresses ?? ofFamilies(entry.statusAddresses, options)).flatMap(
    (address) => canonical(address) ?? [],
  );
  const a = addresses.filter((address) => familyOf(address) === "v4");
  const aaaa = addresses.filter((address) => familyOf(address) === "v6");
  if (addresses.length === 0) return [];
  const names: readonly WrittenName[] = [{ name: host }, ...readWrittenNames(metadata.annotations?.[NAMES_ANNOTATION])];
  const service = metadata.annotations?.[SERVICE_ANNOTATION];
  const common = {
    ...{ host, a, aaaa, ports: spec.ports.map(portOf) },
    ...(options.endpoints === true ? { endpoints: endpointsOf(spec) } : {}),
    ...(service === undefined ? {} : { service }),
    ...(entry.terminating === undefined ? {} : { ends: true as const }),
  };
  // Its host and VIP lead inside too; who asks by an old name need not pass by them.
  const inside = byFamily(insideAddresses(entry));
  return names.map(({ name, since }) => ({
    row: { ...{ name: name.toLowerCase(), ...common, settledAtMs: 0 }, ...(name === host ? {} : inside) },
    claim: claimOf(entry, name === host, since),
    entry,
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

/** What has an address, as many of them as an answer has room for. */
function endpointsOf({ endpoints = [] }: AnsweredEntry["manifest"]["spec"]): readonly NameEndpoint[] {
  return endpoints.slice(0, MOST_ENDPOINTS).flatMap(({ address, ports = {}, locality }) => {
    const text = isHostName(address) ? address : canonical(address);
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

/** The row before where nothing changed; else with the time at which it will have settled. */
export function keepRow(row: NameRow, before: NameRow | undefined, settledAtMs: number): NameRow {
  if (before === undefined) return { ...row, settledAtMs };
  const isSame = before.host === row.host && before.a.join() === row.a.join() && before.aaaa.join() === row.aaaa.join();
  if (!isSame) return { ...row, settledAtMs };
  // The mesh has its address, whatever else changed.
  const isWhole =
    sameValue(before.ports, row.ports) &&
    sameValue(before.endpoints, row.endpoints) &&
    before.service === row.service &&
    before.ends === row.ends;
  return isWhole ? before : { ...row, settledAtMs: before.settledAtMs };
}

/** The row of a name that does not stand yet. */
export function waitingRow({ name, host, service }: WaitingName, before: NameRow | undefined): NameRow {
  const isSame = before?.waits === true && before.host === host && before.service === service;
  return isSame ? before : { name, host, a: [], aaaa: [], service, waits: true, settledAtMs: 0 };
}

/**
 * How long a name is answered whose entry was being deleted and is gone now: by then its service, if it has come back, has another one, also
 * where a pass takes seconds or a write has to be sent again.
 */
const MADE_ANEW_MS = 10_000;

/** The row of a name that no entry has any more; `undefined` where it is to be denied. */
export function endingRow(before: NameRow, nowMs: number): NameRow | undefined {
  const { ends } = before;
  if (ends === true) return { ...before, ends: nowMs + MADE_ANEW_MS };
  return ends !== undefined && ends > nowMs ? before : undefined;
}
