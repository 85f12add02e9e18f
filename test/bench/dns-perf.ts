import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { promisify } from "node:util";

const run = promisify(execFile);

/** One run of dnsperf against one server. */
export interface Load {
  readonly queriesPerSecond: number;
  /** Queries for each second of processor time that the server used: alike however busy the machine is. */
  readonly queriesPerCpuSecond: number;
  readonly lost: number;
}

/** How to ask. */
export interface LoadOptions {
  readonly port: number;
  readonly file: string;
  readonly seconds: number;
  readonly edns?: boolean;
}

/** Whether a command can be found. */
export function isInstalled(command: string): boolean {
  try {
    execFileSync("which", [command], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** The command line that runs a command on some cores only, by number. */
export function pinned(core: string, command: string, args: readonly string[]): readonly [string, string[]] {
  return ["taskset", ["-c", core, command, ...args]];
}

/** As many questions as the server of process `pid` answers, 64 under way, from the last core. */
export async function load(pid: number, { port, file, seconds, edns = false }: LoadOptions): Promise<Load> {
  const before = cpuSeconds(pid);
  const args = ["-l", String(seconds), "-q", "64", ...(edns ? ["-e"] : [])];
  const { stdout: text } = await run(...dnsperf(port, file, args));
  const used = cpuSeconds(pid) - before;
  const completed = figure(text, /Queries completed:\s+(\d+)/);
  return {
    queriesPerSecond: figure(text, /Queries per second:\s+([\d.]+)/),
    queriesPerCpuSecond: completed / used,
    lost: figure(text, /Queries lost:\s+(\d+)/),
  };
}

/** Ask every question of the file once, so that what a server keeps of others' answers is there. */
export async function askOnce({ port, file }: LoadOptions): Promise<void> {
  await run(...dnsperf(port, file, ["-n", "1", "-q", "64"]));
}

/** 99th percentile of the latency in milliseconds, at a given rate. Every answer's is written to `output`, a file. */
export async function latencyMs(options: LoadOptions, queriesPerSecond: number, output: string): Promise<number> {
  const args = ["-l", String(options.seconds), "-v", "-Q", String(Math.round(queriesPerSecond))];
  // Not through a pipe: this process would take time from the server's core while the figures are taken.
  const file = openSync(output, "w");
  const child = spawn(...dnsperf(options.port, options.file, args), { stdio: ["ignore", file, "inherit"] });
  closeSync(file);
  await once(child, "exit");
  const text = await readFile(output, "utf8");
  const seconds = Float64Array.from(text.matchAll(/^> \S+ \S+ \S+ ([\d.]+)$/gm), ([, value]) => Number(value)).sort();
  return (seconds[Math.ceil(seconds.length * 0.99) - 1] ?? Number.NaN) * 1000;
}

function dnsperf(port: number, file: string, args: readonly string[]): readonly [string, string[]] {
  const common = ["-s", "127.0.0.1", "-p", String(port), "-d", file, "-c", "4", "-T", "1"];
  return pinned(String(availableParallelism() - 1), "dnsperf", [...common, ...args]);
}

function figure(text: string, pattern: RegExp): number {
  return Number(pattern.exec(text)?.[1] ?? Number.NaN);
}

/** User and system time of a process, its threads and its children; the clock ticks 100 times a second (getconf CLK_TCK). */
function cpuSeconds(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
    .split(" ")
    .filter((text) => text !== "");
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  const own = (Number(fields[11]) + Number(fields[12])) / 100;
  return children.reduce((sum, child) => sum + cpuSeconds(Number(child)), own);
}
