import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { adapterContract, contractChecks, runCheck } from "../../src/testing/testing.ts";
import { type Fault, memoryWorld } from "./memory.ts";

const WAIT_MS = 300;

adapterContract("an adapter of memory", { start: async () => memoryWorld() });

const faults: Readonly<Record<Fault, RegExp>> = {
  "empty-when-broken": /orders is still there and is taken for gone/,
  "absent-when-broken": /payments is still there and is taken for gone/,
  "absent-when-denied": /payments is still there and is taken for gone/,
  "throws-for-one": /one service that cannot be read must not fail the others/,
  "new-objects": /is another object/,
  "new-revision": /nothing had changed for 300 ms, but revision "\d+" became "\d+"/,
  "same-revision": /the revision has not/,
  "changes-in-place": /orders has changed and is the same object|deep-equal/,
  "same-object": /the services must be/,
  "random-order": /nothing had changed for 300 ms, but the order /,
  doubled: /occurs twice in one snapshot/,
  "bad-address": /endpoints\[0\]\.address must be an IPv4 or IPv6 address/,
  "bad-port": /ports\[0\]\.number must be 1–65535, is 0/,
  "no-reason": /leftOut must name 192\.0\.2\.1/,
  "keeps-unhealthy": /the services must be/,
  "ignores-abort": /has not ended within 2000 ms/,
  "reads-when-aborted": /a read whose signal has aborted/,
  "no-hint": /no hint led to the change/,
  "lost-hint": /no hint led to the change/,
  "stale-hint": /no hint led to the change|hints within/,
  "wild-hints": /a wait whose signal has aborted|hints within/,
  "never-stops-waiting": /has not ended within 2000 ms/,
  listener: /still listens to its signal/,
  "open-timer": /is left after close\(\)/,
  "hangs-on-close": /has not ended within 2000 ms/,
  "drops-last": /the services must be/,
};
// Most of their time is waiting.
describe("the kit", { concurrency: true }, () => {
  for (const [fault, message] of Object.entries(faults)) {
    test(`finds an adapter that has the fault ${fault}`, async () => {
      const found: string[] = [];
      const timers = new Set<NodeJS.Timeout>();
      for (const check of contractChecks) {
        if (found.length > 0) break;
        await runCheck(check, async () => memoryWorld(fault as Fault, timers), WAIT_MS).catch((error: Error) =>
          found.push(error.message),
        );
      }
      for (const timer of timers) clearTimeout(timer);
      assert.match(found.join("; "), message);
    });
  }
});
