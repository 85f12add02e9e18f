import { type DestinationStream, destination, type Logger, pino } from "pino";
import { prettyFactory } from "pino-pretty";
import { describeError } from "./errors.ts";

/** A structured log: a constant message plus fields. An `error` field is written as one sentence with its causes. */
export type Log = Logger;

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "silent";

/** How to log. */
export interface LogOptions {
  readonly level: LogLevel;
  /** For people at a terminal, instead of JSON lines. */
  readonly pretty: boolean;
  /** Standard error when absent: standard output belongs to what a command prints. */
  readonly stream?: DestinationStream;
}

const SECRETS = ["token", "authorization", "password", "secret"];

/** Make a log. Tokens, passwords and authorization headers are masked up to three levels deep; time is ISO 8601. */
export function createLog({ level, pretty, stream = destination({ dest: 2, sync: true }) }: LogOptions): Log {
  const options = {
    level,
    base: null,
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { error: describeError },
    redact: { paths: SECRETS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: "[secret]" },
  };
  return pino(options, pretty ? prettyStream(stream) : stream);
}

function prettyStream(stream: DestinationStream): DestinationStream {
  const format = prettyFactory({
    colorize: process.stderr.isTTY && process.stderr.hasColors(),
    translateTime: "SYS:HH:MM:ss.l",
    singleLine: true,
  });
  return { write: (line) => stream.write(format(line)) };
}
