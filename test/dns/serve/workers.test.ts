import assert from "node:assert/strict";
import { test } from "node:test";
import type { AnswerEvent } from "../../../src/dns/observe/hooks.ts";
import type { NameTable } from "../../../src/model/name-table.ts";
import { fakeTimers } from "../../async/fake-timers.ts";
import { until } from "../../until.ts";
import { ask, askUdp, openTcp, orders, startServer, startUpstream, upstreamAnswer } from "../sockets.ts";
import { addresses, decode, query, table } from "../wire.ts";

const rows = (last: number, serial = 7) => table({ "orders.mesh.internal": { a: [`240.241.0.${last}`] } }, serial);

test("dnsServer() answers by UDP and TCP from threads, and counts", async (t) => {
  const counts = new Map<string, number>();
  const onAnswer = ({ transport, rcode }: AnswerEvent, count = 1) => {
    counts.set(`${transport} ${rcode}`, (counts.get(`${transport} ${rcode}`) ?? 0) + count);
  };
  const now = rows(7);
  const { at } = await startServer(t, { workers: 2, table: () => now, hooks: { onAnswer } });
  // Every client socket has a port of its own, so that the kernel gives some to each thread.
  for (let n = 0; n < 40; n++) assert.deepEqual(addresses(await ask(at, orders({ id: n }))), ["240.241.0.7"]);
  for (let n = 0; n < 4; n++) {
    const client = await openTcp(at);
    client.send(orders());
    assert.deepEqual(addresses((await client.take(1))[0] as Buffer), ["240.241.0.7"]);
    client.socket.destroy();
  }
  await until(() => counts.get("udp NOERROR") === 40 && counts.get("tcp NOERROR") === 4);
});

test("dnsServer() has its names in all threads before it listens, and new ones after refresh()", async (t) => {
  let now = rows(0, 100);
  const { at, server } = await startServer(t, { workers: 2, table: () => now });
  for (let change = 1; change <= 20; change++) {
    now = { ...rows(change, 100 + change), changes: { since: 99 + change, names: ["orders.mesh.internal"] } };
    server.refresh();
    let asked = 0;
    await until(async () => addresses(await ask(at, orders({ id: asked++ })))[0] === `240.241.0.${change}`);
  }
  await until(() => server.isCurrent());
  for (let n = 0; n < 20; n++) assert.deepEqual(addresses(await ask(at, orders({ id: n }))), ["240.241.0.20"]);
  const denied = decode(await ask(at, query("nope.mesh.internal")));
  assert.deepEqual([denied.rcode, denied.authority[0]?.data.readUInt32BE(18)], [3, 120]);
});

test("dnsServer() tells a large table in parts, and the last of several states that come at once", async (t) => {
  const many = (size: number, serial: number): NameTable =>
    table(
      Object.fromEntries(Array.from({ length: size }, (_, n) => [`s${n}.mesh.internal`, { a: ["240.241.0.9"] }])),
      serial,
    );
  let now = many(3000, 1);
  const { at, server } = await startServer(t, { workers: 2, table: () => now });
  assert.equal(decode(await ask(at, query("s2999.mesh.internal"))).rcode, 0);
  for (const size of [4000, 10, 5000, 2500]) {
    now = many(size, now.serial + 1);
    server.refresh();
  }
  const codes = async (name: string) =>
    Promise.all(Array.from({ length: 10 }, async (_, id) => decode(await ask(at, query(name, { id }))).rcode));
  await until(async () => (await codes("s2500.mesh.internal")).every((code) => code === 3));
  assert.deepEqual(await codes("s2499.mesh.internal"), Array(10).fill(0));
});

test("dnsServer() answers SERVFAIL from threads as long as the names are not known", async (t) => {
  let now: NameTable | undefined;
  const { at, server } = await startServer(t, { workers: 1, table: () => now });
  assert.equal(decode(await ask(at, orders())).rcode, 2);
  now = rows(7);
  server.refresh();
  await until(async () => decode(await ask(at, orders())).rcode === 0);
});

test("dnsServer() forwards from threads", async (t) => {
  const upstream = await startUpstream(t, (packet) => [upstreamAnswer(packet)]);
  const { at } = await startServer(t, { workers: 2, forward: [{ address: upstream.address, port: upstream.port }] });
  const answers = await askUdp(
    at,
    Array.from({ length: 5 }, (_, id) => query("example.org", { id })),
  );
  assert.deepEqual(
    answers.map((answer) => decode(answer).rcode),
    [0, 0, 0, 0, 0],
  );
});

test("start() of threads says which port is in use, also by another server of the same kind", async (t) => {
  const { at } = await startServer(t, { workers: 2 });
  await assert.rejects(startServer(t, { workers: 2, listen: [at] }), {
    message: `Cannot listen for DNS on 127.0.0.1:${at.port} (TCP): it is in use; choose another with dns.listen`,
    cause: `listen EADDRINUSE: address already in use 127.0.0.1:${at.port}`,
  });
  assert.equal(decode(await ask(at, orders())).rcode, 0);
});

test("stop() of threads frees the ports, and does not have to end them by force", async (t) => {
  const { at, server } = await startServer(t, { workers: 2 });
  const client = await openTcp(at);
  fakeTimers(t); // the time after which it would does not pass
  await server.stop();
  t.mock.timers.reset();
  await client.closed();
  const again = await startServer(t, { workers: 2, listen: [at] });
  assert.equal(again.at.port, at.port);
});

for (const workers of [0, 2])
  test(`dnsServer() tells how long answers took, ${workers} workers`, async (t) => {
    const upstream = await startUpstream(t, (packet) => [upstreamAnswer(packet)]);
    const told: string[] = [];
    const hooks = { onDuration: (path: string, seconds: number) => void told.push(`${path} ${seconds < 5}`) };
    const { at, server } = await startServer(t, {
      ...{ workers, hooks },
      forward: [{ address: upstream.address, port: upstream.port }],
    });
    const packets = Array.from({ length: 400 }, (_, id) => (id % 2 ? orders({ id }) : orders({ id, type: 255 })));
    assert.equal((await askUdp(at, packets)).length, 400);
    await ask(at, query("example.org"));
    await server.stop();
    assert.deepEqual(told.filter((one) => one === "waited true").length, 1);
    assert.ok(told.includes("ready true") || told.includes("made true"), told.join());
    assert.ok(told.length <= 8, `${told.length} of 401 were timed`);
  });
