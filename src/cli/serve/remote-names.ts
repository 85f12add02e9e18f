import { backOff, pause } from "../../async/back-off.ts";
import type { DnsConfig } from "../../config/config.ts";
import { describeError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import type { NameTable } from "../../model/name-table.ts";
import { onceAMinute } from "./once-a-minute.ts";
import { readTable } from "./remote-answer.ts";
import { namesFetcher } from "./remote-fetch.ts";

/** Names in a warning; the rest is counted. */
const MOST_SHOWN = 5;
const MOST_SHOWN_CHARACTERS = 100;
/** Between two fetches, so that an other side that has news all the time takes no more than a part of ours. */
const PAUSE_MS = 100;
/** Different reasons that are logged until names are fetched again. */
const MOST_REASONS = 10;

/** The names of an x2istio that runs elsewhere. */
export interface RemoteNames {
  /** Undefined before they were fetched. */
  table(): NameTable | undefined;
  /** From now on rows have their endpoints. */
  wantEndpoints(): void;
  /** Fetch until `signal` aborts. While there is nothing to believe from the other side, the table stays. */
  follow(signal: AbortSignal): Promise<void>;
}

/** How to follow names. */
export interface RemoteOptions {
  readonly log: Log;
  /** Whom to believe, and which names are taken: those in zones and those with suffixes. */
  readonly dns: Pick<DnsConfig, "names" | "zones">;
  /** Whether rows are to have their endpoints. */
  readonly endpoints: boolean;
  /** Called whenever `table` is another one. */
  readonly onTable: () => void;
  /** Called when the table is known to be the other side's, with the number of names that were not taken. */
  readonly onCurrent: (leftOut: number) => void;
}

/**
 * Follow the names at `from`, the HTTP address of an x2istio, by its `/api/names`.
 *
 * @throws {ConfigError} When `from` is no HTTP address, or names from there could be anyone's.
 */
export function remoteNames(from: string, options: RemoteOptions): RemoteNames {
  const { log, dns, onTable, onCurrent } = options;
  const fetcher = namesFetcher(from, dns.names);
  const suffixes = new Set([...dns.zones.map(({ name }) => name), ...dns.names.suffixes]);
  let { endpoints } = options;
  /** Ends the fetch under way. */
  let restart = new AbortController();
  let table: NameTable | undefined;
  let etag: string | undefined;
  let leftOut: readonly string[] = [];
  const tellLeftOut = onceAMinute((fields: object) =>
    log.warn(fields, "names are not answered as they are in none of dns.zones and dns.names.suffixes"),
  );

  async function fetchOnce(signal: AbortSignal): Promise<void> {
    const fetched = await fetcher.fetch(etag, endpoints, AbortSignal.any([signal, restart.signal]));
    if (fetched !== undefined) {
      const read = readTable(fetched, suffixes, table);
      table = read.table;
      etag = fetched.etag;
      warn(read.leftOut);
      onTable();
    }
    onCurrent(leftOut.length);
  }

  function warn(now: readonly string[]): void {
    const known = new Set(leftOut);
    const news = now.filter((name) => !known.has(name));
    leftOut = now;
    if (news.length === 0) return;
    const names = news.slice(0, MOST_SHOWN).map((name) => name.slice(0, MOST_SHOWN_CHARACTERS));
    tellLeftOut({ from, count: now.length, names });
  }

  return {
    table: () => table,
    wantEndpoints() {
      if (endpoints) return;
      endpoints = true;
      restart.abort();
    },
    async follow(signal) {
      const told = new Set<string>();
      for (let failures = 0; !signal.aborted; ) {
        try {
          await fetchOnce(signal);
          failures = 0;
          told.clear();
          await pause(PAUSE_MS, signal);
        } catch (error) {
          if (signal.aborted) return;
          if (restart.signal.aborted) {
            restart = new AbortController();
            continue;
          }
          const reason = describeError(error);
          if (told.size < MOST_REASONS && !told.has(reason)) {
            told.add(reason);
            log.error({ error, from }, "the names cannot be fetched; the last ones are answered");
          }
          await backOff(++failures, signal).catch(() => undefined);
        }
      }
    },
  };
}
