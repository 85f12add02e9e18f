import { setTimeout as sleep } from "node:timers/promises";
import type { ChannelCredentials, Client, ClientDuplexStream, ServiceError } from "@grpc/grpc-js";
import { ReadError, type ReadFailure } from "../../../src/errors.ts";
import { shorten } from "../../text.ts";
import { decodePayload, encodePayload, type Payload } from "./payload.ts";
import { type Fields, parseBody } from "./reply.ts";

/** PEM texts, and the name in the server's certificate where it is another. */
export interface GrpcTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly servername?: string;
}

/** What a connection is made with. */
export interface ConnectionOptions {
  /** `host:port` of gRPC. */
  readonly target: string;
  /** Without it nothing is encrypted. */
  readonly tls?: GrpcTls | undefined;
  readonly namespace: string;
  /** Of one request. */
  readonly timeoutMs: number;
  /** Headers of a request, by what it is about. */
  readonly headers: (about: Subject, signal: AbortSignal) => Promise<Readonly<Record<string, string>>>;
  /** The server says by itself how a service is now; `undefined` where that cannot be understood. */
  readonly onPush: (body: Fields | undefined) => void;
  /** Called once: the server, or what lies between, ended it. Not after `close`. */
  readonly onEnd: (why: ReadError) => void;
}

/** Which service a request is about, as far as it is about one. */
export interface Subject {
  readonly group?: string;
  readonly service?: string;
}

/** One connection to one server, on which it pushes. Nacos knows it by its TCP connection. */
export interface Connection {
  /** @throws {ReadError} When it is refused, fails or takes too long; the signal's reason when it aborts. */
  request(type: string, body: object, about: Subject, signal: AbortSignal): Promise<Fields>;
  close(): void;
}

const PATH = { unary: "/Request/request", stream: "/BiRequestStream/requestBiStream" } as const;
/** Nacos' own limit of a message is 10 MiB. One that is larger than this ends the connection, and no service should be able to do that. */
const MOST_BYTES = 64 * 1024 * 1024;
/** Between two looks whether the server knows the connection yet: it is told on the stream, and asked beside it. */
const REGISTER_MS = 10;
/**
 * Between two signs of life, as Nacos' own clients give them. A server that has heard nothing for 20 s asks on the stream, but a race of its
 * own lets it end a connection that has answered (RuntimeConnectionEjector counts the answer down before it takes note of it).
 */
const HEALTH_MS = 5000;
/** com.alibaba.nacos.api.remote.response.ResponseCode and NacosException. */
const UNREGISTERED = 301;
const NO_RIGHT: readonly unknown[] = [401, 403];

const CHANNEL = {
  // Two clients of one process would share a connection, and only one of them gets pushes.
  "grpc.use_local_subchannel_pool": 1,
  "grpc.max_receive_message_length": MOST_BYTES,
  "grpc.enable_http_proxy": 0,
  "grpc.service_config_disable_resolution": 1,
  "grpc.enable_retries": 0,
} as const;

type Stream = ClientDuplexStream<Buffer, Buffer>;
type Grpc = Pick<typeof import("@grpc/grpc-js"), "credentials" | "Client" | "Metadata">;
const asIs = (octets: Buffer) => octets;

/**
 * Connect, and wait until the server knows the connection.
 *
 * @throws {ReadError} When it cannot be made; or the signal's reason when it aborts.
 */
export async function connect(options: ConnectionOptions, signal: AbortSignal): Promise<Connection> {
  // Whoever has no Nacos does not load it: it takes a tenth of a second.
  const grpc: Grpc = await import("@grpc/grpc-js");
  signal.throwIfAborted();
  const { target, tls } = options;
  const named =
    tls?.servername === undefined
      ? {}
      : { "grpc.ssl_target_name_override": tls.servername, "grpc.default_authority": tls.servername };
  const client = new grpc.Client(target, credentialsOf(grpc, tls), { ...CHANNEL, ...named });
  let isClosed = false;
  let stream: Stream | undefined;
  let health: NodeJS.Timeout | undefined;
  function close(): void {
    if (isClosed) return;
    isClosed = true;
    clearInterval(health);
    stream?.cancel();
    client.close();
  }
  function end(why: ReadError): void {
    if (isClosed) return;
    close();
    options.onEnd(why);
  }
  const request = async (type: string, body: object, about: Subject, ended: AbortSignal): Promise<Fields> => {
    const headers = await options.headers(about, ended);
    if (isClosed) throw new ReadError("connection", "the connection is closed");
    return unary(client, grpc, { type, body, headers, timeoutMs: options.timeoutMs }, ended);
  };
  try {
    await request("ServerCheckRequest", {}, {}, signal);
    stream = openStream(client, options, end);
    await registered(request, options.timeoutMs, signal);
  } catch (error) {
    close();
    throw error;
  }
  health = signsOfLife(request, end);
  return { request, close };
}

function signsOfLife(request: Connection["request"], onEnd: (why: ReadError) => void): NodeJS.Timeout {
  let isAsking = false;
  const timer = setInterval(async () => {
    if (isAsking) return;
    isAsking = true;
    try {
      await request("HealthCheckRequest", {}, {}, new AbortController().signal);
    } catch (error) {
      // Whoever answers that we may not, or not now, is alive.
      if (error instanceof ReadError && ["connection", "timeout"].includes(error.failure)) onEnd(error);
    }
    isAsking = false;
  }, HEALTH_MS);
  return timer.unref();
}

function credentialsOf({ credentials }: Grpc, tls: GrpcTls | undefined): ChannelCredentials {
  if (tls === undefined) return credentials.createInsecure();
  const [ca, key, cert] = [tls.ca, tls.key, tls.cert].map((pem) => (pem === undefined ? null : Buffer.from(pem)));
  try {
    return credentials.createSsl(ca, key, cert);
  } catch (cause) {
    throw new ReadError("denied", "Cannot use the files of the option tls", { cause });
  }
}

function openStream(client: Client, options: ConnectionOptions, onEnd: (why: ReadError) => void): Stream {
  const stream: Stream = client.makeBidiStreamRequest(PATH.stream, asIs, asIs);
  const send: Send = (type, body, sent) => {
    if (stream.writable) stream.write(encodePayload({ type, body: Buffer.from(JSON.stringify(body)) }), sent);
  };
  const labels = { source: "sdk", module: "naming", AppName: "x2istio" };
  send("ConnectionSetupRequest", {
    ...{ clientVersion: "Nacos-X2Istio-Client:v2.3.2", tenant: options.namespace, labels, abilityTable: {} },
  });
  stream.on("data", (octets: Buffer) => {
    try {
      taken(decodePayload(octets), options, send, onEnd);
    } catch {
      options.onPush(undefined);
    }
  });
  stream.on("error", (error) => onEnd(failureOf(error as ServiceError)));
  stream.on("end", () => onEnd(new ReadError("connection", "the server ended the connection")));
  return stream;
}

type Send = (type: string, body: object, sent?: () => void) => void;

/** What the server asks on the stream is answered, or else it ends the connection. */
function taken(
  { type, body: octets }: Payload,
  { onPush }: ConnectionOptions,
  send: Send,
  onEnd: (why: ReadError) => void,
): void {
  if (!type.endsWith("Request")) return;
  const body = parseBody(octets);
  if (type === "NotifySubscriberRequest") onPush(body);
  const { requestId } = body;
  const sent = () => {
    if (type === "ConnectResetRequest")
      onEnd(new ReadError("connection", "the server asks its clients to connect to another one"));
  };
  send(type.replace(/Request$/, "Response"), { requestId, resultCode: 200, success: true }, sent);
}

/** The server takes note of a connection a moment after it has been told of it. */
async function registered(request: Connection["request"], timeoutMs: number, signal: AbortSignal): Promise<void> {
  for (const endMs = performance.now() + timeoutMs; ; await sleep(REGISTER_MS, undefined, { signal })) {
    try {
      await request("HealthCheckRequest", {}, {}, signal);
      return;
    } catch (error) {
      if (!(error instanceof UnregisteredError) || performance.now() > endMs) throw error;
    }
  }
}

/** The server does not know the connection: not yet, or no more. */
class UnregisteredError extends ReadError {}

interface Call {
  readonly type: string;
  readonly body: object;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

function unary(client: Client, grpc: Grpc, call: Call, signal: AbortSignal): Promise<Fields> {
  const { type, headers, timeoutMs } = call;
  const { promise, resolve, reject } = Promise.withResolvers<Fields>();
  if (signal.aborted) return Promise.reject(signal.reason as Error);
  const octets = encodePayload({ type, body: Buffer.from(JSON.stringify(call.body)) }, headers);
  const deadline = Date.now() + timeoutMs;
  const running = client.makeUnaryRequest(
    PATH.unary,
    asIs,
    asIs,
    octets,
    new grpc.Metadata(),
    { deadline },
    (error, answer) => {
      signal.removeEventListener("abort", onAbort);
      if (signal.aborted) return reject(signal.reason as Error);
      try {
        if (error !== null) throw failureOf(error, timeoutMs);
        resolve(goodReply(decodePayload(answer ?? Buffer.alloc(0))));
      } catch (cause) {
        const { failure = "answer", message } = cause as Partial<ReadError>;
        const Kind = cause instanceof UnregisteredError ? UnregisteredError : ReadError;
        reject(new Kind(failure, `${type}: ${message}`));
      }
    },
  );
  const onAbort = () => running.cancel();
  signal.addEventListener("abort", onAbort, { once: true });
  return promise;
}

/** Errors come inside good replies, and what then is missing must not be taken for nothing. @throws {ReadError} */
function goodReply({ type, body }: Payload): Fields {
  const fields = parseBody(body);
  const { resultCode, errorCode, success, message } = fields;
  if (type !== "ErrorResponse" && success !== false && resultCode === 200) return fields;
  const code = typeof errorCode === "number" && errorCode !== 0 ? errorCode : resultCode;
  const said = `${shorten(`${code}`, 20)} ${shorten(typeof message === "string" ? message : "")}`.trim();
  if (code === UNREGISTERED) throw new UnregisteredError("connection", said);
  throw new ReadError(NO_RIGHT.includes(code) ? "denied" : "server", said);
}

/** gRPC's codes: 4 DEADLINE_EXCEEDED, 7 PERMISSION_DENIED, 8 RESOURCE_EXHAUSTED, 14 UNAVAILABLE, 16 UNAUTHENTICATED. */
const FAILURES: Readonly<Record<number, ReadFailure>> = {
  4: "timeout",
  7: "denied",
  8: "answer",
  14: "connection",
  16: "denied",
};

function failureOf({ code, details, message }: ServiceError, timeoutMs?: number): ReadError {
  if (code === 4 && timeoutMs !== undefined) return new ReadError("timeout", `was not complete within ${timeoutMs} ms`);
  return new ReadError(FAILURES[code] ?? "connection", shorten(details || message, 300));
}
