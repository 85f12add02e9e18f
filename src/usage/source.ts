import { yielding } from "../async/yielding.ts";
import type { Metrics } from "../metrics.ts";
import type { Demands } from "../model/demand.ts";
import type { NameTable } from "../model/name-table.ts";
import { registryOfKey } from "../model/service.ts";
import type { NameQuestions } from "../model/usage.ts";
import { createUsage } from "./counting.ts";
import { type NamedService, type UsageJson, usageJson, useState } from "./json.ts";
import { usageMetrics } from "./metrics.ts";

/** Counting of a process that answers DNS, and what it tells of it. */
export interface UsageSource {
  onQuestions(questions: readonly NameQuestions[]): void;
  json(): Promise<UsageJson>;
  /** Bring the gauges up to date, at most once a minute. */
  refreshMetrics(): Promise<void>;
}

/** What usage is told of. */
export interface UsageSourceOptions {
  readonly table: () => NameTable | undefined;
  readonly services: () => readonly NamedService[];
  readonly demands: () => Demands | undefined;
  readonly metrics: Metrics;
  readonly signal: AbortSignal;
}

/** A look at all services, of which there may be 100,000, for a scrape every few seconds. */
const MOST_OFTEN_MS = 60_000;

/** Count who asks for which names, for `/api/usage` and the metrics. */
export function usageSource({ table, services, demands, signal, ...options }: UsageSourceOptions): UsageSource {
  const metrics = options.metrics.once(usageMetrics);
  const usage = createUsage({
    table,
    startedMs: Date.now(),
    onCount: ({ count, ...labels }) => metrics.usageQuestions.inc(labels, count),
  });
  let refreshedMs = Number.NEGATIVE_INFINITY;
  const json = () => yielding(usageJson({ services: services(), usage, demands: demands() }), signal);
  return {
    onQuestions: (questions) => usage.count(questions, Date.now()),
    json,
    async refreshMetrics() {
      if (performance.now() - refreshedMs < MOST_OFTEN_MS) return;
      refreshedMs = performance.now();
      const numbers = new Map<string, number>();
      const add = (key: string) => numbers.set(key, (numbers.get(key) ?? 0) + 1);
      for (const use of (await json()).services) {
        const registry = registryOfKey(use.service);
        add(`use ${registry} ${useState(use, Date.now())}`);
        add(`stage ${registry} ${use.stage}`);
      }
      metrics.setUse((of, registry, what) => numbers.get(`${of} ${registry} ${what}`) ?? 0);
    },
  };
}
