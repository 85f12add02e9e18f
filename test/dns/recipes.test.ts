import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { ListenAddress } from "../../src/dns/serve/options.ts";
import { freePorts, runCli } from "../e2e/cli.ts";
import { ensureServers } from "../servers/build.ts";
import { startChild } from "../servers/child.ts";
import { ask, askUdp, startServer } from "./sockets.ts";
import { addresses, decode, query, table } from "./wire.ts";

const deploy = join(import.meta.dirname, "../../deploy");
const coredns = (await ensureServers(["coredns"]))?.coredns;

interface Recipe {
  readonly program: string;
  readonly file: string;
  /** What of the recipe is other in a test: our port, and theirs. */
  adapt(text: string, ports: { readonly ours: number; readonly theirs: number }): string;
  /** The program's arguments; `dir` has the recipe as `recipe` and may get more files. */
  start(dir: string, theirs: number): Promise<readonly string[]>;
}

const ourPort: Recipe["adapt"] = (text, { ours }) => text.replaceAll(/127\.0\.0\.1([#@])5353/g, `127.0.0.1$1${ours}`);

const recipes: readonly Recipe[] = [
  {
    program: "dnsmasq",
    file: "dns/dnsmasq.conf",
    adapt: ourPort,
    start: async (dir, theirs) => [
      ...["--keep-in-foreground", "--log-facility=-", "--no-resolv", "--no-hosts", "--user=root", "--bind-interfaces"],
      ...["--listen-address=127.0.0.1", `--port=${theirs}`, "--pid-file", `--conf-file=${join(dir, "recipe")}`],
    ],
  },
  {
    program: "unbound",
    file: "dns/unbound.conf",
    adapt: ourPort,
    async start(dir, theirs) {
      const none = ["username", "chroot", "pidfile"].map((key) => `  ${key}: ""\n`).join("");
      const server = `server:\n  interface: 127.0.0.1\n  port: ${theirs}\n  use-syslog: no\n  directory: "${dir}"\n${none}`;
      await writeFile(join(dir, "unbound.conf"), `${server}include: "${join(dir, "recipe")}"\n`);
      return ["-d", "-c", join(dir, "unbound.conf")];
    },
  },
  {
    program: coredns ?? "coredns",
    file: "coredns/mesh.Corefile",
    adapt: (text, { ours, theirs }) =>
      text.replace("10.96.0.53 {", `127.0.0.1:${ours} {`).replaceAll(":53 ", `:${theirs} `),
    start: async (dir) => ["-conf", join(dir, "recipe")],
  },
];

function isMissing(program: string): string | false {
  try {
    execFileSync("which", [program], { stdio: "ignore" });
    return false;
  } catch {
    return `${program} is not installed`;
  }
}

const names = table({
  "orders.shop.vms.mesh.internal": { a: ["240.241.0.7"] },
  "orders.corp.example.com": { a: ["240.241.0.7"] },
});

async function startProgram(t: TestContext, recipe: Recipe, ours: number): Promise<ListenAddress> {
  const dir = await mkdtemp(join(tmpdir(), "x2istio-recipe-"));
  const { dns: theirs } = await freePorts();
  const text = await readFile(join(deploy, recipe.file), "utf8");
  await writeFile(join(dir, "recipe"), recipe.adapt(text, { ours, theirs }));
  const child = await startChild(recipe.program, await recipe.start(dir, theirs), join(dir, "out"));
  t.after(async () => {
    await child.stop();
    await rm(dir, { recursive: true });
  });
  const at = { address: "127.0.0.1", port: theirs };
  for (let tries = 0; tries < 100; tries++) {
    if (!child.isRunning()) throw new Error(`Cannot start ${recipe.program} as it ended:\n${child.logTail()}`);
    const [answer] = await askUdp(at, [query("orders.shop.vms.mesh.internal")], { waitMs: 300 });
    if (answer !== undefined && addresses(answer).length > 0) return at;
    await sleep(50);
  }
  throw new Error(`Cannot start ${recipe.program}:\n${child.logTail()}`);
}

for (const recipe of recipes)
  test(`deploy/${recipe.file} leads our zones to us`, { skip: isMissing(recipe.program) }, async (t) => {
    const zones = [
      { name: "mesh.internal", forward: [] },
      { name: "corp.example.com", forward: [] },
    ];
    const { at: us } = await startServer(t, { zones, table: () => names });
    const at = await startProgram(t, recipe, us.port);
    for (const name of ["orders.shop.vms.mesh.internal", "OrDers.corp.example.com"]) {
      const reply = await ask(at, query(name));
      assert.deepEqual([decode(reply).rcode, addresses(reply)], [0, ["240.241.0.7"]], name);
    }
    assert.equal(decode(await ask(at, query("nobody.corp.example.com"))).rcode, 3);
    assert.equal(decode(await ask(at, query("orders.corp.example.com", { type: 28 }))).answers.length, 0);
    const reverse = decode(await ask(at, query("7.0.241.240.in-addr.arpa", { type: 12 })));
    assert.deepEqual([reverse.rcode, reverse.answers.length], [0, 1]);
  });

test("deploy/dns/x2istio-dns.service is a valid unit", { skip: isMissing("systemd-analyze") }, async (t) => {
  const dir = await mkdtemp(join(tmpdir(), "x2istio-unit-"));
  t.after(() => rm(dir, { recursive: true }));
  const unit = await readFile(join(deploy, "dns/x2istio-dns.service"), "utf8");
  const path = join(dir, "x2istio-dns.service");
  await writeFile(path, unit.replace("/usr/bin/node", process.execPath));
  execFileSync("systemd-analyze", ["verify", "--man=no", path], { stdio: "pipe" });
});

test("deploy/dns/x2istio.yaml is a valid configuration", async () => {
  const { code, stderr } = await runCli(["validate", "--config", join(deploy, "dns/x2istio.yaml")]);
  assert.equal(code, 0, stderr);
});
