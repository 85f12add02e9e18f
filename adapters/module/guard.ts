import { setTimeout as delay } from "node:timers/promises";
import { ReadError } from "../../src/errors.ts";
import type { Adapter, ReadOptions, Snapshot } from "../../src/model/adapter.ts";
import type { ModuleLog } from "../contract.ts";
import type { Trust } from "../service-form.ts";
import { checkEnvelope, plainError, readJudge } from "../trust.ts";
import { admit, newMemory } from "./admit.ts";
import { callTimeout } from "./call-timeout.ts";

/** How far a module's adapter is believed. */
export interface GuardOptions extends Trust {
  readonly readTimeoutMs: number;
  readonly log: ModuleLog;
}

/** Hints may not come faster than this: each one is a whole read. */
const HINT_GAP_MS = 200;
const CLOSE_MS = 5000;

/**
 * An adapter that nobody needs to trust to be right: what it reads is checked and copied, unchanged services keep their
 * identity whatever it does, and a call that does not end holds up nothing.
 *
 * On a hint a service object that was handed over before is taken for unchanged; on a poll every one is checked again.
 */
export function guarded(adapter: Adapter, { readTimeoutMs, log, ...trust }: GuardOptions): Adapter {
  const { registry } = trust;
  const judge = readJudge(trust);
  const reading = callTimeout("read");
  const waiting = callTimeout("waitForChange");
  const memory = newMemory();

  async function read(signal: AbortSignal, options: ReadOptions): Promise<Snapshot> {
    signal.throwIfAborted();
    try {
      const given = await reading.during(signal, readTimeoutMs, (inner) => adapter.read(inner, options));
      const envelope = checkEnvelope(given, registry);
      if (options.trigger === "poll") memory.known = new WeakMap();
      return await admit(memory, envelope, judge, signal);
    } catch (error) {
      signal.throwIfAborted();
      const plain = plainError(error);
      const message = `Cannot read services of registry "${registry}": ${plain.message}`;
      throw plain instanceof ReadError ? new ReadError(plain.failure, message) : new Error(message);
    }
  }

  async function waitForChange(revision: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const begunMs = performance.now();
    await waiting.during(signal, undefined, async (inner) => adapter.waitForChange?.(revision, inner));
    const restMs = HINT_GAP_MS - (performance.now() - begunMs);
    if (restMs > 0) await delay(restMs, undefined, { signal });
  }

  return {
    registry,
    read,
    ...(adapter.waitForChange === undefined ? {} : { waitForChange }),
    close: () => close(adapter, log),
  };
}

async function close(adapter: Adapter, log: ModuleLog): Promise<void> {
  const end = new AbortController();
  const timer = setTimeout(() => end.abort(new Error(`it did not close within ${CLOSE_MS} ms`)), CLOSE_MS);
  try {
    await callTimeout("close").during(end.signal, undefined, async () => adapter.close?.());
  } catch (error) {
    log.warn({ error }, "the module's adapter could not be closed");
  } finally {
    clearTimeout(timer);
  }
}
