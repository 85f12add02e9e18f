import assert from "node:assert/strict";
import { test } from "node:test";
import { preconditionsOf } from "../../src/migrate/preconditions.ts";
import { blocked, move } from "./moves.ts";

test("preconditionsOf() has all that a move needs, and what is missing with what to do", () => {
  const all = preconditionsOf(move("stock", { blockers: [blocked] }));
  assert.deepEqual(
    all.filter(({ met }) => !met).map(({ kind, message }) => [kind, message]),
    [["endpoints", blocked.message]],
  );
  const kinds = all.map(({ kind }) => kind);
  for (const kind of [
    "claim",
    "allow",
    "second",
    "ports",
    "endpoints",
    "route",
    "export",
    "sidecar",
    "strict",
    "ambient",
    "sni",
  ])
    assert.ok(
      kinds.some((one) => one === kind),
      kind,
    );
  assert.ok(preconditionsOf(move("stock")).every(({ met }) => met));
  const [none, ...more] = preconditionsOf(move("stock", { claimants: [], claim: undefined }));
  assert.deepEqual([none?.kind, none?.met, more.length], ["claim", false, 0]);
  const refused = { kind: "allow", message: "no" } as const;
  const shown = preconditionsOf(move("stock", { claim: undefined, blockers: [refused] }));
  assert.deepEqual(
    shown.map(({ kind, met }) => [kind, met]),
    [
      ["claim", true],
      ["allow", false],
    ],
    "of a Service that may not claim it nothing else is known",
  );
  const late = { kind: "stepped-back", message: "it stepped back" } as const;
  assert.deepEqual(preconditionsOf(move("stock", { blockers: [late] }))[1], { ...late, met: false });
});
