/**
 * Preloaded (`--import`) into a measured process: how long its event loop stood still, by a timer of 5 ms, from the first
 * request to a server on (before that only modules are loaded). Once a second it writes the longest of that second to file
 * descriptor 3, in ms: by the wall clock, and how long the thread really computed meanwhile (the rest it waited for a core).
 */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { writeSync } from "node:fs";

const TICK_MS = 5;
const CHANNEL = "undici:request:create";

subscribe(CHANNEL, start);

function start(): void {
  unsubscribe(CHANNEL, start);
  const none = { wallMs: 0, cpuMs: 0 };
  let longest = none;
  let last = look();
  setInterval(() => {
    const now = look();
    const wallMs = now.wallMs - last.wallMs - TICK_MS;
    if (wallMs > longest.wallMs) longest = { wallMs, cpuMs: now.cpuMs - last.cpuMs };
    last = now;
  }, TICK_MS).unref();
  setInterval(() => {
    writeSync(3, `${longest.wallMs.toFixed(1)} ${longest.cpuMs.toFixed(1)}\n`);
    longest = none;
  }, 1000).unref();
}

function look() {
  const { user, system } = process.threadCpuUsage();
  return { wallMs: performance.now(), cpuMs: (user + system) / 1000 };
}
