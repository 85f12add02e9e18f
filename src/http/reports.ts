import type { IncomingMessage } from "node:http";
import { isCaller } from "../model/demand.ts";
import type { Report, ReportAnswer, ReportHandler, TokenJudge } from "../model/report.ts";
import { escapedText } from "../text.ts";
import { clientOf } from "./limits/clients.ts";
import { rateLimit } from "./rate-limit.ts";
import { type Reply, text } from "./reply.ts";
import { bearerToken } from "./reviews.ts";

export const REPORTS_PATH = "/api/reports";

/** What became of a report, for the metrics. */
export type ReportResult = ReportAnswer["state"] | "denied" | "limited" | "invalid";

/** What reports need. */
export interface ReportsSource {
  readonly handler: ReportHandler;
  readonly judge: TokenJudge;
  /** Reports of one caller. */
  readonly perSecond: number;
  readonly onResult: (result: ReportResult) => void;
  /** Never goes back. */
  readonly nowMs?: () => number;
}

/** Answers requests to `/api/reports`. */
export type AnswerReports = (request: IncomingMessage, signal: AbortSignal) => Promise<Reply>;

const MOST_BODY_BYTES = 256 * 1024;
/** Bodies that are read at a time. */
const MOST_BODIES = 128;
const MOST_REPORTS = 1000;
const MOST_CHARACTERS = 512;
const STATUS: Readonly<Record<ReportAnswer["state"], number>> = {
  ready: 200,
  pending: 202,
  unknown: 404,
  unavailable: 503,
};

/** Take reports of those whose token is accepted, one or many in a request. */
export function reportsHandler({ handler, judge, perSecond, onResult, nowMs }: ReportsSource): AnswerReports {
  const limit = rateLimit(perSecond, nowMs);
  const reading = new Set<IncomingMessage>();

  function refuse(result: ReportResult, status: number, why: string, more: Partial<Reply> = {}): Reply {
    onResult(result);
    return { ...json(status, { error: why }), ...more };
  }

  return async (request, signal) => {
    if (request.method !== "POST") return { ...text(405, "Only POST is answered."), allow: "POST" };
    const token = bearerToken(request.headers.authorization);
    const client = clientOf(request.socket.remoteAddress);
    const verdict = token === undefined ? ({ state: "refused" } as const) : await judge(token, client);
    if (verdict.state === "refused")
      return refuse("denied", 401, "A bearer token is needed.", { authenticate: "Bearer" });
    if (verdict.state === "unavailable") return refuse("unavailable", 503, "The token cannot be verified now.", AGAIN);
    // A page of another site can send any other type without a preflight request (Fetch standard, CORS).
    if (!/^application\/json\b/i.test(request.headers["content-type"] ?? ""))
      return refuse("invalid", 415, "The body must be application/json.");
    const body = await bodyOf(request, reading);
    if (body === undefined) return refuse("invalid", 413, `The body must have at most ${MOST_BODY_BYTES} bytes.`);
    const requested = readReports(body);
    if (typeof requested === "string") return refuse("invalid", 400, requested);
    const address = request.socket.remoteAddress ?? "unknown";
    const waitSeconds = limit.take(verdict.name ?? client, requested.reports.length);
    if (waitSeconds > 0)
      return refuse("limited", 429, "There are too many reports at once.", { retryAfterSeconds: waitSeconds });
    const answers = await handler.report(requested.reports, verdict.name ?? requested.caller ?? address, signal);
    for (const { state } of answers) onResult(state);
    const [first] = answers;
    if (requested.isBatch || first === undefined) return json(200, { results: answers });
    return { ...json(STATUS[first.state], first), ...(first.state === "pending" ? AGAIN : {}) };
  };
}

const AGAIN = { retryAfterSeconds: 1 };

interface RequestedReports {
  readonly reports: readonly Report[];
  readonly isBatch: boolean;
  readonly caller: string | undefined;
}

/** What a body asks for, or what is wrong with it: a whole sentence. */
function readReports(body: string): RequestedReports | string {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return "The body is not JSON.";
  }
  if (typeof value !== "object" || value === null) return "The body must be a report or a list of reports.";
  const { caller } = value as { readonly caller?: unknown };
  if (caller !== undefined && !isCaller(caller))
    return "caller must be printable ASCII without blanks, 128 characters at most.";
  const { reports: listed } = value as { readonly reports?: unknown };
  const list = Array.isArray(value) ? value : Array.isArray(listed) ? listed : undefined;
  if (list !== undefined && list.length > MOST_REPORTS) return `A request must have at most ${MOST_REPORTS} reports.`;
  const reports: Report[] = [];
  for (const item of list ?? [value]) {
    const report = readReport(item);
    if (report === undefined)
      return `Report ${reports.length + 1} must have registry, namespace and service, or name: texts of at most ${MOST_CHARACTERS} characters.`;
    reports.push(report);
  }
  return { reports, isBatch: list !== undefined, caller };
}

function readReport(item: unknown): Report | undefined {
  if (typeof item !== "object" || item === null) return undefined;
  const { registry, namespace, service, name } = item as Readonly<Record<string, unknown>>;
  if (isText(name) && registry === undefined && namespace === undefined && service === undefined) return { name };
  if (name !== undefined || !isText(registry) || !isText(namespace) || !isText(service)) return undefined;
  // The parts of a key are told apart by slashes.
  return registry.includes("/") || namespace.includes("/") ? undefined : { registry, namespace, service };
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "" && value.length <= MOST_CHARACTERS;
}

/**
 * The body; undefined when it is too long. Where too many are read, the one that takes longest ends: who sends slowly fills no memory
 * and keeps nobody out.
 *
 * @param reading the requests whose bodies are read, the oldest first
 */
async function bodyOf(request: IncomingMessage, reading: Set<IncomingMessage>): Promise<string | undefined> {
  if (Number(request.headers["content-length"] ?? 0) > MOST_BODY_BYTES) return undefined;
  const [oldest] = reading;
  if (reading.size >= MOST_BODIES && oldest !== undefined && reading.delete(oldest)) oldest.socket.destroy();
  reading.add(request);
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > MOST_BODY_BYTES) return undefined;
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString("utf8");
  } finally {
    reading.delete(request);
  }
}

function json(status: number, value: unknown): Reply {
  return { status, type: "application/json; charset=utf-8", body: `${escapedText(JSON.stringify(value))}\n` };
}
