import { spawn } from "node:child_process";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import type { Usage } from "./usage.ts";

/** A process that has ended. */
export interface Ended extends Usage {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Milliseconds since the epoch. */
  readonly startedMs: number;
  readonly endedMs: number;
}

const usage = join(import.meta.dirname, "usage.ts");

/** Run a TypeScript file of this project in a process of its own, and wait for it. */
export async function runScript(script: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const startedMs = performance.timeOrigin + performance.now();
  const child = spawn(process.execPath, ["--import", usage, script, ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    timeout: 120_000,
  });
  const [stdout, stderr, used] = [1, 2, 3].map((fd) => text(child.stdio[fd] as Readable));
  const code = await new Promise<number | null>((resolve, reject) =>
    child.once("close", resolve).once("error", reject),
  );
  const endedMs = performance.timeOrigin + performance.now();
  const { maxRssMiB, cpuMs } = JSON.parse((await used) || "{}") as Partial<Usage>;
  return {
    code,
    stdout: (await stdout) ?? "",
    stderr: (await stderr) ?? "",
    startedMs,
    endedMs,
    maxRssMiB: maxRssMiB ?? Number.NaN,
    cpuMs: cpuMs ?? Number.NaN,
  };
}
