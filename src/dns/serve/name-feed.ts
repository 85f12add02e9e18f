import type { NameRow, NameTable } from "../../model/name-table.ts";
import type { DnsLog } from "../observe/quiet-log.ts";
import { nameChanges } from "../ready/name-changes.ts";
import type { WorkerThread } from "./worker-thread.ts";

/** Rows in one message: what a thread stores in under a millisecond. */
const PART_ROWS = 200;
/** Endpoints that take as long as a row without any. */
const ENDPOINTS_LIKE_A_ROW = 8;
/** More changes than this are sent as a whole new table, so that each thread changes from the old state to the new at once. */
const MOST_CHANGES = 1000;

/** A thread that names can be sent to. */
type Receiver = Pick<WorkerThread, "send">;

/** Keeps the names of threads in step with a table. */
export interface NameFeed {
  /** The table that a new thread has to be sent before it joins; undefined as long as none is known. */
  first(): NameTable | undefined;
  /** Take note that a thread joins that was sent `table`, or nothing. */
  join(table: NameTable | undefined): void;
  /** Send the threads what changed, after what is being sent. */
  refresh(): void;
  /** Whether all that changed was sent. */
  isCurrent(): boolean;
  /** Send nothing more. */
  stop(): void;
}

/** What a feed needs. */
export interface NameFeedOptions {
  readonly table: () => NameTable | undefined;
  /** The threads that have joined. */
  readonly threads: () => readonly Receiver[];
  readonly log: DnsLog;
}

interface State extends NameFeedOptions {
  /** What the threads were sent last. */
  sent: NameTable | undefined;
  /** Whether all names must be sent, whatever changed. */
  isAnew: boolean;
  isSending: boolean;
  isDue: boolean;
  isStopping: boolean;
}

/**
 * Small changes are sent in one message, which a thread stores at once; large ones as a new table in parts, each
 * taken before the next is sent, beside the old one that goes on answering.
 */
export function nameFeed(options: NameFeedOptions): NameFeed {
  const state: State = {
    ...options,
    sent: undefined,
    isAnew: false,
    isSending: false,
    isDue: false,
    isStopping: false,
  };
  return {
    first: () => state.sent ?? state.table(),
    join(table) {
      // What changed meanwhile was not sent to this thread.
      state.isAnew ||= state.sent !== undefined && state.sent !== table;
      state.sent ??= table;
      refresh(state);
    },
    refresh: () => refresh(state),
    isCurrent: () => !state.isDue && !state.isSending,
    stop() {
      state.isStopping = true;
    },
  };
}

/** Send a whole table, in parts. */
export async function sendAll(to: readonly Receiver[], { names, serial, isPartial }: NameTable): Promise<void> {
  let put: NameRow[] = [];
  let load = 0;
  const sendPart = async (last: number | undefined) => {
    const part = { all: true, put, gone: [], serial: last, isPartial: isPartial === true };
    put = [];
    load = 0;
    await Promise.all(to.map(({ send }) => send(part)));
  };
  for (const row of names.values()) {
    put.push(row);
    load += 1 + Math.floor((row.endpoints?.length ?? 0) / ENDPOINTS_LIKE_A_ROW);
    if (load >= PART_ROWS) await sendPart(undefined);
  }
  await sendPart(serial);
}

function refresh(state: State): void {
  state.isDue = true;
  if (!state.isSending) void sendUntilCurrent(state);
}

async function sendUntilCurrent(state: State): Promise<void> {
  state.isSending = true;
  while (state.isDue && !state.isStopping) {
    state.isDue = false;
    await sendChanges(state).catch((error) =>
      state.log.warn({ error }, "the names cannot be passed to the DNS server's threads"),
    );
  }
  state.isSending = false;
}

async function sendChanges(state: State): Promise<void> {
  const { sent, isAnew } = state;
  const now = state.table();
  if (now === undefined || (now === sent && !isAnew)) return;
  const { put, gone } = nameChanges(sent, now);
  const isSmall = sent !== undefined && !isAnew && put.length + gone.length <= MOST_CHANGES;
  state.sent = now;
  state.isAnew = false;
  const threads = state.threads();
  if (!isSmall) return sendAll(threads, now);
  await Promise.all(
    threads.map(({ send }) => send({ all: false, put, gone, serial: now.serial, isPartial: now.isPartial === true })),
  );
}
