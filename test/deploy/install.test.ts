import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { parse, stringify } from "yaml";
import { adapters } from "../../adapters/adapters.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { parseCorefile } from "../../src/doctor/dns/corefile.ts";
import { runCli } from "../e2e/cli.ts";
import { tempDir } from "../e2e/fixture.ts";

const root = join(import.meta.dirname, "../..");
const read = (file: string) => readFile(join(root, file), "utf8");

/** The commands of a section of deploy/README.md, line by line. */
async function commandsOf(section: string): Promise<readonly string[]> {
  const [, text = ""] = new RegExp(`^## ${section}\\n(.*?)^## `, "ms").exec(await read("deploy/README.md")) ?? [];
  return [...text.matchAll(/^ *```\n(.*?)^ *```$/gms)].flatMap(([, block = ""]) =>
    block.split("\n").flatMap((line) => (line.trim() === "" ? [] : [line.trim()])),
  );
}

test("every command of the installation is one that there is, on files that there are; the doctor is the first", async () => {
  const commands = await commandsOf("Install");
  assert.ok(commands.length >= 6);
  assert.match(commands[1] ?? "", /node src\/main\.ts doctor /);
  for (const command of commands) {
    for (const [file] of command.matchAll(/\b(?:deploy|src)\/[\w./-]+/g))
      assert.ok(existsSync(join(root, file)), `${command}: ${file}`);
    const [, args] = /^npx -c "node src\/main\.ts (.*)"$/.exec(command) ?? [];
    if (args === undefined) {
      assert.match(command, /^(?:npm ci|docker build|kubectl (?:kustomize|apply -k|rollout status))\b/);
      continue;
    }
    // Without a cluster it says that, and nothing of its arguments.
    const { stdout, stderr } = await runCli(args.split(" "), { env: { KUBECONFIG: "/nowhere/kubeconfig" } });
    assert.doesNotMatch(
      `${stdout}${stderr}`,
      /unknown option|unknown command|Cannot use config|Cannot read config/,
      command,
    );
  }
});

test("deploy/coredns forwards the zones of the example, and its checks ask for what the example serves", async (t) => {
  const folder = await tempDir(t);
  await cp(join(root, "deploy/kustomize/example"), folder, { recursive: true });
  const file = join(folder, "x2istio.yaml");
  const text = await read("deploy/kustomize/example/x2istio.yaml");
  const { zones } = parseConfig(text, file, { env: {}, adapters }).dns;
  const corefile = await read("deploy/coredns/mesh.Corefile");
  const forwarded = parseCorefile(corefile).flatMap((block) => block.zones.map(({ name }) => name));
  assert.deepEqual(
    zones.map(({ name }) => name),
    forwarded.filter((name) => !name.endsWith(".arpa")),
  );
  await writeFile(file, stringify({ ...parse(text), target: { kind: "directory", path: "out" } }));
  assert.equal((await runCli(["--config", file, "apply"])).code, 0);
  const asked = [...corefile.matchAll(/^# {3}dig (?:\+\S+ )*(\S+\.\S+) /gm)].map(([, name = ""]) => name);
  assert.ok(asked.length >= 5);
  for (const name of new Set(asked)) {
    if (/^\d/.test(name)) continue; // the VIP, which is another one in each installation
    const { code, stdout, stderr } = await runCli(["--config", file, "explain", name]);
    if (name.startsWith("nothing.")) assert.match(stderr, /X2Istio's own: NXDOMAIN$/m);
    else assert.equal(code, 0, `${name}: ${stderr}`);
    if (name.endsWith(".svc.cluster.local")) assert.match(stdout, / is an alias of vms\/shop\/orders$/m);
  }
});
