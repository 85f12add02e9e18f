/** The part of a logger that this folder needs; pino's and our own fit. */
export interface DnsLog {
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
}

const INTERVAL_MS = 10_000;

/** Logs the same message at most every 10 s and says how many were left out: clients must not be able to fill our log. */
export function quietLog(log: DnsLog): DnsLog {
  const seen = new Map<string, { readonly atMs: number; suppressed: number }>();
  return {
    warn(fields, message) {
      const nowMs = performance.now();
      const last = seen.get(message);
      if (last !== undefined && nowMs - last.atMs < INTERVAL_MS) {
        last.suppressed++;
        return;
      }
      seen.set(message, { atMs: nowMs, suppressed: 0 });
      log.warn({ ...fields, suppressed: last?.suppressed ?? 0 }, message);
    },
  };
}
