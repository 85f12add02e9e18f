import { hash } from "node:crypto";
import { ReadError, readFailure } from "../../src/errors.ts";
import { each } from "../each.ts";
import { nameFilter } from "../globs.ts";
import type { Intern } from "../intern.ts";
import { isServiceName } from "../istio.ts";
import type { Catalog, Member, Part } from "./catalog.ts";
import type { Answer, ConsulClient } from "./client.ts";
import { toInstance } from "./instance.ts";
import type { ConsulOptions } from "./options.ts";
import { parseEntries, parseServices } from "./reply.ts";

/** Service reads at once. */
export const READS_AT_ONCE = 16;
/** A service that no index moved for is read all the same once in so many polls. */
const ROUNDS = 10;
export const MAX_LIST_BYTES = 64 * 1024 * 1024;
/** So many reads in a row without an answer, and the rest is not even asked for. */
const LOST_AFTER = 2 * READS_AT_ONCE;
/** Filters that let nothing through: what is wanted is the index alone. */
const NO_NODES = 'Node == ""';
const NO_CHECKS = 'CheckID == ""';

/**
 * Queries whose indexes move with nodes and registrations, and with checks. Their answers are all but empty. A blocking query on
 * checks of one state wakes for that state alone as soon as there is one.
 */
export const NODES = { path: "/v1/catalog/nodes", params: { filter: NO_NODES } };
export const CHECKS = { path: "/v1/health/state/any", params: { filter: NO_CHECKS } };
export const SERVICES = { path: "/v1/catalog/services", params: {} };
/** Which no instance has: the answer holds nothing but the service's index. */
const PROBE_TAG = "x2istio-probe";

/** Reads one datacenter into the catalog. */
export interface Datacenter extends Member {
  /**
   * Read all that cannot be shown to be unmoved, and a share of the rest.
   *
   * @returns Whether an index went backwards, now or since the last poll: what waits for an index then waits in vain.
   * @throws {ReadError} When the list cannot be read.
   */
  poll(signal: AbortSignal): Promise<boolean>;
  /** Take in a list that a blocking query gave, and read the services that are new on it. */
  acceptList(answer: Answer, signal: AbortSignal): Promise<void>;
  /** Take in a service that a blocking query gave. */
  acceptService(name: string, answer: Answer): void;
  readService(name: string, signal: AbortSignal): Promise<void>;
  /** Whether a service's index differs from that of its last read. Costs Consul far less than a read. @throws {ReadError} */
  hasMoved(name: string, signal: AbortSignal): Promise<boolean>;
  /** Services that are listed and wanted. */
  names(): ReadonlySet<string>;
  /** Index of the last good answer; 0 when there is none. */
  indexOf(name: string): number;
  /** Indexes of the last list, and of the last poll's other queries. */
  indexes(): Indexes;
  /** An index went backwards, so nothing is sure until the next poll. */
  doubt(): void;
  isDoubtful(): boolean;
}

/** Indexes of whole tables. */
export interface Indexes {
  readonly services: number;
  readonly nodes: number;
  readonly checks: number;
}

interface Held {
  index: number;
  digest: string;
  isGood: boolean;
  /** By the clock that counts requests. */
  setAt: number;
}

interface Environment {
  readonly name: string | undefined;
  readonly client: ConsulClient;
  readonly options: ConsulOptions;
  readonly catalog: Catalog;
  readonly pool: Intern;
  /** Told after each change of the list or of a service's index. */
  readonly onRead: (name: string, hasMoved: boolean) => void;
}

/** The reader of one datacenter. */
export function datacenter({ name: dc, client, options, catalog, pool, onRead }: Environment): Datacenter {
  const isWanted = nameFilter(options.services);
  const held = new Map<string, Held>();
  let names: ReadonlySet<string> = new Set();
  let indexes: Indexes = { services: 0, nodes: 0, checks: 0 };
  let evidence = "";
  let isDoubtful = true;
  /** Reads are to be sure ones. */
  let isSure = false;
  /** Why the last list may lack services. */
  let incomplete: string | undefined;
  let round = 0;
  let clock = 0;
  let dcName = dc ?? "";

  async function poll(signal: AbortSignal): Promise<boolean> {
    const wasDoubtful = isDoubtful;
    let found = await look(wasDoubtful, signal);
    const isBack =
      found.indexes.services < indexes.services ||
      found.indexes.nodes < indexes.nodes ||
      found.indexes.checks < indexes.checks;
    // A leader that has just begun may not know yet all that was there: only a sure answer is to be believed.
    if (!wasDoubtful && (isBack || isDoubtful)) found = await look(true, signal);
    const isQuiet = found.evidence === evidence && !isDoubtful && !isBack;
    isSure = isDoubtful || isBack;
    isDoubtful = false;
    round = (round + 1) % ROUNDS;
    const { names: toList, isOutOfSight, incomplete: why } = found.listed;
    const all = [...toList].filter((name) => !isOutOfSight(name));
    for (const name of toList) if (isOutOfSight(name)) fail(name, new ReadError("denied", why ?? ""));
    const isDue = (name: string, at: number) => at % ROUNDS === round || held.get(name)?.isGood !== true;
    await readAll(isQuiet ? all.filter(isDue) : all, signal);
    if (isDoubtful && !isSure) {
      isSure = true;
      found = await look(true, signal);
      await readAll([...found.listed.names], signal);
    }
    const wentBack = wasDoubtful || isBack || isDoubtful;
    await settle(found.indexes, found.listed);
    evidence = found.evidence ?? "";
    isSure = false;
    isDoubtful = false;
    return wentBack;
  }

  /** Read the list, and the indexes as they were before. `evidence` differs when anything has moved; without it nothing is sure. */
  async function look(isSure: boolean, signal: AbortSignal) {
    const ask = (path: string, query: object) => client.get(path, { dc, isSure, ...query }, signal);
    const [{ index: nodes }, { index: checks }, leader] = await Promise.all([
      ask(NODES.path, { params: NODES.params }),
      ask(CHECKS.path, { params: CHECKS.params }),
      leaderNow(signal),
    ]);
    const answer = await ask(SERVICES.path, { maxBytes: MAX_LIST_BYTES });
    const found = { services: answer.index, nodes, checks };
    const isWhole = Object.values(found).every((index) => index > 0) && leader !== "";
    const evidenceNow = isWhole ? JSON.stringify([found, leader, client.identity()]) : undefined;
    return { listed: list(answer), indexes: found, evidence: evidenceNow };
  }

  /** Empty where it cannot be told, as behind a proxy that lets only other paths through: then nothing counts as unmoved. */
  async function leaderNow(signal: AbortSignal): Promise<string> {
    try {
      return (await client.get("/v1/status/leader", { dc }, signal)).body.toString();
    } catch {
      signal.throwIfAborted();
      return "";
    }
  }

  async function readAll(toRead: readonly string[], signal: AbortSignal): Promise<void> {
    let unanswered = 0;
    let last: unknown;
    await each(toRead, READS_AT_ONCE, async (name) => {
      if (unanswered >= LOST_AFTER) return fail(name, last);
      const failure = await tryRead(name, signal);
      if (failure === undefined) unanswered = 0;
      else if (["timeout", "connection"].includes(readFailure(failure))) unanswered++;
      last = failure;
    });
  }

  /** What of a list is for the mesh. */
  function list(answer: Answer) {
    const all = understood(SERVICES.path, () => parseServices(answer.body));
    const others = all.filter((name) => name !== "consul");
    const wanted = new Set(others.filter((name) => isServiceName(name) && isWanted(name)));
    const hasConsul = others.length < all.length;
    const why = answer.filtered
      ? "the token may not read all services"
      : hasConsul
        ? undefined
        : "the list does not name consul itself, so the token may not read all services";
    const where = dc === undefined ? "" : ` in ${dc}`;
    // Where names may be missing, a service's own answer tells whether it is gone or out of the token's sight. Without a token
    // Consul never says that it holds something back.
    const isKnown = (name: string) => why !== undefined && !wanted.has(name);
    return {
      names: new Set([...wanted, ...[...names].filter(isKnown)]),
      isOutOfSight: (name: string) => !answer.filtered && isKnown(name),
      filtered: others.length - wanted.size,
      infrastructure: all.length - others.length,
      incomplete: why === undefined ? undefined : `GET ${SERVICES.path}${where}: ${why}`,
    };
  }

  async function settle(now: Indexes, listed: ReturnType<typeof list>): Promise<void> {
    for (const name of held.keys()) if (!listed.names.has(name)) held.delete(name);
    names = listed.names;
    incomplete = listed.incomplete;
    indexes = now;
    await catalog.list(member, listed);
  }

  async function acceptList(answer: Answer, signal: AbortSignal): Promise<void> {
    const listed = list(answer);
    const unknown = [...listed.names].filter((name) => !held.has(name));
    await readAll(unknown, signal);
    // What is no longer listed may be out of sight or gone: a poll asks for each.
    if (listed.incomplete !== incomplete && listed.incomplete !== undefined) isDoubtful = true;
    await settle({ ...indexes, services: answer.index }, listed);
  }

  async function readService(name: string, signal: AbortSignal): Promise<void> {
    await tryRead(name, signal);
  }

  /** Read a service, and say why it could not be. */
  async function tryRead(name: string, signal: AbortSignal): Promise<unknown> {
    try {
      for (;;) {
        const startedAt = ++clock;
        const answer = await client.get(healthPath(name), { dc, isSure }, signal);
        const before = held.get(name);
        // Overtaken by a blocking query: which of the two is newer only a further read can tell.
        if (before !== undefined && answer.index < before.index && startedAt < before.setAt) continue;
        if (before !== undefined && answer.index < before.index && options.consistency !== "stale") isDoubtful = true;
        take(name, answer);
        return undefined;
      }
    } catch (cause) {
      signal.throwIfAborted();
      fail(name, cause);
      return cause;
    }
  }

  function acceptService(name: string, answer: Answer): void {
    try {
      take(name, answer);
    } catch (cause) {
      fail(name, cause);
    }
  }

  /** @throws {ReadError} When the answer cannot be understood or is not whole. */
  function take(name: string, answer: Answer): void {
    if (answer.filtered)
      throw new ReadError(
        "denied",
        `GET ${healthPath(name)}: the token may not read all its instances (needs node:read)`,
      );
    const digest = hash("sha1", answer.body, "base64");
    const before = held.get(name);
    const isSame = before?.isGood === true && before.digest === digest;
    if (!isSame) catalog.put(member, name, parsePart(name, answer));
    const hasMoved = before !== undefined && before.index !== answer.index;
    held.set(name, { index: answer.index, digest, isGood: true, setAt: ++clock });
    onRead(name, hasMoved && !isSame);
  }

  function parsePart(name: string, { body }: Answer): Part {
    const entries = understood(healthPath(name), () => parseEntries(body));
    dcName = entries[0]?.datacenter || dcName;
    return toPart(
      dcName,
      entries.map((entry) => toInstance(entry, options, pool)),
    );
  }

  /** Says whose answer it is that cannot be understood. */
  function understood<Result>(path: string, parse: () => Result): Result {
    try {
      return parse();
    } catch (cause) {
      if (!(cause instanceof ReadError)) throw cause;
      throw new ReadError(cause.failure, `GET ${path}${dc === undefined ? "" : ` in ${dc}`}: ${cause.message}`);
    }
  }

  function fail(name: string, cause: unknown): void {
    const before = held.get(name);
    held.set(name, { index: before?.index ?? 0, digest: "", isGood: false, setAt: ++clock });
    catalog.put(member, name, { state: "failed", cause });
  }

  async function hasMoved(name: string, signal: AbortSignal): Promise<boolean> {
    const answer = await client.get(healthPath(name), { dc, params: { tag: PROBE_TAG }, isProbe: true }, signal);
    return answer.index !== held.get(name)?.index;
  }

  const member: Datacenter = {
    name: dc,
    poll,
    acceptList,
    acceptService,
    readService,
    hasMoved,
    names: () => names,
    indexOf: (name) => {
      const one = held.get(name);
      return one?.isGood === true ? one.index : 0;
    },
    indexes: () => indexes,
    doubt: () => {
      isDoubtful = true;
    },
    isDoubtful: () => isDoubtful,
  };
  catalog.add(member);
  return member;
}

/** Where the instances of a service are read. */
export function healthPath(name: string): string {
  return `/v1/health/service/${encodeURIComponent(name)}`;
}

function toPart(datacenter: string, found: readonly ReturnType<typeof toInstance>[]): Part {
  const instances = found.flatMap(({ instance }) => instance ?? []);
  const others = found.flatMap((one) => (one.instance === undefined ? [one] : []));
  const why = (["kubernetes", "infrastructure", "filter"] as const).find((kind) =>
    others.some(({ notOurs }) => notOurs === kind),
  );
  if (instances.length === 0 && why !== undefined) return { state: "skipped", why };
  const kubernetes = others.flatMap(({ notOurs, shown }) => (notOurs === "kubernetes" ? [shown] : []));
  return { state: "ok", datacenter, instances, kubernetes };
}
