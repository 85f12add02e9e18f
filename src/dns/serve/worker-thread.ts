import { extname } from "node:path";
import { setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";
import type { DnsHooks } from "../observe/hooks.ts";
import type { DnsLog } from "../observe/quiet-log.ts";
import type { NamesPart } from "../ready/names.ts";
import type { ListenAddress } from "./options.ts";
import type { FromWorker, ToWorker, WorkerSetup } from "./worker-messages.ts";

/** Half of the room for new objects of a thread that answers. */
const YOUNG_MIB = 4;

/** One thread, as the main thread has it. */
export interface WorkerThread {
  /** Resolves with the addresses bound; rejects when it cannot listen, or fails before. */
  readonly listening: Promise<readonly ListenAddress[]>;
  readonly ended: Promise<unknown>;
  /** Resolves when the thread has taken a part of the names, or has ended. */
  send(part: NamesPart): Promise<void>;
  /** Ask it to stop. */
  stop(): void;
  terminate(): Promise<unknown>;
}

/** Start a thread. What it reports goes to `hooks` and `log`. */
export function startWorker(
  index: number,
  setup: WorkerSetup,
  { hooks, log }: { readonly hooks: DnsHooks; readonly log: DnsLog },
): WorkerThread {
  // Read when a heap is made, so it is for the new thread only. --optimize-for-size would leave it 1 MiB, and let one answer in a hundred wait
  // for the garbage collector.
  setFlagsFromString(`--max-semi-space-size=${YOUNG_MIB}`);
  const worker = new Worker(new URL(`./worker${extname(import.meta.filename)}`, import.meta.url), {
    name: `dns-${index}`,
    workerData: setup,
  });
  const ended = new Promise((resolve) => worker.once("exit", resolve));
  const { promise: listening, resolve, reject } = Promise.withResolvers<readonly ListenAddress[]>();
  let onTaken = () => {};
  worker.on("message", (message: FromWorker) => {
    if (message.kind === "listening") resolve(message.bound);
    else if (message.kind === "failed") reject(new Error(message.message, { cause: message.cause }));
    else if (message.kind === "taken") onTaken();
    else report(message, hooks, log);
  });
  worker.once("error", (error) => {
    reject(error);
    log.warn({ error, thread: index }, "a thread of the DNS server failed");
  });
  const post = (message: ToWorker) => worker.postMessage(message);
  return {
    listening,
    ended,
    async send(part) {
      const taken = new Promise<void>((done) => {
        onTaken = done;
        post({ kind: "names", ...part });
      });
      await Promise.race([ended, taken]);
    },
    stop: () => post({ kind: "stop" }),
    terminate: () => worker.terminate(),
  };
}

/** Pass on what a thread reports of its answers. */
function report(
  message: Exclude<FromWorker, { readonly kind: "listening" | "failed" | "taken" }>,
  hooks: DnsHooks,
  log: DnsLog,
): void {
  switch (message.kind) {
    case "answers":
      for (const [event, count] of message.counts) hooks.onAnswer?.(event, count);
      break;
    case "durations":
      for (const [path, seconds] of message.durations) hooks.onDuration?.(path, seconds);
      break;
    case "query":
      hooks.onQuery?.(message.query);
      break;
    case "wanted":
      hooks.onWanted?.(message.wanted);
      break;
    case "held":
      hooks.onHeld?.("answered", message.answered);
      hooks.onHeld?.("failed", message.failed);
      break;
    case "dropped":
      for (const [what, count] of message.counts) hooks.onDropped?.(what, count);
      break;
    case "questions":
      hooks.onQuestions?.(message.questions);
      break;
    case "exception":
      hooks.onException?.(message.error);
      break;
    case "log":
      log.warn(message.fields, message.message);
      break;
  }
}
