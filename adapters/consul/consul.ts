import { setTimeout as sleep } from "node:timers/promises";
import { ReadError, readFailure } from "../../src/errors.ts";
import type { Adapter, Snapshot } from "../../src/model/adapter.ts";
import type { AdapterContext } from "../context.ts";
import { intern } from "../intern.ts";
import { catalog } from "./catalog.ts";
import { consulClient } from "./client.ts";
import { datacenter } from "./datacenter.ts";
import { consulMetrics } from "./metrics.ts";
import type { ConsulOptions } from "./options.ts";
import { watches } from "./watches.ts";

/** The first change of many is told at once, those that follow within this time together. */
const GATHER_MS = 50;
/** Blocking queries end when nobody has waited for a change for so long. */
const IDLE_MS = 600_000;

/** A registry that is a Consul, of one datacenter or of several. */
export function consul(options: ConsulOptions, context: AdapterContext): Adapter {
  const { registry, dir } = context;
  const metrics = consulMetrics(context.metrics, registry);
  const client = consulClient(options, dir, metrics);
  const pool = intern();
  const waiting = new Set<() => void>();
  const notify = () => {
    for (const wake of waiting) wake();
  };
  const all = catalog({ registry, namespace: options.namespace }, pool, notify);
  const names = options.datacenters ?? [undefined];
  const members = names.map((name) => {
    const onRead = (service: string, hasMoved: boolean) => eyes.onRead(service, hasMoved);
    const member = datacenter({ name, client, options, catalog: all, pool, onRead });
    const maxConnections = Math.floor(options.maxConnections / names.length);
    const eyes = watches({ member, client, metrics, maxConnections, waitMs: options.wait, onDoubt: notify });
    return { member, eyes };
  });
  let isKnown = false;
  let hintedAtMs = Number.NEGATIVE_INFINITY;
  let idle: NodeJS.Timeout | undefined;

  const isDoubtful = () => members.some(({ member }) => member.isDoubtful());

  async function read(signal: AbortSignal, { trigger }: { readonly trigger: "poll" | "hint" }): Promise<Snapshot> {
    signal.throwIfAborted();
    if (trigger === "poll" || !isKnown || isDoubtful()) await poll(signal);
    return all.snapshot();
  }

  async function poll(signal: AbortSignal): Promise<void> {
    const results = await Promise.allSettled(
      members.map(async ({ member, eyes }) => eyes.polled(await member.poll(signal))),
    );
    signal.throwIfAborted();
    const failures = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
    if (failures.length === members.length) {
      const [cause] = failures;
      const failure = readFailure(cause);
      if (failure === "other") throw cause;
      throw new ReadError(failure, `Cannot read services of registry "${registry}"`, { cause });
    }
    for (const [at, result] of results.entries()) {
      const lost = members[at]?.member;
      if (result.status === "rejected" && lost !== undefined) all.lose(lost, result.reason);
    }
    isKnown = true;
  }

  async function waitForChange(revision: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    clearTimeout(idle);
    for (const { eyes } of members) eyes.start();
    try {
      while (String(all.version()) === revision && !isDoubtful()) await change(signal);
      const sinceMs = performance.now() - hintedAtMs;
      if (sinceMs < GATHER_MS) await sleep(GATHER_MS - sinceMs, undefined, { signal });
      hintedAtMs = performance.now();
    } finally {
      clearTimeout(idle);
      idle = setTimeout(stop, IDLE_MS).unref();
    }
  }

  async function change(signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    waiting.add(resolve);
    try {
      await promise;
    } finally {
      waiting.delete(resolve);
      signal.removeEventListener("abort", onAbort);
    }
  }

  function stop(): void {
    for (const { eyes } of members) eyes.stop();
  }

  return {
    registry,
    read,
    waitForChange,
    async close() {
      clearTimeout(idle);
      stop();
      client.close();
    },
  };
}
