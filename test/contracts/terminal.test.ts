import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { test } from "node:test";
import { until } from "../servers/kube-admin.ts";
import { place, service } from "./folder.ts";

const MAIN = resolve(import.meta.dirname, "../../src/main.ts");
const many = Array.from({ length: 3000 }, (_, n) => service(`s${n}`, `10.0.${n >> 8}.${n & 255}`));

test("Ctrl-C during apply ends it, says what was written, and leaves nothing that hinders the next", async (t) => {
  const { config, x2istio, files } = await place(t, many);
  const child = spawn(process.execPath, [MAIN, "apply", "--config", config], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  const ended = new Promise<number | null>((done) => child.once("close", done));
  await until("it writes", async () => (await files()).some((file) => file.startsWith("mesh-services/s")));
  child.kill("SIGINT");
  assert.equal(await ended, 1);
  assert.match(output, /^Stopped early: 3000 to create, .* \d+ objects written, \d+ not\.$/m);
  const written = Number(/(\d+) objects written/.exec(output)?.[1]);
  assert.ok(written > 0 && written < 3000, `${written}`);
  for (const file of await files()) assert.match(file, /^mesh-services\/[^.][^/]*\.yaml$/);
  const next = await x2istio("apply");
  assert.equal(next.code, 0, next.stderr);
  assert.match(next.stdout, new RegExp(`^${3000 - written} created, .* ${3000 - written} objects written\\.$`, "m"));
});

test("an output that closes early is no error, and NO_COLOR has no colours", async (t) => {
  const { config } = await place(t, many);
  const shell = (command: string, env: Readonly<Record<string, string>>) =>
    spawnSync("sh", ["-c", command, "sh", process.execPath, MAIN, "plan", "--config", config], {
      encoding: "utf8",
      env: { PATH: process.env.PATH ?? "", ...env },
    });
  const { stdout, stderr, status } = shell('"$@" | head -n 1', { NO_COLOR: "1" });
  assert.match(stdout, /^vms {4}3000 services, 3000 endpoints/);
  assert.equal(stderr, "");
  assert.equal(status, 0);
  const esc = String.fromCharCode(27);
  assert.ok(!shell('"$@"', { NO_COLOR: "1" }).stdout.includes(esc));
  assert.ok(shell('"$@"', { FORCE_COLOR: "1" }).stdout.includes(esc));
});
