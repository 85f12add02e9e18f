import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { needsOf, testFiles } from "./needs.ts";
import { DEBIAN_PACKAGES } from "./servers/programs.ts";

const root = join(import.meta.dirname, "..");
/** Names of programs that a machine may lack, or that need rights; whoever has the project has git. */
const RARE = [...Object.keys(DEBIAN_PACKAGES).filter((name) => name !== "git"), "unshare", "nsenter", "go", "java"];

const text = (path: string) => readFileSync(join(root, path), "utf8");

/** Programs that a module starts, or may start. */
function rareProgramsIn(source: string): string[] {
  if (!source.includes('"node:child_process"')) return [];
  return RARE.filter((name) => new RegExp(`["'\`]${name}["'\` ]`).test(source));
}

for (const { file, isQuick, servers } of [
  { file: "test/plan/plan.test.ts", isQuick: true, servers: [] },
  { file: "test/adapters/consul/mapping.test.ts", isQuick: true, servers: [] },
  { file: "test/adapters/consul/consul.test.ts", isQuick: false, servers: ["consul"] },
  { file: "test/dns/resolved.test.ts", isQuick: false, servers: [] },
  { file: "test/e2e/package.test.ts", isQuick: false, servers: [] },
  { file: "test/plan/istio.test.ts", isQuick: false, servers: ["istioctl", "pilot-discovery", "etcd"] },
  { file: "test/mesh/sidecar-http.test.ts", isQuick: false, servers: ["envoy", "consul", "coredns", "redirect"] },
]) {
  test(`needsOf() tells what ${file} needs`, () => {
    const needs = needsOf(file);
    assert.equal(needs.isQuick, isQuick);
    for (const server of servers) assert.ok(needs.servers.includes(server), server);
    if (servers.length === 0) assert.deepEqual(needs.servers, []);
  });
}

test("all servers that tests need are known here", () => {
  const servers = new Set(testFiles().flatMap((file) => needsOf(file).servers));
  assert.ok(servers.size > 8, [...servers].join());
  assert.deepEqual(
    [...servers].filter((name) => !existsSync(join(root, "test/servers", name))),
    [],
  );
});

test("a test that `npm run test:quick` runs starts no server and no program that a machine may lack", () => {
  const modules = new Set(
    testFiles()
      .map(needsOf)
      .flatMap((needs) => (needs.isQuick ? needs.modules : [])),
  );
  assert.ok(modules.size > 200);
  assert.deepEqual(
    [...modules].flatMap((path) => rareProgramsIn(text(path)).map((name) => `${path} starts ${name}`)),
    [],
  );
});

test("the rule catches a program that a machine may lack", () => {
  const source = `import { execFileSync } from "node:child_process";\nexecFileSync("openssl", ["version"]);`;
  assert.deepEqual(rareProgramsIn(source), ["openssl"]);
});
