/** Preloaded (`--import`) into a measured process: when it ends it writes a {@link Usage} to file descriptor 3. */
import { writeSync } from "node:fs";

export interface Usage {
  readonly maxRssMiB: number;
  /** Of all its threads, user and system. */
  readonly cpuMs: number;
}

process.on("exit", () => {
  const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage();
  const usage: Usage = { maxRssMiB: maxRSS / 1024, cpuMs: (userCPUTime + systemCPUTime) / 1000 };
  writeSync(3, JSON.stringify(usage));
});
