import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import type { Access } from "./access.ts";
import { CONFIRM_HEADER } from "./asks.ts";
import { clientOf, isForwarded, isThisMachine } from "./limits/clients.ts";
import type { PerClient } from "./limits/per-client.ts";
import type { SharedReplies } from "./limits/shared-replies.ts";
import { NONCE_HEADER } from "./names-proof.ts";
import { type Reply, text } from "./reply.ts";
import { REPORTS_PATH } from "./reports.ts";
import type { RequestDetails } from "./request-details.ts";
import { answerFor, type StatusSource } from "./routes.ts";

/** What requests are answered with. */
export interface Handling {
  readonly source: StatusSource;
  /** Whether the server listens on a loopback address only. */
  readonly isLoopback: boolean;
  /** Who may read from elsewhere; undefined: everyone. */
  readonly access: Access | undefined;
  readonly shared: SharedReplies;
  /** Places for requests that wait. */
  readonly waiting: PerClient;
  readonly onError: ((error: unknown) => void) | undefined;
}

const OTHER_HOST = text(403, "On a loopback address only requests to localhost or to an IP address are answered.");

/** The answer to a request. Never rejects. */
export async function handle(request: IncomingMessage, handling: Handling, signal: AbortSignal): Promise<Reply> {
  const { source, onError } = handling;
  const { host, "transfer-encoding": coding, "content-length": length = "0" } = request.headers;
  if (handling.isLoopback && !isLocalHost(host)) return OTHER_HOST;
  try {
    if (source.reports !== undefined && (request.url ?? "").replace(/[?#].*/s, "") === REPORTS_PATH)
      return await source.reports(request, signal);
    if (coding !== undefined || Number(length) !== 0) return text(413, "A request with a body is not answered.");
    return await answerFor(request.method, request.url, source, detailsOf(request, handling, signal));
  } catch (error) {
    // A client that goes in the middle of its request is no failure of ours.
    if (!request.socket.destroyed) onError?.(error);
    return text(500, "The request could not be answered; the log says why.");
  }
}

function detailsOf(request: IncomingMessage, handling: Handling, signal: AbortSignal): RequestDetails {
  const { headers, socket } = request;
  const { access, shared, waiting } = handling;
  const client = clientOf(socket.remoteAddress);
  const isNear = isThisMachine(socket.remoteAddress);
  const isToUs = isLocalHost(headers.host);
  const isLocal = isNear && isToUs && !isForwarded(headers);
  return {
    ifNoneMatch: headers["if-none-match"],
    acceptEncoding: joined(headers["accept-encoding"]),
    nonce: joined(headers[NONCE_HEADER]),
    confirm: joined(headers[CONFIRM_HEADER]),
    ...{ signal, shared, isLocal },
    wait: () => waiting.take(client),
    async refuse(path) {
      if (access !== undefined && !isLocal) return access({ path, client, authorization: headers.authorization });
      // A browser comes from this machine also where all addresses are listened on, and by a port forward.
      return isNear && !isToUs ? OTHER_HOST : undefined;
    },
  };
}

function joined(header: string | readonly string[] | undefined): string | undefined {
  return typeof header === "object" ? header.join() : header;
}

/** A page elsewhere can point a name of its own at 127.0.0.1 and read us through a browser (DNS rebinding); it cannot choose the Host. */
function isLocalHost(host: string | undefined): boolean {
  if (host === undefined) return true; // HTTP/1.0: no browser
  const name = host
    .replace(/:\d+$/, "")
    .replace(/^\[(.*)\]$/, "$1")
    .toLowerCase();
  return name === "localhost" || isIP(name) !== 0;
}
