import { answerAsk, askedBy } from "./asks.ts";
import { jsonText } from "./json.ts";
import type { PublishedNames } from "./names.ts";
import { isNonce, NONCE_HEADER, PROOF_HEADER, proveNames } from "./names-proof.ts";
import { type Reply, text } from "./reply.ts";
import { type AnswerReports, REPORTS_PATH } from "./reports.ts";
import type { RequestDetails } from "./request-details.ts";

/** What the HTTP server tells; asked again for each request. */
export interface StatusSource {
  /** `reasons` are sentences without a full stop, empty when ready. */
  ready(): { readonly ready: boolean; readonly reasons: readonly string[] };
  /** JSON data with stable fields. */
  services(): unknown;
  /** JSON data with stable fields. */
  plan(): unknown;
  /** JSON data with stable fields: readiness, the leader, and which configuration is in use. */
  status?(): unknown;
  /** JSON data with stable fields: who asks for which services by which names. */
  usage?(): unknown;
  /** Let the next pass write what the brake of a registry holds. Rejects when there is no such registry, or nobody may write. */
  release?(registry: string): Promise<void>;
  /** Let the next pass delete what stands of a registry that has left the configuration. Rejects when it has not, or nobody may write. */
  prune?(registry: string): Promise<void>;
  /** Answers whoever reports that it calls a service. */
  readonly reports?: AnswerReports | undefined;
  /** Prometheus text format 0.0.4. */
  metrics(): Promise<string>;
  /** What DNS answers from, for other servers. */
  readonly names?: PublishedNames;
}

interface Route {
  readonly about: string;
  /** Whether it takes long to make, and is the same for all who ask. */
  readonly isShared?: true;
  /** Whether everyone may read it. */
  readonly isOpen?: true;
  answer(source: StatusSource, query: URLSearchParams, details: RequestDetails): Reply | Promise<Reply>;
}

const ROUTES: ReadonlyMap<string, Route> = new Map<string, Route>([
  ["/healthz", { about: "200 while the process runs", isOpen: true, answer: () => text(200, "ok") }],
  [
    "/readyz",
    { about: "200 when ready, else 503 with the reasons", isOpen: true, answer: (source) => readiness(source) },
  ],
  [
    "/metrics",
    {
      about: "Prometheus metrics",
      isShared: true,
      answer: async (source) => ({
        status: 200,
        type: "text/plain; version=0.0.4; charset=utf-8",
        body: await source.metrics(),
      }),
    },
  ],
  [
    "/api/services",
    {
      about: "every service, its host, VIP, names and endpoints",
      isShared: true,
      answer: (source) => json(200, source.services()),
    },
  ],
  [
    "/api/plan",
    {
      about: "what the last pass would change, and what it holds",
      isShared: true,
      answer: (source) => json(200, source.plan()),
    },
  ],
  [
    "/api/status",
    {
      about: "readiness, the leader, and whether the configuration file is in use",
      answer: (source) =>
        source.status === undefined ? text(404, "There is no status here.") : json(200, source.status()),
    },
  ],
  [
    "/api/names",
    { about: "what DNS answers from; ?wait=SECONDS waits until it differs from If-None-Match", answer: names },
  ],
  [
    "/api/usage",
    {
      about: "who asks for which services, by which names",
      isShared: true,
      answer: async (source) =>
        source.usage === undefined ? text(404, "There is no usage here.") : json(200, await source.usage()),
    },
  ],
  ["/", { about: "this list", answer: () => text(200, index()) }],
]);

/** The answer to one request line. Only GET and HEAD are known, and POST to release a brake or prune a registry. */
export async function answerFor(
  method: string | undefined,
  url: string | undefined,
  source: StatusSource,
  details: RequestDetails = {},
): Promise<Reply> {
  const [path = "/", query = ""] = (url ?? "/").replace(/#.*/s, "").split(/\?(.*)/s);
  const asked = askedBy(path);
  if (asked !== undefined) return answerAsk(asked, method, source[asked.ask], details);
  const route = ROUTES.get(path);
  if (route === undefined) return text(404, `There is nothing at this path. ${index()}`);
  if (method !== "GET" && method !== "HEAD")
    return { ...text(405, "Only GET and HEAD are answered."), allow: "GET, HEAD" };
  const refusal = route.isOpen === true ? undefined : await details.refuse?.(path);
  if (refusal !== undefined) return refusal;
  const answer = async () => route.answer(source, new URLSearchParams(query), details);
  return route.isShared !== true || details.shared === undefined ? answer() : details.shared.get(path, answer);
}

async function names(source: StatusSource, query: URLSearchParams, details: RequestDetails): Promise<Reply> {
  if (source.names === undefined) return text(404, "There are no names here.");
  const waitSeconds = Number(query.get("wait") ?? 0);
  if (!Number.isFinite(waitSeconds) || waitSeconds < 0) return text(400, "wait must be a number of seconds.");
  if (details.nonce !== undefined && !isNonce(details.nonce))
    return text(400, `${NONCE_HEADER} must be 32 hexadecimal digits in lower case.`);
  const { ifNoneMatch, acceptEncoding = "", signal = new AbortController().signal, wait = () => () => {} } = details;
  const done = waitSeconds > 0 ? wait() : undefined;
  const endpoints = query.get("endpoints") === "true";
  const proof = { source: source.names, details, endpoints };
  const state = await source.names
    .read(ifNoneMatch, { waitSeconds: done === undefined ? 0 : waitSeconds, signal, endpoints })
    .finally(done);
  if (state === undefined) return text(503, "The names are not known yet.");
  const type = "application/json; charset=utf-8";
  if (state === "unchanged" && waitSeconds > 0 && done === undefined)
    return { ...text(429, "Too many requests of this client wait already."), retryAfterSeconds: 5 };
  if (state === "unchanged")
    return proven(
      { status: 304, type, body: "", ...(ifNoneMatch === undefined ? {} : { etag: ifNoneMatch }) },
      "",
      proof,
    );
  const isSmall = /\bgzip\b/.test(acceptEncoding);
  const body = isSmall ? state.gzip : state.json;
  const reply = { status: 200, type, etag: state.etag, body, ...(isSmall ? { encoding: "gzip" } : {}) };
  return proven(reply, state.digest, proof);
}

/** The reply, with a proof if the client wants one and there is a secret to make it by. */
async function proven(
  reply: Reply,
  digest: string,
  { source, details, endpoints }: { source: PublishedNames; details: RequestDetails; endpoints: boolean },
): Promise<Reply> {
  const { nonce } = details;
  if (nonce === undefined) return reply;
  const [secret] = (await source.secrets()) ?? [];
  if (secret === undefined) return reply;
  const { status, etag = "" } = reply;
  const date = new Date().toUTCString();
  const proof = proveNames(secret, { nonce, status, date, etag, endpoints, digest });
  return { ...reply, headers: { date, [PROOF_HEADER]: proof } };
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
    `  POST ${REPORTS_PATH}, if configured: report the services that you call`,
    "  POST /api/brakes/REGISTRY/release, from the same machine",
    "  POST /api/registries/REGISTRY/prune, from the same machine",
  ];
  return ["X2Istio answers:", ...routes, ...others].join("\n");
}
