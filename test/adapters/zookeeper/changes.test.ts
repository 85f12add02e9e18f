import assert from "node:assert/strict";
import { test } from "node:test";
import { createTreeChanges } from "../../../adapters/zookeeper/read/changes.ts";

const layout = {
  root: "/dubbo",
  isService: (node: string) => node !== "config",
  concerns: ([first]: readonly string[]) => first === undefined || first === "providers",
  read: async () => undefined,
};

function changes() {
  const made = createTreeChanges(layout, "/prod");
  made.take(); // at first everything is unread
  return made;
}

const events: readonly (readonly [path: string, list: boolean, nodes: readonly string[]])[] = [
  ["/prod/dubbo", true, []],
  ["/prod/dubbo/a", true, ["a"]],
  ["/prod/dubbo/a/providers", false, ["a"]],
  ["/prod/dubbo/a/providers/x", false, ["a"]],
  ["/prod/dubbo/a/consumers/x", false, []],
  ["/prod/dubbo/config/x", false, []],
  ["/prod/dubbos/a/providers/x", false, []],
  ["/dubbo/a/providers/x", false, []],
  ["", false, []],
];
for (const [path, list, nodes] of events)
  test(`an event about ${path || "nothing"} leads to what it says`, () => {
    const made = changes();
    made.event({ kind: "created", path });
    const taken = made.take();
    assert.deepEqual([taken.all, taken.list, [...taken.nodes]], [false, list, nodes]);
  });

test("what is told of very many nodes is that everything has changed", () => {
  const made = changes();
  for (let at = 0; at < 10_001; at++) made.event({ kind: "created", path: `/prod/dubbo/${at}/providers/x` });
  assert.deepEqual(made.take(), { all: true, list: true, nodes: new Set() });
  assert.deepEqual(made.take(), { all: false, list: false, nodes: new Set() });
});

test("what has changed before is not waited for, and who stops waiting is not told", async () => {
  const made = changes();
  made.event({ kind: "data", path: "/prod/dubbo/a/providers" });
  await made.wait(new AbortController().signal);
  made.take();
  const stop = new AbortController();
  const waiting = made.wait(stop.signal);
  made.event({ kind: "created", path: "/prod/dubbo/a/consumers/x" });
  stop.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
});
