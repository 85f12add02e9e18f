import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import fc from "fast-check";
import { parse } from "yaml";
import { checker } from "../../../adapters/static/check.ts";
import { parseFile } from "../../../adapters/static/file.ts";
import { serviceReads } from "../../../adapters/static/reads.ts";
import { parseWhole } from "../../../adapters/static/reply.ts";
import { finish } from "../../../src/async/slices.ts";
import { faultRow } from "../../faults/row.ts";
import { sized } from "../../size.ts";

const text = await readFile(new URL("../../../deploy/example/services.yaml", import.meta.url), "utf8");
const options = { registry: "vms", namespace: "default" };

const mutations = fc.array(
  fc.record({
    at: fc.nat(text.length),
    cut: fc.nat(40),
    put: fc.oneof(
      fc.string({ maxLength: 6 }),
      fc.string({ unit: "binary", maxLength: 3 }),
      fc.constantFrom(
        "\n",
        "  ",
        "- ",
        ": ",
        "{",
        "]",
        "&a ",
        "*a",
        "#",
        '"',
        "|\n",
        "name: x",
        "0",
        "~",
        "!!binary ",
        "---\n",
        "\t",
      ),
    ),
  }),
  { minLength: 1, maxLength: 4 },
);

function mutated(steps: readonly { at: number; cut: number; put: string }[]): string {
  return steps.reduce((now, { at, cut, put }) => now.slice(0, at) + put + now.slice(at + cut), text);
}

/** The keys of the services that another reading of the same YAML finds. */
function namedIn(yaml: string): string[] {
  try {
    const { services } = parse(yaml, { schema: "failsafe", logLevel: "silent" }) as {
      services: { namespace?: unknown; name?: unknown }[];
    };
    return services.flatMap(({ namespace = "default", name }) =>
      typeof name === "string" && name !== "" && typeof namespace === "string" ? [`vms/${namespace}/${name}`] : [],
    );
  } catch {
    return [];
  }
}

const checks = () => checker({ maxProbes: 1, onTurn: () => {}, metrics: { probed: () => {}, down: () => {} } });

test(
  faultRow({
    target: "static",
    fault: "a file is damaged anywhere",
    expect: "no service disappears silently",
    peer: "slime #389",
  }),
  () => {
    fc.assert(
      fc.property(mutations, (steps) => {
        const yaml = mutated(steps);
        const { items, problems } = parseFile(yaml, "services.yaml", options);
        const reads = finish(serviceReads(checks(), true).of(items, problems.length === 0));
        if (problems.length > 0) return;
        const told = new Set(
          reads.map((one) => (one.state === "ok" ? `vms/${one.service.namespace}/${one.service.name}` : one.key)),
        );
        for (const key of namedIn(yaml)) assert.ok(told.has(key), `${key} is missing`);
      }),
      { numRuns: sized(400) },
    );
  },
);

test("a file that is cut into its items says what it says as a whole", () => {
  fc.assert(
    fc.property(mutations, (steps) => {
      const yaml = mutated(steps);
      const { items, problems } = parseFile(yaml, "services.yaml", options);
      const whole = parseWhole(yaml, "services.yaml", options);
      // What cannot be parsed as a whole may well have items that can.
      if (whole.items.length > 0 || whole.problems.length === 0) assert.deepEqual({ items, problems }, whole);
      else assert.ok(problems.length > 0);
    }),
    { numRuns: sized(300) },
  );
});

test("a file that is read again says what it says when it is read for the first time", () => {
  fc.assert(
    fc.property(mutations, mutations, (steps, more) => {
      const before = parseFile(mutated(steps), "services.yaml", options);
      const again = mutated([...steps, ...more]);
      const { items, problems } = parseFile(again, "services.yaml", options, before);
      const { items: fresh, problems: freshProblems } = parseFile(again, "services.yaml", options);
      assert.deepEqual({ items, problems }, { items: fresh, problems: freshProblems });
    }),
    { numRuns: sized(100) },
  );
});
