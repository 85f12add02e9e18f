import { createHash } from "node:crypto";
import { isIP } from "node:net";
import { objectKey } from "../model/objects.ts";
import type { Hold } from "../model/plan.ts";
import type { ServiceKey } from "../model/service.ts";
import type { ForeignObject, StandingLedgerBlock } from "../model/standing.ts";
import type { LedgerWrite } from "../model/target.ts";
import { type AddressRange, addressRange, canonical, familyOf, ledgerAddress, ledgerSpot } from "./addresses.ts";
import { type IndexedStanding, namelessEntries, type StandingEntry } from "./standing.ts";
import { atOnce, ITEMS_PER_STEP, type Steps } from "./steps.ts";

/** Whose an address is. A line that cannot be read has no host: its address is never handed out. */
export interface LedgerLine {
  readonly address: string;
  readonly host: string | undefined;
  readonly owner: string | undefined;
  /** Set while the address rests after its host has gone. */
  readonly restingSinceMs?: number;
}

/** Which host has which VIP. */
export interface VipLedger {
  /** By address. */
  readonly lines: ReadonlyMap<string, LedgerLine>;
  /** Addresses of this owner's hosts, IPv4 first; only hosts that were asked for. */
  readonly vips: ReadonlyMap<string, readonly string[]>;
  /** Hosts that could be given none, and duplicates that someone else has to settle. */
  readonly holds: readonly Hold[];
  /** Blocks that differ from what stands, to be written before any entry that uses them. */
  readonly writes: readonly LedgerWrite[];
}

/** Lines of blocks that were read before; the caller keeps it from pass to pass. */
export type LedgerMemo = WeakMap<StandingLedgerBlock, readonly LedgerLine[]>;

export interface VipOptions {
  readonly owner: string;
  /** CIDRs; on an entry IPv4 comes first, whatever their order. */
  readonly ranges: readonly string[];
  /** How long a freed VIP rests, at least the longest TTL. */
  readonly quarantineMs: number;
  readonly nowMs: number;
}

/**
 * Give every host a VIP and keep those that the ledger holds.
 *
 * A freed VIP rests for `quarantineMs`, so that no client's cached answer reaches another service; a host that returns gets
 * its own back. The first candidate is a hash of the host, and what stands on entries is imported, so that a lost ledger
 * rebuilds itself. Addresses of anyone else's ServiceEntry or Service count as taken; a duplicate that appears later is
 * settled by age: ours yields when it is the younger.
 *
 * A host for which no address is free gets none and is named in `holds`:
 * "Cannot allocate a VIP as range "10.9.0.0/24" must have a free address: 254 of 254 are held".
 *
 * @param hosts every host that is to have a VIP or has an entry that stands, with its service
 * @see istio/istio pilot/pkg/features/pilot.go: Istio's own range is 240.240.0.0/16
 */
export const allocateVips = atOnce(allocateVipsSteps);

/** {@link allocateVips} in steps. */
export function* allocateVipsSteps(
  hosts: ReadonlyMap<string, ServiceKey>,
  standing: IndexedStanding,
  options: VipOptions,
  memo: LedgerMemo = new WeakMap(),
): Steps<VipLedger> {
  const lines = yield* readLedger(standing.ledger, memo);
  const dirty = new Set<string>();
  const holds: Hold[] = [];
  const vips = new Map<string, readonly string[]>();
  const taken = foreignAddresses(standing);
  const families = [...Map.groupBy(options.ranges.map(addressRange), (range) => range.family)].sort(([a], [b]) =>
    a < b ? -1 : 1,
  );
  /** Families without a free address: looked through once, not for each host. */
  const full = new Set<string>();
  const own = yield* importStanding(hosts, standing, lines, options, dirty);
  let looked = 0;
  const lacking: [host: string, service: ServiceKey, kept: readonly (string | undefined)[]][] = [];
  for (const [host, service] of hosts) {
    if (++looked % ITEMS_PER_STEP === 0) yield;
    const kept = families.map(([family]) => keep(host, service, family));
    if (kept.every((address) => address !== undefined)) vips.set(host, kept);
    else lacking.push([host, service, kept]);
  }
  // In a stable order, so that the same hosts get the same addresses again.
  for (const [host, service, kept] of lacking.sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (++looked % ITEMS_PER_STEP === 0) yield;
    const given = families.map(([family, candidates], at) => kept[at] ?? allocate(host, family, candidates));
    const faults = families.flatMap(([, candidates], at) => (given[at] === undefined ? [exhausted(candidates)] : []));
    const registry = service.slice(0, service.indexOf("/"));
    // A family that is full holds only the new: an entry that stands goes on with the VIP that it has.
    const goesOn = standing.entries.has(service) && kept.some((address) => address !== undefined);
    if (faults.length === 0 || goesOn)
      vips.set(
        host,
        given.filter((address) => address !== undefined),
      );
    if (faults.length > 0)
      holds.push({ reason: "address", subject: host, service, registry, message: faults.join("; ") });
  }
  const unreadable = unreadableEntries(standing);
  for (const [address, line] of lines) {
    if (++looked % ITEMS_PER_STEP === 0) yield;
    if (line.owner !== options.owner || line.host === undefined || line.restingSinceMs !== undefined) continue;
    if (vips.get(line.host)?.includes(address) === true || (hosts.has(line.host) && !vips.has(line.host))) continue;
    if (unreadable.has(line.host)) continue;
    put({ ...line, restingSinceMs: options.nowMs });
  }
  return { lines, vips, holds, writes: yield* blockWrites(lines, dirty, standing.ledger, options) };

  function put(line: LedgerLine): void {
    lines.set(line.address, line);
    dirty.add(ledgerSpot(line.address).block);
  }

  function keep(host: string, service: ServiceKey, family: "v4" | "v6"): string | undefined {
    const address = own.get(host)?.find((held) => familyOf(held) === family);
    if (address === undefined) return undefined;
    const rival = taken.get(address);
    if (rival !== undefined) {
      const entry = standing.entries.get(service);
      if (entry === undefined || isYounger(entry, rival)) return undefined;
      const who = `${rival.kind} ${rival.namespace}/${rival.name}`;
      holds.push({
        reason: "address",
        subject: host,
        service,
        registry: entry.registry,
        message: `VIP ${address} is also claimed by ${who}, which is the younger: remove it there`,
        regarding: objectKey(rival.kind, rival.namespace, rival.name),
      });
    }
    const line = lines.get(address);
    if (line?.restingSinceMs !== undefined) put({ address, host, owner: options.owner });
    return address;
  }

  function allocate(host: string, family: string, candidates: readonly AddressRange[]): string | undefined {
    if (full.has(family)) return undefined;
    const size = candidates.reduce((sum, range) => sum + range.size, 0);
    const start = createHash("sha256").update(host).digest().readUInt32BE(0) % size;
    for (let step = 0; step < size; step++) {
      const address = addressAt(candidates, (start + step) % size);
      const line = lines.get(address);
      if (taken.has(address) || !isFree(line, options) || isWanted(line)) continue;
      put({ address, host, owner: options.owner });
      return address;
    }
    full.add(family);
    return undefined;
  }

  /** A host that returns in this pass gets its own back, also after the rest. */
  function isWanted(line: LedgerLine | undefined): boolean {
    return line?.host !== undefined && line.owner === options.owner && hosts.has(line.host);
  }

  function exhausted(candidates: readonly AddressRange[]): string {
    const names = candidates.map((range) => `"${range.cidr}"`).join(", ");
    const size = candidates.reduce((sum, range) => sum + range.size, 0);
    return `Cannot allocate a VIP as range ${names} must have a free address: ${size} of ${size} are held`;
  }
}

/**
 * Which hosts of this owner hold which addresses; what stands on an entry and is in no ledger is written into it, unless the ledger
 * gives that host another: then someone changed the entry.
 */
function* importStanding(
  hosts: ReadonlyMap<string, ServiceKey>,
  standing: IndexedStanding,
  lines: Map<string, LedgerLine>,
  options: VipOptions,
  dirty: Set<string>,
): Steps<ReadonlyMap<string, readonly string[]>> {
  const own = new Map<string, string[]>();
  const leased = new Set<string>();
  const nameless = namelessEntries(standing);
  let looked = 0;
  for (const [address, { host, owner, restingSinceMs }] of lines) {
    if (++looked % ITEMS_PER_STEP === 0) yield;
    if (owner === options.owner && restingSinceMs === undefined) leased.add(`${familyOf(address)} ${host}`);
  }
  for (const [host, service] of hosts) {
    if (++looked % ITEMS_PER_STEP === 0) yield;
    const entry = standing.entries.get(service)?.manifest ?? nameless.get(host);
    for (const raw of entry?.spec.addresses ?? []) {
      const address = plainAddress(raw);
      if (address === undefined) continue;
      if (!lines.has(address)) {
        if (leased.has(`${familyOf(address)} ${host}`)) continue;
        lines.set(address, { address, host, owner: options.owner });
        dirty.add(ledgerSpot(address).block);
      }
      const held = lines.get(address);
      if (held?.host === host && held.owner === options.owner) append(own, host, address);
    }
  }
  for (const [address, line] of lines) {
    if (++looked % ITEMS_PER_STEP === 0) yield;
    if (line.owner !== options.owner || line.host === undefined || !hosts.has(line.host)) continue;
    if (own.get(line.host)?.includes(address) !== true) append(own, line.host, address);
  }
  return own;
}

function append(map: Map<string, string[]>, key: string, value: string): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

function isFree(line: LedgerLine | undefined, options: VipOptions): boolean {
  if (line === undefined) return true;
  return line.restingSinceMs !== undefined && line.restingSinceMs + options.quarantineMs <= options.nowMs;
}

function addressAt(ranges: readonly AddressRange[], index: number): string {
  let left = index;
  for (const range of ranges) {
    if (left < range.size) return range.at(left);
    left -= range.size;
  }
  throw new RangeError(`no address at ${index}`);
}

function isYounger(entry: StandingEntry, rival: ForeignObject): boolean {
  // Of equal age (the API server counts whole seconds) the one that someone else wrote stays.
  return (entry.createdMs ?? 0) >= (rival.createdMs ?? 0);
}

function foreignAddresses(standing: IndexedStanding): ReadonlyMap<string, ForeignObject> {
  const taken = new Map<string, ForeignObject>();
  for (const foreign of standing.foreign.values()) {
    for (const raw of foreign.addresses) {
      const address = plainAddress(raw);
      if (address !== undefined) taken.set(address, foreign);
    }
  }
  return taken;
}

/** Names of entries of which nothing can be read, as of files that someone damaged: what is not read is not gone. */
function unreadableEntries({ foreign }: IndexedStanding): ReadonlySet<string> {
  const names = new Set<string>();
  for (const { kind, name, hosts } of foreign.values())
    if (kind === "ServiceEntry" && hosts.length === 0) names.add(name);
  return names;
}

/** IPv4 as written is canonical already; parsing tens of thousands in each pass would be felt. */
function plainAddress(raw: string): string | undefined {
  return isIP(raw) === 4 ? raw : canonical(raw);
}

function* readLedger(
  blocks: ReadonlyMap<string, StandingLedgerBlock>,
  memo: LedgerMemo,
): Steps<Map<string, LedgerLine>> {
  const lines = new Map<string, LedgerLine>();
  for (const block of blocks.values()) {
    yield;
    const rows = memo.get(block) ?? readBlock(block);
    memo.set(block, rows);
    for (const line of rows) lines.set(line.address, line);
  }
  return lines;
}

function readBlock(block: StandingLedgerBlock): readonly LedgerLine[] {
  return Object.entries(block.data).flatMap(([key, value]) => {
    const address = ledgerAddress(key);
    return address === undefined ? [] : [readLine(address, value)];
  });
}

function readLine(address: string, value: string): LedgerLine {
  const [host, owner, state, since] = value.split(" ");
  const unreadable: LedgerLine = { address, host: undefined, owner: undefined };
  if (host === undefined || owner === undefined) return unreadable;
  if (state === "used") return { address, host, owner };
  const restingSinceMs = Date.parse(since ?? "");
  return state === "resting" && !Number.isNaN(restingSinceMs) ? { address, host, owner, restingSinceMs } : unreadable;
}

function writeLine({ host, owner, restingSinceMs }: LedgerLine): string {
  return restingSinceMs === undefined
    ? `${host} ${owner} used`
    : `${host} ${owner} resting ${new Date(restingSinceMs).toISOString()}`;
}

function* blockWrites(
  lines: ReadonlyMap<string, LedgerLine>,
  dirty: ReadonlySet<string>,
  blocks: ReadonlyMap<string, StandingLedgerBlock>,
  options: VipOptions,
): Steps<readonly LedgerWrite[]> {
  if (dirty.size === 0) return [];
  const data = new Map<string, Record<string, string>>();
  let looked = 0;
  for (const [address, line] of lines) {
    if (++looked % ITEMS_PER_STEP === 0) yield;
    const { block, key } = ledgerSpot(address);
    if (!dirty.has(block)) continue;
    const rows = data.get(block) ?? {};
    data.set(block, rows);
    // A rest that is over is dropped only now: a pass that has nothing else to write does not write for it.
    if (line.host === undefined) rows[key] = blocks.get(block)?.data[key] ?? "";
    else if (line.restingSinceMs === undefined || !isFree(line, options)) rows[key] = writeLine(line);
  }
  return [...data]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, rows]) => ({
      name,
      resourceVersion: blocks.get(name)?.resourceVersion ?? "",
      data: Object.fromEntries(Object.entries(rows).sort(([a], [b]) => (a < b ? -1 : 1))),
    }));
}
