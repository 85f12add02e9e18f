import { jsonText } from "./json.ts";

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
}

/** One answer, whole. */
export interface Reply {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly allow?: string;
}

interface Route {
  readonly about: string;
  answer(source: StatusSource): Reply | Promise<Reply>;
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
  ["/", { about: "this list", answer: () => text(200, index()) }],
]);

/** The answer to one request line. Only GET and HEAD are known; the query is not looked at. */
export async function answerFor(
  method: string | undefined,
  url: string | undefined,
  source: StatusSource,
): Promise<Reply> {
  const path = (url ?? "/").split(/[?#]/, 1)[0] ?? "/";
  const route = ROUTES.get(path);
  if (route === undefined) return text(404, `There is nothing at this path. ${index()}`);
  if (method !== "GET" && method !== "HEAD")
    return { ...text(405, "Only GET and HEAD are answered."), allow: "GET, HEAD" };
  return route.answer(source);
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
