import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pass } from "../../src/controller/pass.ts";
import { directoryTarget } from "../../src/directory/directory.ts";
import type { Service } from "../../src/model/service.ts";
import { decider } from "../plan/at-once.ts";
import { endpoint, readings, service } from "../plan/build.ts";
import { config } from "../plan/memory.ts";

const named = (name: string, legacy: readonly string[], last: number) =>
  service(name, { legacyNames: legacy, endpoints: [endpoint(`192.0.2.${last}`)] });
const settings = (rest: object = {}) => config(["dc1"], { policy: { minDeletes: 100 }, ...rest });
const rule = (name: string) => ({ aliases: [{ registry: "dc1", service: name, as: "front", in: "apps" }] });
const PLAIN = { hosts: { template: "{service}.mesh.internal" } };

const cases: {
  name: string;
  before: readonly Service[];
  after: readonly Service[];
  rest?: readonly [object, object];
  /** What some file has at every moment. */
  always: readonly string[];
  /** What each file has in the end. */
  want: Readonly<Record<string, RegExp>>;
}[] = [
  {
    name: "two services exchange their legacy names",
    before: [named("a", ["one.example.org"], 1), named("b", ["two.example.org"], 2)],
    after: [named("a", ["two.example.org"], 1), named("b", ["one.example.org"], 2)],
    always: ["one.example.org", "two.example.org"],
    want: { "a.shop": /two\.example\.org/, "b.shop": /one\.example\.org/ },
  },
  {
    name: "a service is renamed",
    before: [named("a", ["one.example.org"], 1)],
    after: [named("z", ["one.example.org"], 1)],
    rest: [rule("a"), rule("z")],
    always: ["one.example.org", "name: front", "192.0.2.1"],
    want: { "a.shop": /succeeded-by: dc1\/shop\/z(.|\n)*externalName: z\.shop/, "z.shop": /one\.example\.org/ },
  },
  {
    name: "a service of another namespace takes over the host",
    before: [named("a", [], 1)],
    after: [service("a", { namespace: "web", legacyNames: ["one.example.org"], endpoints: [endpoint("192.0.2.1")] })],
    rest: [PLAIN, PLAIN],
    always: ["a.mesh.internal", "192.0.2.1"],
    want: { "a.mesh": /x2istio.dev\/service: dc1\/web\/a(.|\n)*kind: VirtualService/ },
  },
];
for (const { name, before, after, rest = [{}, {}], always, want } of cases) {
  test(`in a folder no name is missing at any moment while ${name}`, async () => {
    const path = mkdtempSync(join(tmpdir(), "x2istio-moves-"));
    const namespace = join(path, "mesh-services");
    const texts = () =>
      readdirSync(namespace)
        .filter((file) => file.endsWith(".yaml") && !file.startsWith("x2istio"))
        .map((file) => [file, readFileSync(join(namespace, file), "utf8")] as const);
    let isWatched = false;
    let moments = 0;
    const onWrite = () => {
      if (!isWatched) return;
      moments++;
      for (const text of always)
        assert.ok(
          texts().some(([, content]) => content.includes(text)),
          `${text} is there`,
        );
    };
    try {
      const target = directoryTarget({ path, owner: "east", ledgerNamespace: "mesh-services", onWrite });
      await target.start({ watch: false, signal: new AbortController().signal });
      const run = async (services: readonly Service[], compute: ReturnType<typeof decider>) => {
        const input = () => ({ readings: readings({ dc1: services }), standing: target.standing(), nowMs: Date.now() });
        const options = { target, signal: new AbortController().signal, mayWrite: () => true, isDryRun: false };
        const { report } = await pass({ ...options, decide: () => compute({ ...input(), allowDeletes: new Set() }) });
        return report.results;
      };
      await run(before, decider(settings(rest[0])));
      isWatched = true;
      const compute = decider(settings(rest[1]));
      const results = await run(after, compute);
      assert.deepEqual(
        results.filter(({ outcome }) => outcome !== "written"),
        [],
      );
      assert.deepEqual(await run(after, compute), [], "nothing is left to do");
      assert.ok(moments > 0);
      for (const [start, content] of Object.entries(want))
        assert.match(texts().find(([file]) => file.startsWith(start))?.[1] ?? "", content);
    } finally {
      rmSync(path, { recursive: true });
    }
  });
}
