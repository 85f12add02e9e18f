import type { RawObject } from "../client/raw.ts";
import type { Store } from "./store.ts";
import { isNewer } from "./version-order.ts";

/** Takes in lists, watch events and the answers to our own writes, which come in any order, and never goes back in time. */
export interface Sink {
  keyOf(raw: RawObject): string | undefined;
  /** An object as a list or an event shows it; gives its key. */
  put(raw: RawObject): string | undefined;
  /** A DELETED event. */
  remove(raw: RawObject): void;
  /** A complete list at `revision` named the keys in `seen` and no others. */
  sweep(seen: ReadonlySet<string>, revision: string): void;
  /** Call before a write is sent, as events about it may come before its answer does. Call `end` in any case. */
  expect(key: string): Expectation;
}

/** The answer to one write, folded in. */
export interface Expectation {
  /** The object as the answer shows it. */
  put(raw: RawObject): void;
  /** The object `uid`, last seen at `revision`, is gone. */
  gone(uid: string, revision: string): void;
  end(): void;
}

/** What is known from an answer, until the watch has caught up with it. */
interface Floor {
  readonly revision: string;
  readonly goneUid?: string;
}

/** Guard a store against news that is older than what it holds. */
export function createSink(store: Store, onChange: (key: string) => void): Sink {
  const floors = new Map<string, Floor>();
  /** Keys with a write under way, with the newest revision seen meanwhile. */
  const awaited = new Map<string, string>();

  function noteSeen(key: string, revision: string): void {
    const seen = awaited.get(key);
    if (seen !== undefined && isNewer(revision, seen)) awaited.set(key, revision);
  }

  /** Whether an event or list item is news; forgets a floor that it has reached. */
  function passesFloor(key: string, revision: string, uid: string | undefined, isRemoval: boolean): boolean {
    const floor = floors.get(key);
    if (floor === undefined) return true;
    const isLater = isNewer(revision, floor.revision);
    const isOfTheDead = floor.goneUid !== undefined && floor.goneUid === uid;
    if (isLater ? !isOfTheDead || isRemoval : floor.goneUid === undefined && revision === floor.revision)
      floors.delete(key);
    return isLater && !isOfTheDead;
  }

  const changed = (key: string, isChange: boolean) => {
    if (isChange) onChange(key);
  };

  return {
    keyOf: store.keyOf,
    put(raw) {
      const key = store.keyOf(raw);
      if (key === undefined) return undefined;
      const { resourceVersion = "", uid } = raw.metadata ?? {};
      noteSeen(key, resourceVersion);
      if (passesFloor(key, resourceVersion, uid, false)) changed(key, store.put(key, raw));
      return key;
    },
    remove(raw) {
      const key = store.keyOf(raw);
      if (key === undefined) return;
      const { resourceVersion = "", uid } = raw.metadata ?? {};
      noteSeen(key, resourceVersion);
      if (passesFloor(key, resourceVersion, uid, true)) changed(key, store.drop(key));
    },
    sweep(seen, revision) {
      for (const [key, floor] of floors) {
        // A list is one moment: what we wrote after it may be missing from it.
        if (!seen.has(key) && (floor.goneUid !== undefined || !isNewer(floor.revision, revision))) floors.delete(key);
      }
      const vanished = [...store.keys()].filter((key) => !seen.has(key) && !floors.has(key));
      for (const key of vanished) changed(key, store.drop(key));
    },
    expect(key) {
      awaited.set(key, "");
      const isOvertaken = (revision: string) => !isNewer(revision, awaited.get(key) ?? "");
      return {
        put(raw) {
          const revision = raw.metadata?.resourceVersion ?? "";
          if (isOvertaken(revision)) return;
          floors.set(key, { revision });
          changed(key, store.put(key, raw));
        },
        gone(uid, revision) {
          if (isNewer(awaited.get(key) ?? "", revision)) return;
          floors.set(key, { revision, goneUid: uid });
          changed(key, store.drop(key));
        },
        end: () => void awaited.delete(key),
      };
    },
  };
}
