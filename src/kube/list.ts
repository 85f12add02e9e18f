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

/**
 * List everything in pages, which together show one moment.
 *
 * Without a resourceVersion the first page is the newest state (not what some API server has cached), as a list
 * after a lost watch must not go back in time.
 *
 * @returns resourceVersion to watch from.
 * @throws When a page cannot be read.
 */
export async function listAll(client: KubeClient, options: ListOptions): Promise<string> {
  let pageSize = options.pageSize;
  for (let restarts = 0; ; restarts++) {
    try {
      return await listPages(client, options, pageSize);
    } catch (error) {
      if (restarts === MAX_RESTARTS) throw error;
      // Objects may be up to 1.5 MB: smaller pages then.
      if (error instanceof TooLargeError && pageSize > 1) pageSize = Math.max(1, Math.floor(pageSize / 8));
      // The snapshot behind the pages was compacted away (every 5 minutes).
      else if (!hasStatus(error, 410)) throw error;
    }
  }
}

async function listPages(client: KubeClient, options: ListOptions, pageSize: number): Promise<string> {
  const { path, query, title, signal, onBegin, onItem } = options;
  onBegin();
  let next: string | undefined;
  for (;;) {
    const search = new URLSearchParams({
      ...query,
      limit: String(pageSize),
      ...(next === undefined ? {} : { continue: next }),
    });
    const page = (await client.request({
      method: "GET",
      path: `${path}?${search}`,
      action: `list ${title}`,
      signal,
    })) as RawList;
    const revision = page.metadata?.resourceVersion;
    if (revision === undefined) throw new Error(`Cannot list ${title}: the answer is no list`);
    for (const item of page.items ?? []) onItem(item);
    next = page.metadata?.continue;
    if (next === undefined || next === "") return revision;
  }
}
