// Loaded before a program: SIGUSR2 sets what it takes for the time a day forward, the next one back. The monotonic clock goes on.
import { isMainThread } from "node:worker_threads";

const DAY_MS = 86_400_000;
const { now } = Date;
let shiftMs = 0;

Date.now = () => now() + shiftMs;
globalThis.Date = new Proxy(Date, {
  construct: (target, args) => Reflect.construct(target, args.length === 0 ? [target.now()] : args),
});
if (isMainThread)
  process.on("SIGUSR2", () => {
    shiftMs = shiftMs === 0 ? DAY_MS : 0;
    process.stderr.write(`the clock is set ${shiftMs === 0 ? "back" : "forward"}\n`);
  });
