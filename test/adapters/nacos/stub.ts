import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import * as grpc from "@grpc/grpc-js";
import { decodePayload, encodePayload } from "../../../adapters/nacos/client/payload.ts";

/** An instance as Nacos writes it; what is left out is as it usually is. */
export interface StubHost {
  readonly ip: string;
  readonly port?: number;
  readonly weight?: number;
  readonly healthy?: boolean;
  readonly enabled?: boolean;
  readonly clusterName?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

type Fields = Readonly<Record<string, unknown>>;
/** What is answered instead: an object, octets as they are, or "silence". */
type Answer = Fields | Buffer | "silence";
type Special = (body: Fields, headers: Readonly<Record<string, string>>) => Answer | undefined;

/** A Nacos that says what the test wants, for faults and shapes that a real one cannot be made to show. */
export interface Stub {
  /** `http://127.0.0.1:<port>`, of HTTP. */
  readonly address: string;
  /** From that to the port of gRPC. */
  readonly grpcPortOffset: number;
  /** By `group@@name`, in the order in which they are listed. */
  services: Map<string, readonly StubHost[]>;
  /** Further fields of `serviceInfo`, by `group@@name`. */
  info: Record<string, Fields>;
  /** Answers of its own, by type of request. */
  special: Record<string, Special>;
  /** The same of HTTP, by path. */
  http: Record<string, (request: IncomingMessage, response: ServerResponse, body: string) => void>;
  /** Types of requests, with their bodies and headers. */
  readonly asked: {
    readonly type: string;
    readonly body: Fields;
    readonly headers: Readonly<Record<string, string>>;
  }[];
  /** Tell those who have subscribed how a service is now, or something else about it. */
  push(key: string, other?: Fields | Buffer): void;
  /** Send on all streams. */
  send(type: string, body: Fields): void;
  /** Put a service, and push it. */
  set(key: string, hosts: readonly StubHost[]): void;
  /** Answers to what the server asked on streams. */
  readonly answered: { readonly type: string; readonly body: Fields }[];
  /** Connections that were set up. */
  connections(): number;
  /** End all connections, as a server that is restarted does. */
  reset(): void;
  readonly close: () => Promise<void>;
}

interface Client {
  readonly stream: grpc.ServerDuplexStream<Buffer, Buffer>;
  readonly subscribed: Set<string>;
}

const OK = { resultCode: 200, errorCode: 0, success: true };
const asIs = (octets: Buffer) => octets;
const METHOD = { requestSerialize: asIs, requestDeserialize: asIs, responseSerialize: asIs, responseDeserialize: asIs };

/** Start one; its caller closes it. */
export async function startStub(credentials = grpc.ServerCredentials.createInsecure()): Promise<Stub> {
  const clients = new Set<Client>();
  const server = new grpc.Server();
  const web = createServer(async (request, response) => {
    let body = "";
    for await (const piece of request) body += piece;
    const own = stub.http[new URL(request.url ?? "", "http://x").pathname];
    if (own === undefined) response.writeHead(404).end();
    else own(request, response, body);
  });
  const infoOf = (key: string) => {
    const [groupName = "", name = ""] = key.split("@@");
    const hosts = (stub.services.get(key) ?? []).map((host) => ({
      ...{ port: 8080, weight: 1, healthy: true, enabled: true, ephemeral: true, clusterName: "DEFAULT", metadata: {} },
      ...host,
    }));
    return { name, groupName, clusters: "", cacheMillis: 10000, hosts, lastRefTime: ++refTime, ...stub.info[key] };
  };
  let refTime = 1_796_000_000_000;
  let made = 0;
  const stub: Omit<Stub, "address" | "grpcPortOffset" | "close"> = {
    services: new Map(),
    info: {},
    special: {},
    http: {},
    asked: [],
    answered: [],
    connections: () => made,
    push(key, other) {
      for (const { stream, subscribed } of clients) {
        if (!subscribed.has(key)) continue;
        const body = Buffer.isBuffer(other)
          ? other
          : Buffer.from(JSON.stringify({ requestId: "1", serviceInfo: infoOf(key), ...other }));
        stream.write(encodePayload({ type: "NotifySubscriberRequest", body }));
      }
    },
    send(type, body) {
      for (const { stream } of clients) stream.write(encodePayload({ type, body: Buffer.from(JSON.stringify(body)) }));
    },
    set(key, hosts) {
      stub.services.set(key, hosts);
      stub.push(key);
    },
    reset() {
      for (const { stream } of clients) stream.end();
      clients.clear();
    },
  };
  server.addService(
    {
      request: { path: "/Request/request", requestStream: false, responseStream: false, ...METHOD },
      stream: { path: "/BiRequestStream/requestBiStream", requestStream: true, responseStream: true, ...METHOD },
    },
    {
      request(call: grpc.ServerUnaryCall<Buffer, Buffer>, callback: grpc.sendUnaryData<Buffer>) {
        const { type, body: octets } = decodePayload(call.request);
        const body = JSON.parse(Buffer.from(octets).toString()) as Fields;
        const headers = headersOf(call.request);
        stub.asked.push({ type, body, headers });
        const answer = stub.special[type]?.(body, headers) ?? usual(stub, infoOf, clients, type, body);
        if (answer === "silence") return;
        const text = Buffer.isBuffer(answer) ? answer : Buffer.from(JSON.stringify(answer));
        callback(null, encodePayload({ type: type.replace("Request", "Response"), body: text }));
      },
      stream(stream: grpc.ServerDuplexStream<Buffer, Buffer>) {
        const client = { stream, subscribed: new Set<string>() };
        clients.add(client);
        made++;
        stream.on("data", (octets: Buffer) => {
          const { type, body } = decodePayload(octets);
          stub.answered.push({ type, body: JSON.parse(Buffer.from(body).toString()) as Fields });
        });
        stream.on("error", () => undefined);
        for (const event of ["end", "cancelled"]) stream.on(event, () => void (clients.delete(client) && stream.end()));
      },
    },
  );
  await once(web.listen(0, "127.0.0.1"), "listening");
  const { port } = web.address() as AddressInfo;
  const grpcPort = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", credentials, (error, bound) => (error === null ? resolve(bound) : reject(error))),
  );
  return Object.assign(stub, {
    address: `http://127.0.0.1:${port}`,
    grpcPortOffset: grpcPort - port,
    async close() {
      server.forceShutdown();
      web.closeAllConnections();
      web.close();
      await once(web, "close");
    },
  });
}

/** As a good server answers. A stub knows one client at most, so that all share subscriptions. */
function usual(
  stub: Pick<Stub, "services">,
  infoOf: (key: string) => object,
  clients: ReadonlySet<Client>,
  type: string,
  body: Fields,
): Fields {
  const { groupName, serviceName, subscribe } = body;
  const key = `${groupName}@@${serviceName}`;
  if (type === "ServiceListRequest") {
    const names = [...stub.services.keys()].flatMap((one) =>
      one.startsWith(`${groupName}@@`) ? [one.slice(`${groupName}@@`.length)] : [],
    );
    return { ...OK, count: names.length, serviceNames: names };
  }
  if (type === "SubscribeServiceRequest")
    for (const { subscribed } of clients) subscribe === true ? subscribed.add(key) : subscribed.delete(key);
  if (type === "ServerCheckRequest") return { ...OK, connectionId: "1" };
  if (type === "HealthCheckRequest") return OK;
  return { ...OK, serviceInfo: infoOf(key) };
}

/** Headers of a message: only its shape in the tests is known here. */
function headersOf(octets: Buffer): Readonly<Record<string, string>> {
  const text = octets.toString("latin1");
  const found: Record<string, string> = {};
  for (const key of ["accessToken", "ak", "data", "signature"]) {
    const at = text.indexOf(`\n${String.fromCharCode(key.length)}${key}\x12`);
    if (at < 0) continue;
    const start = at + key.length + 3;
    const length = octets[start] ?? 0;
    found[key] = text.slice(start + 1, start + 1 + length);
  }
  return found;
}

/** A stub that goes with the test. */
export async function stubFor(t: TestContext, credentials?: grpc.ServerCredentials): Promise<Stub> {
  const stub = await startStub(credentials);
  t.after(() => stub.close().catch(() => undefined)); // some tests have closed it
  return stub;
}
