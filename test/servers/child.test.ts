import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { startChild } from "./child.ts";
import { until } from "./kube-admin.ts";

const dir = await mkdtemp(join(tmpdir(), "x2istio-child-"));
after(() => rm(dir, { recursive: true }));

test("startChild() stops by force what ignores SIGTERM", async () => {
  const stubborn = 'trap "" TERM; echo started; while true; do sleep 0.05; done';
  const child = await startChild("sh", ["-c", stubborn], join(dir, "stubborn"));
  await until("it has started", async () => child.logTail().includes("started"));
  await child.stop(100);
  assert.equal(child.isRunning(), false);
  assert.equal(isAlive(child.pid), false);
});

test("startChild() refuses a command that is not there", async () => {
  await assert.rejects(startChild(join(dir, "nothing"), [], join(dir, "nothing.out")), /ENOENT/);
});

for (const signal of ["SIGKILL", "SIGTERM"] as const) {
  test(`startChild() ends the server when ${signal} ends its parent`, async () => {
    const program = `
      import { startChild } from ${JSON.stringify(join(import.meta.dirname, "child.ts"))};
      console.log((await startChild("sleep", ["600"], ${JSON.stringify(join(dir, signal))})).pid);
      setInterval(() => {}, 1000);`;
    const parent = spawn(process.execPath, ["--input-type=module", "-e", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [pid] = await once(parent.stdout, "data");
    assert.equal(isAlive(Number(pid)), true);
    parent.kill(signal);
    await until("the server is gone", async () => !isAlive(Number(pid)));
  });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
