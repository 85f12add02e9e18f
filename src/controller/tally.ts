import type { ServiceRead, Snapshot } from "../model/adapter.ts";
import type { LeftOutKind, ServiceKey } from "../model/service.ts";
import type { ReadPair } from "../plan/differences.ts";

/** What a registry's snapshot adds up to, kept in step at the cost of what changed. */
export interface Tally {
  endpoints(): number;
  leftOut(): ReadonlyMap<LeftOutKind, number>;
  /**
   * Count a newer snapshot; gives the causes of service reads that fail from now on.
   *
   * @param pairs what differs from the snapshot before; `undefined` when the lists do
   */
  update(snapshot: Snapshot, pairs: readonly ReadPair[] | undefined): readonly unknown[];
}

export function createTally(): Tally {
  const leftOut = new Map<LeftOutKind, number>();
  let failed = new Map<ServiceKey, unknown>();
  let endpoints = 0;
  return {
    endpoints: () => endpoints,
    leftOut: () => leftOut,
    update({ services }, pairs) {
      const before = failed;
      failed = new Map(pairs === undefined ? [] : failed);
      if (pairs === undefined) {
        endpoints = 0;
        leftOut.clear();
        for (const read of services) add(read, 1);
      } else {
        for (const [was] of pairs) add(was, -1);
        for (const [, is] of pairs) add(is, 1);
      }
      return [...failed].flatMap(([key, cause]) => (before.has(key) ? [] : [cause]));
    },
  };

  function add(read: ServiceRead, sign: 1 | -1): void {
    if (read.state === "ok") {
      endpoints += sign * read.service.endpoints.length;
      for (const { kind } of read.service.leftOut) leftOut.set(kind, (leftOut.get(kind) ?? 0) + sign);
    } else if (sign === 1) failed.set(read.key, read.cause);
    else failed.delete(read.key);
  }
}
