import { createHash } from "node:crypto";
import { inSlices, type Sliced } from "../../async/slices.ts";
import { type AddressRange, canonical, familyOf, ledgerSpot } from "../../istio/addresses.ts";
import { vipRanges } from "../../istio/ranges.ts";
import type { Hold } from "../../model/plan.ts";
import { registryOfKey, type ServiceKey } from "../../model/service.ts";
import type { RegistrySettings } from "../../model/settings.ts";
import { lazy } from "../lazy.ts";
import { type PlanMemory, planMemory } from "../memory.ts";
import { type IndexedStanding, namelessEntries } from "../standing.ts";
import { foreignAddresses, vipClashes } from "./clashes.ts";
import type { LedgerLine, VipLedger } from "./ledger.ts";
import { blockWrites, readLedger } from "./ledger-blocks.ts";
import { type Claimant, type Family, familiesByRegistry, inOrder } from "./turns.ts";

export interface VipOptions {
  readonly owner: string;
  /** CIDRs; on an entry IPv4 comes first, whatever their order. */
  readonly ranges: readonly string[];
  /** How long a freed VIP rests, at least the longest TTL. */
  readonly quarantineMs: number;
  readonly nowMs: number;
  /** In configuration order, with the ranges that are for one registry only. */
  readonly registries: readonly Pick<RegistrySettings, "name" | "ranges">[];
}

type Hosts = ReadonlyMap<string, ServiceKey>;

/** What VIPs are allocated from, and what has been allocated so far. */
interface State {
  readonly hosts: Hosts;
  readonly standing: IndexedStanding;
  readonly options: VipOptions;
  /** By address. */
  readonly lines: Map<string, LedgerLine>;
  /** Names of blocks with a line that changed. */
  readonly changedBlocks: Set<string>;
  /** Addresses that this owner's hosts hold. */
  readonly held: Map<string, string[]>;
  /** Addresses that others have. */
  readonly foreign: () => ReadonlySet<string>;
  /** Families in which every free address is also someone else's: searched once, not for each host. */
  readonly crowded: Set<Family>;
  /** Families without a free address. */
  readonly full: Set<Family>;
  readonly holds: Hold[];
  readonly vips: Map<string, readonly string[]>;
}

/**
 * Give every host a VIP and keep those that the ledger holds.
 *
 * What a host has is never yielded, whoever else claims it and since when: anyone who may write a Service or a ServiceEntry could
 * else move our VIPs. Whoever claims one is named in `holds`. A *new* VIP is one that nobody else has, by ServiceEntry, cluster IP or
 * load balancer; but where nothing else is free it is given all the same, so that nobody can use up a range by naming addresses.
 *
 * A freed VIP rests for `quarantineMs`, so that no client's cached answer reaches another service; a host that returns gets
 * its own back. Hosts have their turn by the order of registries, then by service; the first candidate is a hash of the host, and what
 * stands on entries is imported, so that a lost ledger rebuilds itself.
 *
 * A host for which no address is free is named in `holds`; a new one gets none, one that stands goes on with what it has:
 * "Cannot allocate a VIP as range "10.9.0.0/24" must have a free address: 254 of 254 are held".
 *
 * @param hosts every host that is to have a VIP or has an entry that stands, with its service
 * @see istio/istio pilot/pkg/features/pilot.go: Istio's own range is 240.240.0.0/16
 */
export function* allocateVips(
  hosts: ReadonlyMap<string, ServiceKey>,
  standing: IndexedStanding,
  options: VipOptions,
  memory: PlanMemory = planMemory(),
): Sliced<VipLedger> {
  const state: State = {
    ...{ hosts, standing, options },
    lines: yield* readLedger(standing.ledger, memory),
    changedBlocks: new Set(),
    held: new Map(),
    foreign: lazy(() => foreignAddresses(standing)),
    crowded: new Set(),
    full: new Set(),
    holds: [],
    vips: new Map(),
  };
  const { lines, vips, holds, changedBlocks } = state;
  const familiesOf = familiesByRegistry(options);
  yield* findHeld(state);
  const lacking: Lacking[] = [];
  yield* inSlices(hosts, ([host, service]) => {
    const families = familiesOf(registryOfKey(service));
    const kept = families.map(({ family }) => keep(state, host, family));
    if (kept.every((address) => address !== undefined)) vips.set(host, kept);
    else lacking.push({ host, service, families, kept });
  });
  yield* inSlices(inOrder(lacking, options.registries), (one) => allocate(state, one));
  holds.push(...(yield* vipClashes(standing, vipRanges({ vips: options, ...options }), hosts, vips)));
  const unreadable = unreadableEntries(standing);
  yield* inSlices(lines.values(), (line) => {
    if (isFreed(state, line, unreadable)) put(state, { ...line, restingSinceMs: options.nowMs });
  });
  const writes = yield* blockWrites(lines, changedBlocks, standing.ledger, (line) => isRested(line, options));
  return { lines, vips, holds, writes };
}

/** A host that has no address in some of its families. */
interface Lacking extends Claimant {
  readonly families: readonly Family[];
  /** By family. */
  readonly kept: readonly (string | undefined)[];
}

/**
 * Find which hosts of this owner hold which addresses; what stands on an entry and is in no readable line is written into the ledger,
 * unless that gives the host another: then someone changed the entry.
 */
function* findHeld(state: State): Sliced<void> {
  const { hosts, standing, lines, options, held } = state;
  const used = new Set<string>();
  const nameless = namelessEntries(standing);
  const isOurs = (line: LedgerLine | undefined, host: string) => line?.host === host && line.owner === options.owner;
  yield* inSlices(lines, ([address, { host, owner, restingSinceMs }]) => {
    if (owner === options.owner && restingSinceMs === undefined) used.add(`${familyOf(address)} ${host}`);
  });
  const unlisted: (Claimant & { readonly address: string })[] = [];
  yield* inSlices(hosts, ([host, service]) => {
    const entry = standing.entries.get(service)?.manifest ?? nameless.get(host);
    for (const raw of entry?.spec.addresses ?? []) {
      const address = canonical(raw);
      if (address === undefined) continue;
      if (isOurs(lines.get(address), host)) append(held, host, address);
      else if (!used.has(`${familyOf(address)} ${host}`)) unlisted.push({ host, service, address });
    }
  });
  for (const { host, address } of inOrder(unlisted, options.registries)) {
    if (lines.get(address)?.host !== undefined) continue;
    put(state, { address, host, owner: options.owner });
    append(held, host, address);
  }
  const resting: LedgerLine[] = [];
  yield* inSlices(lines.values(), (line) => {
    if (line.owner !== options.owner || line.host === undefined || !hosts.has(line.host)) return;
    if (line.restingSinceMs !== undefined) resting.push(line);
    else if (held.get(line.host)?.includes(line.address) !== true) append(held, line.host, line.address);
  });
  for (const { host = "", address } of resting)
    if (held.get(host)?.includes(address) !== true) append(held, host, address);
}

function put({ lines, changedBlocks }: State, line: LedgerLine): void {
  lines.set(line.address, line);
  changedBlocks.add(ledgerSpot(line.address).block);
}

/** The address of a family that a host goes on with, or `undefined`. */
function keep(state: State, host: string, family: Family["family"]): string | undefined {
  const { held, lines, options } = state;
  const address = held.get(host)?.find((one) => familyOf(one) === family);
  if (address !== undefined && lines.get(address)?.restingSinceMs !== undefined)
    put(state, { address, host, owner: options.owner });
  return address;
}

/** Give a host an address of each family in which it keeps none. Without one, what stands goes on with what it has. */
function allocate(state: State, { host, service, families, kept }: Lacking): void {
  const given = families.map((family, at) => kept[at] ?? findFree(state, host, family));
  const faults = families.flatMap(({ ranges }, at) => (given[at] === undefined ? [exhausted(ranges)] : []));
  const entry = state.standing.entries.get(service)?.manifest;
  const stands = (entry?.spec.addresses ?? []).flatMap((raw) => canonical(raw) ?? []);
  const addresses = families.flatMap(
    ({ family }, at) => given[at] ?? stands.find((one) => familyOf(one) === family) ?? [],
  );
  if (faults.length === 0 || entry !== undefined) state.vips.set(host, addresses.length > 0 ? addresses : stands);
  if (faults.length === 0) return;
  const message = faults.join("; ");
  state.holds.push({ reason: "address", subject: host, service, registry: registryOfKey(service), message });
}

function findFree(state: State, host: string, family: Family): string | undefined {
  const { full, crowded, lines, foreign, options } = state;
  const { ranges } = family;
  if (full.has(family)) return undefined;
  const size = sizeOf(ranges);
  const start = createHash("sha256").update(host).digest().readUInt32BE(0) % size;
  let claimed: string | undefined;
  for (let tried = 0; tried < size; tried++) {
    const address = addressAt(ranges, (start + tried) % size);
    const line = lines.get(address);
    if ((line !== undefined && !isRested(line, options)) || isWanted(state, line)) continue;
    if (crowded.has(family) || !foreign().has(address)) {
      put(state, { address, host, owner: options.owner });
      return address;
    }
    claimed ??= address;
  }
  if (claimed === undefined) {
    full.add(family);
    return undefined;
  }
  crowded.add(family);
  put(state, { address: claimed, host, owner: options.owner });
  return claimed;
}

/** A host that returns in this pass gets its own back, also after the rest. */
function isWanted({ hosts, options }: State, line: LedgerLine | undefined): boolean {
  return line?.host !== undefined && line.owner === options.owner && hosts.has(line.host);
}

/** Whether an address is no longer used by its host, and so begins to rest. */
function isFreed({ options, vips, hosts }: State, line: LedgerLine, unreadable: ReadonlySet<string>): boolean {
  if (line.owner !== options.owner || line.host === undefined || line.restingSinceMs !== undefined) return false;
  const isKept = vips.get(line.host)?.includes(line.address) === true;
  const isHeld = hosts.has(line.host) && !vips.has(line.host);
  return !isKept && !isHeld && !unreadable.has(line.host);
}

function isRested({ restingSinceMs }: LedgerLine, { quarantineMs, nowMs }: VipOptions): boolean {
  return restingSinceMs !== undefined && restingSinceMs + quarantineMs <= nowMs;
}

function exhausted(ranges: readonly AddressRange[]): string {
  const names = ranges.map((range) => `"${range.cidr}"`).join(", ");
  const size = sizeOf(ranges);
  return `Cannot allocate a VIP as range ${names} must have a free address: ${size} of ${size} are held`;
}

function sizeOf(ranges: readonly AddressRange[]): number {
  return ranges.reduce((sum, range) => sum + range.size, 0);
}

function append(map: Map<string, string[]>, key: string, value: string): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

function addressAt(ranges: readonly AddressRange[], index: number): string {
  let left = index;
  for (const range of ranges) {
    if (left < range.size) return range.at(left);
    left -= range.size;
  }
  throw new RangeError(`no address at ${index}`);
}

/** Names of entries of which nothing can be read, as of files that someone damaged: what is not read is not gone. */
function unreadableEntries({ foreign }: IndexedStanding): ReadonlySet<string> {
  const names = new Set<string>();
  for (const { kind, name, hosts } of foreign.values())
    if (kind === "ServiceEntry" && hosts.length === 0) names.add(name);
  return names;
}
