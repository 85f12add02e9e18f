import assert from "node:assert/strict";
import { test } from "node:test";
import type { Delete } from "../../src/model/plan.ts";
import type { LedgerWrite, WriteResult, WriteRight } from "../../src/model/target.ts";
import { type DeleteTools, deleteObjects } from "../../src/ownership/delete-objects.ts";
import { entry } from "../plan/build.ts";

const changes: readonly Delete[] = [{ kind: "delete", standing: entry(), why: "its registry was pruned" }];
const block: LedgerWrite = { name: "x2istio-vips-1", resourceVersion: "1", data: {} };

/** What was done, in order, and with what `deleteObjects` does it. */
function recorded(right: Partial<WriteRight> = {}, writeLedger: () => Promise<void> = async () => {}) {
  const done: string[] = [];
  const note = (text: string) => {
    done.push(text);
  };
  const tools: DeleteTools = {
    target: {
      async write(all) {
        note("write");
        return { results: all.map((change): WriteResult => ({ change, outcome: "written" })) };
      },
      async writeLedger() {
        note("write ledger");
        await writeLedger();
      },
    },
    acquire: async () => ({ mayWrite: () => true, release: async () => note("release"), ...right }),
    ledgerWrites: () => [block],
    onDeleted: (results) => note(`deleted ${results.length}`),
    onReleased: async () => note("released"),
    signal: new AbortController().signal,
  };
  return { done, tools };
}

test("deleteObjects() writes as the only writer, then the ledger, and gives the right back", async () => {
  const { done, tools } = recorded();
  const results = await deleteObjects("prune", changes, tools);
  assert.equal(results.length, 1);
  assert.deepEqual(done, ["write", "deleted 1", "write ledger", "release", "released"]);
});

test("deleteObjects() gives the right back when the ledger cannot be written", async () => {
  const { done, tools } = recorded({}, async () => {
    throw new Error("moved");
  });
  await assert.rejects(deleteObjects("prune", changes, tools), /^Error: moved$/);
  assert.deepEqual(done, ["write", "deleted 1", "write ledger", "release", "released"]);
});

for (const { title, right, isAborted = false, want } of [
  { title: "as long as it has the right", right: true, want: true },
  { title: "once the right was lost", right: false, want: false },
  { title: "once it is told to stop", right: true, isAborted: true, want: false },
])
  test(`deleteObjects() says that ${want ? "it may" : "nothing may"} be written ${title}`, async () => {
    const end = new AbortController();
    const asked: boolean[] = [];
    const { tools } = recorded({ mayWrite: () => right });
    await deleteObjects("prune", changes, {
      ...tools,
      signal: end.signal,
      target: {
        async write(all, { mayWrite }) {
          if (isAborted) end.abort();
          asked.push(mayWrite());
          return { results: all.map((change): WriteResult => ({ change, outcome: "skipped" })) };
        },
        async writeLedger(_, { mayWrite }) {
          asked.push(mayWrite());
        },
      },
    });
    assert.deepEqual(asked, [want, want]);
  });

test("deleteObjects() gives the right back when an object cannot be written, and does not touch the ledger", async () => {
  const { done, tools } = recorded();
  const target = { ...tools.target, write: async () => Promise.reject(new Error("broken")) };
  await assert.rejects(deleteObjects("prune", changes, { ...tools, target }), /broken/);
  assert.deepEqual(done, ["release", "released"]);
});

test("deleteObjects() does nothing while another process writes", async () => {
  const { done, tools } = recorded({ holder: "node-1" });
  await assert.rejects(
    deleteObjects("uninstall", changes, tools),
    /^Error: Cannot uninstall as node-1 is running on this target: stop it first$/,
  );
  assert.deepEqual(done, []);
});
