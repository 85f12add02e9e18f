import { jsonText } from "./json.ts";
import type { PublishedNames } from "./names.ts";

/** What the HTTP server tells; asked anew for each request. */
export interface StatusSource {
  /** `reasons` are sentences without a full stop, empty when ready. */
  ready(): { readonly ready: boolean; readonly reasons: readonly string[] };
  /** JSON data with stable fields. */
  services(): unknown;
  /** JSON data with stable fields. */
  plan(): unknown;
  /** Prometheus text format 0.0.4. */
  metrics(): Promise<string>;
  /** What DNS answers from, for other servers. */
  readonly names?: PublishedNames;
}

/** What an answer may depend on besides method and path. */
export interface Asked {
  readonly ifNoneMatch?: string | undefined;
  readonly acceptEncoding?: string | undefined;
  /** Aborts when the client has gone or the server stops. */
  readonly signal?: AbortSignal;
}

/** One answer, whole. */
export interface Reply {
  readonly status: number;
  readonly type: string;
  readonly body: string | Buffer;
  readonly allow?: string;
  readonly etag?: string;
  /** Content-Encoding of `body`. */
  readonly encoding?: string;
}

interface Route {
  readonly about: string;
  answer(source: StatusSource, query: URLSearchParams, asked: Asked): Reply | Promise<Reply>;
}

const ROUTES: ReadonlyMap<string, Route> = new Map<string, Route>([
  ["/healthz", { about: "200 while the process runs", answer: () => text(200, "ok") }],
  ["/readyz", { about: "200 when ready, else 503 with the reasons", answer: (source) => readiness(source) }],
  [
    "/metrics",
    {
      about: "Prometheus metrics",
      answer: async (source) => ({
        status: 200,
        type: "text/plain; version=0.0.4; charset=utf-8",
        body: await source.metrics(),
      }),
    },
  ],
  [
    "/api/services",
    { about: "every service, its host, VIP, names and endpoints", answer: (source) => json(200, source.services()) },
  ],
  [
    "/api/plan",
    { about: "what the last pass would change, and what it holds", answer: (source) => json(200, source.plan()) },
  ],
  [
    "/api/names",
    { about: "what DNS answers from; ?wait=SECONDS waits until it is another than the If-None-Match", answer: names },
  ],
  ["/", { about: "this list", answer: () => text(200, index()) }],
]);

/** The answer to one request line. Only GET and HEAD are known. */
export async function answerFor(
  method: string | undefined,
  url: string | undefined,
  source: StatusSource,
  asked: Asked = {},
): Promise<Reply> {
  const [path = "/", query = ""] = (url ?? "/").replace(/#.*/s, "").split(/\?(.*)/s);
  const route = ROUTES.get(path);
  if (route === undefined) return text(404, `There is nothing at this path. ${index()}`);
  if (method !== "GET" && method !== "HEAD")
    return { ...text(405, "Only GET and HEAD are answered."), allow: "GET, HEAD" };
  return route.answer(source, new URLSearchParams(query), asked);
}

async function names(source: StatusSource, query: URLSearchParams, asked: Asked): Promise<Reply> {
  if (source.names === undefined) return text(404, "There are no names here.");
  const waitSeconds = Number(query.get("wait") ?? 0);
  if (!Number.isFinite(waitSeconds) || waitSeconds < 0) return text(400, "wait must be a number of seconds.");
  const { ifNoneMatch, acceptEncoding = "", signal = new AbortController().signal } = asked;
  const state = await source.names.read(ifNoneMatch, {
    ...{ waitSeconds, signal },
    endpoints: query.get("endpoints") === "true",
  });
  if (state === undefined && ifNoneMatch === undefined) return text(503, "The names are not known yet.");
  const type = "application/json; charset=utf-8";
  if (state === undefined)
    return { status: 304, type, body: "", ...(ifNoneMatch === undefined ? {} : { etag: ifNoneMatch }) };
  const isSmall = /\bgzip\b/.test(acceptEncoding);
  return {
    status: 200,
    type,
    etag: state.etag,
    body: isSmall ? state.gzip : state.json,
    ...(isSmall ? { encoding: "gzip" } : {}),
  };
}

/** A plain text answer; the line end is added. */
export function text(status: number, body: string): Reply {
  return { status, type: "text/plain; charset=utf-8", body: `${body}\n` };
}

async function json(status: number, value: unknown): Promise<Reply> {
  return { status, type: "application/json; charset=utf-8", body: `${await jsonText(value)}\n` };
}

function readiness(source: StatusSource): Promise<Reply> {
  const { ready, reasons } = source.ready();
  return json(ready ? 200 : 503, { ready, reasons });
}

function index(): string {
  return ["X2Istio answers:", ...[...ROUTES].map(([path, { about }]) => `  ${path.padEnd(16)}${about}`)].join("\n");
}
