import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** A running server. */
export interface Child {
  readonly pid: number;
  /** Resolves once the process is gone. */
  readonly exited: Promise<void>;
  isRunning(): boolean;
  /** The last lines of its log, for messages of errors. */
  logTail(): string;
  /** Ask it to end, and end it by force after `graceMs`. Resolves once it is gone. */
  stop(graceMs?: number): Promise<void>;
}

/**
 * Start a server whose output goes to `logFile`. It does not keep this process alive, and ends when this
 * process does, however that ends.
 *
 * @throws When the command cannot be started.
 */
export async function startChild(command: string, args: readonly string[], logFile: string): Promise<Child> {
  const log = openSync(logFile, "a");
  const child = spawn(command, args, { stdio: ["ignore", log, log] });
  closeSync(log);
  let running = true;
  const exited = new Promise<void>((resolve) => {
    child.once("exit", () => {
      running = false;
      resolve();
    });
  });
  await new Promise((resolve, reject) => child.once("spawn", resolve).once("error", reject));
  child.unref();
  const pid = child.pid as number; // known, as it was spawned
  const guard = onDeathOfThisProcess('kill -KILL "$1"', String(pid));
  return {
    pid,
    exited: exited.then(() => void guard.kill("SIGKILL")), // or else it may later hit another process of that id
    isRunning: () => running,
    logTail: () => readFileSync(logFile, "utf8").split("\n").slice(-15).join("\n"),
    async stop(graceMs = 5000) {
      child.kill("SIGTERM");
      const timer = new AbortController();
      await Promise.race([exited, sleep(graceMs, undefined, { signal: timer.signal })]).finally(() => timer.abort());
      // The timer keeps this process alive until then; exit follows SIGKILL at once.
      if (running) child.kill("SIGKILL");
      child.ref();
      await exited;
    },
  };
}

/**
 * Run a shell script once this process is gone. A hook on "exit" would not run where a signal ends the
 * process; the end of a pipe is always seen.
 *
 * @returns The waiting shell: kill it when the script is no longer wanted.
 */
export function onDeathOfThisProcess(script: string, ...args: readonly string[]): ChildProcess {
  const shell = spawn("sh", ["-c", `while read -r _; do :; done; ${script}`, "sh", ...args], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true, // so that Ctrl-C does not end it first
  });
  shell.unref();
  (shell.stdin as NonNullable<typeof shell.stdin> & { unref?(): void }).unref?.();
  return shell;
}
