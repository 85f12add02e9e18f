import type { IncomingMessage } from "node:http";
import { CLIENT_PATHS } from "./client-api.ts";
import { infoOf, type Json, wireText } from "./forms.ts";
import type { Answer } from "./serve.ts";

const TEXT = { "Content-Type": "text/plain; charset=utf-8" };

/** An answer in plain text, which is what the server calls its JSON too. */
export function plain(status: number, body: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, headers: { ...headers, ...TEXT }, body };
}

/** A body as the server sends it: the status and two headers follow from its code. The request's id goes back. */
export function answerOf(body: Json, requestId = ""): Answer {
  const code = Number(body["code"]);
  const reason = { "X-Polaris-Code": String(code), "X-Polaris-Message": infoOf(code) };
  return plain(Math.trunc(code / 1000), wireText(body), {
    "Request-Id": requestId,
    ...(code === 200000 ? {} : reason),
  });
}

/** What the server says before it looks into a request, if it says something. */
export function unrouted({ method, headers }: IncomingMessage, path: string): Answer | undefined {
  if (path === "/") return plain(200, "Polaris Server");
  if (!CLIENT_PATHS.includes(path)) return undefined;
  if (method !== "POST") return plain(405, "405: Method Not Allowed", { Allow: "POST" });
  if (!/^application\/json\b/i.test(headers["content-type"] ?? "")) return plain(415, "415: Unsupported Media Type");
  if (/\*\/\*|application\/(?:json|\*)/.test(headers.accept ?? "*/*")) return undefined;
  return plain(406, "406: Not Acceptable\n\nAvailable representations: application/json");
}
