import { type ChildProcess, spawn } from "node:child_process";
import { resolve } from "node:path";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { onDeathOfThisProcess } from "../servers/child.ts";
import { freePort } from "../servers/free-port.ts";
import { until } from "../servers/kube-admin.ts";

const MAIN = resolve(import.meta.dirname, "../../src/main.ts");

type Env = Readonly<Record<string, string>>;

/** What a command left behind. */
export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Run `x2istio` with `args` to its end, in a process of its own. */
export async function runCli(args: readonly string[], { env = {} }: { readonly env?: Env } = {}): Promise<CliResult> {
  const child = start(MAIN, args, env);
  const stdout: string[] = [];
  const stderr: string[] = [];
  child.stdout?.setEncoding("utf8").on("data", (text: string) => stdout.push(text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => stderr.push(text));
  const guard = onDeathOfThisProcess('kill -KILL "$1"', String(child.pid));
  const code = await new Promise<number | null>((done) => child.once("close", done));
  guard.kill("SIGKILL");
  return { code, stdout: stdout.join(""), stderr: stderr.join("") };
}

/** One line of a replica's log. */
export interface LogLine {
  readonly msg: string;
  readonly level: string;
  readonly [field: string]: unknown;
}

/** A running `x2istio run`. */
export interface Replica {
  readonly pid: number;
  readonly dns: number;
  readonly http: string;
  /** Lines of its log with this message. */
  logged(msg: string): LogLine[];
  /** All it has printed. */
  output(): string;
  signal(name: NodeJS.Signals): void;
  /** The exit code; `null` when a signal ended it. */
  readonly exited: Promise<number | null>;
  /** SIGTERM; the exit code. By force after 10 s: then `null`. */
  stop(): Promise<number | null>;
  /** SIGKILL. */
  kill(): Promise<void>;
  isRunning(): boolean;
}

/** Options of {@link startReplica}. */
export interface ReplicaOptions {
  readonly config: string;
  /** Of the configuration: where it is to listen. */
  readonly ports: Ports;
  readonly env?: Env;
  /** Another program than `src/main.ts`, with its arguments before `run`'s. */
  readonly entry?: string;
  readonly args?: readonly string[];
}

/** Start `x2istio run`. It ends with the test, or with this process; if the test failed, the end of its log is shown. */
export function startReplica(t: TestContext, { config, ports, env = {}, entry = MAIN, args }: ReplicaOptions): Replica {
  const child = start(entry, args ?? ["run", "--config", config], env);
  const lines: string[] = [];
  const exited = new Promise<number | null>((done) => child.once("exit", done));
  let isRunning = true;
  void exited.then(() => {
    isRunning = false;
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => lines.push(text));
  }
  const pid = child.pid ?? 0;
  const guard = onDeathOfThisProcess('kill -KILL "$1"', String(pid));
  const output = () => lines.join("");

  async function stop(): Promise<number | null> {
    if (!isRunning) return exited;
    child.kill("SIGTERM");
    const timer = new AbortController();
    const late = sleep(60_000, "late" as const, { signal: timer.signal }).catch(() => null);
    const first = await Promise.race([exited, late]);
    timer.abort();
    if (first !== "late") return first;
    await kill();
    return null;
  }
  async function kill(): Promise<void> {
    child.kill("SIGKILL"); // ends a stopped process too
    await exited;
  }
  t.after(async () => {
    // Known to Node since 22, though its types lack it.
    if ((t as { readonly passed?: boolean }).passed === false)
      t.diagnostic(`end of the output of process ${pid}:\n${output().split("\n").slice(-25).join("\n")}`);
    child.kill("SIGCONT");
    await stop();
    guard.kill("SIGKILL");
  });
  return {
    pid,
    dns: ports.dns,
    http: `http://127.0.0.1:${ports.http}`,
    logged: (msg) => logLines(output()).filter((line) => line.msg === msg),
    output,
    signal: (name) => void child.kill(name),
    exited,
    stop,
    kill,
    isRunning: () => isRunning,
  };
}

function start(entry: string, args: readonly string[], env: Env): ChildProcess {
  const { NODE_TEST_CONTEXT: _, NODE_OPTIONS: __, KUBECONFIG: ___, ...inherited } = process.env;
  return spawn(process.execPath, [entry, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...inherited, NO_COLOR: "1", ...env },
  });
}

function logLines(output: string): LogLine[] {
  return output
    .split("\n")
    .filter((line) => line.startsWith("{") && line.endsWith("}"))
    .map((line) => JSON.parse(line) as LogLine);
}

/** What `/readyz` says; `undefined` when nobody answers. */
export async function readiness({
  http,
}: Replica): Promise<{ readonly ready: boolean; readonly reasons: readonly string[] } | undefined> {
  const answer = await fetch(`${http}/readyz`).catch(() => undefined);
  return answer === undefined
    ? undefined
    : ((await answer.json()) as { readonly ready: boolean; readonly reasons: readonly string[] });
}

/** Wait until `/readyz` says so. */
export async function ready(replica: Replica, timeoutMs?: number): Promise<void> {
  await until(
    `process ${replica.pid} is ready`,
    async () => {
      if (!replica.isRunning()) return true;
      return (await readiness(replica))?.ready === true;
    },
    timeoutMs,
  );
  if (!replica.isRunning()) throw new Error(`x2istio run ended:\n${replica.output()}`);
}

/** Ports that a replica listens on. */
export interface Ports {
  readonly dns: number;
  readonly http: number;
}

/** Two ports that nobody listens on now. */
export async function freePorts(): Promise<Ports> {
  return { dns: await freePort(), http: await freePort() };
}
