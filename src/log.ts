import { type DestinationStream, destination, type Logger, pino } from "pino";
import { prettyFactory } from "pino-pretty";
import { describeError } from "./errors.ts";
import type { Secrets } from "./secrets.ts";
import { escapedText } from "./text.ts";

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
  /** What is masked wherever it stands. */
  readonly secrets?: Pick<Secrets, "mask">;
}

const SECRET_FIELDS = ["token", "authorization", "password", "secret"];

/**
 * Make a log. Secrets are masked wherever they stand, and fields named like one up to three levels deep; what a terminal would obey
 * is escaped; time is ISO 8601.
 */
export function createLog({ level, pretty, stream = destination({ dest: 2, sync: true }), secrets }: LogOptions): Log {
  const mask = (line: string) => secrets?.mask(line) ?? line;
  const options = {
    level,
    base: null,
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { error: describeError },
    redact: { paths: SECRET_FIELDS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: "[secret]" },
  };
  const leaving = pretty ? prettyStream(stream) : { write: (line: string) => stream.write(escapedText(line)) };
  return pino(options, { write: (line) => leaving.write(mask(line)) });
}

/** Colours are put on last: what is escaped before cannot take part in them. */
function prettyStream(stream: DestinationStream): DestinationStream {
  const format = prettyFactory({
    colorize: process.stderr.isTTY && process.stderr.hasColors(),
    translateTime: "SYS:HH:MM:ss.l",
    singleLine: true,
  });
  const escaped = (_: string, value: unknown) => (typeof value === "string" ? escapedText(value) : value);
  return { write: (line) => stream.write(format(JSON.parse(line, escaped))) };
}
