import { parentPort, workerData } from "node:worker_threads";
import type { AnswerPath, Dropped } from "../observe/hooks.ts";
import { receivedNames } from "../ready/received-names.ts";
import { dnsThread } from "./thread.ts";
import type { AnswerCount, FromWorker, ToWorker, WorkerSetup } from "./worker-messages.ts";

/** How often answers are reported. */
const REPORT_MS = 500;
/** How long ready-made answers are counted where they are given. */
const TALLY_MS = 100;
/** More durations than this between two reports add nothing. */
const MOST_DURATIONS = 1000;

const port = parentPort;
if (port === null) throw new Error("This file is a thread of the DNS server, not a program");
const post = (message: FromWorker) => port.postMessage(message);
const { options, tcp, reusePort, namesFirst } = workerData as WorkerSetup;
const known = Promise.withResolvers<void>();
if (!namesFirst) known.resolve();
const names = receivedNames();
const answers = countAnswers();
const durations: (readonly [path: AnswerPath, seconds: number])[] = [];
const held = { answered: 0, failed: 0 };
const dropped = new Map<Dropped, number>();
const thread = dnsThread({
  ...options,
  tcp,
  reusePort,
  tallyMs: TALLY_MS,
  names: names.maker,
  hooks: {
    onQuery: (query) => post({ kind: "query", query }),
    onWanted: (wanted) => post({ kind: "wanted", wanted }),
    onHeld: (result) => void held[result]++,
    onDropped: (what) => void dropped.set(what, (dropped.get(what) ?? 0) + 1),
    onQuestions: (questions) => post({ kind: "questions", questions }),
    onAnswer: answers.add,
    onDuration: (path, seconds) => {
      if (durations.length < MOST_DURATIONS) durations.push([path, seconds]);
    },
    onException: (error) => post({ kind: "exception", error: asText(error) }),
  },
  log: {
    warn: (fields, message) =>
      post({ kind: "log", fields: "error" in fields ? { ...fields, error: asText(fields.error) } : fields, message }),
  },
});
const reports = setInterval(report, REPORT_MS);

port.on("message", (message: ToWorker) => {
  if (message.kind === "stop") return void stop();
  names.take(message);
  if (message.serial !== undefined) known.resolve();
  // At a later iteration of the event loop, so that questions that came meanwhile are answered between two parts.
  setImmediate(post, { kind: "taken" });
});

await known.promise;
try {
  post({ kind: "listening", bound: await thread.start() });
} catch (error) {
  const { message, cause } = error instanceof Error ? error : { message: String(error), cause: undefined };
  post({ kind: "failed", message, cause: cause instanceof Error ? cause.message : cause });
  end();
}

async function stop(): Promise<void> {
  await thread.stop();
  report();
  end();
}

function report(): void {
  answers.report();
  if (held.answered + held.failed > 0) post({ kind: "held", ...held });
  held.answered = 0;
  held.failed = 0;
  if (dropped.size > 0) post({ kind: "dropped", counts: [...dropped] });
  dropped.clear();
  if (durations.length > 0) post({ kind: "durations", durations: durations.splice(0) });
}

function end(): void {
  clearInterval(reports);
  port?.close();
}

/** An error as it may travel between threads, whatever it holds. */
function asText(error: unknown): unknown {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** Counts answers by kind, to report them in one message. */
function countAnswers() {
  const counts = new Map<string, AnswerCount>();
  return {
    add(event: AnswerCount[0], count = 1): void {
      const key = Object.values(event).join();
      counts.set(key, [event, (counts.get(key)?.[1] ?? 0) + count]);
    },
    report(): void {
      if (counts.size > 0) post({ kind: "answers", counts: [...counts.values()] });
      counts.clear();
    },
  };
}
