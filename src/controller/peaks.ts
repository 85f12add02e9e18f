/** The most endpoints each registry had over a sliding window: the process's own memory of the endpoint brake. */
export interface EndpointPeaks {
  record(totals: ReadonlyMap<string, number>, nowMs: number): void;
  peaks(nowMs: number): ReadonlyMap<string, number>;
  /** Endpoints that went because nobody wants them any more are no loss. */
  lower(registry: string, by: number): void;
}

interface Sample {
  readonly atMs: number;
  readonly total: number;
}

/** Only samples that can still be a peak are kept, so that a registry that changes often costs no more memory. */
export function createEndpointPeaks(windowMs: number): EndpointPeaks {
  const samples = new Map<string, readonly Sample[]>();
  return {
    record(totals, nowMs) {
      for (const [registry, total] of totals) {
        // A later sample that is as high outlives all lower ones before it: what stays is falling.
        const higher = (samples.get(registry) ?? []).filter((sample) => sample.total > total);
        samples.set(registry, [...higher, { atMs: nowMs, total }]);
      }
    },
    lower(registry, by) {
      const lowered = (samples.get(registry) ?? []).map((sample) => ({
        ...sample,
        total: Math.max(0, sample.total - by),
      }));
      samples.set(registry, lowered);
    },
    peaks(nowMs) {
      const peaks = new Map<string, number>();
      for (const [registry, list] of samples) {
        // The newest stays whatever its age: it is what the registry has now.
        const recent = list.filter((sample, at) => sample.atMs > nowMs - windowMs || at === list.length - 1);
        samples.set(registry, recent);
        peaks.set(registry, recent[0]?.total ?? 0);
      }
      return peaks;
    },
  };
}
