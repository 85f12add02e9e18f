import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { type Check, FIXTURE, FURTHER, fill, GROWN } from "./fixture.ts";
import type { Probe } from "./probe.ts";
import type { AdapterWorld, StartWorld } from "./world.ts";

/** What a call may take that was told to stop. */
const SOON_MS = 2000;
const QUIET_MS = 1000;
const MOST_FALSE_HINTS = 10;
const ABORTS_AFTER_MS = [0, 5, 50, 200];

/** How calls must end, and what may be left of them. */
export const callChecks: readonly Check[] = [
  {
    name: "does not read when it is told not to",
    async run(probe) {
      await fill(probe);
      const reading = probe.world.adapter.read(AbortSignal.abort(new Error("stopped")), { trigger: "poll" });
      assert.equal(await endsSoon(reading), "rejected", "a read whose signal has aborted");
    },
  },
  {
    name: "stops a read when it is told to, and reads again",
    async run(probe) {
      await fill(probe);
      for (const afterMs of ABORTS_AFTER_MS) {
        const stop = new AbortController();
        const reading = probe.world.adapter.read(stop.signal, { trigger: "poll" });
        await stopAfter(afterMs, stop, reading);
        mustHaveNoListener(stop.signal, "read");
      }
      await probe.untilEndpoints(FIXTURE);
    },
  },
  {
    name: "resolves waitForChange() after a change, and reads it on the hint",
    needs: "waitForChange",
    async run(probe) {
      const { snapshot } = await fill(probe);
      const seen = seesOnHint(probe, snapshot.revision);
      await delay(50);
      await probe.world.addEndpoint("orders", FURTHER);
      await seen;
    },
  },
  {
    name: "resolves waitForChange() when the change came before it was called",
    needs: "waitForChange",
    async run(probe) {
      const { snapshot } = await fill(probe);
      await probe.world.addEndpoint("orders", FURTHER);
      await seesOnHint(probe, snapshot.revision);
    },
  },
  {
    name: "sees a change that nobody waited for",
    async run(probe) {
      await fill(probe);
      await probe.world.addEndpoint("orders", FURTHER);
      await probe.untilEndpoints(GROWN);
      await probe.world.removeService("payments");
      const { orders, stock } = GROWN;
      await probe.untilEndpoints({ orders, stock });
    },
  },
  {
    name: "rejects waitForChange() when it is told to stop, and leaves no listener",
    needs: "waitForChange",
    async run(probe) {
      const { snapshot } = await fill(probe);
      for (const afterMs of ABORTS_AFTER_MS) {
        const stop = new AbortController();
        const waiting = probe.world.adapter.waitForChange?.(snapshot.revision, stop.signal) ?? Promise.resolve();
        await stopAfter(afterMs, stop, waiting);
        mustHaveNoListener(stop.signal, "waitForChange");
      }
      const aborted = probe.world.adapter.waitForChange?.(snapshot.revision, AbortSignal.abort(new Error("stopped")));
      assert.equal(await endsSoon(aborted ?? Promise.resolve()), "rejected", "a wait whose signal has aborted");
      await probe.untilEndpoints(FIXTURE);
    },
  },
  {
    name: "gives no hint after hint while nothing changes",
    needs: "waitForChange",
    async run(probe) {
      let { revision } = (await fill(probe)).snapshot;
      const quiet = AbortSignal.timeout(QUIET_MS);
      let hints = 0;
      while (!quiet.aborted && hints <= MOST_FALSE_HINTS) {
        const hinted = await probe.world.adapter.waitForChange?.(revision, quiet).then(
          () => true,
          () => false,
        );
        if (hinted !== true) break;
        hints++;
        revision = (await probe.read("hint")).view?.snapshot.revision ?? revision;
      }
      assert.ok(hints <= MOST_FALSE_HINTS, `nothing had changed, and there were ${hints} hints within ${QUIET_MS} ms`);
    },
  },
  {
    name: "close() leaves nothing that keeps the process alive",
    async run(probe, start) {
      await fill(probe);
      await useAndClose(start, probe); // what is made once for all worlds is made now
      const before = resources();
      for (let round = 0; round < 3; round++) await useAndClose(start, probe);
      await delay(0);
      const endMs = performance.now() + probe.waitMs;
      while (further(before).length > 0 && performance.now() < endMs) await delay(50);
      assert.deepEqual(further(before), [], "is left after close(), by process.getActiveResourcesInfo()");
    },
  },
  {
    name: "can be closed without having read",
    async run(_probe, start) {
      await closeWorld(await start());
    },
  },
];

/** Wait and read on hints until the further endpoint is there. A hint may come early, so one is not enough. */
async function seesOnHint({ world, read, waitMs }: Probe, since: string): Promise<void> {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(new Error(`no hint led to the change within ${waitMs} ms`)), waitMs);
  try {
    for (let revision = since; ; ) {
      await world.adapter.waitForChange?.(revision, stop.signal);
      const { view } = await read("hint");
      if (view?.ok.get("orders")?.endpoints.some(({ address }) => address === FURTHER) === true) return;
      revision = view?.snapshot.revision ?? revision;
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Abort a call after a while: it ends soon, if it has not ended before. */
async function stopAfter(afterMs: number, stop: AbortController, call: Promise<unknown>): Promise<void> {
  call.catch(() => undefined);
  await delay(afterMs);
  stop.abort(new Error("stopped"));
  await endsSoon(call);
}

/** @throws AssertionError when the call has not ended in time; never what the call threw. */
async function endsSoon(call: Promise<unknown>): Promise<"resolved" | "rejected"> {
  const stop = new AbortController();
  const end = await Promise.race([
    call.then(
      () => "resolved" as const,
      () => "rejected" as const,
    ),
    delay(SOON_MS, "late" as const, { signal: stop.signal }),
  ]);
  stop.abort();
  return end === "late" ? assert.fail(`a call that was told to stop has not ended within ${SOON_MS} ms`) : end;
}

function mustHaveNoListener(signal: AbortSignal, method: string): void {
  assert.equal(getEventListeners(signal, "abort").length, 0, `${method}() has ended and still listens to its signal`);
}

/** Everything that a process does with an adapter in its life. */
async function useAndClose(start: StartWorld, { waitMs }: Probe): Promise<void> {
  const world = await start();
  try {
    await world.addService("orders", FIXTURE.orders);
    const { revision } = await world.adapter.read(AbortSignal.timeout(waitMs), { trigger: "poll" });
    const stop = new AbortController();
    const waiting = world.adapter.waitForChange?.(revision, stop.signal).catch(() => undefined);
    await delay(20);
    stop.abort(new Error("stopped"));
    await waiting;
  } finally {
    await closeWorld(world);
  }
}

/** Close an adapter, then its registry. */
export async function closeWorld(world: AdapterWorld): Promise<void> {
  try {
    assert.equal(await endsSoon(world.adapter.close?.() ?? Promise.resolve()), "resolved", "close()");
  } finally {
    await world.close();
  }
}

function resources(): readonly string[] {
  return process.getActiveResourcesInfo().sort();
}

/** Kinds of which there are more than before, once for each. */
function further(before: readonly string[]): readonly string[] {
  const left = [...before];
  return resources().filter((kind) => {
    const at = left.indexOf(kind);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}
