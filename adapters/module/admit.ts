import { setImmediate as turnOfLoop } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { ReadError } from "../../src/errors.ts";
import type { ServiceRead, Snapshot } from "../../src/model/adapter.ts";
import type { Service, ServiceAlias, ServiceKey } from "../../src/model/service.ts";
import { few } from "../text.ts";
import type { Envelope, JudgedRead } from "../trust.ts";

/** So long at most in one turn of the event loop: DNS is answered in between. */
const TURN_MS = 10;
const MOST_FAULTS = 20;
/** Of all services together, used or left out. */
const MOST_ENDPOINTS = 1_000_000;
/** Services that are missing from incomplete snapshots are remembered up to so many besides as many as there are. */
const MOST_MISSING = 1000;

/** What is remembered of a module's snapshots, so that unchanged services keep their identity. */
export interface Memory {
  /** What was made of each service object; since the last poll. */
  known: WeakMap<object, JudgedRead>;
  /** Services as they were last handed on. */
  before: ReadonlyMap<ServiceKey, Service>;
}

/** Nothing was read yet. */
export function newMemory(): Memory {
  return { known: new WeakMap(), before: new Map() };
}

/**
 * The snapshot that a module's comes to. A read that names no service makes it incomplete; one that is wrong has failed.
 *
 * @throws When `signal` aborts; a ReadError when it is more than any registry can have.
 */
export async function admit(
  memory: Memory,
  { services, ...frame }: Envelope,
  judge: (given: unknown) => JudgedRead,
  signal: AbortSignal,
): Promise<Snapshot> {
  const yieldTurn = yielding(signal);
  const judged: JudgedRead[] = [];
  let endpoints = 0;
  for (const given of services) {
    await yieldTurn();
    const one = judgeOnce(memory, given, judge);
    judged.push(one);
    if (one.state === "ok") endpoints += one.service.endpoints.length + one.service.leftOut.length;
    if (endpoints > MOST_ENDPOINTS)
      throw new ReadError("answer", `its snapshot cannot be used: it has more than ${MOST_ENDPOINTS} endpoints`);
  }
  const faults = judged.flatMap((one) => (one.state === "nameless" ? [one.fault] : []));
  const told = few(faults, MOST_FAULTS, (rest) => `and ${rest} more`);
  const incomplete = [...(frame.incomplete === undefined ? [] : [frame.incomplete]), ...told].join("; ");
  const reads = await readsOf(memory, judged, incomplete !== "", yieldTurn);
  return { ...frame, services: reads, ...(incomplete === "" ? {} : { incomplete }) };
}

function judgeOnce({ known }: Memory, given: unknown, judge: (given: unknown) => JudgedRead): JudgedRead {
  const service = (given as { readonly service?: unknown } | null | undefined)?.service;
  const remembered = typeof service === "object" && service !== null ? known.get(service) : undefined;
  const judged = remembered ?? inOrder(judge(given));
  if (typeof service === "object" && service !== null) known.set(service, judged);
  return judged;
}

/** One read for each key, in the order of keys; remembers the services. */
async function readsOf(
  memory: Memory,
  judged: readonly JudgedRead[],
  isIncomplete: boolean,
  yieldTurn: () => Promise<void>,
): Promise<readonly ServiceRead[]> {
  const { before } = memory;
  const byKey = Map.groupBy(
    judged.filter((one) => one.state !== "nameless"),
    ({ key }) => key,
  );
  const keys = [...byKey.keys()].sort();
  // What an incomplete snapshot lacks may come back unchanged; but names that come and go must not pile up.
  const isMuch = before.size > 2 * keys.length + MOST_MISSING;
  const next = new Map(!isIncomplete || isMuch ? [] : before);
  const reads: ServiceRead[] = [];
  for (const key of keys) {
    await yieldTurn();
    const read = readOf(key, byKey.get(key) ?? [], before.get(key));
    reads.push(read);
    const service = read.state === "ok" ? read.service : before.get(key); // after a failed read it may come back unchanged
    if (service !== undefined) next.set(key, service);
  }
  memory.before = next;
  return reads;
}

function readOf(
  key: ServiceKey,
  twins: readonly Exclude<JudgedRead, { state: "nameless" }>[],
  last: Service | undefined,
): ServiceRead {
  const [first] = twins;
  if (first === undefined || twins.length > 1) {
    const cause = new ReadError("answer", `${key} occurs ${twins.length} times in one snapshot`);
    return { state: "failed", key, cause };
  }
  if (first.state === "failed") return { state: "failed", key, cause: first.cause };
  const isSame = last !== undefined && isDeepStrictEqual(last, first.service);
  return { state: "ok", service: isSame ? last : first.service };
}

/** Gives way to other work when its own has taken a while. Rejects when `signal` aborts. */
function yielding(signal: AbortSignal): () => Promise<void> {
  let sinceMs = performance.now();
  return async () => {
    if (performance.now() - sinceMs < TURN_MS) return;
    await turnOfLoop();
    signal.throwIfAborted();
    sinceMs = performance.now();
  };
}

/** What a registry lists in another order each time is no change. */
function inOrder(judged: JudgedRead): JudgedRead {
  if (judged.state !== "ok") return judged;
  const { endpoints, leftOut, ports, legacyNames, aliases } = judged.service;
  const service: Service = {
    ...judged.service,
    ports: [...ports].sort((a, b) => a.number - b.number),
    endpoints: sorted(endpoints),
    leftOut: sorted(leftOut),
    legacyNames: [...legacyNames].sort(),
    ...(aliases === undefined ? {} : { aliases: [...aliases].sort(byName) }),
  };
  return { ...judged, service };
}

function byName(a: ServiceAlias, b: ServiceAlias): number {
  const [one, other] = [`${a.namespace}/${a.name}`, `${b.namespace}/${b.name}`];
  return one < other ? -1 : Number(one > other);
}

function sorted<Item extends { readonly address: string }>(items: readonly Item[]): readonly Item[] {
  const keyed = items.map((item) => ({ item, key: `${item.address} ${JSON.stringify(item)}` }));
  return keyed.sort((a, b) => (a.key < b.key ? -1 : Number(a.key > b.key))).map(({ item }) => item);
}
