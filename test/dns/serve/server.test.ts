import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { type TestContext, test } from "node:test";
import type { DnsServerOptions } from "../../../src/dns/serve/options.ts";
import { dnsServer } from "../../../src/dns/serve/server.ts";
import { createLog } from "../../../src/log.ts";
import { fakeTimers } from "../../async/fake-timers.ts";
import { securityRow } from "../../security/row.ts";
import { until } from "../../until.ts";
import { ask, askUdp, openTcp, orders, silent, startServer, startUpstream } from "../sockets.ts";
import { addresses, decode, opt, query, table } from "../wire.ts";

const withoutIPv6 = !Object.values(networkInterfaces()).some((addresses) =>
  addresses?.some(({ address }) => address === "::1"),
);
const skip = withoutIPv6 && "this machine has no IPv6";

test("dnsServer() answers by UDP and TCP on one port (RFC 7766 §5)", async (t) => {
  const { at, events } = await startServer(t);
  assert.deepEqual(addresses(await ask(at, orders())), ["240.241.0.7"]);
  const client = await openTcp(at);
  client.send(orders({ id: 9 }));
  assert.deepEqual(addresses((await client.take(1))[0] as Buffer), ["240.241.0.7"]);
  client.socket.destroy();
  assert.deepEqual(events, [
    { transport: "udp", rcode: "NOERROR", type: "A", source: "table", view: "mesh" },
    { transport: "tcp", rcode: "NOERROR", type: "A", source: "table", view: "mesh" },
  ]);
});

test("dnsServer() keeps the question's case (0x20)", async (t) => {
  const { at } = await startServer(t);
  const decoded = decode(await ask(at, query("oRDErs.mesh.INTERNAL")));
  assert.deepEqual(
    [decoded.questions[0]?.name, decoded.answers[0]?.name],
    ["oRDErs.mesh.INTERNAL", "oRDErs.mesh.INTERNAL"],
  );
});

test("dnsServer() gives AA for its own data and RA only with upstreams (RFC 1035 §4.1.1)", async (t) => {
  const alone = decode(await ask((await startServer(t)).at, orders()));
  assert.deepEqual([alone.aa, alone.ra], [true, false]);
  const zones = [
    { name: "mesh.internal", forward: [] },
    { name: "consul", forward: [{ address: "192.0.2.2", port: 53 }] },
  ];
  assert.equal(decode(await ask((await startServer(t, { zones })).at, orders())).ra, true);
});

test("dnsServer() tells NODATA from NXDOMAIN, both with SOA and 5 s (RFC 2308 §2, §5)", async (t) => {
  const { at } = await startServer(t);
  for (const [packet, rcode] of [
    [orders({ type: 28 }), 0],
    [query("nope.mesh.internal"), 3],
  ] as const) {
    const decoded = decode(await ask(at, packet));
    const [soa] = decoded.authority;
    assert.deepEqual(
      [decoded.rcode, decoded.aa, decoded.answers.length, decoded.authority.length],
      [rcode, true, 0, 1],
    );
    assert.deepEqual(
      [soa?.name, soa?.type, soa?.ttl, soa?.data.readUInt32BE(soa.data.length - 4)],
      ["mesh.internal", 6, 5, 5],
    );
  }
});

test("dnsServer() gives BADVERS for EDNS version 1 (RFC 6891 §6.1.3)", async (t) => {
  const { at, events } = await startServer(t);
  const decoded = decode(await ask(at, orders({ records: [opt({ version: 1 })] })));
  assert.deepEqual([decoded.rcode, decoded.additional[0]?.ttl, decoded.answers.length], [0, 0x01000000, 0]);
  assert.deepEqual(events, [{ transport: "udp", rcode: "BADVERS", type: "A", source: "refused", view: "mesh" }]);
});

test("dnsServer() gives SERVFAIL as long as no names are known", async (t) => {
  const { at } = await startServer(t, { table: () => undefined });
  assert.equal(decode(await ask(at, orders())).rcode, 2);
});

test("dnsServer() does not answer answers, nor what has no header", async (t) => {
  const { at } = await startServer(t);
  const answers = await askUdp(at, [orders({ flags: 0x8180 }), Buffer.alloc(0), Buffer.alloc(11), orders({ id: 3 })], {
    count: 1, // an answer to one of the others would come first
  });
  assert.deepEqual(
    answers.map((answer) => decode(answer).id),
    [3],
  );
});

test("dnsServer() gives SERVFAIL, counts and logs when answering throws", async (t) => {
  const thrown: unknown[] = [];
  const logged: string[] = [];
  const counted: string[] = [];
  const { at } = await startServer(t, {
    table: () => table({ "orders.mesh.internal": { a: ["not an address"] } }),
    hooks: { onException: (error) => thrown.push(error), onAnswer: ({ rcode }) => counted.push(rcode) },
    log: { warn: (_, message) => logged.push(message) },
  });
  for (let n = 0; n < 5; n++) {
    const decoded = decode(await ask(at, orders({ records: [opt()] })));
    assert.deepEqual(
      [decoded.rcode, decoded.questions.length, decoded.answers.length, decoded.additional.length],
      [2, 1, 0, 1],
    );
  }
  assert.equal(thrown.length, 5);
  assert.deepEqual(counted, Array(5).fill("SERVFAIL"));
  assert.deepEqual(logged, ["cannot answer a query"]);
});

test("dnsServer() gives SERVFAIL when the names cannot be read", async (t) => {
  const { at } = await startServer(t, {
    table: () => {
      throw new Error("broken");
    },
  });
  assert.equal(decode(await ask(at, orders())).rcode, 2);
});

const outside = { allow: ["192.0.2.0/24"] };

test(
  securityRow({
    who: "DNS client",
    attack: "asks from outside of dns.allow",
    outcome: "REFUSED without records (RFC 1035 §4.1.1)",
  }),
  async (t) => {
    const { at, events } = await startServer(t, outside);
    const decoded = decode(await ask(at, orders()));
    assert.deepEqual(
      [decoded.rcode, decoded.aa, decoded.answers.length, decoded.authority.length, decoded.additional.length],
      [5, false, 0, 0, 0],
    );
    assert.deepEqual(events, [{ transport: "udp", rcode: "REFUSED", type: "A", source: "refused", view: "mesh" }]);
  },
);

test("dnsServer() refuses them by TCP and closes", async (t) => {
  const { at } = await startServer(t, outside);
  const client = await openTcp(at);
  client.send(orders(), orders({ id: 2 }));
  await client.closed();
  assert.deepEqual(
    client.answers.map((answer) => [decode(answer).rcode, decode(answer).answers.length]),
    [[5, 0]],
  );
});

test(
  securityRow({
    who: "DNS client",
    attack: "opens many TCP connections from outside of dns.allow",
    outcome: "eight stay open",
  }),
  async (t) => {
    const { at } = await startServer(t, outside);
    const clients = await Promise.all(Array.from({ length: 9 }, () => openTcp(at)));
    await Promise.race(clients.map((client) => client.closed()));
    assert.equal(clients.filter((client) => !client.isClosed()).length, 8);
    for (const client of clients) client.socket.destroy();
  },
);

test("dnsServer() cuts a UDP answer over what EDNS offers, and over 1232 octets (RFC 2181 §9, RFC 9715 §3.1)", async (t) => {
  const rows = table({
    "big.mesh.internal": { a: Array.from({ length: 40 }, (_, n) => `240.241.0.${n}`) },
    "huge.mesh.internal": { a: Array.from({ length: 100 }, (_, n) => `240.241.0.${n}`) },
  });
  const { at } = await startServer(t, { table: () => rows });
  const told = async (name: string, size: number) => {
    const reply = await ask(at, query(name, { records: [opt({ size })] }));
    const { tc, answers } = decode(reply);
    assert.ok(reply.length <= Math.min(size, 1232));
    return [tc, answers.length];
  };
  assert.deepEqual(await told("big.mesh.internal", 512), [true, 29]);
  assert.deepEqual(await told("big.mesh.internal", 4096), [false, 40]);
  assert.deepEqual(await told("huge.mesh.internal", 4096), [true, 74]);
  const client = await openTcp(at);
  client.send(query("big.mesh.internal"));
  const whole = decode((await client.take(1))[0] as Buffer);
  assert.deepEqual([whole.tc, whole.answers.length], [false, 40]);
  client.socket.destroy();
});

test("dnsServer() holds an unsettled name back, then gives it", async (t) => {
  const settledAtMs = Date.now() + 600;
  const rows = table({ "new.mesh.internal": { a: ["240.241.0.9"], settledAtMs } });
  const { at } = await startServer(t, { table: () => rows });
  assert.deepEqual(addresses(await ask(at, query("new.mesh.internal"))), ["240.241.0.9"]);
  assert.ok(Date.now() >= settledAtMs, `${settledAtMs - Date.now()} ms too early`);
});

test("dnsServer() gives SERVFAIL, not NXDOMAIN, for a name that does not settle in 2 s", async (t) => {
  const rows = table({ "new.mesh.internal": { a: ["240.241.0.9"], settledAtMs: Date.now() + 60_000 } });
  const { at } = await startServer(t, { table: () => rows });
  const started = performance.now();
  assert.equal(decode(await ask(at, query("new.mesh.internal"))).rcode, 2);
  const took = performance.now() - started;
  assert.ok(took > 1900, `${took} ms`);
});

test("dnsServer() bounds the questions that it holds", async (t) => {
  const held = { a: ["240.241.0.9"], settledAtMs: Date.now() + 600_000 };
  let now = table({ "new.mesh.internal": held });
  const { at, events } = await startServer(t, { table: () => now, limits: { maxHeld: 3 } });
  const asked = askUdp(
    at,
    Array.from({ length: 8 }, (_, id) => query("new.mesh.internal", { id })),
  );
  await until(() => events.filter(({ rcode }) => rcode === "SERVFAIL").length >= 5);
  now = table({ "new.mesh.internal": { ...held, settledAtMs: 0 } }, 8);
  const answers = await asked;
  assert.deepEqual(answers.map((answer) => decode(answer).rcode).toSorted(), [0, 0, 0, 2, 2, 2, 2, 2]);
  assert.equal(events.filter(({ rcode }) => rcode === "SERVFAIL").length, 5);
});

test("dnsServer() serves IPv6", { skip }, async (t) => {
  const { at } = await startServer(t, { listen: [{ address: "::1", port: 0 }] });
  assert.deepEqual(addresses(await ask(at, orders())), ["240.241.0.7"]);
  const client = await openTcp(at);
  client.send(orders());
  assert.deepEqual(addresses((await client.take(1))[0] as Buffer), ["240.241.0.7"]);
  client.socket.destroy();
});

test("dnsServer() knows IPv4 clients of an IPv6 socket by their IPv4 address (RFC 4291 §2.5.5.2)", {
  skip,
}, async (t) => {
  const { at } = await startServer(t, { listen: [{ address: "::", port: 0 }], allow: ["127.0.0.0/8"] });
  assert.equal(decode(await ask({ address: "127.0.0.1", port: at.port }, orders())).rcode, 0);
  assert.equal(decode(await ask({ address: "::1", port: at.port }, orders())).rcode, 5);
});

test("dnsServer() binds IPv4 and IPv6 wildcards on one port", { skip }, async (t) => {
  const { at: free, server } = await startServer(t);
  await server.stop();
  const { bound } = await startServer(t, {
    listen: ["0.0.0.0", "::"].map((address) => ({ address, port: free.port })),
  });
  assert.equal(bound.length, 2);
  assert.equal(decode(await ask({ address: "127.0.0.1", port: free.port }, orders())).rcode, 0);
  assert.equal(decode(await ask({ address: "::1", port: free.port }, orders())).rcode, 0);
});

test("start() says which port is in use, by UDP, and binds nothing", async (t) => {
  const taken = createSocket("udp4").bind(0, "127.0.0.1");
  await once(taken, "listening");
  t.after(() => taken.close());
  const { port } = taken.address();
  const { at: free, server } = await startServer(t);
  await server.stop();
  const listen = [free, { address: "127.0.0.1", port }];
  await assert.rejects(startServer(t, { listen }), {
    message: `Cannot listen for DNS on 127.0.0.1:${port} (UDP): it is in use; choose another with dns.listen`,
  });
  await startServer(t, { listen: [free] });
});

test("start() says which port is in use, by TCP", { skip }, async (t) => {
  const taken = createServer().listen(0, "::1");
  await once(taken, "listening");
  t.after(() => taken.close());
  const { port } = taken.address() as { port: number };
  await assert.rejects(startServer(t, { listen: [{ address: "::1", port }] }), {
    message: `Cannot listen for DNS on [::1]:${port} (TCP): it is in use; choose another with dns.listen`,
  });
});

test("start() says that the machine does not have an address", async (t) => {
  await assert.rejects(startServer(t, { listen: [{ address: "192.0.2.77", port: 0 }] }), {
    message:
      "Cannot listen for DNS on 192.0.2.77:0 (UDP): this machine does not have the address; choose another with dns.listen",
  });
});

test("dnsServer() takes our own log", () => {
  const log = createLog({ level: "silent", pretty: false });
  assert.ok(dnsServer({ listen: [], ttlSeconds: 30, zones: [], forward: [], allow: [], table: () => undefined, log }));
});

/** A server whose name new.mesh.internal settles when the test says so, asked for it by UDP and TCP. */
async function startHeld(t: TestContext, options: Partial<DnsServerOptions> = {}) {
  const held = { a: ["240.241.0.9"], settledAtMs: Date.now() + 600_000 };
  const rows = { "new.mesh.internal": held, "orders.mesh.internal": { a: ["240.241.0.7"] } };
  let now = table(rows);
  const { at, server, events } = await startServer(t, { table: () => now, ...options });
  const client = await openTcp(at);
  client.send(query("new.mesh.internal", { id: 1 }), query("example.org", { id: 2 }), orders({ id: 3 }));
  const packets = [query("new.mesh.internal", { id: 4 }), query("example.org", { id: 5 }), orders({ id: 6 })];
  const byUdp = askUdp(at, packets);
  const isAnswered = (transport: string) =>
    events.some((one) => one.transport === transport && one.source === "table" && one.rcode === "NOERROR");
  // What was asked before has come, too.
  await until(() => isAnswered("tcp") && isAnswered("udp"));
  return {
    ...{ at, server, client, byUdp },
    settle() {
      now = table({ ...rows, "new.mesh.internal": { ...held, settledAtMs: 0 } }, 8);
    },
  };
}

const idsAndCodes = (answers: readonly Buffer[]) =>
  answers.map((answer) => `${decode(answer).id}: ${decode(answer).rcode}`).toSorted();

test("stop() lets answers in flight go out, ends idle connections and frees the ports", async (t) => {
  const { at, server, client, byUdp, settle } = await startHeld(t);
  const idle = await openTcp(at);
  const { pass } = fakeTimers(t);
  const stopped = server.stop();
  settle();
  await until(async () => {
    pass(100); // a held question is looked up again
    return (await Promise.race([stopped, "waits"])) !== "waits";
  });
  assert.deepEqual(idsAndCodes(await byUdp), ["4: 0", "5: 5", "6: 0"]);
  assert.deepEqual(idsAndCodes(await client.take(3)), ["1: 0", "2: 5", "3: 0"]);
  await Promise.all([client.closed(), idle.closed()]);
  t.mock.timers.reset();
  const again = await startServer(t, { listen: [at] });
  assert.equal(again.at.port, at.port);
});

test("stop() answers SERVFAIL after 0.6 s where it would have to wait longer, and frees the ports", async (t) => {
  const upstream = await startUpstream(t, () => []);
  const { at, server, client, byUdp } = await startHeld(t, { forward: [upstream] });
  const { pass } = fakeTimers(t);
  const stopped = server.stop();
  pass(599);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(client.answers.length, 1, "those in flight may still be answered");
  pass(1);
  assert.deepEqual(idsAndCodes(await client.take(3)), ["1: 2", "2: 2", "3: 0"]);
  assert.deepEqual(idsAndCodes(await byUdp), ["4: 2", "5: 2", "6: 0"]);
  await stopped;
  t.mock.timers.reset();
  await startServer(t, { listen: [at] });
});

test("stop() waits 0.7 s for a client that does not read", async (t) => {
  const rows = table({ "big.mesh.internal": { a: Array.from({ length: 200 }, (_, n) => `240.241.0.${n}`) } });
  const { at, server, events } = await startServer(t, { table: () => rows });
  const client = await openTcp(at);
  client.socket.pause();
  for (let n = 0; n < 3000; n++) client.send(query("big.mesh.internal", { id: n }));
  await until(() => events.length > 0);
  const { pass } = fakeTimers(t);
  const stopped = server.stop();
  for (const ms of [600, 100]) {
    pass(ms);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await stopped;
  client.socket.destroy();
  t.mock.timers.reset();
  await startServer(t, { listen: [at] });
});

test("stop() before start() and twice does no harm", async () => {
  const server = dnsServer({
    listen: [],
    ttlSeconds: 30,
    zones: [],
    forward: [],
    allow: [],
    table: () => undefined,
    log: silent,
  });
  await server.stop();
  await server.stop();
});
