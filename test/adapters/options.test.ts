import assert from "node:assert/strict";
import { test } from "node:test";
import { duration, parseDuration } from "../../adapters/options.ts";

const cases = [
  { text: "500ms", want: 500 },
  { text: "5s", want: 5000 },
  { text: "2m", want: 120_000 },
  { text: "1h", want: 3_600_000 },
  { text: "0s", want: 0 },
  { text: "5", want: undefined },
  { text: "-5s", want: undefined },
  { text: "1.5s", want: undefined },
  { text: "5 s", want: undefined },
  { text: "", want: undefined },
];
for (const { text, want } of cases) {
  test(`parseDuration() reads "${text}" as ${want}`, () => assert.equal(parseDuration(text), want));
}

test("duration() names its bounds", () => {
  const schema = duration("100ms", "1h");
  assert.equal(schema.parse("1h"), 3_600_000);
  for (const text of ["99ms", "2h", "soon"])
    assert.match(schema.safeParse(text).error?.message ?? "", /must be a duration from 100ms to 1h/);
});
