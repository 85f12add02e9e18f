import { parentPort, workerData } from "node:worker_threads";
import type { AnswerPath } from "./events.ts";
import { toldNames } from "./names.ts";
import { dnsThread } from "./thread.ts";
import type { AnswerCount, FromWorker, ToWorker, WorkerSetup } from "./worker-messages.ts";

/** How often answers are reported. */
const REPORT_MS = 500;
/** How long ready-made answers are counted where they are given. */
const TALLY_MS = 100;
/** More durations than this between two reports tell no more. */
const MOST_DURATIONS = 1000;

const port = parentPort;
if (port === null) throw new Error("This file is a thread of the DNS server, not a program");
const tell = (message: FromWorker) => port.postMessage(message);
const { options, tcp, reusePort, namesFirst } = workerData as WorkerSetup;
const known = Promise.withResolvers<void>();
if (!namesFirst) known.resolve();
const names = toldNames();
const answers = countAnswers();
const durations: (readonly [path: AnswerPath, seconds: number])[] = [];
const held = { answered: 0, failed: 0 };
const thread = dnsThread({
  ...options,
  tcp,
  reusePort,
  tallyMs: TALLY_MS,
  names: names.maker,
  hooks: {
    onQuery: (query) => tell({ kind: "query", query }),
    onWanted: (wanted) => tell({ kind: "wanted", wanted }),
    onHeld: (result) => void held[result]++,
    onQuestions: (questions) => tell({ kind: "questions", questions }),
    onAnswer: answers.add,
    onDuration: (path, seconds) => {
      if (durations.length < MOST_DURATIONS) durations.push([path, seconds]);
    },
    onException: (error) => tell({ kind: "exception", error: asText(error) }),
  },
  log: {
    warn: (fields, message) =>
      tell({ kind: "log", fields: "error" in fields ? { ...fields, error: asText(fields.error) } : fields, message }),
  },
});
const reports = setInterval(report, REPORT_MS);

port.on("message", (message: ToWorker) => {
  if (message.kind === "stop") return void stop();
  names.take(message);
  if (message.serial !== undefined) known.resolve();
  // In a later turn, so that questions that came meanwhile are answered between two parts.
  setImmediate(tell, { kind: "taken" });
});

await known.promise;
try {
  tell({ kind: "listening", bound: await thread.start() });
} catch (error) {
  tell({ kind: "failed", message: error instanceof Error ? error.message : String(error), cause: asText(error) });
  end();
}

async function stop(): Promise<void> {
  await thread.stop();
  report();
  end();
}

function report(): void {
  answers.report();
  if (held.answered + held.failed > 0) tell({ kind: "held", ...held });
  held.answered = 0;
  held.failed = 0;
  if (durations.length > 0) tell({ kind: "durations", durations: durations.splice(0) });
}

function end(): void {
  clearInterval(reports);
  port?.close();
}

/** An error as it may travel between threads, whatever it holds. */
function asText(error: unknown): unknown {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** Answers by kind, to be told of in one message. */
function countAnswers() {
  const counts = new Map<string, AnswerCount>();
  return {
    add(event: AnswerCount[0], count = 1): void {
      const key = Object.values(event).join();
      counts.set(key, [event, (counts.get(key)?.[1] ?? 0) + count]);
    },
    report(): void {
      if (counts.size > 0) tell({ kind: "answers", counts: [...counts.values()] });
      counts.clear();
    },
  };
}
