import { execFile, spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { onDeathOfThisProcess } from "../servers/child.ts";

/** A measured `x2istio run`. */
export interface BenchReplica {
  readonly pid: number;
  /** The longest stall of its event loop since the last call; known with a delay of up to a second. */
  longestStall(): Stall;
  /** All it has logged. */
  output(): string;
  stop(): Promise<void>;
}

/** How long an event loop stood still: by the wall clock, and how long its thread computed meanwhile. */
export interface Stall {
  readonly wallMs: number;
  readonly cpuMs: number;
}

const root = join(import.meta.dirname, "../..");
/** As deploy/Dockerfile has them. */
export const FLAGS: readonly string[] = ["--optimize-for-size"];
/** The same of its environment. */
export const IMAGE: Readonly<Record<string, string>> = {
  NODE_OPTIONS: "--max-semi-space-size=4",
  MALLOC_ARENA_MAX: "2",
};

/** Build what {@link startBenchReplica} runs. */
export async function buildReplica(): Promise<void> {
  await promisify(execFile)("npm", ["run", "build"], { cwd: root });
}

/** Start `x2istio run` as the image does, with a look at its event loop. It ends with this process. */
export function startBenchReplica(config: string, kubeconfig: string): BenchReplica {
  const preload = join(import.meta.dirname, "stalls.ts");
  const child = spawn(
    process.execPath,
    [...FLAGS, "--import", preload, join(root, "dist/src/main.js"), "run", "--config", config],
    {
      env: { ...process.env, KUBECONFIG: kubeconfig, ...IMAGE },
      stdio: ["ignore", "pipe", "pipe", "pipe"],
    },
  );
  const guard = onDeathOfThisProcess('kill -KILL "$1"', String(child.pid));
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  let output = "";
  let longest: Stall = { wallMs: 0, cpuMs: 0 };
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding("utf8").on("data", (text: string) => {
      output = (output + text).slice(-1_000_000);
    });
  (child.stdio[3] as Readable).setEncoding("utf8").on("data", (text: string) => {
    for (const line of text.trim().split("\n")) {
      const [wallMs = 0, cpuMs = 0] = line.split(" ").map(Number);
      if (wallMs > longest.wallMs) longest = { wallMs, cpuMs };
    }
  });
  return {
    pid: child.pid ?? 0,
    longestStall() {
      const result = longest;
      longest = { wallMs: 0, cpuMs: 0 };
      return result;
    },
    output: () => output,
    async stop() {
      child.kill("SIGTERM");
      const late = delay(10_000, undefined, { ref: false }).then(() => child.kill("SIGKILL"));
      await Promise.race([exited, late]);
      await exited;
      guard.kill("SIGKILL");
    },
  };
}

/** Milliseconds of CPU that a process has used, user and system, in steps of 10. */
export async function cpuMs(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** Resident memory of a process in MiB: now, and the most that it had. */
export async function memoryMiB(pid: number): Promise<{ readonly now: number; readonly peak: number }> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const of = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) / 1024;
  return { now: of("VmRSS"), peak: of("VmHWM") };
}
