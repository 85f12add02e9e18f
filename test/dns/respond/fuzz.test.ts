import assert from "node:assert/strict";
import { test } from "node:test";
import { Packet } from "dns2";
import { zonesByName } from "../../../src/dns/answer/zones.ts";
import { followedNames } from "../../../src/dns/ready/followed-names.ts";
import { readyAnswers } from "../../../src/dns/ready/ready-answers.ts";
import { securityRow } from "../../security/row.ts";
import { sized } from "../../size.ts";
import { numbers } from "../numbers.ts";
import { ask, openTcp, orders, startServer } from "../sockets.ts";
import { decode, opt, query, record, table, wireName } from "../wire.ts";
import { plainResponder } from "./responder.ts";

/** A million take about 18 s on one core. */
const PACKETS = sized(1_000_000, { quick: 50_000 });
const SENT = Math.min(PACKETS / 10, 20_000);
const BATCH = 100;
const SEED = Number(process.env.X2ISTIO_SEED ?? 1);

const ports = [{ name: "http", number: 8080, transport: "tcp" as const }];
const now = table({
  "orders.mesh.internal": { a: ["240.241.0.7"], aaaa: ["fd00::7"], ports },
  "alias.mesh.internal": { cname: "orders.mesh.internal" },
  "a.b.c.mesh.internal": { a: ["240.241.0.8"] },
  "*.wild.mesh.internal": { a: ["240.241.0.9"], ports },
  "huge.mesh.internal": { a: Array.from({ length: 60 }, (_, n) => `240.241.3.${n}`) },
});

const names = [
  "orders.mesh.internal",
  "alias.mesh.internal",
  "b.c.mesh.internal",
  "huge.mesh.internal",
  "nope.mesh.internal",
  "_http._tcp.orders.mesh.internal",
  "7.0.241.240.in-addr.arpa",
  "x.y.wild.mesh.internal",
  "example.org",
  "",
];
const cookie = Buffer.from("000a00080102030405060708", "hex");
const real: readonly Buffer[] = names.flatMap((name) =>
  [1, 1, 28, 28, 65, 33, 12, 255, 6, 16].flatMap((type) => [
    query(name, { type }),
    query(name.toUpperCase(), { type, flags: 0 }),
    query(name, { type, records: [opt({ dnssecOk: true, size: 1232 })] }),
    query(name, { type, records: [opt()] }),
    query(name, { type, records: [opt({ data: Buffer.concat([cookie, Buffer.from("00030000", "hex")]) })] }),
    query(name, { type, records: [record(name, 6, 1, 0, Buffer.alloc(22)), opt()], counts: [1, 0, 1, 1] }),
  ]),
);

type Mutation = (packet: Buffer, below: (limit: number) => number) => Buffer;
const cut: Mutation = (packet, below) => packet.subarray(0, below(packet.length + 1));
const setOctet: Mutation = (packet, below) => {
  packet[below(packet.length)] = below(256);
  return packet;
};
const setNameOctet: Mutation = (packet, below) => {
  packet[12 + below(10)] = below(256);
  return packet;
};
const flipBit: Mutation = (packet, below) => {
  const at = below(packet.length);
  packet[at] = (packet[at] ?? 0) ^ (1 << below(8));
  return packet;
};
const splice: Mutation = (packet, below) => {
  const at = below(packet.length);
  const other = real[below(real.length)] ?? packet;
  return Buffer.concat([packet.subarray(0, at), other.subarray(below(other.length))]);
};
/** Pointers to themselves, forwards, backwards, in rings. */
const pointer: Mutation = (packet, below) => {
  if (packet.length < 15) return packet;
  packet.writeUInt16BE(0xc000 | below(packet.length + 20), 12 + below(packet.length - 14));
  return packet;
};
const counts: Mutation = (packet, below) => {
  if (packet.length >= 12) packet.writeUInt16BE([0, 1, 2, 0xffff][below(4)] ?? 0, 4 + 2 * below(4));
  return packet;
};
const longName: Mutation = (packet, below) => {
  const labels = Array.from({ length: below(8) }, () => Buffer.alloc(1 + below(63), below(256)));
  return Buffer.concat([packet.subarray(0, 12), wireName(labels), packet.subarray(-4)]);
};
const giant: Mutation = (packet, below) =>
  Buffer.concat([packet, Buffer.alloc(below(below(50) === 0 ? 65_000 : 600), below(256))]);
const noise: Mutation = (_, below) => Buffer.from(Array.from({ length: below(80) }, () => below(256)));
const mutations = [cut, setOctet, setOctet, flipBit, flipBit, splice, pointer, pointer, counts, longName, giant, noise];

function fuzzed(below: (limit: number) => number): Buffer {
  let packet: Buffer = Buffer.from(real[below(real.length)] ?? Buffer.alloc(0));
  // A third changes a little, so that ready-made answers are tried as often as the rest.
  for (let rounds = below(3) === 0 ? 0 : 1 + below(3); rounds > 0 && packet.length > 0; rounds--)
    packet = (mutations[below(mutations.length)] ?? cut)(packet, below);
  return packet.length > 30 && below(2) === 0 ? setNameOctet(packet, below) : packet;
}

/** An answer that two other decoders, one of them dns2's, can read alike, to the query that was asked. */
function checkAnswer(packet: Buffer, reply: Buffer): void {
  const { qr, z, id, answers, authority, additional } = decode(reply);
  assert.ok(qr && z === 0);
  assert.equal(id, packet.readUInt16BE(0));
  const second = Packet.parse(reply);
  assert.deepEqual(second.errors, []);
  assert.deepEqual(
    [second.answers.length, second.authorities.length, second.additionals.length],
    [answers.length, authority.length, additional.length],
  );
}

test(securityRow(
  {
    who: "DNS client",
    attack: "sends broken packets, made up or changed in any octet",
    outcome: "each gets a well-formed answer or none, and no memory is left behind",
  },
  `${PACKETS} packets`,
), {
  timeout: 600_000,
}, async (t) => {
  const below = numbers(SEED);
  const exceptions: unknown[] = [];
  const options = {
    zones: { byName: zonesByName([{ name: "mesh.internal", forward: [] }]) },
    ttlSeconds: 30,
    recursionAvailable: false,
  };
  const state = followedNames(() => now)((names) => readyAnswers({ ...options, table: names, onAnswer: () => {} }));
  const respond = plainResponder(exceptions, {
    ...options,
    tellsServices: true,
    nsid: "east-1",
    table: () => state.current()?.table,
  });
  const out = Buffer.alloc(512);
  let answered = 0;
  let quick = 0;
  let slowestMs = 0;
  let heapAtHalf = 0;
  for (let n = 0; n < PACKETS; n++) {
    const packet = fuzzed(below);
    const startedMs = performance.now();
    const length = state.current()?.ready.answer(packet, out) ?? 0;
    const reply = length > 0 ? out.subarray(0, length) : respond(packet, "192.0.2.1", n % 2 === 0 ? "udp" : "tcp");
    slowestMs = Math.max(slowestMs, performance.now() - startedMs);
    if (reply instanceof Buffer) checkAnswer(packet, reply);
    else assert.ok(packet.length < 12 || (packet.readUInt8(2) & 0x80) !== 0, packet.toString("hex"));
    answered += reply === undefined ? 0 : 1;
    quick += length > 0 ? 1 : 0;
    if (n === PACKETS >> 1) heapAtHalf = process.memoryUsage().heapUsed;
    if (n % 20_000 === 0) await new Promise(setImmediate);
  }
  assert.deepEqual(exceptions, []);
  const growth = (process.memoryUsage().heapUsed - heapAtHalf) / 2 ** 20;
  t.diagnostic(
    `${PACKETS} packets: ${answered} answered, ${quick} of them ready-made, ${PACKETS - answered} that are no queries; slowest ${slowestMs.toFixed(1)} ms; heap ${growth.toFixed(1)} MiB since half-time`,
  );
  assert.ok(growth < 64, `${growth} MiB`);
});

test(securityRow(
  {
    who: "DNS client",
    attack: "sends broken packets by UDP and TCP, whole, in pieces and slowly",
    outcome: "others are answered as before",
  },
  `${SENT} packets`,
), {
  timeout: 120_000,
}, async (t) => {
  const { at } = await startServer(t, {
    table: () => now,
    workers: 2,
    limits: { idleMs: 500, maxConnectionsPerClient: 8 },
  });
  const below = numbers(SEED + 1);
  const { createSocket } = await import("node:dgram");
  const socket = createSocket({ type: "udp4", recvBufferSize: 4_000_000 });
  t.after(() => socket.close());
  const sent = new Map<number, Buffer>();
  socket.on("message", (reply) => {
    const packet = sent.get(reply.readUInt16BE(0));
    if (packet !== undefined) checkAnswer(packet, reply);
  });
  for (let n = 0; n < SENT; n++) {
    const packet = fuzzed(below);
    if (packet.length >= 2) sent.set(packet.readUInt16BE(0), packet);
    if (packet.length <= 60_000) socket.send(packet, at.port, at.address);
    if (n % BATCH === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  }
  for (let n = 0; n < 100; n++) {
    const client = await openTcp(at);
    const packet = fuzzed(below);
    const framed = Buffer.concat([Buffer.from([packet.length >> 8, packet.length & 0xff]), packet]);
    const end = below(framed.length + 1);
    client.socket.write(framed.subarray(0, end));
    if (n % 3 === 0) setTimeout(() => client.socket.destroyed || client.socket.write(framed.subarray(end)), below(30));
    if (n % 5 === 0) client.socket.destroy();
    else if (n % 10 === 1) await client.closed();
    else if (n % 2 === 0) client.socket.end();
  }
  const deadlineMs = performance.now() + 60_000;
  // Connections that were left open use up the limit until they are idle for too long.
  for (;;) {
    const client = await openTcp(at);
    client.send(orders());
    const [reply] = await client.take(1).catch(() => []);
    client.socket.destroy();
    if (reply !== undefined) break;
    assert.ok(performance.now() < deadlineMs, "no answer by TCP");
  }
  assert.equal(decode(await ask(at, orders())).rcode, 0);
});
