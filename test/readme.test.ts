import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, test } from "node:test";

const root = join(import.meta.dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "x2istio-readme-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** The place that the README's commands run in: the example, a broken neighbour, and `x2istio` on the path. */
const place = join(folder, "deploy/example");
cpSync(join(root, "deploy/example"), place, { recursive: true });
cpSync(join(root, "test/fixtures/broken"), join(folder, "deploy/broken"), { recursive: true });
mkdirSync(join(folder, "bin"));
writeFileSync(join(folder, "bin/x2istio"), `#!/bin/sh\nexec ${process.execPath} ${join(root, "src/main.ts")} "$@"\n`, {
  mode: 0o755,
});

/** What the README's console blocks show, command by command. */
const shown = [...readFileSync(join(root, "README.md"), "utf8").matchAll(/^```console\n(.*?)^```$/gms)]
  .flatMap(([, block = ""]) => block.split(/^(?=\$ )/m))
  .map((part) => ({
    command: (part.split("\n", 1)[0] ?? "").replace(/^\$ /, ""),
    output: part.slice(part.indexOf("\n") + 1).trimEnd(),
  }));

test("README.md shows commands with their output", () => assert.ok(shown.length >= 6));

for (const { command, output } of shown) {
  test(`README.md shows what \`${command}\` prints`, () => {
    const { stdout, stderr } = spawnSync("sh", ["-c", `${command} 2>&1`], {
      cwd: place,
      encoding: "utf8",
      env: { PATH: `${join(folder, "bin")}${delimiter}${process.env.PATH}`, NO_COLOR: "1" },
    });
    assert.equal(ageless(`${stdout}${stderr}`.trimEnd()), ageless(output));
  });
}

/** Ages differ from run to run. */
function ageless(text: string): string {
  return text.replace(/\d+(\.\d)? (s|min) ago/g, "AGE ago");
}
