import { ReadError } from "../../src/errors.ts";
import { each } from "../each.ts";
import type { Intern } from "../intern.ts";
import { idOf } from "./aliases.ts";
import type { Answer, PolarisClient } from "./client.ts";
import { type ContentOptions, contentOf } from "./content.ts";
import { type Entry, newEntry } from "./entry.ts";
import { wasClosed } from "./exchange.ts";
import { ALL, type List, type ListResult, listOf, readLists } from "./lists.ts";
import type { Name } from "./reply.ts";
import type { Outside } from "./scope.ts";

/** How closely names are looked at: a poll trusts no revision that was seen only once. */
export type Care = "poll" | "hint";

/** All names that Polaris lists, and what they stand for. */
export interface Estate {
  /** Live, in no order. */
  readonly entries: ReadonlyMap<string, Entry>;
  /** Counts up with every change, of content or of what can be read. */
  version(): number;
  /**
   * Read all lists, then ask for all names.
   *
   * @throws {ReadError} When no list can be read, or one request after the other fails.
   */
  poll(signal: AbortSignal): Promise<void>;
  /** Read the lists that have changed and ask for the names that are new on them or gone from them. */
  pollLists(signal: AbortSignal): Promise<void>;
  /** Ask for one name; a failure leaves it as it is. `listed` is false when the server does not know it. */
  look(entry: Entry, signal: AbortSignal): Promise<{ readonly listed: boolean }>;
  /** Why the lists are known only in part. */
  incomplete(): string | undefined;
  /** Listed names that are none of ours. */
  skipped(): Readonly<Record<Outside, number>>;
}

/** What an estate is made of. */
export interface EstateOptions extends ContentOptions {
  readonly namespaces: readonly string[] | undefined;
  readonly maxInFlight: number;
  readonly client: PolarisClient;
  readonly judge: (name: Name) => Outside | undefined;
  readonly pool: Intern;
}

/** So many requests that fail in a row may mean that the rest would too. */
const LEAST_ROW = 16;
/** So many polls must agree that a server closes the connection on a name because the service is deleted. */
const CLOSED_POLLS = 3;

/** Nothing is known at first. */
export function estate(options: EstateOptions): Estate {
  const { client, judge, pool, maxInFlight, registry, unhealthy, loopback } = options;
  const content: ContentOptions = { registry, unhealthy, loopback };
  const scopes = options.namespaces ?? [ALL];
  const entries = new Map<string, Entry>();
  const lists = new Map<string, Omit<List, "names">>();
  const failedLists = new Map<string, ReadError>();
  let version = 0;
  /** The last name that was read well. */
  let witness: Entry | undefined;

  function listsNow(care: Care, signal: AbortSignal): Promise<readonly ListResult[]> {
    // The revision says nothing of the rights of the token, by which the server filters: a poll wants the whole list.
    const revisionOf = (scope: string) =>
      care === "hint" && !failedLists.has(scope) ? (lists.get(scope)?.revision ?? "") : "";
    return readLists(scopes, revisionOf, { client, maxInFlight }, signal);
  }

  /** Take the lists over. @returns Entries that are new, and those that are listed no more. */
  function adopt(results: readonly ListResult[]): {
    readonly fresh: readonly Entry[];
    readonly missing: readonly Entry[];
  } {
    const fresh: Entry[] = [];
    const missing: Entry[] = [];
    for (const result of results) {
      if (result.state === "failed") failedLists.set(result.scope, result.cause);
      if (result.state !== "ok") continue;
      failedLists.delete(result.scope);
      const { names, ...list } = listOf(result.reply, judge);
      for (const name of names) {
        const id = idOf(name);
        if (entries.has(id)) continue;
        const entry = newEntry(id, { namespace: pool.text(name.namespace), name: name.name });
        entries.set(id, entry);
        fresh.push(entry);
      }
      lists.set(result.scope, list);
      for (const entry of entries.values())
        if ((result.scope === ALL || result.scope === entry.name.namespace) && !list.ids.has(entry.id))
          missing.push(entry);
    }
    if (fresh.length > 0) version++;
    return { fresh, missing };
  }

  async function ask(entry: Entry, care: Care, signal: AbortSignal): Promise<Answer["state"]> {
    entry.askedAtMs = performance.now();
    // All empty services have one revision, so that it does not tell where an alias leads.
    const isTold = entry.content?.isEmpty === false && (care === "hint" || entry.isSure);
    const revision = isTold ? entry.revision : "";
    const answer = await client.discover({ type: "INSTANCE", name: entry.name, revision }, signal);
    signal.throwIfAborted();
    if (answer.state !== "absent") wasRead(entry, answer);
    return answer.state;
  }

  function wasRead(entry: Entry, answer: Exclude<Answer, { readonly state: "absent" }>): void {
    const before = entry.content;
    if (
      answer.state === "ok" &&
      answer.reply.instances.length === 0 &&
      before?.isEmpty === false &&
      client.isNewServer()
    )
      throw new ReadError("answer", `${entry.id} has no instances on the server that is asked since a moment ago`);
    if (entry.failure !== undefined) version++;
    entry.failure = undefined;
    entry.failures = 0;
    entry.closedPolls = 0;
    witness = entry;
    if (answer.state === "unchanged") return;
    const like = (target: Name) => entries.get(idOf(target))?.content?.service;
    entry.content = contentOf(entry.name, answer.reply, content, pool, { before, like });
    const isSame = entry.content === before;
    entry.isSure = isSame && entry.revision !== "" && entry.revision === answer.reply.revision;
    entry.revision = answer.reply.revision;
    if (isSame) return;
    version++;
    if (before !== undefined) entry.changedAtMs = performance.now();
  }

  function fail(entry: Entry, cause: ReadError): void {
    entry.failures++;
    if (entry.failure?.message === cause.message) return;
    entry.failure = cause;
    version++;
  }

  /** Let a name go that the server knows no more; not on the word of a server that may lag behind the one before. */
  function remove(entry: Entry): void {
    if (client.isNewServer()) {
      fail(entry, new ReadError("answer", `${entry.id} is not known to the server that is asked since a moment ago`));
      return;
    }
    entries.delete(entry.id);
    if (witness === entry) witness = undefined;
    version++;
  }

  /**
   * Ask for all of them. @returns Those that the server does not know.
   *
   * @throws {ReadError} When one request after the other fails, and one for a name that was read well before does too.
   */
  async function askAll(
    asked: Iterable<Entry>,
    signal: AbortSignal,
    failed: (entry: Entry, cause: ReadError) => void = fail,
  ): Promise<readonly Entry[]> {
    const absent: Entry[] = [];
    let row = 0;
    await each(asked, maxInFlight, async (entry) => {
      try {
        if ((await ask(entry, "poll", signal)) === "absent") absent.push(entry);
        row = 0;
      } catch (cause) {
        signal.throwIfAborted();
        if (!(cause instanceof ReadError)) throw cause;
        failed(entry, cause);
        if (++row < Math.max(LEAST_ROW, maxInFlight)) return;
        row = 0;
        await testify(cause, signal);
      }
    });
    return absent;
  }

  /** Whether those that fail are at fault, or everything is: anyone can register services that cannot be read. */
  async function testify(cause: ReadError, signal: AbortSignal): Promise<void> {
    const isWell = async () => witness !== undefined && (await ask(witness, "poll", signal)) !== "absent";
    if (await isWell().catch(() => false)) return;
    signal.throwIfAborted();
    throw new ReadError(cause.failure, "one request after the other failed, the last with", { cause });
  }

  /** What is listed no more is gone only if the server does not know it either: a list without it may be that of a poorer token. */
  async function verify(missing: readonly Entry[], signal: AbortSignal, care: Care): Promise<void> {
    const denied: ReadError[] = [];
    const closed: Entry[] = [];
    const absent = await askAll(missing, signal, (entry, cause) => {
      fail(entry, cause);
      if (isEmptied(entry) && cause.failure === "denied") denied.push(cause);
      if (!isEmptied(entry) && wasClosed(cause)) closed.push(entry);
      else entry.closedPolls = 0;
    });
    const [cause] = denied;
    if (cause !== undefined)
      throw new ReadError("denied", "no service is listed where some were, and the token may not read", { cause });
    const answered = missing.filter((entry) => entry.failure === undefined && !absent.includes(entry));
    const lying = new Set(answered.filter(isEmptied).map(scopeOf));
    for (const entry of absent)
      if (!lying.has(scopeOf(entry))) remove(entry);
      else fail(entry, new ReadError("answer", `${entry.id} is not known, but no list has those that are either`));
    if (care === "poll") for (const entry of closed) if (isDeleted(entry, missing)) remove(entry);
  }

  function scopeOf({ name }: Entry): string {
    return scopes.includes(ALL) ? ALL : name.namespace;
  }

  function isEmptied(entry: Entry): boolean {
    return (lists.get(scopeOf(entry))?.count ?? 0) === 0;
  }

  /**
   * A server closes the connection on the name of a deleted service if another namespace exports one of that name. So does a
   * network that fails, which is believed neither once nor while it closes on other names too.
   */
  function isDeleted(entry: Entry, missing: readonly Entry[]): boolean {
    const others = [...entries.values()].filter((other) => other !== entry);
    const mayBeExported = !scopes.includes(ALL) || others.some(({ name }) => name.name === entry.name.name);
    const isAlone = others.every((other) => missing.includes(other) || !wasClosed(other.failure));
    entry.closedPolls = mayBeExported && isAlone ? entry.closedPolls + 1 : 0;
    return entry.closedPolls >= CLOSED_POLLS;
  }

  /** Obey the lists: on a hint, ask only for what is new. @returns Listed entries that the server does not know. */
  async function follow(results: readonly ListResult[], care: Care, signal: AbortSignal): Promise<readonly Entry[]> {
    const { fresh, missing } = adopt(results);
    const unlisted = new Set(missing);
    const asked = care === "hint" ? fresh : [...entries.values()].filter((entry) => !unlisted.has(entry));
    const absent = await askAll(asked, signal);
    await verify(missing, signal, care);
    return absent;
  }

  /** Names that a list has and the server does not know: the list is read again before one of the two is believed. */
  async function settle(absent: readonly Entry[], signal: AbortSignal): Promise<void> {
    if (absent.length === 0) return;
    const unknown = new Set(absent);
    const { fresh, missing } = adopt(await listsNow("poll", signal));
    for (const entry of missing) if (unknown.delete(entry)) remove(entry);
    for (const entry of unknown)
      fail(entry, new ReadError("answer", `${entry.id} is listed, and asked for it the server knows no such service`));
    const late = await askAll(fresh, signal);
    for (const entry of late) remove(entry); // came and went meanwhile; the next poll sees
  }

  async function poll(signal: AbortSignal): Promise<void> {
    try {
      const results = await listsNow("poll", signal);
      const failures = results.filter((result) => result.state === "failed");
      const [first] = failures;
      if (first !== undefined && failures.length === scopes.length) throw first.cause;
      await settle(await follow(results, "poll", signal), signal);
    } catch (cause) {
      signal.throwIfAborted();
      if (!(cause instanceof ReadError)) throw cause;
      throw new ReadError(cause.failure, `Cannot read services of registry "${registry}"`, { cause });
    }
  }

  async function pollLists(signal: AbortSignal): Promise<void> {
    const results = (await listsNow("hint", signal)).filter(({ state }) => state === "ok");
    await settle(await follow(results, "hint", signal), signal);
  }

  function incomplete(): string | undefined {
    const failed = [...failedLists.values()].map(({ message }) => message);
    if (failed.length > 0) return failed.join("; ");
    // Polaris is a service of its own, so that its list is never empty.
    if (options.namespaces === undefined && lists.get(ALL)?.count === 0 && entries.size === 0)
      return "no service is listed, not even Polaris's own: the token may lack the right to read";
    return undefined;
  }

  return {
    entries,
    version: () => version,
    poll,
    pollLists,
    async look(entry, signal) {
      return { listed: (await ask(entry, "hint", signal)) !== "absent" };
    },
    incomplete,
    skipped() {
      const all = [...lists.values()].map(({ skipped }) => skipped);
      const sum = (kind: Outside) => all.reduce((total, skipped) => total + skipped[kind], 0);
      return { infrastructure: sum("infrastructure"), filter: sum("filter") };
    },
  };
}
