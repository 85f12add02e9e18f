import assert from "node:assert/strict";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { indexLines } from "../../../adapters/consul/client/index-lines.ts";
import { until } from "../../until.ts";

/** What takes longer hangs. */
const LIMIT_MS = 20_000;
const ok = (index: number | string, body = "[]") =>
  `HTTP/1.1 200 OK\r\nX-Consul-Index: ${index}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const chunked = (index: number) =>
  `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nx-consul-index: ${index}\r\n\r\n2\r\n[]\r\n1;a=b\r\n \r\n0\r\n\r\n`;

/** A server that answers each request by its number in the path, and what it saw. */
async function serverOf(t: TestContext, answer: (path: string, socket: Socket) => string) {
  const world = { requests: [] as string[], connections: 0, most: 0, open: new Set<Socket>() };
  const server = createServer((socket) => {
    world.connections++;
    world.open.add(socket.on("error", () => {}));
    socket.once("close", () => world.open.delete(socket));
    let rest = "";
    socket.on("data", (piece) => {
      const [...whole] = (rest + piece).split("\r\n\r\n");
      rest = whole.pop() ?? "";
      world.most = Math.max(world.most, whole.length);
      for (const request of whole) {
        world.requests.push(request);
        if (!socket.destroyed) socket.write(answer(request.split(" ")[1] ?? "", socket));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const lines = indexLines({ origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}/base/` }, {});
  t.after(() => {
    lines.close();
    for (const socket of world.open) socket.destroy();
    server.close();
  });
  const ask = (paths: readonly string[], ending = AbortSignal.timeout(LIMIT_MS)) =>
    lines.ask(paths, { query: { tag: "nobody" }, headers: { "x-consul-token": "secret" }, signal: ending });
  return { world, lines, ask };
}

const numberOf = (path: string) => Number(/\d+/.exec(path)?.[0]);
const paths = (count: number) => Array.from({ length: count }, (_, at) => `/v1/${at + 1}`);

test("ask() gives the index of each, in order, over few connections, and sends many questions ahead", async (t) => {
  const { world, ask } = await serverOf(t, (path) =>
    (numberOf(path.slice(8)) % 2 ? ok : chunked)(numberOf(path.slice(8))),
  );
  const want = paths(1000).map((_, at) => at + 1);
  assert.deepEqual(await ask(paths(1000)), want);
  assert.deepEqual(await ask(paths(1000)), want);
  assert.deepEqual(await ask([]), []);
  assert.equal(world.connections, 4, "which are kept");
  assert.ok(world.most > 8 && world.most <= 32, `${world.most} at once`);
  assert.match(
    world.requests[0] ?? "",
    /^GET \/base\/v1\/\d+\?tag=nobody HTTP\/1.1\r\nhost: 127.0.0.1:\d+\r\nx-consul-token: secret$/,
  );
});

test("ask() takes answers in however they are cut", async (t) => {
  const text = ok(7) + chunked(8) + ok(9, "[ ]");
  for (let cut = 1; cut < text.length; cut++) {
    let asked = 0;
    const { lines, ask } = await serverOf(t, (_path, socket) => {
      if (++asked < 3) return "";
      socket.setNoDelay(true).write(text.slice(0, cut));
      setTimeout(() => socket.write(text.slice(cut)), 1);
      return "";
    });
    assert.deepEqual(await ask(paths(3)), [7, 8, 9], `cut after ${cut}`);
    lines.close();
  }
});

for (const [name, index, want] of [
  ["no index", "", 0],
  ["one that is no number", "x", 0],
  ["one below 1", "0", 0],
] as const)
  test(`ask() takes ${name} for 0`, async (t) => {
    const { ask } = await serverOf(t, () => ok(index));
    assert.deepEqual(await ask(paths(1)), [want]);
  });

const broken: readonly { readonly name: string; readonly text: string; readonly why: RegExp }[] = [
  { name: "an error", text: "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", why: /^answered 500$/ },
  { name: "a refusal", text: "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", why: /^answered 403$/ },
  { name: "another protocol", text: "SSH-2.0-OpenSSH\r\n\r\n", why: /is no HTTP/ },
  { name: "a head without end", text: `HTTP/1.1 200 OK\r\nA: ${"b".repeat(20_000)}`, why: /has a head of more than/ },
  { name: "a large body", text: "HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n", why: /is larger than/ },
  { name: "a body of no size", text: "HTTP/1.1 200 OK\r\n\r\n[]", why: /does not say how large/ },
  {
    name: "a chunk without a size",
    text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    why: /has a chunk without a size/,
  },
  {
    name: "chunks without end",
    text:
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${"40000\r\n"}${" ".repeat(0x40000)}\r\n`.repeat(1) +
      `${"40000\r\n"}${" ".repeat(0x40000)}\r\n`.repeat(5),
    why: /is larger than/,
  },
];
for (const { name, text, why } of broken)
  test(`ask() is refused by ${name}, and begins anew`, async (t) => {
    let isBroken = true;
    const { world, ask } = await serverOf(t, () => (isBroken ? text : ok(5)));
    await assert.rejects(ask(paths(3)), (error: Error) => why.test(error.message));
    isBroken = false;
    assert.deepEqual(await ask(paths(2)), [5, 5]);
    await until(() => world.open.size === 1);
  });

test("ask() is refused when the connection is closed, before or in the middle, and goes on with another", async (t) => {
  let left = 3;
  const { ask } = await serverOf(t, (_path, socket) => {
    if (--left === 0) socket.destroy();
    return ok(5);
  });
  await assert.rejects(ask(paths(5)), /the connection was closed|ECONNRESET/);
  assert.deepEqual(await ask(paths(5)), [5, 5, 5, 5, 5]);
});

test("ask() ends when its signal aborts, and when all is closed", async (t) => {
  const { world, lines, ask } = await serverOf(t, () => "");
  const ending = new AbortController();
  const aborted = assert.rejects(ask(paths(2), ending.signal), /enough/);
  await until(() => world.requests.length === 2);
  ending.abort(new Error("enough"));
  await aborted;
  await assert.rejects(ask(paths(2), ending.signal), /enough/);
  const closed = assert.rejects(ask(paths(2)), /the connection was closed/);
  await until(() => world.requests.length === 4);
  lines.close();
  await closed;
  await until(() => world.open.size === 0);
});

test("ask() says when there is nobody to ask", async () => {
  const lines = indexLines({ origin: "http://127.0.0.1:1" }, {});
  await assert.rejects(
    lines.ask(paths(1), { query: {}, headers: {}, signal: AbortSignal.timeout(LIMIT_MS) }),
    /ECONNREFUSED/,
  );
});
