import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import { gzipSync } from "node:zlib";

/** What a server sends instead of an answer. */
export type Rubbish = keyof typeof RUBBISH;

const MB = 1_000_000;

/** Send one text again and again until there are so many octets, or the client has gone. */
function repeated(response: ServerResponse, unit: string, bytes: number, first = "", last = ""): void {
  const chunk = Buffer.from(unit.repeat(Math.ceil(65_536 / unit.length))); // whole units
  let sent = 0;
  const more = () => {
    if (response.destroyed) return;
    if (sent >= bytes) return void response.end(last);
    sent += chunk.length;
    response.write(chunk, more);
  };
  response.write(first, more);
}

/** Chunks of one octet, many of them at once: what matters is what the client makes of them. */
function octets(response: ServerResponse, bytes: number): void {
  const { socket } = response;
  if (socket === null) return;
  const head = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Consul-Index: 7\r\nTransfer-Encoding: chunked\r\n\r\n`;
  const chunk = Buffer.from("1\r\n \r\n".repeat(10_000));
  let sent = 0;
  const more = () => {
    if (socket.destroyed) return;
    if (sent >= bytes) return void socket.end("0\r\n\r\n");
    sent += 10_000;
    socket.write(chunk, more);
  };
  socket.write(head, more);
}

function drip(response: ServerResponse): void {
  response.write("[");
  const timer = setInterval(() => response.write(" "), 5);
  response.on("close", () => clearInterval(timer));
}

function bomb(response: ServerResponse): void {
  response.writeHead(200, { "content-type": "application/json", "content-encoding": "gzip", "x-consul-index": "7" });
  response.end(BOMB);
}

/** 200 MB of blanks in 200 KB. */
const BOMB = gzipSync(Buffer.alloc(200 * MB, " "));

const RUBBISH = {
  "30 MB of [": (response: ServerResponse) => repeated(response, "[", 30 * MB),
  "120 MB of empty items": (response: ServerResponse) => repeated(response, "{},", 120 * MB, "["),
  "120 MB of empty items in a list of services": (response: ServerResponse) =>
    repeated(response, "{},", 120 * MB, '{"code":200000,"type":"SERVICES","services":['),
  "120 MB of one text": (response: ServerResponse) => repeated(response, "a", 120 * MB, '["'),
  "60 MB of one text, well-formed": (response: ServerResponse) => repeated(response, "a", 60 * MB, '["', '"]'),
  "5 MB of empty items, well-formed": (response: ServerResponse) => repeated(response, "{},", 5 * MB, "[", "{}]"),
  "30 MB in chunks of one octet": (response: ServerResponse) => octets(response, 30 * MB),
  "octets that drip": drip,
  "200 MB, compressed": bomb,
};

/** All kinds. */
export const RUBBISH_KINDS = Object.keys(RUBBISH) as readonly Rubbish[];

/** A server that answers as `good` does, or sends rubbish. */
export interface RubbishServer {
  readonly address: string;
  /** What is asked for with a path that `paths` matches is answered with rubbish from now on. */
  send(rubbish: Rubbish | undefined, paths?: RegExp): void;
  /** Answers with rubbish so far. */
  sent(): number;
}

/** Start a server that goes with the test. */
export async function startRubbishServer(
  t: TestContext,
  good: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<RubbishServer> {
  let now: Rubbish | undefined;
  let where = /./;
  let sent = 0;
  const server: Server = createServer((request, response) => {
    if (now === undefined || !where.test(request.url ?? "")) return good(request, response);
    sent++;
    response.setHeader("x-consul-index", "7");
    RUBBISH[now](response);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    send(rubbish, paths = /./) {
      now = rubbish;
      where = paths;
    },
    sent: () => sent,
  };
}
