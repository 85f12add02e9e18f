import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { replaced } from "../../src/plan/replaced.ts";

const maps = fc.integer({ min: 1, max: 300 }).chain((size) =>
  fc.record({
    size: fc.constant(size),
    rounds: fc.array(
      fc.array(fc.tuple(fc.nat({ max: size - 1 }), fc.option(fc.nat(), { nil: undefined })), { maxLength: 20 }),
      { maxLength: 8 },
    ),
  }),
);

test("replaced() is what a copy with the new values would be, and leaves the map before as it was", () => {
  fc.assert(
    fc.property(maps, ({ size, rounds }) => {
      let view: ReadonlyMap<number, number | undefined> = new Map(Array.from({ length: size }, (_, at) => [at, -at]));
      let copy = new Map(view);
      for (const round of rounds) {
        const before = view;
        const wanted = [...copy];
        view = replaced(view, new Map(round));
        assert.deepEqual([...before], wanted);
        copy = new Map([...copy, ...round]);
        assert.deepEqual([...view], [...copy]);
        assert.deepEqual([...view.keys()], [...copy.keys()]);
        assert.deepEqual([...view.values()], [...copy.values()]);
        assert.deepEqual([...view.entries()], [...copy.entries()]);
        const visited: unknown[] = [];
        view.forEach((value, key) => void visited.push([key, value]));
        assert.deepEqual(visited, [...copy]);
        assert.equal(view.size, copy.size);
        for (let key = 0; key <= size; key++)
          assert.deepEqual([view.has(key), view.get(key)], [copy.has(key), copy.get(key)]);
      }
    }),
  );
});
