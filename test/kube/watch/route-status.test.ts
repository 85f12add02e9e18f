import assert from "node:assert/strict";
import { test } from "node:test";
import { whyRefused } from "../../../src/kube/watch/route-status.ts";

const condition = (type: string, status: string, fields: object = {}) => ({
  type,
  status,
  reason: "NotAllowedByListeners",
  message: "no",
  observedGeneration: 2,
  ...fields,
});
const accepted = condition("Accepted", "True", { reason: "Accepted" });
const cases: readonly { readonly name: string; readonly parents: unknown; readonly want: string | undefined }[] = [
  { name: "nothing", parents: undefined, want: undefined },
  { name: "no parent", parents: [], want: undefined },
  { name: "a parent that takes it", parents: [{ conditions: [accepted] }], want: undefined },
  {
    name: "a parent that does not",
    parents: [{ conditions: [condition("Accepted", "False", { message: "port 1 not found; port 1 not found." })] }],
    want: "NotAllowedByListeners: port 1 not found",
  },
  {
    name: "a backend that is not found",
    parents: [{ conditions: [accepted, condition("ResolvedRefs", "False", { reason: "BackendNotFound" })] }],
    want: "BackendNotFound: no",
  },
  {
    name: "the second of two parents",
    parents: [{ conditions: [accepted] }, { conditions: [condition("Accepted", "False")] }],
    want: "NotAllowedByListeners: no",
  },
  {
    name: "an earlier state of the route",
    parents: [{ conditions: [condition("Accepted", "False", { observedGeneration: 1 })] }],
    want: undefined,
  },
  { name: "something not yet known", parents: [{ conditions: [condition("Accepted", "Unknown")] }], want: undefined },
  { name: "something else", parents: [{ conditions: [condition("Tasty", "False")] }], want: undefined },
  ...[7, "x", [null], [{ conditions: 7 }], [{ conditions: [null, "x"] }]].map((parents) => ({
    name: `what makes no sense: ${JSON.stringify(parents)}`,
    parents,
    want: undefined,
  })),
];
for (const { name, parents, want } of cases) {
  test(`whyRefused() reads a status with ${name}`, () => {
    const metadata = { name: "web", generation: 2 };
    assert.equal(whyRefused({ metadata, status: parents === undefined ? undefined : { parents } }), want);
  });
}
