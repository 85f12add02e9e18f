import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { sized, testSize } from "../../size.ts";
import { live, onePass, start } from "./following.ts";
import { histories, installations, type Step } from "./histories.ts";

// Names follow the living: whatever is renamed, moved, swapped or taken away, a name that a living service is to have is at no moment denied
// or led to what is dead.

const troubles = [
  { name: "", faults: false, finalizers: false },
  { name: ", though writes fail", faults: true, finalizers: false },
  { name: ", though finalizers keep objects", faults: false, finalizers: true },
  { name: ", though writes fail and finalizers keep objects", faults: true, finalizers: true },
];
for (const installation of installations) {
  for (const { name, ...trouble } of troubles) {
    test(`names follow the living: ${installation.name}${name}`, async () => {
      const run = fc.asyncProperty(histories(trouble), async (steps) => {
        const bench = start(installation);
        await onePass(bench, 0);
        for (const one of steps) await live(bench, one);
      });
      await fc.assert(run, { numRuns: sized(25), ...(testSize() === "full" ? {} : { seed: 1 }) });
    });
  }
}

// What random histories have found.
const found: readonly { readonly name: string; readonly of: string; readonly steps: readonly Partial<Step>[] }[] = [
  {
    name: "a service came under another key, a write of that failed, and one of its names is another's",
    of: "hosts without registry and namespace",
    steps: [
      {
        edits: [
          { kind: "steal", at: 0, n: 11 },
          { kind: "rename", at: 0, n: 0 },
        ],
      },
      {
        edits: [
          { kind: "move", at: 6, n: 0 },
          { kind: "alias", at: 2, n: 0 },
          { kind: "registry", at: 16, n: 0 },
        ],
        faultEvery: 2,
      },
    ],
  },
  {
    name: "a service is renamed to one that cannot be read, and its tombstone ends with the pass after an alias left it",
    of: "exposures and companions",
    steps: [
      {
        edits: [
          { kind: "rename", at: 0, n: 4 },
          { kind: "deny", at: 0, n: 0 },
        ],
      },
      { edits: [{ kind: "alias", at: 0, n: 1 }], moveMs: 5_400_000 },
    ],
  },
];
for (const { name, of, steps } of found)
  test(`names follow the living: ${name}`, async () => {
    const bench = start(installations.find((one) => one.name === of) ?? assert.fail());
    await onePass(bench, 0);
    for (const one of steps)
      await live(bench, { edits: [], isRestart: false, moveMs: 0, faultEvery: 0, keeps: undefined, ...one });
  });
