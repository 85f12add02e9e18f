import { setTimeout as sleep } from "node:timers/promises";
import { backOff } from "../../src/async/back-off.ts";
import { createChanges } from "../../src/async/changes.ts";
import { each } from "../../src/async/each.ts";
import { firstOf } from "../../src/async/loop.ts";
import type { Datacenter } from "./datacenter.ts";
import { READS_AT_ONCE } from "./service-reads.ts";
import { PAUSE } from "./watch.ts";

/** Several signs of one change come within this. */
const GATHER_MS = 3;
/** Services whose indexes are asked for together. */
const BATCH = 128;
/** In no hurry it asks for an eighth of the time. */
const CALM_REST = 7;
/** After a hurried round that found nothing there is none for as long as it took. */
const VAIN_REST = 1;
const MOST_RECENT = 100;
const MOST_SEEN = 256;

/** Finds which service has changed, where only that one has is known, by the indexes of all. */
export interface Search {
  /**
   * Something has changed: search at once. Where `index` is that which the service now has, there is no hurry any more once one that
   * has it is known, however it was found. An index that was given before, or is lower, is no news.
   */
  request(index?: number): void;
  /** Something may have changed: look at all, in no hurry. */
  lookAround(): void;
  /** This service has changed: it is looked at first the next time, as what changes once changes again. */
  note(name: string): void;
  /** Whether the last look met no failure. */
  isWell(): boolean;
}

/** What a search looks at. */
export interface SearchOptions {
  readonly reader: Datacenter;
  /** Services that have a blocking query of their own: they are looked at last. */
  readonly isWatched: (name: string) => boolean;
}

interface State extends SearchOptions {
  readonly requests: ReturnType<typeof createChanges>;
  /** What changed last is the last. */
  readonly recent: Set<string>;
  /** Indexes of services that changed lately. */
  readonly seen: Set<number>;
  /** What is to be found in a hurry: all that may have changed, or services with these indexes, also after a round was broken off. */
  isAllWanted: boolean;
  readonly wanted: Set<number>;
  /** Counts requests. */
  asked: number;
  highest: number;
  /** Where the next round goes on, so that one that is broken off again and again comes to all. */
  position: number;
  isWell: boolean;
}

/** Search, whenever that is requested, until `signal` aborts. */
export function searchIn(options: SearchOptions, signal: AbortSignal): Search {
  const sets = { recent: new Set<string>(), seen: new Set<number>(), wanted: new Set<number>() };
  const requests = createChanges();
  const counts = { asked: 0, highest: 0, position: 0 };
  const state: State = { ...options, ...sets, ...counts, requests, isAllWanted: false, isWell: true };
  void run(state, signal);
  return {
    request(index) {
      if (index !== undefined && index <= state.highest) return;
      state.highest = Math.max(state.highest, index ?? 0);
      if (index === undefined) state.isAllWanted = true;
      else if (!state.seen.has(index)) keep(state.wanted, index, MOST_SEEN);
      state.asked++;
      requests.notify();
    },
    lookAround: requests.notify,
    note(name) {
      keep(state.recent, name, MOST_RECENT);
      const index = options.reader.indexOf(name);
      keep(state.seen, index, MOST_SEEN);
      state.wanted.delete(index);
    },
    isWell: () => state.isWell,
  };
}

/** Keep the last items. */
function keep<Item>(items: Set<Item>, item: Item, most: number): void {
  items.delete(item);
  items.add(item);
  const [oldest] = items;
  if (items.size > most && oldest !== undefined) items.delete(oldest);
}

async function run(state: State, signal: AbortSignal): Promise<void> {
  const { requests } = state;
  let seen = requests.version();
  let failures = 0;
  while (!signal.aborted) {
    try {
      await requests.wait(seen, signal);
      await sleep(GATHER_MS, undefined, { signal });
      seen = requests.version();
      await round(state, signal);
      failures = 0;
      state.isWell = true;
    } catch {
      state.isWell = false;
      state.isAllWanted = true;
      seen = -1;
      await backOff(++failures, signal, PAUSE).catch(() => {});
    }
  }
}

/** Look at all services once; broken off by a request, which the next round begins with. */
async function round(state: State, signal: AbortSignal): Promise<void> {
  const { requests, wanted, asked, isAllWanted } = state;
  const looked = [...wanted];
  const names = inTurn(state);
  const beganMs = performance.now();
  const isInHurry = () => isAllWanted || wanted.size > 0;
  state.isAllWanted = false;
  for (let at = 0; at < names.length; at += BATCH) {
    const batch = names.slice(at, at + BATCH);
    const version = requests.version();
    const batchMs = performance.now();
    await look(state, batch, signal);
    state.position += batch.length;
    if (state.asked === asked && !isInHurry()) {
      const restMs = (performance.now() - batchMs) * CALM_REST;
      await firstOf(
        signal,
        (inner) => requests.wait(version, inner),
        (inner) => sleep(restMs, undefined, { signal: inner }),
      );
    }
    if (state.asked === asked) continue;
    state.isAllWanted ||= isAllWanted;
    return;
  }
  const isVain = isInHurry();
  for (const index of looked) wanted.delete(index);
  if (isVain) await sleep((performance.now() - beganMs) * VAIN_REST, undefined, { signal });
}

/** Read those of some services whose index is another one. An index that is wanted is theirs, if theirs has gone past it. */
async function look({ reader, wanted }: State, names: readonly string[], signal: AbortSignal): Promise<void> {
  await each(await reader.changedOf(names, signal), READS_AT_ONCE, async (name) => {
    const before = reader.indexOf(name);
    await reader.readService(name, signal);
    for (const index of wanted) if (before < index && index <= reader.indexOf(name)) wanted.delete(index);
  });
}

/** What changed lately, the others from where the last round ended, and last those whose changes are told. */
function inTurn({ reader, isWatched, recent, position }: State): readonly string[] {
  const names = [...reader.names()];
  const at = names.length === 0 ? 0 : position % names.length;
  const turned = [...names.slice(at), ...names.slice(0, at)];
  const isFirst = (name: string) => recent.has(name) && !isWatched(name);
  const first = [...recent].reverse().filter((name) => reader.names().has(name) && !isWatched(name));
  const others = Map.groupBy(turned, (name) => (isFirst(name) ? "first" : isWatched(name) ? "last" : "next"));
  return [...first, ...(others.get("next") ?? []), ...(others.get("last") ?? [])];
}
