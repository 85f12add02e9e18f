import { registryToRelease, releaseBrake } from "./brakes.ts";
import { jsonText } from "./json.ts";
import type { PublishedNames } from "./names.ts";
import { type Asked, type Reply, text } from "./reply.ts";
import { type AnswerReports, REPORTS_PATH } from "./reports.ts";

/** What the HTTP server tells; asked anew for each request. */
export interface StatusSource {
  /** `reasons` are sentences without a full stop, empty when ready. */
  ready(): { readonly ready: boolean; readonly reasons: readonly string[] };
  /** JSON data with stable fields. */
  services(): unknown;
  /** JSON data with stable fields. */
  plan(): unknown;
  /** JSON data with stable fields: who asks for which services by which names. */
  usage?(): unknown;
  /** Let the next pass write what the brake of a registry holds. Rejects when there is no such registry, or nobody may write. */
  release?(registry: string): Promise<void>;
  /** Answers whoever reports that it calls a service. */
  readonly reports?: AnswerReports | undefined;
  /** Prometheus text format 0.0.4. */
  metrics(): Promise<string>;
  /** What DNS answers from, for other servers. */
  readonly names?: PublishedNames;
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
  [
    "/api/usage",
    {
      about: "who asks for which services, by which names",
      answer: async (source) =>
        source.usage === undefined ? text(404, "There is no usage here.") : json(200, await source.usage()),
    },
  ],
  ["/", { about: "this list", answer: () => text(200, index()) }],
]);

/** The answer to one request line. Only GET and HEAD are known, and POST to release a brake. */
export async function answerFor(
  method: string | undefined,
  url: string | undefined,
  source: StatusSource,
  asked: Asked = {},
): Promise<Reply> {
  const [path = "/", query = ""] = (url ?? "/").replace(/#.*/s, "").split(/\?(.*)/s);
  const braked = registryToRelease(path);
  if (braked !== undefined) return releaseBrake(braked, method, source.release, asked);
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

async function json(status: number, value: unknown): Promise<Reply> {
  return { status, type: "application/json; charset=utf-8", body: `${await jsonText(value)}\n` };
}

function readiness(source: StatusSource): Promise<Reply> {
  const { ready, reasons } = source.ready();
  return json(ready ? 200 : 503, { ready, reasons });
}

function index(): string {
  const routes = [...ROUTES].map(([path, { about }]) => `  ${path.padEnd(16)}${about}`);
  const others = [
    `  POST ${REPORTS_PATH}, if configured: which services one calls`,
    "  POST /api/brakes/REGISTRY/release, from the same machine",
  ];
  return ["X2Istio answers:", ...routes, ...others].join("\n");
}
