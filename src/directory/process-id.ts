import { readFileSync } from "node:fs";

/** A process that cannot be mistaken for a later one with the same number: `<pid>-<start time>`. */
export function processId(pid: number = process.pid): string {
  return `${pid}-${startTime(pid)}`;
}

/** Whether the process that `id` names still runs. */
export function isRunning(id: string): boolean {
  const [, pid] = /^(\d+)-\d+$/.exec(id) ?? [];
  if (pid === undefined) return false;
  try {
    process.kill(Number(pid), 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false; // EPERM: another user's, but alive
  }
  return processId(Number(pid)) === id;
}

/** Field 22 of /proc/<pid>/stat, in clock ticks since boot (proc(5)); 0 where there is no /proc. */
function startTime(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "0"; // the name before it may hold spaces
  } catch {
    return "0";
  }
}
