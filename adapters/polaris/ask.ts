import { each } from "../../src/async/each.ts";
import { ReadError } from "../../src/errors.ts";
import { type Care, fail, type State } from "./catalog-state.ts";
import type { Answer } from "./client/answer.ts";
import type { Name } from "./client/reply.ts";
import type { Entry } from "./entry.ts";
import { idOf } from "./links.ts";
import { contentOf } from "./mapping/content.ts";

/** So many requests that fail in a row may mean that the rest would too. */
const LEAST_ROW = 16;

/** Ask for one name, by its revision where that can be trusted. An answer is taken in; a failure leaves the entry as it is. */
export async function ask(state: State, entry: Entry, care: Care, signal: AbortSignal): Promise<Answer["state"]> {
  entry.askedAtMs = performance.now();
  entry.isBeingAsked = true;
  try {
    return await askNow(state, entry, care, signal);
  } finally {
    entry.isBeingAsked = false;
  }
}

async function askNow(state: State, entry: Entry, care: Care, signal: AbortSignal): Promise<Answer["state"]> {
  // All empty services have one revision, so that it does not tell where an alias leads.
  const isTold = entry.content?.isEmpty === false && (care === "hint" || entry.isSure);
  const revision = isTold ? entry.revision : "";
  const answer = await state.options.client.discover({ type: "INSTANCE", name: entry.name, revision }, signal);
  signal.throwIfAborted();
  if (answer.state === "absent") state.suspects.add(entry.id);
  else {
    wasRead(state, entry, answer);
    state.suspects.delete(entry.id);
    if (care === "poll") state.turns.verified(entry.id);
  }
  return answer.state;
}

/** Ask for one name whose turn it is. It is failed if it cannot be read while others can; of a failure of all a poll tells. */
export async function askInTurn(state: State, id: string, signal: AbortSignal): Promise<void> {
  const entry = state.entries.get(id);
  if (entry === undefined || entry.isBeingAsked) return;
  try {
    await ask(state, entry, "poll", signal);
  } catch (cause) {
    signal.throwIfAborted();
    if (!(cause instanceof ReadError)) throw cause;
    if (state.lastGood === entry || (await isAnswering(state, signal))) fail(state, entry, cause);
  }
}

function wasRead(state: State, entry: Entry, answer: Exclude<Answer, { readonly state: "absent" }>): void {
  const { client, pool } = state.options;
  const before = entry.content;
  if (answer.state === "ok" && answer.reply.instances.length === 0 && before?.isEmpty === false && client.isNewServer())
    throw new ReadError("answer", `${entry.id} has no instances on the server that was switched to a moment ago`);
  if (entry.failure !== undefined) state.version++;
  entry.failure = undefined;
  entry.failures = 0;
  entry.closedPolls = 0;
  state.lastGood = entry;
  if (answer.state === "unchanged") return;
  const like = (target: Name) => state.entries.get(idOf(target))?.content?.service;
  entry.content = contentOf(entry.name, answer.reply, state.content, pool, { before, like });
  const isSame = entry.content === before;
  entry.isSure = isSame && entry.revision !== "" && entry.revision === answer.reply.revision;
  entry.revision = answer.reply.revision;
  if (isSame) return;
  state.version++;
  if (before !== undefined) entry.changedAtMs = performance.now();
}

/**
 * Ask for all of them. @returns Those that the server does not know.
 *
 * @throws {ReadError} When one request after the other fails, and one for a name that was read well before does too.
 */
export async function askAll(
  state: State,
  asked: Iterable<Entry>,
  signal: AbortSignal,
  failed: (entry: Entry, cause: ReadError) => void = (entry, cause) => fail(state, entry, cause),
): Promise<readonly Entry[]> {
  const { maxInFlight } = state.options;
  const absent: Entry[] = [];
  let row = 0;
  await each(asked, maxInFlight, async (entry) => {
    try {
      if ((await ask(state, entry, "poll", signal)) === "absent") absent.push(entry);
      row = 0;
    } catch (cause) {
      signal.throwIfAborted();
      if (!(cause instanceof ReadError)) throw cause;
      failed(entry, cause);
      if (++row < Math.max(LEAST_ROW, maxInFlight)) return;
      row = 0;
      await confirmOutage(state, cause, signal);
    }
  });
  return absent;
}

/** Whether those that fail are at fault, or everything is: anyone can register services that cannot be read. */
async function confirmOutage(state: State, cause: ReadError, signal: AbortSignal): Promise<void> {
  if (await isAnswering(state, signal)) return;
  throw new ReadError(cause.failure, "one request after the other failed, the last with", { cause });
}

/** Whether the name that was read well last can be read. */
async function isAnswering(state: State, signal: AbortSignal): Promise<boolean> {
  const { lastGood } = state;
  try {
    return lastGood !== undefined && (await ask(state, lastGood, "poll", signal)) !== "absent";
  } catch {
    signal.throwIfAborted();
    return false;
  }
}
