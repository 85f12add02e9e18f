import { Pool } from "undici";
import { packageClient } from "./package-client.ts";
import type { Credentials } from "./secrets.ts";
import { bodyParts, type Place, type RawAnswer, type RawRequest, type Transport, truncated } from "./transport.ts";

/** Reads at once; more wait for a connection. */
const READ_CONNECTIONS = 24;

/**
 * HTTP/1.1 over TCP, TLS or a unix socket: a connection for every request in flight.
 *
 * Lists and services are read by the `consul` package. Looks at an index and blocking queries go by undici: of 500 looks each took
 * 0.05 ms of this process's time instead of 0.2 ms.
 */
export function http1(place: Place, tls: Credentials["tls"], maxWatches: number): Transport {
  const transports = {
    read: packageClient(place, tls, READ_CONNECTIONS),
    probe: undiciClient(place, tls, READ_CONNECTIONS),
    watch: undiciClient(place, tls, maxWatches),
  };
  return {
    get: (request) => transports[request.use].get(request),
    close() {
      for (const transport of Object.values(transports)) transport.close();
    },
  };
}

function undiciClient({ origin, socketPath }: Place, tls: Credentials["tls"], connections: number): Transport {
  const base = new URL(origin).pathname.replace(/\/$/, "");
  const pool = new Pool(new URL(origin).origin, {
    connections,
    allowH2: false,
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: { ...tls, ...(socketPath === undefined ? {} : { socketPath }) },
  });
  return {
    async get({ path, headers, maxBytes, signal }: RawRequest): Promise<RawAnswer> {
      const answer = await pool.request({ method: "GET", path: `${base}${path}`, headers: { ...headers }, signal });
      const parts = bodyParts(maxBytes);
      try {
        for await (const chunk of answer.body) parts.add(chunk);
        return {
          status: answer.statusCode,
          headers: answer.headers,
          body: parts.whole(answer.headers["content-length"]),
        };
      } catch (cause) {
        signal.throwIfAborted();
        const { code } = cause as NodeJS.ErrnoException;
        throw code?.startsWith("UND_ERR") === true ? truncated(cause) : cause;
      }
    },
    close: () => void pool.destroy(),
  };
}
