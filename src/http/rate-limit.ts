/** Callers that are told apart; of more, those that were silent longest are forgotten. */
const MOST_CALLERS = 10_000;

/** Lets each caller do so much. */
export interface RateLimit {
  /** Seconds after which the caller may come again; 0 when `cost` may be spent now. */
  take(caller: string, cost: number): number;
}

/** `perSecond` for each caller, and twice that at once. A large cost may be spent while anything is left, and is made good by waiting. */
export function rateLimit(perSecond: number, nowMs = () => performance.now()): RateLimit {
  const most = Math.max(1, perSecond * 2);
  const buckets = new Map<string, { readonly left: number; readonly atMs: number }>();
  return {
    take(caller, cost) {
      const now = nowMs();
      const { left: before, atMs } = buckets.get(caller) ?? { left: most, atMs: now };
      const left = Math.min(most, before + ((now - atMs) / 1000) * perSecond);
      if (left < 1) return Math.max(1, Math.ceil((1 - left) / perSecond));
      buckets.delete(caller);
      buckets.set(caller, { left: left - cost, atMs: now });
      const [oldest] = buckets.keys();
      if (buckets.size > MOST_CALLERS && oldest !== undefined) buckets.delete(oldest);
      return 0;
    },
  };
}
