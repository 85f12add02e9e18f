import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RawObject } from "../../../src/kube/client/raw.ts";
import { createSink, type Sink } from "../../../src/kube/watch/sink.ts";
import { isNewer } from "../../../src/kube/watch/version-order.ts";

const object = (version: number, uid = "u1", name = "web"): RawObject => ({
  metadata: { name, uid, resourceVersion: String(version) },
});

function setUp(): { readonly sink: Sink; readonly held: Map<string, string>; changes: () => number } {
  const held = new Map<string, string>();
  let changes = 0;
  const sink = createSink(
    {
      keyOf: (raw) => raw.metadata?.name,
      put(key, raw) {
        const version = raw.metadata?.resourceVersion ?? "";
        if (held.get(key) === version) return false;
        held.set(key, version);
        return true;
      },
      drop: (key) => held.delete(key),
      keys: () => [...held.keys()],
    },
    () => changes++,
  );
  return { sink, held, changes: () => changes };
}

function answer(sink: Sink, fold: (expected: ReturnType<Sink["expect"]>) => void): void {
  const expected = sink.expect("web");
  fold(expected);
  expected.end();
}

const cases: { name: string; run: (sink: Sink) => void; want: string | undefined }[] = [
  {
    name: "keeps an answer against an older event",
    run(sink) {
      sink.put(object(5));
      answer(sink, (expected) => expected.put(object(10)));
      sink.put(object(9));
    },
    want: "10",
  },
  {
    name: "compares versions as numbers",
    run(sink) {
      answer(sink, (expected) => expected.put(object(9)));
      sink.put(object(10));
    },
    want: "10",
  },
  {
    name: "takes a newer event after the answer's own",
    run(sink) {
      answer(sink, (expected) => expected.put(object(10)));
      sink.put(object(10));
      sink.put(object(11));
    },
    want: "11",
  },
  {
    name: "drops an answer that an event has overtaken",
    run: (sink) =>
      answer(sink, (expected) => {
        sink.put(object(12));
        expected.put(object(10));
      }),
    want: "12",
  },
  {
    name: "drops an answer about what was removed meanwhile",
    run: (sink) =>
      answer(sink, (expected) => {
        sink.put(object(10));
        sink.remove(object(11));
        expected.put(object(10));
      }),
    want: undefined,
  },
  {
    name: "does not bring back what was deleted",
    run(sink) {
      sink.put(object(10));
      answer(sink, (expected) => expected.gone("u1", "10"));
      sink.put(object(9));
      sink.put(object(10));
      sink.sweep(new Set([sink.put(object(10)) ?? ""]), "10");
      sink.remove(object(12));
    },
    want: undefined,
  },
  {
    name: "does not bring back what was deleted by its last event, later than the version that was known",
    run(sink) {
      sink.put(object(10));
      answer(sink, (expected) => expected.gone("u1", "10"));
      sink.put(object(12));
    },
    want: undefined,
  },
  {
    name: "does not drop a namesake that came before the answer to a delete",
    run(sink) {
      sink.put(object(10));
      answer(sink, (expected) => {
        sink.remove(object(11));
        sink.put(object(12, "u2"));
        expected.gone("u1", "10");
      });
    },
    want: "12",
  },
  {
    name: "takes a change from before a write into account once the write has ended",
    run(sink) {
      answer(sink, (expected) => expected.put(object(10)));
      answer(sink, (expected) => expected.put(object(11)));
      sink.put(object(12));
      answer(sink, (expected) => expected.put(object(13)));
    },
    want: "13",
  },
  {
    name: "removes what a later list no longer has, though we wrote it",
    run(sink) {
      answer(sink, (expected) => expected.put(object(12)));
      sink.sweep(new Set(), "12");
    },
    want: undefined,
  },
  {
    name: "does not remove by a late event what was made anew",
    run(sink) {
      answer(sink, (expected) => expected.put(object(12, "u2")));
      sink.remove(object(11, "u1"));
    },
    want: "12",
  },
  {
    name: "takes the successor of what was deleted",
    run(sink) {
      sink.put(object(10));
      answer(sink, (expected) => expected.gone("u1", "10"));
      sink.put(object(13, "u2"));
    },
    want: "13",
  },
  {
    name: "removes what a list no longer has",
    run(sink) {
      sink.put(object(10));
      sink.sweep(new Set(), "11");
    },
    want: undefined,
  },
  {
    name: "keeps what was written after a list",
    run(sink) {
      answer(sink, (expected) => expected.put(object(12)));
      sink.sweep(new Set(), "11");
    },
    want: "12",
  },
];
for (const { name, run, want } of cases) {
  test(`createSink() ${name}`, () => {
    const { sink, held } = setUp();
    run(sink);
    assert.equal(held.get("web"), want);
  });
}

test("createSink() does not call its own write's echo a change", () => {
  const { sink, changes } = setUp();
  answer(sink, (expected) => expected.put(object(10)));
  sink.put(object(10));
  assert.equal(changes(), 1);
});

test("isNewer() orders as numbers do", () => {
  for (const [a, b] of [
    ["10", "10"],
    ["9", "10"],
    ["99", "100"],
    ["", "1"],
    ["", ""],
  ] as const)
    assert.equal(isNewer(a, b), false, `${a} after ${b}`);
  fc.assert(
    fc.property(fc.bigInt({ min: 0n }), fc.bigInt({ min: 0n }), (a, b) =>
      assert.equal(isNewer(String(a), String(b)), a > b),
    ),
  );
});
