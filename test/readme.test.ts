import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { startPolaris } from "./polaris/polaris.ts";
import { ensureServers, noServers } from "./servers/build.ts";
import { startConsul } from "./servers/consul.ts";

const root = join(import.meta.dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "x2istio-readme-"));
after(() => rmSync(folder, { recursive: true, force: true }));
cpSync(join(root, "deploy/example"), join(folder, "deploy/example"), { recursive: true });
cpSync(join(root, "deploy/examples"), join(folder, "deploy/examples"), { recursive: true });
cpSync(join(root, "test/fixtures/broken"), join(folder, "deploy/broken"), { recursive: true });
mkdirSync(join(folder, "bin"));
writeFileSync(join(folder, "bin/x2istio"), `#!/bin/sh\nexec ${process.execPath} ${join(root, "src/main.ts")} "$@"\n`, {
  mode: 0o755,
});

/** What runs beside the commands of a block, and what the environment says of it. */
interface Surroundings {
  readonly env: Readonly<Record<string, string>>;
  readonly stop: () => Promise<void>;
}

interface Block {
  /** Word after `console` where such a block begins. */
  readonly kind: string;
  /** Where its commands run. */
  readonly place: string;
  readonly skip: false | string;
  readonly start: () => Promise<Surroundings>;
}

const consul = await ensureServers(["consul"]);
const blocks: readonly Block[] = [
  { kind: "", place: "deploy/example", skip: false, start: async () => ({ env: {}, stop: async () => {} }) },
  {
    kind: "consul",
    place: "deploy/examples/consul",
    skip: consul === undefined && noServers,
    async start() {
      const server = await startConsul();
      const path = consul === undefined ? "" : dirname(consul.consul);
      return { env: { CONSUL_HTTP_ADDR: server.address, TOOLS: path }, stop: () => server.stop() };
    },
  },
  {
    kind: "polaris",
    place: "deploy/examples/polaris",
    skip: false,
    async start() {
      const server = await startPolaris();
      return { env: { POLARIS_ADDRESS: server.address }, stop: () => server.stop() };
    },
  },
];

/** What the README's console blocks of one kind show, command by command. */
function shownIn(kind: string): { readonly command: string; readonly output: string }[] {
  const fence = new RegExp(`^\`\`\`console${kind && ` ${kind}`}\\n(.*?)^\`\`\`$`, "gms");
  return [...readFileSync(join(root, "README.md"), "utf8").matchAll(fence)]
    .flatMap(([, block = ""]) => block.split(/^(?=\$ )/m))
    .map((part) => {
      // A command goes on after a backslash at the end of its line.
      const [command = ""] = /^(.*\\\n)*.*/.exec(part) ?? [];
      return { command: command.replace(/^\$ /, ""), output: part.slice(command.length + 1).trimEnd() };
    });
}

for (const { kind, place, skip, start } of blocks) {
  describe(`README.md ${kind || "example"}`, { skip }, () => {
    let around: Surroundings | undefined;
    before(async () => {
      around = await start();
    });
    after(() => around?.stop());
    const shown = shownIn(kind);
    test("shows commands with their output", () => assert.ok(shown.length >= 3));
    for (const { command, output } of shown) {
      test(`shows what \`${command}\` prints`, async () => {
        const { TOOLS = "", ...env } = around?.env ?? {};
        const path = [join(folder, "bin"), TOOLS, process.env.PATH].filter((part) => part !== "").join(delimiter);
        const child = spawn("sh", ["-c", `${command} 2>&1`], {
          cwd: join(folder, place),
          env: { PATH: path, NO_COLOR: "1", ...env },
          stdio: ["ignore", "pipe", "inherit"],
        });
        assert.equal(ageless((await text(child.stdout)).trimEnd()), ageless(output));
      });
    }
  });
}

/** Ages differ from run to run. */
function ageless(shown: string): string {
  return shown.replace(/\d+(\.\d)? (s|min) ago/g, "AGE ago");
}
