import type { KubeClient } from "./client.ts";
import { hasStatus, TooLargeError } from "./kube-error.ts";
import type { RawList, RawObject } from "./raw.ts";

/** What to list. */
export interface ListOptions {
  readonly path: string;
  /** Further query parameters, such as labelSelector. */
  readonly query?: Readonly<Record<string, string>>;
  /** Reads on from "Cannot list": `services`. */
  readonly title: string;
  readonly pageSize: number;
  readonly signal: AbortSignal;
  /** Told before the first item, also when the list has to begin anew. */
  readonly onBegin: () => void;
  readonly onItem: (raw: RawObject) => void;
}

const MAX_RESTARTS = 4;
/** Read whole and parsed at once: a pause of the event loop, and a share of a small heap, several times over as kinds are read side by side. */
const PAGE_BYTES = 8 * 1024 * 1024;
/** What one object may take: the API server keeps none of 3 MiB. */
const OBJECT_BYTES = 16 * 1024 * 1024;

/**
 * List everything in pages, which together show one moment. Pages are of `pageSize` objects at most, and of 8 MiB: those of
 * large objects have fewer.
 *
 * Without a resourceVersion the first page is the newest state (not what some API server has cached), as a list
 * after a lost watch must not go back in time.
 *
 * @returns resourceVersion to watch from.
 * @throws When a page cannot be read.
 */
export async function listAll(client: KubeClient, options: ListOptions): Promise<string> {
  for (let restarts = 0; ; restarts++) {
    try {
      return await listPages(client, options);
    } catch (error) {
      // The snapshot behind the pages was compacted away (every 5 minutes).
      if (restarts === MAX_RESTARTS || !hasStatus(error, 410)) throw error;
    }
  }
}

async function listPages(client: KubeClient, options: ListOptions): Promise<string> {
  const { title, pageSize, onBegin, onItem } = options;
  onBegin();
  let next: string | undefined;
  let limit = pageSize;
  for (;;) {
    const page = await readPage(client, options, limit, next);
    if (page === undefined) {
      limit = Math.max(1, Math.floor(limit / 8));
      continue;
    }
    const revision = page.metadata?.resourceVersion;
    if (revision === undefined) throw new Error(`Cannot list ${title}: the answer is not a list`);
    for (const item of page.items ?? []) onItem(item);
    next = page.metadata?.continue;
    if (next === undefined || next === "") return revision;
    limit = Math.min(pageSize, limit * 2);
  }
}

/** The page that begins at `next`; `undefined` where so many objects are too large. */
async function readPage(
  client: KubeClient,
  { path, query, title, signal }: ListOptions,
  limit: number,
  next: string | undefined,
): Promise<RawList | undefined> {
  const search = new URLSearchParams({
    ...query,
    limit: String(limit),
    ...(next === undefined ? {} : { continue: next }),
  });
  const maxBytes = limit === 1 ? OBJECT_BYTES : PAGE_BYTES;
  try {
    const action = `list ${title}`;
    return (await client.request({ method: "GET", path: `${path}?${search}`, action, signal, maxBytes })) as RawList;
  } catch (error) {
    if (error instanceof TooLargeError && limit > 1) return undefined;
    throw error;
  }
}
