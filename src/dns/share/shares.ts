/** Places that clients share. */
export interface Shares<Item> {
  /** Give `item` a place, as the newest of its client. Where there are too many then, others lose theirs, or it does itself. */
  add(client: string, item: Item): void;
  /** Make it the newest again; nothing happens if it has no place. */
  touch(client: string, item: Item): void;
  /** Nothing happens if it has no place. */
  remove(client: string, item: Item): void;
  size(): number;
  /** The item that would lose its place if `client` got one more; undefined if there is room. */
  victim(client: string): Item | undefined;
}

/** How many places there are. */
export interface SharesOptions<Item> {
  readonly most: number;
  /** Of one client. Default `most`. */
  readonly mostOfOne?: number;
  /** Told of an item that has lost its place. A client that it gives has it from now on, as its newest. */
  readonly drop: (item: Item) => string | undefined;
}

interface State<Item> extends SharesOptions<Item> {
  /** The items of each client, the oldest first. */
  readonly byClient: Map<string, Set<Item>>;
  /** Clients by the number of their items, each time those first whose newest item is oldest. */
  readonly byCount: Set<string>[];
  size: number;
}

/**
 * Places of which no client can take those that others need: when all are taken, the client that has most loses the oldest of its own. So
 * whoever has fewer than the others always gets one. Each call costs the same, however many there are.
 */
export function shares<Item>(options: SharesOptions<Item>): Shares<Item> {
  const state: State<Item> = { ...options, byClient: new Map(), byCount: [], size: 0 };
  const { most, mostOfOne = most } = options;
  return {
    add(client, item) {
      take(state, client, item);
      insert(state, client, item);
      if ((state.byClient.get(client)?.size ?? 0) > mostOfOne) dropOldest(state, client);
      while (state.size > most) dropOldest(state, largest(state));
    },
    touch(client, item) {
      if (take(state, client, item)) insert(state, client, item);
    },
    remove: (client, item) => void take(state, client, item),
    size: () => state.size,
    victim(client) {
      const own = state.byClient.get(client)?.size ?? 0;
      if (own < mostOfOne && state.size < most) return undefined;
      return oldest(state, own >= mostOfOne || own >= state.byCount.length - 1 ? client : largest(state));
    },
  };
}

function insert<Item>(state: State<Item>, client: string, item: Item): void {
  const items = state.byClient.get(client) ?? new Set();
  state.byClient.set(client, items);
  state.byCount[items.size]?.delete(client);
  state.size++;
  items.add(item);
  const alike = state.byCount[items.size] ?? new Set();
  state.byCount[items.size] = alike;
  alike.add(client);
}

function take<Item>(state: State<Item>, client: string, item: Item): boolean {
  const { byClient, byCount } = state;
  const items = byClient.get(client);
  if (items === undefined || !items.has(item)) return false;
  byCount[items.size]?.delete(client);
  items.delete(item);
  state.size--;
  if (items.size === 0) byClient.delete(client);
  else byCount[items.size]?.add(client);
  while (byCount.at(-1)?.size === 0) byCount.pop();
  return true;
}

/** The client that has most; of several the one that was silent longest. */
function largest<Item>({ byCount }: State<Item>): string {
  for (const client of byCount.at(-1) ?? []) return client;
  return "";
}

function oldest<Item>({ byClient }: State<Item>, client: string): Item | undefined {
  for (const item of byClient.get(client) ?? []) return item;
  return undefined;
}

function dropOldest<Item>(state: State<Item>, client: string): void {
  const item = oldest(state, client);
  if (item === undefined || !take(state, client, item)) return;
  const heir = state.drop(item);
  if (heir !== undefined) insert(state, heir, item);
}
