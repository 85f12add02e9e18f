import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { NameTable } from "../model/name-table.ts";
import { jsonText } from "./json.ts";

/** A client that waits for another state of the names is answered after this time anyway. */
const MAX_WAIT_SECONDS = 25;
const BURST_MS = 20;
const REST = 4;
const compress = promisify(gzip);

/** One state of the names, as others fetch it. */
export interface NamesState {
  /** Names this state (RFC 9110 §8.8.3). */
  readonly etag: string;
  readonly json: Buffer;
  readonly gzip: Buffer;
}

/** The names for others to answer from. */
export interface PublishedNames {
  /** Tell that the table may be another one. */
  refresh(): void;
  /**
   * The names now, or as soon as they are another state than `known`; undefined when they are not known, or not another after
   * `waitSeconds`.
   */
  read(known: string | undefined, how: ReadOptions): Promise<NamesState | undefined>;
}

/** How names are read. */
export interface ReadOptions {
  /** 25 at most. */
  readonly waitSeconds: number;
  /** Whether rows are to have their endpoints. */
  readonly endpoints: boolean;
  readonly signal: AbortSignal;
}

/**
 * Publish what `table` gives. A state is written out once, however many clients want it, and not before the first does.
 * `wantEndpoints` is called when someone wants endpoints and the table has none.
 */
export function publishedNames(table: () => NameTable | undefined, wantEndpoints: () => void): PublishedNames {
  const waiting = new Set<() => void>();
  /** Counts refreshes, so that none is missed while a state is written. */
  let refreshes = 0;
  /** How long the last state took to write. */
  let writeMs = 0;
  let written: { readonly of: NameTable; readonly state: Promise<NamesState> } | undefined;

  function current(endpoints: boolean): Promise<NamesState> | undefined {
    const now = table();
    if (endpoints && now?.hasEndpoints !== true) wantEndpoints();
    if (now === undefined || (endpoints && now.hasEndpoints !== true)) return undefined;
    if (written?.of !== now) {
      const startedMs = performance.now();
      written = { of: now, state: write(now) };
      void written.state.then(() => {
        writeMs = performance.now() - startedMs;
      });
    }
    return written.state;
  }

  function untilRefreshed(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        waiting.delete(end);
        signal.removeEventListener("abort", end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      signal.addEventListener("abort", end);
      waiting.add(end);
    });
  }

  return {
    refresh() {
      refreshes++;
      for (const wake of [...waiting]) wake();
    },
    async read(known, { waitSeconds, endpoints, signal }) {
      const endMs = performance.now() + Math.min(waitSeconds, MAX_WAIT_SECONDS) * 1000;
      for (;;) {
        const seen = refreshes;
        const state = await current(endpoints);
        if (state !== undefined && state.etag !== known) return state;
        const leftMs = endMs - performance.now();
        if (leftMs <= 0 || signal.aborted) return undefined;
        if (refreshes === seen) await untilRefreshed(leftMs, signal);
        // What comes in a burst is written once, and large states in a fifth of the time at most.
        await delay(Math.max(BURST_MS, REST * writeMs), undefined, { signal }).catch(() => undefined);
      }
    },
  };
}

async function write({ serial, names, hasEndpoints = false }: NameTable): Promise<NamesState> {
  const json = Buffer.from(await jsonText({ serial, hasEndpoints, names: [...names.values()] }));
  const etag = `"${createHash("sha256").update(json).digest("hex").slice(0, 16)}"`;
  return { etag, json, gzip: await compress(json) };
}
