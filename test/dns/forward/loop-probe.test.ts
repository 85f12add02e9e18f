import assert from "node:assert/strict";
import { test } from "node:test";
import { loopProbe } from "../../../src/dns/forward/loop-probe.ts";
import { askedFor } from "../../../src/dns/forward/upstream-query.ts";
import { MAX_NAME_BYTES } from "../../../src/dns/wire/sizes.ts";
import { readName } from "../../../src/dns/wire/wire-name.ts";

const probes = loopProbe(Buffer.alloc(32, 1));

/** The name that is asked to find out whether the question for `name` comes back. */
function probeFor(name: string): string {
  const asked = askedFor(name, 1) ?? assert.fail(`no name: ${name}`);
  const { question } = probes.beside(asked);
  assert.ok(question.length - 4 <= MAX_NAME_BYTES);
  return readName(question, 0)?.name ?? assert.fail(question.toString("hex"));
}

const label = probeFor("");
const long = Array.from({ length: 4 }, () => "x".repeat(60)).join(".");
const cases: readonly (readonly [title: string, name: string, want: string])[] = [
  ["below a name, which is in the same zone even where that is an overlay's own", "consul", `${label}.consul`],
  ["beside a name that leaves no room below it", long, `${label}.${long.slice(61)}`],
];
for (const [title, name, want] of cases) test(`loopProbe() asks ${title}`, () => assert.equal(probeFor(name), want));

test("loopProbe() knows its own questions and answers, and nobody else's", () => {
  const record = probes.recordFor({ name: `${label}.consul`, type: 16, class: 1 });
  assert.ok(record?.type === "TXT" && probes.isOurs(Buffer.from(`..${record.texts[0]}..`)));
  assert.equal(probes.recordFor({ name: "consul", type: 16, class: 1 }), undefined);
  assert.equal(loopProbe(Buffer.alloc(32, 2)).recordFor({ name: `${label}.consul`, type: 16, class: 1 }), undefined);
});
