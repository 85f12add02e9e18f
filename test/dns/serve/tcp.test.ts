import assert from "node:assert/strict";
import { test } from "node:test";
import { frame, frameReader } from "../../../src/dns/wire/tcp-frame.ts";
import { ask, openTcp, orders, startServer, startUpstream, upstreamAnswer } from "../sockets.ts";
import { decode, query, table } from "../wire.ts";

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test("frameReader() cuts messages wherever the stream is cut (RFC 1035 §4.2.2)", () => {
  const stream = Buffer.concat([frame(Buffer.from("one")), frame(Buffer.alloc(0)), frame(Buffer.from("three"))]);
  for (let size = 1; size <= stream.length; size++) {
    const read = frameReader(100);
    const messages: string[] = [];
    for (let at = 0; at < stream.length; at += size)
      messages.push(...(read(stream.subarray(at, at + size)) ?? []).map(String));
    assert.deepEqual(messages, ["one", "", "three"], `in pieces of ${size}`);
  }
});

test("frameReader() gives up on a message over its limit", () => {
  assert.equal(frameReader(10)(Buffer.from([0, 11])), undefined);
});

test("TCP answers pipelined queries (RFC 7766 §6.2.1.1)", async (t) => {
  const { at } = await startServer(t);
  const client = await openTcp(at);
  client.send(...Array.from({ length: 300 }, (_, id) => orders({ id })));
  const answers = await client.take(300);
  assert.deepEqual(
    answers.map((answer) => decode(answer).id).toSorted((a, b) => a - b),
    Array.from({ length: 300 }, (_, id) => id),
  );
  client.socket.destroy();
});

test("TCP does not let a slow answer hold up the others (RFC 7766 §7)", async (t) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const upstream = await startUpstream(t, async (packet) => {
    await promise;
    return [upstreamAnswer(packet)];
  });
  const { at } = await startServer(t, { forward: [upstream], limits: { upstreamTimeoutMs: 30_000 } });
  const client = await openTcp(at);
  client.send(query("example.org", { id: 1 }), orders({ id: 2 }));
  const ids = async () => (await client.take(1)).map((answer) => decode(answer).id);
  assert.deepEqual(await ids(), [2]);
  resolve();
  assert.deepEqual(await ids(), [1]);
  client.socket.destroy();
});

test("TCP answers more slow queries than it keeps pending, one after the other", async (t) => {
  const upstream = await startUpstream(t, async (packet) => {
    await sleep(50);
    return [upstreamAnswer(packet)];
  });
  const { at } = await startServer(t, { forward: [upstream] });
  const client = await openTcp(at, { allowHalfOpen: true });
  client.send(...Array.from({ length: 150 }, (_, id) => query("example.org", { id })));
  client.socket.end();
  const answers = await client.take(150);
  assert.equal(new Set(answers.map((answer) => decode(answer).id)).size, 150);
  await client.closed();
});

test("TCP answers a client that has ended its side", async (t) => {
  const rows = table({ "new.mesh.internal": { a: ["240.241.0.9"], settledAtMs: Date.now() + 200 } });
  const { at } = await startServer(t, { table: () => rows });
  const client = await openTcp(at, { allowHalfOpen: true });
  client.socket.end(frame(query("new.mesh.internal")));
  assert.equal((await client.take(1)).length, 1);
  client.socket.end();
  await client.closed();
});

test("TCP answers a query that comes octet by octet", async (t) => {
  const { at } = await startServer(t);
  const client = await openTcp(at);
  for (const octet of frame(orders())) {
    client.socket.write(Buffer.from([octet]));
    await sleep(1);
  }
  assert.equal((await client.take(1)).length, 1);
  client.socket.destroy();
});

test("TCP closes an idle connection (RFC 7766 §6.2.3)", async (t) => {
  const { at } = await startServer(t, { limits: { idleMs: 300 } });
  const client = await openTcp(at);
  const started = performance.now();
  client.send(orders());
  await client.take(1);
  await client.closed();
  const took = performance.now() - started;
  assert.ok(took > 290, `${took} ms`);
});

test("TCP closes on a slow sender, though its octets keep coming (RFC 7766 §6.2.3)", async (t) => {
  const { at } = await startServer(t, { limits: { idleMs: 300 } });
  const client = await openTcp(at);
  const drip = setInterval(() => client.socket.write(Buffer.from([0])), 50);
  t.after(() => clearInterval(drip));
  client.socket.write(Buffer.from([2, 0]));
  await client.closed();
});

test("TCP closes on a client that does not read its answers", async (t) => {
  const rows = table({ "big.mesh.internal": { a: Array.from({ length: 250 }, (_, n) => `240.241.0.${n}`) } });
  const { at, events } = await startServer(t, { table: () => rows, limits: { idleMs: 300 } });
  const client = await openTcp(at);
  client.socket.pause();
  const sent = 6000;
  for (let id = 0; id < sent; id++) client.send(query("big.mesh.internal", { id }));
  // Until it has come to rest. On a machine that pauses so long by itself fewer are counted, which asks for less.
  let answered = -1;
  while (events.length !== answered) {
    answered = events.length;
    await sleep(500);
  }
  assert.ok(answered < sent, `${answered} answers are waiting in memory`);
  client.socket.resume();
  await client.closed();
});

test("TCP keeps a connection open while an answer is under way", async (t) => {
  const upstream = await startUpstream(t, async (packet) => {
    await sleep(700); // longer than a connection may be idle
    return [upstreamAnswer(packet)];
  });
  const { at } = await startServer(t, { forward: [upstream], limits: { idleMs: 200 } });
  const client = await openTcp(at);
  client.send(query("example.org"));
  assert.equal((await client.take(1)).length, 1);
  client.socket.destroy();
});

const wrong: readonly (readonly [title: string, octets: Buffer])[] = [
  ["a message longer than any query", Buffer.from([0xff, 0xff, 0])],
  ["an empty message", Buffer.from([0, 0])],
  ["a message shorter than a header", frame(Buffer.alloc(11))],
  ["HTTP", Buffer.from("GET / HTTP/1.1\r\nHost: dns.example.org\r\n\r\n")],
];

for (const [title, octets] of wrong) {
  test(`TCP closes on ${title}`, async (t) => {
    const { at } = await startServer(t);
    const client = await openTcp(at);
    client.socket.write(octets);
    await client.closed();
    assert.equal(decode(await ask(at, orders())).rcode, 0);
  });
}

for (const limits of [{ maxConnectionsPerClient: 3 }, { maxConnections: 3 }])
  test(`TCP closes the connection that was idle longest for one too many: ${JSON.stringify(limits)}`, async (t) => {
    const { at } = await startServer(t, { limits });
    const clients = [await openTcp(at), await openTcp(at), await openTcp(at)];
    for (const client of [...clients, clients[0]]) {
      client?.send(orders());
      assert.equal((await client?.take(1))?.length, 1);
    }
    const next = await openTcp(at);
    next.send(orders());
    assert.equal((await next.take(1)).length, 1);
    await clients[1]?.closed();
    assert.deepEqual(
      clients.map((client) => client.isClosed()),
      [false, true, false],
    );
    for (const client of [...clients, next]) client.socket.destroy();
  });
