import { syncBuiltinESMExports } from "node:module";
import type { TestContext } from "node:test";

/** From now on the test says how time passes for timers of this process, those that are promises too. */
export function fakeTimers(t: TestContext): { readonly pass: (ms: number) => void } {
  const clearReal = clearTimeout;
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const clearFake = clearTimeout;
  // Those from before go on, and must not outlast the test.
  globalThis.clearTimeout = (timer) => {
    clearReal(timer);
    clearFake(timer);
  };
  syncBuiltinESMExports(); // for what imports them by name
  t.after(() => {
    t.mock.timers.reset();
    syncBuiltinESMExports();
  });
  return { pass: (ms) => t.mock.timers.tick(ms) };
}
