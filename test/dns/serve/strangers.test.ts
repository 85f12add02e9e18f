import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { type TestContext, test } from "node:test";
import type { ListenAddress } from "../../../src/dns/serve/options.ts";
import { frame } from "../../../src/dns/wire/tcp-frame.ts";
import { securityRow } from "../../security/row.ts";
import { sized } from "../../size.ts";
import { until } from "../../until.ts";
import { dead, startDeadUpstream, startFlood, startPipelines } from "../flood.ts";
import { openTcp, orders, startServer } from "../sockets.ts";
import { addresses, decode, query, table } from "../wire.ts";

const OTHER = "127.0.0.9";
const QUESTIONS = sized(100);

/** A server of two threads whose upstream answers for everything but names that are dead. */
async function start(t: TestContext) {
  const { stop, ...upstream } = await startDeadUpstream();
  t.after(stop);
  const dropped = new Map<string, number>();
  const { at } = await startServer(t, {
    // An hour: what is under way is bounded by its number alone, however slowly this machine sends.
    ...{ workers: 2, forward: [upstream], limits: { upstreamTimeoutMs: 3_600_000 } },
    hooks: { onDropped: (what, count = 1) => void dropped.set(what, (dropped.get(what) ?? 0) + count) },
  });
  return { at, dropped };
}

/** Ask by UDP from an address, again each second, as stub resolvers do. */
async function askFrom(at: ListenAddress, from: string, packet: Buffer): Promise<Buffer> {
  const socket = createSocket("udp4").bind(0, from);
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  socket.on("message", resolve);
  const send = () => socket.send(packet, at.port, at.address);
  const again = setInterval(send, 1000);
  send();
  try {
    return await promise;
  } finally {
    clearInterval(again);
    socket.close();
  }
}

/** How long so many questions of another client take, of which each must be answered. */
async function measure(at: ListenAddress, packetOf: (n: number) => Buffer): Promise<string> {
  const tookMs: number[] = [];
  for (let n = 0; n < QUESTIONS; n++) {
    const startedMs = performance.now();
    const reply = await askFrom(at, OTHER, packetOf(n));
    tookMs.push(performance.now() - startedMs);
    assert.deepEqual([decode(reply).rcode, addresses(reply).length], [0, 1], `question ${n}`);
  }
  const [median, high] = [0.5, 0.99].map((part) => tookMs.toSorted((a, b) => a - b)[Math.floor(QUESTIONS * part)] ?? 0);
  return `${QUESTIONS} of ${QUESTIONS} answered, median ${median?.toFixed(1)} ms, 99 % within ${high?.toFixed(1)} ms`;
}

const many = Array.from({ length: 16 }, (_, n) => `127.0.1.${n + 1}`);
for (const [title, from] of [
  ["from one address", ["127.0.0.66"]],
  ["from sixteen", many],
] as const)
  test(
    securityRow(
      {
        who: "DNS client",
        attack: "asks 1,000 questions a second that no upstream answers",
        outcome: "its oldest get SERVFAIL; names of X2Istio, and what others ask upstreams, are answered as before",
      },
      title,
    ),
    async (t) => {
      const { at, dropped } = await start(t);
      const flood = startFlood(at, from, 1000);
      t.after(flood.end);
      await until(() => (dropped.get("forward") ?? 0) > 0);
      const forwarded = await measure(at, (n) => query(`n${n}.live.example.org`, { id: n }));
      const own = await measure(at, (n) => orders({ id: n }));
      t.diagnostic(`${await flood.stop()} questions ${title}; forwarded for another: ${forwarded}; own names: ${own}`);
    },
  );

type Open = Awaited<ReturnType<typeof openTcp>>;

/** What attackers do with their connections. */
const behaviours: readonly { readonly name: string; readonly act: (one: Open) => unknown }[] = [
  { name: "idle", act: () => {} },
  { name: "the beginning of a question", act: ({ socket }) => socket.write(frame(orders()).subarray(0, 5)) },
  { name: "questions for names that nobody answers", act: (one) => one.send(...questions(64)) },
  {
    name: "questions, and answers that are not read",
    act({ socket, send }) {
      socket.pause();
      send(...Array.from({ length: 500 }, (_, id) => orders({ id })));
    },
  },
  { name: "half closed", act: ({ socket }) => socket.end(frame(dead(0))) },
  {
    name: "one question after the other",
    act(one) {
      one.socket.on("data", () => !one.socket.destroyed && one.send(orders()));
      one.send(orders());
    },
  },
];

function questions(count: number): readonly Buffer[] {
  return Array.from({ length: count }, (_, n) => dead(n));
}

for (const { name, act } of behaviours.slice(0, sized(behaviours.length, { quick: 2 })))
  test(
    securityRow(
      {
        who: "DNS client",
        attack: "holds 32 TCP connections from each of eight addresses, whatever is sent on them",
        outcome: "its connections that were idle longest make room; another client connects and keeps its connection",
      },
      name,
    ),
    async (t) => {
      const { at, dropped } = await start(t);
      const before = await openTcp(at, { localAddress: OTHER });
      t.after(() => before.socket.destroy());
      before.send(orders());
      assert.equal((await before.take(1)).length, 1);
      const from = Array.from({ length: 8 * 32 }, (_, n) => `127.0.0.${100 + (n % 8)}`);
      const attackers = await Promise.all(
        from.map((localAddress) => openTcp(at, { localAddress, allowHalfOpen: true })),
      );
      t.after(() => {
        for (const { socket } of attackers) socket.destroy();
      });
      for (const one of attackers) act(one);
      await until(() => (dropped.get("connection") ?? 0) > 0);
      const tookMs: number[] = [];
      for (let n = 0; n < 20; n++) {
        const startedMs = performance.now();
        const client = await openTcp(at, { localAddress: "127.0.0.10" });
        client.send(orders(), query(`n${n}.live.example.org`, { id: 2 }));
        const replies = (await client.take(2)).map((reply) => [decode(reply).rcode, addresses(reply).length]);
        tookMs.push(performance.now() - startedMs);
        assert.deepEqual(replies, [
          [0, 1],
          [0, 1],
        ]);
        client.socket.destroy();
      }
      before.send(orders());
      assert.deepEqual((await before.take(1)).flatMap(addresses), ["240.241.0.7"]);
      const udp = await measure(at, (n) => orders({ id: n }));
      t.diagnostic(
        `20 connections of another client, answered in ${Math.max(...tookMs).toFixed(0)} ms at most; by UDP: ${udp}`,
      );
    },
  );

test(
  securityRow({
    who: "DNS client",
    attack: "asks without a pause on 8 × 32 TCP connections",
    outcome: "it is answered in turns, between which others are",
  }),
  async (t) => {
    const { at } = await start(t);
    const stop = startPipelines(
      at,
      Array.from({ length: 8 * 32 }, (_, n) => `127.0.0.${100 + (n % 8)}`),
    );
    t.after(stop);
    const tcp = await openTcp(at, { localAddress: OTHER });
    t.after(() => tcp.socket.destroy());
    tcp.send(orders());
    assert.equal((await tcp.take(1)).length, 1);
    t.diagnostic(`by UDP: ${await measure(at, (n) => orders({ id: n }))}`);
  },
);

test(
  securityRow({
    who: "DNS client",
    attack: "asks for more names whose VIPs the mesh does not have yet than are held",
    outcome: "its oldest get SERVFAIL; another client's are held, and answered",
  }),
  async (t) => {
    const held = { a: ["240.241.0.9"], settledAtMs: Date.now() + 600_000 };
    let now = table({ "new.mesh.internal": held });
    const { at, events } = await startServer(t, { table: () => now });
    const other = askFrom(at, OTHER, query("new.mesh.internal"));
    const socket = createSocket("udp4").bind(0, "127.0.0.66");
    t.after(() => socket.close());
    for (let id = 0; id < 600; id++) socket.send(query("new.mesh.internal", { id }), at.port, at.address);
    await until(() => events.length >= 300);
    now = table({ "new.mesh.internal": { ...held, settledAtMs: 0 } }, 8);
    assert.deepEqual(addresses(await other), ["240.241.0.9"]);
  },
);
