import { each } from "../../src/async/each.ts";
import { ReadError, readFailure } from "../../src/errors.ts";
import type { Part } from "./catalog-state.ts";
import { ENTRIES_PARSER, type HealthEntry } from "./client/reply.ts";
import type { Answer } from "./client/request.ts";
import { doubt, type State } from "./datacenter-state.ts";
import { type NotOurs, toInstance } from "./mapping/instance.ts";
import type { ConsulOptions } from "./options.ts";
import { healthPath, understood } from "./tables.ts";

/** An answer that holds the instances of a service. */
export type ServiceAnswer = Answer<readonly HealthEntry[]>;

/** Service reads at once. */
export const READS_AT_ONCE = 16;
/** So many reads in a row without an answer, and the rest is not even asked for. */
const LOST_AFTER = 2 * READS_AT_ONCE;
/** Which no instance has: the answer holds nothing but the service's index. */
const PROBE_TAG = "x2istio-probe";

/** Read services, and give up when one after the other does not answer. */
export async function readAll(state: State, toRead: readonly string[], signal: AbortSignal): Promise<void> {
  let unanswered = 0;
  let last: unknown;
  await each(toRead, READS_AT_ONCE, async (name) => {
    if (unanswered >= LOST_AFTER) return fail(state, name, last);
    try {
      await state.reads.read(name, signal);
      unanswered = 0;
    } catch (failure) {
      signal.throwIfAborted();
      if (["timeout", "connection"].includes(readFailure(failure))) unanswered++;
      last = failure;
    }
  });
}

/** Where the instances of a service are read: by its name as it is written, whoever compares it. */
export function pathOf({ spellings }: State, name: string): string {
  return healthPath(spellings.get(name) ?? name);
}

/** Read a service into the catalog: one that cannot be read is failed there. @throws Why it could not be. */
export async function readService(state: State, name: string, signal: AbortSignal): Promise<void> {
  try {
    take(state, name, await newestAnswer(state, name, signal));
  } catch (cause) {
    signal.throwIfAborted();
    fail(state, name, cause);
    throw cause;
  }
}

/** An answer whose index is not behind that of the last one, unless the leader says that it is. */
async function newestAnswer(state: State, name: string, signal: AbortSignal): Promise<ServiceAnswer> {
  const { client, options } = state.env;
  let fromLeader = options.consistency !== "stale";
  for (;;) {
    const startedAt = ++state.clock;
    const query = { dc: state.name, isSure: state.isSure, fromLeader, ...instancesQuery(options) };
    const answer = await client.get(pathOf(state, name), query, signal);
    const before = state.held.get(name);
    if (before === undefined || answer.index >= before.index) return answer;
    // Overtaken by a blocking query: which of the two is newer only a further read can tell.
    if (startedAt < before.setAt) continue;
    if (fromLeader) {
      doubt(state);
      return answer;
    }
    fromLeader = true; // a server that lags behind would put back what was before
  }
}

/** How the instances of a service are asked for, once or by a blocking query. */
export function instancesQuery({ filter }: Pick<ConsulOptions, "filter">) {
  return { parser: ENTRIES_PARSER, ...(filter === undefined ? {} : { params: { filter } }) };
}

/** Take in a service that a blocking query gave. @throws {ReadError} When it cannot be understood; it is failed then. */
export function acceptService(state: State, name: string, answer: ServiceAnswer): void {
  try {
    take(state, name, answer);
  } catch (cause) {
    fail(state, name, cause);
    throw cause;
  }
}

/** Those whose index differs from that of their last read. Costs Consul far less than reads. @throws {ReadError} */
export async function changedOf(
  state: State,
  names: readonly string[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { env, held, name: dc } = state;
  const paths = names.map((name) => pathOf(state, name));
  const indexes = await env.client.indexes(paths, { dc, params: { tag: PROBE_TAG } }, signal);
  return names.filter((name, at) => indexes[at] !== held.get(name)?.index);
}

/** A service could not be read; its index goes on counting. */
export function fail(state: State, name: string, cause: unknown): void {
  const before = state.held.get(name);
  state.held.set(name, { index: before?.index ?? 0, digest: "", isGood: false, setAt: ++state.clock });
  state.env.catalog.put(state, name, { state: "failed", cause });
}

/** @throws {ReadError} When the answer cannot be understood or is not whole. */
function take(state: State, name: string, answer: ServiceAnswer): void {
  if (answer.filtered)
    throw new ReadError(
      "denied",
      `GET ${pathOf(state, name)}: the token may not read all its instances (needs node:read)`,
    );
  const digest = answer.digest();
  const before = state.held.get(name);
  const isSame = before?.isGood === true && before.digest === digest;
  const part = isSame ? undefined : parsePart(state, name, answer);
  if (part !== undefined) state.env.catalog.put(state, name, part);
  const isEmpty = part === undefined ? before?.isEmpty === true : isEmptyPart(part);
  const isOther = before !== undefined && before.index !== answer.index;
  state.held.set(name, { index: answer.index, digest, isGood: true, isEmpty, setAt: ++state.clock });
  state.reads.verified(name);
  state.env.onRead(name, isOther && !isSame);
}

function parsePart(state: State, name: string, answer: ServiceAnswer): Part {
  const { options, pool, rules } = state.env;
  const entries = understood(pathOf(state, name), state.name, () => answer.result());
  state.dcName = entries[0]?.datacenter || state.dcName;
  if (entries.length === 0 && options.filter !== undefined) return { state: "skipped", why: "filter" };
  return toPart(
    state.dcName,
    entries.map((entry) => toInstance(entry, { ...options, rules }, pool, name)),
  );
}

function isEmptyPart(part: Part): boolean {
  return part.state === "skipped" || (part.state === "ok" && part.instances.length + part.besides.length === 0);
}

function toPart(datacenter: string, found: readonly ReturnType<typeof toInstance>[]): Part {
  const instances = found.flatMap(({ instance }) => instance ?? []);
  const others = found.flatMap((one) => (one.instance === undefined ? [one] : []));
  const isOf = (kind: NotOurs) => others.some(({ notOurs }) => notOurs === kind);
  // Of a service whose instances are pods by now what stands is emptied: it is still listed.
  const why = (["infrastructure", "filter"] as const).find(isOf);
  if (instances.length === 0 && why !== undefined && !isOf("kubernetes")) return { state: "skipped", why };
  return { state: "ok", datacenter, instances, besides: others.flatMap(({ out }) => out ?? []) };
}
