import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { connect, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { connections } from "../../../src/http/limits/connections.ts";
import { publishedNames } from "../../../src/http/names.ts";
import type { StatusSource } from "../../../src/http/routes.ts";
import { type HttpServer, httpServer } from "../../../src/http/server.ts";
import type { NameTable } from "../../../src/model/name-table.ts";
import { securityRow } from "../../security/row.ts";

const never = () => new Promise<never>(() => undefined);
const source: StatusSource = {
  ready: () => ({ ready: true, reasons: [] }),
  services: () => [],
  plan: () => ({}),
  metrics: async () => "",
};
const STRANGER = "127.0.0.9";
const OTHER = "127.0.0.3";

async function serve(t: TestContext, changed: Partial<StatusSource> = {}): Promise<HttpServer> {
  const server = await httpServer({ listen: { address: "127.0.0.1", port: 0 }, source: { ...source, ...changed } });
  t.after(() => server.stop());
  return server;
}

/** A connection that sends this text; it ends with the test. */
async function open(t: TestContext, port: number, from: string, text = ""): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", localAddress: from });
  t.after(() => socket.destroy());
  socket.on("error", () => undefined); // it may be reset
  await once(socket, "connect");
  if (text !== "") socket.write(text);
  return socket;
}

/** Also if it is reset. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once("close", () => resolve()));
}

interface Asked {
  readonly from?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

async function get(port: number, path: string, { from = OTHER, headers = {} }: Asked = {}) {
  const sent = request({ host: "127.0.0.1", port, path, localAddress: from, headers, agent: false }).end();
  const [answer] = await once(sent, "response");
  const body = Buffer.concat(await answer.toArray()).toString();
  return { status: answer.statusCode as number, headers: answer.headers as Record<string, string>, body };
}

const line = (path: string, ...headers: string[]) =>
  `${[`GET ${path} HTTP/1.1`, "host: localhost", ...headers].join("\r\n")}\r\n\r\n`;

/** Names of one state, for ever. */
function oneState() {
  const row = { name: "a.example.org", host: "a.example.org", a: ["240.241.0.7"], aaaa: [], settledAtMs: 0 };
  const table: NameTable = { names: new Map([[row.name, row]]), parents: new Set(), serial: 1 };
  return publishedNames({ table: () => table, wantEndpoints() {}, secretFile: () => undefined });
}

test("1,000 idle connections of one client delay neither a probe nor other clients", async (t) => {
  const { port } = await serve(t);
  for (let opened = 0; opened < 1000; opened += 100)
    await Promise.all(Array.from({ length: 100 }, () => open(t, port, STRANGER)));
  for (const from of ["127.0.0.1", OTHER, STRANGER])
    for (const path of ["/healthz", "/readyz", "/api/services"])
      assert.equal((await get(port, path, { from })).status, 200);
});

test("1,000 requests of one client that wait delay neither a probe nor other clients", async (t) => {
  const { port } = await serve(t, { names: oneState() });
  const { headers } = await get(port, "/api/names");
  const etag = String(headers.etag);
  const mine = get(port, "/api/names?wait=0.2", { headers: { "if-none-match": etag } });
  const poll = line("/api/names?wait=25", `if-none-match: ${etag}`);
  for (let opened = 0; opened < 1000; opened += 100)
    await Promise.all(Array.from({ length: 100 }, () => open(t, port, STRANGER, poll)));
  for (const from of ["127.0.0.1", OTHER, STRANGER])
    for (const path of ["/healthz", "/readyz", "/api/services"])
      assert.equal((await get(port, path, { from })).status, 200);
  assert.equal((await mine).status, 304, "whoever waits goes on waiting");
});

test("of one client so many requests may wait; others it is told to come again", async (t) => {
  const { port } = await serve(t, { names: oneState() });
  const etag = String((await get(port, "/api/names")).headers.etag);
  const headers = { "if-none-match": etag };
  const answered: number[] = [];
  const done = Promise.withResolvers<void>();
  for (let asked = 0; asked < 65; asked++)
    void get(port, "/api/names?wait=25", { headers }).then(
      ({ status }) => {
        answered.push(status);
        done.resolve();
      },
      () => undefined, // ends with the server
    );
  await done.promise;
  assert.deepEqual(answered, [429]);
  const refused = await get(port, "/api/names?wait=25", { headers });
  assert.deepEqual([refused.status, refused.headers["retry-after"]], [429, "5"]);
  assert.equal((await get(port, "/api/names?wait=25")).status, 200, "there is news for whoever has none");
  assert.equal((await get(port, "/api/names?wait=0.01", { headers, from: STRANGER })).status, 304);
});

test("a client with too many connections loses the one that is idle for longest", async (t) => {
  const { port } = await serve(t);
  const [first, second] = [await open(t, port, STRANGER), await open(t, port, STRANGER)];
  const other = await open(t, port, OTHER);
  const gone: string[] = [];
  first.on("close", () => gone.push("first"));
  second.on("close", () => gone.push("second"));
  other.on("close", () => gone.push("other"));
  for (let opened = 2; opened < 128; opened++) await open(t, port, STRANGER);
  assert.deepEqual(gone, []);
  const [ended] = [closed(first), await open(t, port, STRANGER)];
  await ended;
  assert.deepEqual(gone, ["first"]);
});

test(
  securityRow({
    who: "HTTP client",
    attack: "sends thousands of requests ahead of their answers (pipelining)",
    outcome: "its connection ends after 8",
  }),
  async (t) => {
    let asked = 0;
    const { port } = await serve(t, { ready: () => ({ ready: asked++ < 0, reasons: [] }), metrics: never });
    const socket = await open(t, port, STRANGER, line("/metrics") + line("/readyz").repeat(3000));
    await closed(socket);
    assert.ok(asked <= 8, `${asked} of 3,000 were looked at`);
  },
);

test("a few requests ahead of their answers are answered in order", async (t) => {
  const { port } = await serve(t);
  const socket = await open(t, port, OTHER, line("/healthz") + line("/nothing") + line("/readyz", "connection: close"));
  const text = Buffer.concat(await socket.toArray()).toString();
  assert.deepEqual(text.match(/(?<=HTTP\/1\.1 )\d+/g), ["200", "404", "200"]);
});

const smuggled: readonly (readonly [name: string, text: string])[] = [
  ["two lengths", "POST /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nabcd"],
  [
    "a length and a coding",
    "POST /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
  ],
  [
    "a coding that is not the last",
    "POST /healthz HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked, x\r\n\r\n0\r\n\r\n",
  ],
  ["a blank before the colon", "GET /healthz HTTP/1.1\r\nhost : localhost\r\n\r\n"],
  ["a line end that is none", "GET /healthz HTTP/1.1\nhost: localhost\n\n"],
  ["no host", "GET /healthz HTTP/1.1\r\n\r\n"],
  [
    "a body that is the next request",
    `GET /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99\r\n\r\n${line("/readyz")}`,
  ],
];
for (const [name, text] of smuggled)
  test(
    securityRow(
      {
        who: "HTTP client",
        attack: "hides a request in another one (request smuggling)",
        outcome: "one refusal, and the connection ends",
      },
      name,
    ),
    async (t) => {
      const { port } = await serve(t);
      const socket = await open(t, port, OTHER, text + line("/healthz"));
      const answer = Buffer.concat(await socket.toArray()).toString();
      assert.deepEqual(answer.match(/(?<=HTTP\/1\.1 )\d+/g)?.length, 1, answer);
      assert.match(answer, /^HTTP\/1\.1 4(00|13) /);
    },
  );

test(
  securityRow({
    who: "HTTP client",
    attack: "sends the headers or the body of a request one byte at a time, for ever",
    outcome: "408 after 5 s, or 10 s for a body",
  }),
  async (t) => {
    const reports: NonNullable<StatusSource["reports"]> = async (asked) => {
      for await (const _ of asked);
      return { status: 200, type: "text/plain", body: "" };
    };
    const { port } = await serve(t, { reports });
    const head = "POST /api/reports HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    const slow = [await open(t, port, STRANGER, "GET /healthz HTTP/1.1\r\nx-"), await open(t, port, STRANGER, head)];
    const drips = setInterval(() => {
      slow[0]?.write("a");
      slow[1]?.write("1\r\na\r\n");
    }, 100);
    t.after(() => clearInterval(drips));
    const ends = await Promise.all(slow.map(async (socket) => Buffer.concat(await socket.toArray()).toString()));
    for (const end of ends) assert.match(end, /^HTTP\/1\.1 408 /);
  },
);

/** As much of a socket as connections() needs. */
function fakeSocket(address: string, port: number) {
  const listeners: (() => void)[] = [];
  const socket = {
    remoteAddress: address,
    remotePort: port,
    destroyed: false,
    once: (_: "close", listener: () => void) => void listeners.push(listener),
    destroy() {
      socket.destroyed = true;
      for (const listener of listeners.splice(0)) listener();
    },
  };
  return socket as typeof socket & Socket;
}

test("connections() ends one of whoever has most: idle ones first, then the one that is busy for longest", () => {
  const held = connections({ total: 5, perClient: 4 });
  const [a1, a2, a3, b1, b2] = [
    fakeSocket("192.0.2.1", 1),
    fakeSocket("192.0.2.1", 2),
    fakeSocket("192.0.2.1", 3),
    fakeSocket("2001:db8::1", 1),
    fakeSocket("2001:db8::2", 2),
  ] as const;
  const alive = () => [a1, a2, a3, b1, b2].map(({ destroyed }) => (destroyed ? "-" : "+")).join("");
  for (const socket of [a1, a2, a3, b1, b2]) held.add(socket);
  assert.ok(held.ask(a1));
  const answered = held.ask(a2);
  assert.ok(answered);
  answered();
  held.add(fakeSocket("192.0.2.3", 1));
  assert.equal(alive(), "++-++", "a3 is idle for longer than a2");
  held.add(fakeSocket("192.0.2.3", 2));
  assert.equal(alive(), "+--++");
  held.add(fakeSocket("192.0.2.4", 1));
  assert.equal(alive(), "+---+", "the addresses of one IPv6 network are one client's");
});

test("connections() lets a client in that has none, even where all are busy", () => {
  const held = connections({ total: 2, perClient: 2 });
  const [first, second] = [fakeSocket("192.0.2.1", 1), fakeSocket("192.0.2.1", 2)];
  for (const socket of [second, first]) held.add(socket);
  for (const socket of [first, second]) assert.ok(held.ask(socket));
  const probe = fakeSocket("192.0.2.9", 1);
  held.add(probe);
  assert.deepEqual([first.destroyed, second.destroyed, probe.destroyed], [true, false, false]);
  assert.ok(held.ask(probe));
});
