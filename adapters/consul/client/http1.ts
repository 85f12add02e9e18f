import { type Dispatcher, Pool } from "undici";
import type { Credentials } from "../../credentials.ts";
import { indexLines } from "./index-lines.ts";
import { basePath, type Head, type Place, type RawRequest, type Transport, targetOf, truncated } from "./transport.ts";

/** Reads at once; more wait for a connection. */
const READ_CONNECTIONS = 24;

/** HTTP/1.1 over TCP, TLS or a unix socket: a connection for every request in flight, kept for the next one. */
export function http1(place: Place, tls: Credentials["tls"], maxWatches: number): Transport {
  const pools = {
    read: pool(place, tls, READ_CONNECTIONS),
    watch: pool(place, tls, maxWatches),
  };
  const indexes = indexLines(place, tls);
  const base = basePath(place.origin);
  return {
    get(request) {
      const { promise, resolve, reject } = Promise.withResolvers<Head>();
      // Without a stream for each body, which would cost as much again as the request.
      pools[request.use].dispatch(
        { method: "GET", path: targetOf(request, base), headers: request.headers },
        gathering(request, { resolve, reject }),
      );
      return promise;
    },
    indexes: indexes.ask,
    close() {
      for (const one of Object.values(pools)) void one.destroy();
      indexes.close();
    },
  };
}

function pool({ origin, socketPath }: Place, tls: Credentials["tls"], connections: number): Pool {
  return new Pool(new URL(origin).origin, {
    connections,
    allowH2: false,
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: { ...tls, ...(socketPath === undefined ? {} : { socketPath }) },
  });
}

interface Outcome {
  readonly resolve: (head: Head) => void;
  readonly reject: (cause: unknown) => void;
}

/** Takes one answer in, piece by piece as undici gives it. */
function gathering({ body, signal }: RawRequest, { resolve, reject }: Outcome): Dispatcher.DispatchHandler {
  let head: Head | undefined;
  let begun: Dispatcher.DispatchController | undefined;
  // Also one that still waits for its connection is given up at once.
  const stop = (cause: unknown) => {
    reject(cause);
    begun?.abort(cause as Error);
  };
  const onAbort = () => stop(signal.reason);
  const attempt = (action: () => void) => {
    try {
      action();
    } catch (cause) {
      stop(cause);
    }
  };
  signal.addEventListener("abort", onAbort, { once: true });
  return {
    onRequestStart(controller) {
      begun = controller;
      if (signal.aborted) onAbort();
    },
    onResponseStart(_, status, headers) {
      head = { status, headers };
      attempt(() => body.begin(status, headers));
    },
    onResponseData: (_, chunk) => attempt(() => body.add(chunk)),
    onResponseEnd() {
      signal.removeEventListener("abort", onAbort);
      if (head === undefined) reject(truncated());
      else resolve(head);
    },
    onResponseError(_, cause: NodeJS.ErrnoException) {
      signal.removeEventListener("abort", onAbort);
      const isCut = head !== undefined && `${cause.code}`.startsWith("UND_ERR"); // of a DOMException a number
      reject(isCut ? truncated(cause) : cause);
    },
  };
}
