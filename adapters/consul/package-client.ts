import { lookup } from "node:dns";
import { EventEmitter } from "node:events";
import { Agent, type IncomingMessage } from "node:http";
import { Agent as TlsAgent } from "node:https";
import type { LookupFunction } from "node:net";
import { Writable } from "node:stream";
import Consul from "consul";
import type { Credentials } from "./secrets.ts";
import {
  type BodyParts,
  bodyParts,
  type Place,
  type RawAnswer,
  type RawRequest,
  type Transport,
  truncated,
} from "./transport.ts";

/** What the package's client inherits from papi and its types leave out. */
interface PapiClient {
  _get(
    request: {
      readonly path: string;
      readonly headers: Readonly<Record<string, string>>;
      readonly ctx: EventEmitter;
      readonly pipe: () => Writable;
    },
    after: (request: { readonly err?: Error; readonly res?: IncomingMessage }, next: Next) => void,
  ): Promise<IncomingMessage>;
}
type Next = (stop: false, error: Error | undefined, value?: IncomingMessage) => void;

/** The `consul` package, for reads over HTTP/1.1: a connection for each of at most `maxConnections` in flight. */
export function packageClient(place: Place, tls: Credentials["tls"], maxConnections: number): Transport {
  const connections = { keepAlive: true, maxSockets: maxConnections };
  const agent = place.origin.startsWith("https:") ? new TlsAgent({ ...tls, ...connections }) : new Agent(connections);
  const { socketPath } = place;
  const options = { baseUrl: `${place.origin}/v1`, socketPath, lookup: lookupUnbracketed, agent };
  const client = new Consul(options as ConstructorParameters<typeof Consul>[0]) as unknown as PapiClient;

  async function get({ path, headers, maxBytes, signal }: RawRequest): Promise<RawAnswer> {
    signal.throwIfAborted();
    const ctx = new EventEmitter();
    const parts = bodyParts(maxBytes);
    let failure: unknown;
    const stop = (why: unknown) => {
      failure ??= why;
      ctx.emit("cancel");
    };
    const onAbort = () => stop(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      const request = { path: path.replace(/^\/v1/, ""), headers, ctx, pipe: () => sink(parts, stop) };
      // An error status is an answer: papi's own error of it would lack the text.
      const response = await client._get(request, ({ err, res }, next) =>
        next(false, res === undefined ? err : undefined, res),
      );
      if (failure !== undefined) throw failure;
      const body = parts.whole(response.headers["content-length"]);
      return { status: response.statusCode ?? 0, headers: response.headers, body };
    } catch (error) {
      throw failure ?? error;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  return { get, close: () => agent.destroy() };
}

/** Takes the body in: papi alone would take any size, and wait for ever where an answer breaks off. */
function sink(parts: BodyParts, stop: (why: unknown) => void): Writable {
  const writable = new Writable({
    write(chunk: Buffer, _encoding, done) {
      try {
        parts.add(chunk);
      } catch (error) {
        stop(error);
      }
      done();
    },
  });
  return writable.once("pipe", (source: IncomingMessage) => source.once("error", (cause) => stop(truncated(cause))));
}

/** papi keeps the brackets of an IPv6 address, which no resolver knows. */
const lookupUnbracketed: LookupFunction = (host, options, done) =>
  lookup(host.replace(/^\[(.*)\]$/, "$1"), options, done);
