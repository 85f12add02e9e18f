import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createEndpointPeaks } from "../../src/controller/peaks.ts";

/** `[ms, total]` of one registry. */
type Sample = readonly [number, number];
const cases: { name: string; samples: readonly Sample[]; atMs: number; want: number | undefined }[] = [
  { name: "knows nothing of a registry that was never recorded", samples: [], atMs: 0, want: undefined },
  { name: "is what was recorded", samples: [[0, 5]], atMs: 0, want: 5 },
  {
    name: "is the most of the window",
    samples: [
      [0, 5],
      [10, 9],
      [20, 3],
    ],
    atMs: 50,
    want: 9,
  },
  {
    name: "forgets what is older than the window",
    samples: [
      [0, 9],
      [10, 5],
      [20, 3],
    ],
    atMs: 105,
    want: 5,
  },
  {
    name: "counts an old total as long as it was seen",
    samples: [
      [0, 9],
      [60, 9],
      [70, 1],
    ],
    atMs: 150,
    want: 9,
  },
  {
    name: "keeps the newest whatever its age",
    samples: [
      [0, 9],
      [10, 5],
    ],
    atMs: 100_000,
    want: 5,
  },
  {
    name: "is 0 when nothing is left",
    samples: [
      [0, 9],
      [10, 0],
    ],
    atMs: 1000,
    want: 0,
  },
];
for (const { name, samples, atMs, want } of cases) {
  test(`peaks() ${name}`, () => {
    const peaks = createEndpointPeaks(100);
    for (const [ms, total] of samples) peaks.record(new Map([["dc1", total]]), ms);
    assert.equal(peaks.peaks(atMs).get("dc1"), want);
  });
}

test("peaks() keeps registries apart", () => {
  const peaks = createEndpointPeaks(100);
  peaks.record(
    new Map([
      ["dc1", 5],
      ["prod", 7],
    ]),
    0,
  );
  peaks.record(new Map([["dc1", 1]]), 10);
  assert.deepEqual(
    peaks.peaks(20),
    new Map([
      ["dc1", 5],
      ["prod", 7],
    ]),
  );
});

test("peaks() is the maximum of the window's samples and the newest one", () => {
  const run = fc.property(
    fc.array(fc.tuple(fc.integer({ min: 0, max: 60 }), fc.nat(9)), { minLength: 1, maxLength: 30 }),
    fc.nat(300),
    (steps, wait) => {
      const peaks = createEndpointPeaks(100);
      let nowMs = 0;
      const all = steps.map(([step, total]) => {
        nowMs += step;
        peaks.record(new Map([["dc1", total]]), nowMs);
        if (step % 2 === 0) peaks.peaks(nowMs);
        return { atMs: nowMs, total };
      });
      nowMs += wait;
      const recent = all.filter(({ atMs }, n) => atMs > nowMs - 100 || n === all.length - 1);
      assert.equal(peaks.peaks(nowMs).get("dc1"), Math.max(...recent.map(({ total }) => total)));
    },
  );
  fc.assert(run);
});
