import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { ask, type Behaviour, openTcp, startServer, startUpstream, upstreamAnswer } from "./sockets.ts";
import { addresses, decode, opt, query, record } from "./wire.ts";

const address = (last: number) => record("example.org", 1, 1, 60, Buffer.from([192, 0, 2, last]));
const good = (packet: Buffer, last = 1) => upstreamAnswer(packet, { answers: [address(last)] });
const failing = (rcode: number) => (packet: Buffer) => [upstreamAnswer(packet, { flags: 0x8180 | rcode })];
const silence: Behaviour = () => [];

/** A server that forwards everything to upstreams with these behaviours; 300 ms of patience with each. */
async function startForwarding(
  t: TestContext,
  behaviours: readonly Behaviour[],
  limits: { readonly maxForwarded?: number } = {},
) {
  const upstreams = await Promise.all(behaviours.map((behaviour) => startUpstream(t, behaviour)));
  const forward = upstreams.map(({ address, port }) => ({ address, port }));
  return { upstreams, ...(await startServer(t, { forward, limits: { upstreamTimeoutMs: 300, ...limits } })) };
}

test("forward relays an answer with the client's ID and RA, without AA (RFC 1035 §4.1.1)", async (t) => {
  const { at, upstreams, events } = await startForwarding(t, [(packet) => [good(packet)]]);
  const reply = await ask(at, query("ExAmple.org", { id: 4242 }));
  const decoded = decode(reply);
  assert.deepEqual(
    [decoded.id, decoded.aa, decoded.ra, decoded.questions[0]?.name],
    [4242, false, true, "ExAmple.org"],
  );
  assert.deepEqual(addresses(reply), ["192.0.2.1"]);
  assert.deepEqual(decode(upstreams[0]?.seen[0]?.packet as Buffer).questions[0]?.name, "ExAmple.org");
  assert.deepEqual(events, [{ transport: "udp", rcode: "NOERROR", type: "A", source: "forward" }]);
});

test("forward passes on EDNS options in both directions (RFC 6891 §6.2.6)", async (t) => {
  const theirs = opt({ size: 1400, data: Buffer.from("000f00020016", "hex") });
  const { at, upstreams } = await startForwarding(t, [
    (packet) => {
      const message = Buffer.concat([upstreamAnswer(packet), theirs]);
      message.writeUInt16BE(1, 10);
      return [message];
    },
  ]);
  const sent = query("example.org", { records: [opt({ data: Buffer.from("000a00080102030405060708", "hex") })] });
  const reply = await ask(at, sent);
  assert.deepEqual(upstreams[0]?.seen[0]?.packet.subarray(2), sent.subarray(2));
  assert.deepEqual(reply.subarray(-theirs.length), theirs);
});

test("forward uses a new ID and a new port for every question (RFC 5452 §9.2)", async (t) => {
  const { at, upstreams } = await startForwarding(t, [(packet) => [good(packet)]]);
  for (let n = 0; n < 12; n++) await ask(at, query("example.org", { id: 1 }));
  const seen = upstreams[0]?.seen ?? [];
  assert.ok(new Set(seen.map(({ port }) => port)).size >= 10, "ports");
  assert.ok(new Set(seen.map(({ packet }) => packet.readUInt16BE(0))).size >= 10, "IDs");
});

test("forward asks an overlay's own servers", async (t) => {
  const overlay = await startUpstream(t, (packet) => [good(packet, 8)]);
  const rest = await startUpstream(t, (packet) => [good(packet, 9)]);
  const { at } = await startServer(t, {
    forward: [rest],
    zones: [
      { name: "mesh.internal", forward: [] },
      { name: "consul", forward: [overlay] },
    ],
  });
  assert.deepEqual(addresses(await ask(at, query("db.service.consul"))), ["192.0.2.8"]);
  assert.deepEqual(addresses(await ask(at, query("db.service.consul.example.org"))), ["192.0.2.9"]);
});

const forged: readonly (readonly [title: string, forge: (packet: Buffer) => Buffer])[] = [
  [
    "another ID",
    (packet) => {
      const message = good(packet, 66);
      message.writeUInt16BE(packet.readUInt16BE(0) ^ 1, 0);
      return message;
    },
  ],
  ["another question", (packet) => good(Buffer.concat([packet.subarray(0, 2), query("evil.example").subarray(2)]), 66)],
  [
    "another case (0x20)",
    (packet) => good(Buffer.concat([packet.subarray(0, 2), query("example.org").subarray(2)]), 66),
  ],
  [
    "another type",
    (packet) => good(Buffer.concat([packet.subarray(0, 2), query("Example.org", { type: 28 }).subarray(2)]), 66),
  ],
  ["QR = 0", (packet) => packet],
  ["no header", () => Buffer.from([1, 2, 3])],
];

for (const [title, forge] of forged) {
  test(`forward does not see an answer with ${title}, and takes the true one after it (RFC 5452 §9.1)`, async (t) => {
    const { at } = await startForwarding(t, [(packet) => [forge(packet), good(packet)]]);
    assert.deepEqual(addresses(await ask(at, query("Example.org"))), ["192.0.2.1"]);
  });
}

const failovers: readonly (readonly [title: string, first: Behaviour])[] = [
  ["is silent", silence],
  [
    "only sends forgeries",
    (packet) => [Buffer.concat([Buffer.from([packet.readUInt8(0) ^ 1]), good(packet, 66).subarray(1)])],
  ],
  ["answers SERVFAIL", failing(2)],
  ["answers REFUSED", failing(5)],
];

for (const [title, first] of failovers) {
  test(`forward asks the next upstream when one ${title}`, async (t) => {
    const { at } = await startForwarding(t, [first, (packet) => [good(packet, 2)]]);
    assert.deepEqual(addresses(await ask(at, query("example.org"))), ["192.0.2.2"]);
  });
}

test("forward asks the next upstream at once when a port is closed", async (t) => {
  const second = await startUpstream(t, (packet) => [good(packet, 2)]);
  const { at, server } = await startServer(t);
  await server.stop(); // its port is closed now
  const forwarding = await startServer(t, { forward: [at, second] });
  const started = performance.now();
  assert.deepEqual(addresses(await ask(forwarding.at, query("example.org"))), ["192.0.2.2"]);
  assert.ok(performance.now() - started < 1000);
});

test("forward gives SERVFAIL when all upstreams are silent, within their time", async (t) => {
  const { at, events } = await startForwarding(t, [silence, silence]);
  const started = performance.now();
  assert.equal(decode(await ask(at, query("example.org"))).rcode, 2);
  const took = performance.now() - started;
  assert.ok(took > 550 && took < 1200, `${took} ms`);
  assert.deepEqual(events, [{ transport: "udp", rcode: "SERVFAIL", type: "A", source: "forward" }]);
});

test("forward passes on the last upstream's REFUSED when none answers better", async (t) => {
  const { at } = await startForwarding(t, [failing(2), failing(5)]);
  assert.equal(decode(await ask(at, query("example.org"))).rcode, 5);
});

test("forward passes NXDOMAIN on without asking another", async (t) => {
  const { at, upstreams } = await startForwarding(t, [failing(3), (packet) => [good(packet)]]);
  assert.equal(decode(await ask(at, query("example.org"))).rcode, 3);
  assert.equal(upstreams[1]?.seen.length, 0);
});

/** Truncated by UDP, 40 records by TCP. */
const truncating: Behaviour = (packet, transport) =>
  transport === "udp"
    ? [upstreamAnswer(packet, { flags: 0x8380 })]
    : [upstreamAnswer(packet, { answers: Array.from({ length: 40 }, (_, n) => address(n)) })];

test("forward passes TC on to a UDP client (RFC 7766 §5)", async (t) => {
  const { at, upstreams } = await startForwarding(t, [truncating]);
  assert.equal(decode(await ask(at, query("example.org"))).tc, true);
  assert.deepEqual(
    upstreams[0]?.seen.map(({ transport }) => transport),
    ["udp"],
  );
});

test("forward asks by TCP for a TCP client when the answer is truncated (RFC 7766 §5)", async (t) => {
  const { at, upstreams } = await startForwarding(t, [truncating]);
  const client = await openTcp(at);
  client.send(query("example.org", { id: 7 }));
  const [reply] = await client.take(1);
  const decoded = decode(reply as Buffer);
  assert.deepEqual([decoded.id, decoded.tc, decoded.answers.length], [7, false, 40]);
  assert.deepEqual(
    upstreams[0]?.seen.map(({ transport }) => transport),
    ["udp", "tcp"],
  );
  client.socket.destroy();
});

test("forward asks the next upstream when the retry by TCP stays without answer", async (t) => {
  const { at } = await startForwarding(t, [
    (packet, transport) => (transport === "udp" ? [upstreamAnswer(packet, { flags: 0x8380 })] : []),
    (packet) => [good(packet, 2)],
  ]);
  const client = await openTcp(at);
  client.send(query("example.org"));
  const [reply] = await client.take(1);
  assert.deepEqual(addresses(reply as Buffer), ["192.0.2.2"]);
  client.socket.destroy();
});

test("forward cuts an answer over 512 bytes to a UDP client (RFC 2181 §9)", async (t) => {
  const { at } = await startForwarding(t, [
    (packet) => [upstreamAnswer(packet, { answers: Array.from({ length: 40 }, (_, n) => address(n)) })],
  ]);
  const reply = await ask(at, query("example.org", { records: [opt()] }));
  const decoded = decode(reply);
  assert.ok(reply.length <= 512);
  assert.deepEqual([decoded.tc, decoded.answers.length, decoded.additional.length], [true, 0, 1]);
});

test("forward gives SERVFAIL at once beyond its limit", async (t) => {
  const { at } = await startForwarding(t, [silence], { maxForwarded: 1 });
  const first = ask(at, query("one.example.org"));
  await new Promise((resolve) => setTimeout(resolve, 50));
  const started = performance.now();
  assert.equal(decode(await ask(at, query("two.example.org"))).rcode, 2);
  assert.ok(performance.now() - started < 280);
  assert.equal(decode(await first).rcode, 2);
});
