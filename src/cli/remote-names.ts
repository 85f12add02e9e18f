import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { backOff } from "../controller/loop.ts";
import { ConfigError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { NameRow, NameTable } from "../model/name-table.ts";
import { canonical, familyOf } from "../plan/addresses.ts";
import { addParents } from "../plan/name-table.ts";

/** How long the other side is let wait for a change, and how long after that it counts as silent. */
const WAIT_SECONDS = 20;
const PATIENCE_MS = 10_000;
/** Names as text; 100,000 take about 20 MB. */
const MAX_BYTES = 256 * 2 ** 20;

/** The names of an x2istio that runs elsewhere. */
export interface RemoteNames {
  /** Undefined before they were fetched. */
  table(): NameTable | undefined;
  /** From now on rows have their endpoints. */
  wantEndpoints(): void;
  /** Fetch until `signal` aborts. While the other side cannot be reached, the table stays. */
  follow(signal: AbortSignal): Promise<void>;
}

/** How to follow names. */
export interface RemoteOptions {
  readonly log: Log;
  /** Whether rows are to have their endpoints. */
  readonly endpoints: boolean;
  /** Called whenever `table` is another one. */
  readonly onTable: () => void;
  /** Called when the table is known to be the other side's. */
  readonly onCurrent: () => void;
}

const address = z.string().transform((text, context) => {
  const found = canonical(text);
  if (found !== undefined) return found;
  context.addIssue({ code: "custom", message: "must be an address" });
  return z.NEVER;
});
const port = z.int().min(0).max(65_535);
const name = z.string().max(1024);
const row = z.object({
  name,
  host: name,
  a: z.array(address.refine((text) => familyOf(text) === "v4")),
  aaaa: z.array(address.refine((text) => familyOf(text) === "v6")),
  ports: z.array(z.object({ name, number: port, transport: z.enum(["tcp", "udp"]) })).exactOptional(),
  endpoints: z
    .array(
      z.object({
        address,
        ports: z.record(z.string(), port).exactOptional(),
        region: z.string().exactOptional(),
        zone: z.string().exactOptional(),
      }),
    )
    .exactOptional(),
  service: z.string().exactOptional(),
  cname: name.exactOptional(),
  waits: z.literal(true).exactOptional(),
  settledAtMs: z.number(),
});
const Answer = z.object({ serial: z.int().min(0), hasEndpoints: z.boolean(), names: z.array(row) });

/**
 * Follow the names at `from`, the HTTP address of an x2istio, by its `/api/names`.
 *
 * @throws {ConfigError} When `from` is no HTTP address.
 */
export function remoteNames(from: string, options: RemoteOptions): RemoteNames {
  const { log, onTable, onCurrent } = options;
  const base = baseUrl(from);
  let { endpoints } = options;
  /** Ends the fetch under way. */
  let anew = new AbortController();
  let table: NameTable | undefined;
  let etag: string | undefined;

  async function fetchOnce(signal: AbortSignal): Promise<void> {
    const headers = etag === undefined ? {} : { "if-none-match": etag };
    const patience = AbortSignal.timeout(WAIT_SECONDS * 1000 + PATIENCE_MS);
    const url = new URL(`api/names?wait=${WAIT_SECONDS}&endpoints=${endpoints}`, base);
    const response = await fetch(url, { headers, signal: AbortSignal.any([signal, patience, anew.signal]) });
    if (response.status !== 304) {
      if (response.status !== 200) throw new Error(`Cannot fetch names: GET ${url} answered ${response.status}`);
      table = tableOf(Answer.parse(JSON.parse(await textOf(response))), response.headers.get("date"), table);
      etag = response.headers.get("etag") ?? undefined;
      onTable();
    }
    onCurrent();
  }

  return {
    table: () => table,
    wantEndpoints() {
      if (endpoints) return;
      endpoints = true;
      anew.abort();
    },
    async follow(signal) {
      for (let failures = 0; !signal.aborted; ) {
        try {
          await fetchOnce(signal);
          failures = 0;
        } catch (error) {
          if (signal.aborted) return;
          if (anew.signal.aborted) {
            anew = new AbortController();
            continue;
          }
          if (failures === 0) log.error({ error, from }, "the names cannot be fetched; the last ones are answered");
          await backOff(++failures, signal).catch(() => undefined);
        }
      }
    },
  };
}

function baseUrl(from: string): URL {
  const url = URL.canParse(from) ? new URL(from) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw new ConfigError(`--from must be an HTTP address such as http://x2istio.example.org:8080, not "${from}"`);
  return new URL(url.href.replace(/\/*$/, "/"));
}

async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) throw new Error(`Cannot fetch names: there are more than ${MAX_BYTES} bytes of them`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** Rows that are as before keep their identity. Times are by the other side's clock, which tells itself in `date`. */
function tableOf(answer: z.output<typeof Answer>, date: string | null, before: NameTable | undefined): NameTable {
  const aheadMs = Date.now() - (Date.parse(date ?? "") || Date.now());
  const names = new Map<string, NameRow>();
  for (const given of answer.names) {
    const settledAtMs = given.settledAtMs === 0 ? 0 : given.settledAtMs + aheadMs;
    const known = before?.names.get(given.name);
    const isSame = known !== undefined && isDeepStrictEqual({ ...known, settledAtMs: 0 }, { ...given, settledAtMs: 0 });
    names.set(given.name, isSame ? known : { ...given, settledAtMs });
  }
  const parents = new Set<string>();
  for (const name of names.keys()) addParents(name, parents, names);
  const { hasEndpoints } = answer;
  return { names, parents, hasEndpoints, serial: Math.max(answer.serial, (before?.serial ?? -1) + 1) };
}
