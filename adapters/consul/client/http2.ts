import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import type { TLSSocket } from "node:tls";
import type { Credentials } from "../../credentials.ts";
import { linePool } from "./line-pool.ts";
import { basePath, type Head, type RawRequest, type Transport, targetOf, truncated } from "./transport.ts";

/** HTTP/2 over TLS: many requests on few connections, reads apart from blocking queries. */
export function http2(origin: string, tls: Credentials["tls"], first: TLSSocket): Transport {
  const pools = { read: linePool(origin, tls, first), watch: linePool(origin, tls) };
  const base = basePath(origin);
  return {
    async get(request) {
      const pool = request.use === "watch" ? pools.watch : pools.read;
      const line = await pool.take(request.signal);
      try {
        return await exchange(line.session, base, request);
      } finally {
        pool.release(line);
      }
    },
    close() {
      pools.read.close();
      pools.watch.close();
    },
  };
}

async function exchange(session: ClientHttp2Session, base: string, request: RawRequest): Promise<Head> {
  const { signal, headers, body } = request;
  const head = { ":method": "GET", ":path": targetOf(request, base), ...headers };
  const stream: ClientHttp2Stream = session.request(head);
  const { promise, resolve, reject } = Promise.withResolvers<Head>();
  let answer: Head | undefined;
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  stream.on("response", (head) => {
    const begun = { status: Number(head[":status"]), headers: head };
    answer = begun;
    attempt(() => body.begin(begun.status, begun.headers), reject);
  });
  stream.on("data", (chunk: Buffer) => attempt(() => body.add(chunk), reject));
  stream.on("end", () => {
    if (answer === undefined || stream.rstCode !== 0) reject(truncated());
    else resolve(answer);
  });
  stream.on("error", (cause) => reject(answer === undefined ? cause : truncated(cause)));
  stream.on("close", () => reject(answer === undefined ? new Error("the connection was closed") : truncated()));
  try {
    signal.throwIfAborted();
    return await promise;
  } finally {
    signal.removeEventListener("abort", onAbort);
    if (!stream.closed) stream.close();
  }
}

function attempt(action: () => void, reject: (error: unknown) => void): void {
  try {
    action();
  } catch (error) {
    reject(error);
  }
}
