import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { NameTable } from "../model/name-table.ts";
import { jsonText } from "./json.ts";
import { readSecrets } from "./names-proof.ts";

/** A client that waits for another state of the names is answered after this time anyway. */
const MAX_WAIT_SECONDS = 25;
const BURST_MS = 20;
const REST = 4;
const compress = promisify(gzip);

/** One state of the names, as others fetch it. */
export interface NamesState {
  /** Names this state (RFC 9110 §8.8.3). */
  readonly etag: string;
  /** SHA-256 of `json`, in hexadecimal digits. */
  readonly digest: string;
  readonly json: Buffer;
  readonly gzip: Buffer;
}

/** The names for others to answer from. */
export interface PublishedNames {
  /** Tell that the table may be another one. */
  refresh(): void;
  /**
   * The names now, or as soon as they are another state than `known`. After `waitSeconds`: whether they are still that state, or not
   * known (undefined), which says nothing of the state that a client has.
   */
  read(known: string | undefined, how: ReadOptions): Promise<NamesState | "unchanged" | undefined>;
  /** What proves to other servers that names are ours; undefined if nothing is to. @throws When it cannot be read. */
  secrets(): Promise<readonly string[] | undefined>;
}

/** How names are read. */
export interface ReadOptions {
  /** 25 at most. */
  readonly waitSeconds: number;
  /** Whether rows are to have their endpoints. */
  readonly endpoints: boolean;
  readonly signal: AbortSignal;
}

/** Where published names come from. */
export interface NamesSource {
  table(): NameTable | undefined;
  /** Called when someone wants endpoints and the table has none. */
  wantEndpoints(): void;
  /** File with what proves them. */
  secretFile(): string | undefined;
}

/**
 * Publish what `table` gives. A state is written out once, however many clients want it, and not before the first does.
 */
export function publishedNames({ table, wantEndpoints, secretFile }: NamesSource): PublishedNames {
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
    async secrets() {
      const file = secretFile();
      return file === undefined ? undefined : readSecrets(file);
    },
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
        if (leftMs <= 0 || signal.aborted) return state && "unchanged";
        if (refreshes === seen) await untilRefreshed(leftMs, signal);
        // What comes in a burst is written once, and large states in a fifth of the time at most.
        await delay(Math.max(BURST_MS, REST * writeMs), undefined, { signal }).catch(() => undefined);
      }
    },
  };
}

async function write({ serial, names, hasEndpoints = false, isPartial }: NameTable): Promise<NamesState> {
  const partial = isPartial === true ? { isPartial } : {};
  const json = Buffer.from(await jsonText({ serial, hasEndpoints, ...partial, names: [...names.values()] }));
  const digest = createHash("sha256").update(json).digest("hex");
  return { etag: `"${digest.slice(0, 16)}"`, digest, json, gzip: await compress(json) };
}
