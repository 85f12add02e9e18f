import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, opt, query, table } from "../wire.ts";
import { plainResponder } from "./responder.ts";

const CLIENT = "192.0.2.1";
const rows = table(
  Object.fromEntries(
    Array.from({ length: 100 }, (_, n) => [
      `n${n + 1}.mesh.internal`,
      { a: Array.from({ length: n + 1 }, (_, last) => `240.241.0.${last}`) },
    ]),
  ),
);

/** Octets of the longest answer. */
function longest(transport: "udp" | "tcp", udpBytes: number | undefined): number {
  const exceptions: unknown[] = [];
  const respond = plainResponder(exceptions, { table: () => rows });
  let most = 0;
  for (let n = 1; n <= 100; n++) {
    const records = udpBytes === undefined ? [] : [opt({ size: udpBytes })];
    const packet = query(`n${n}.mesh.internal`, { records });
    const reply = respond(packet, CLIENT, transport);
    assert.ok(reply instanceof Buffer);
    const { tc, answers } = decode(reply);
    const room = Math.floor((Math.min(Math.max(udpBytes ?? 0, 512), 1232) - packet.length) / 16);
    assert.deepEqual([tc, answers.length], transport === "tcp" || n <= room ? [false, n] : [true, room]);
    most = Math.max(most, reply.length);
  }
  assert.deepEqual(exceptions, []);
  return most;
}

const cases: readonly (readonly [udpBytes: number | undefined, most: number])[] = [
  [undefined, 512],
  [0, 512],
  [1, 512],
  [100, 512],
  [511, 512],
  [512, 512],
  [700, 700],
  [1232, 1232],
  [4096, 1232],
  [65_535, 1232],
];
for (const [udpBytes, most] of cases)
  test(`a client that takes ${udpBytes ?? "nothing said of"} octets by UDP gets ${most} at most, as many whole records as fit (RFC 6891 §6.2.3)`, () => {
    const found = longest("udp", udpBytes);
    assert.ok(found <= most && found > most - 17, `${found} octets`);
  });

test("a client by TCP gets an answer whole, whatever it takes by UDP", () => {
  assert.ok(longest("tcp", 100) > 1600);
});

test("a client that is not allowed gets less than 512 octets, whatever it takes and asks for", () => {
  const exceptions: unknown[] = [];
  const options = { table: () => rows, isAllowed: () => false, nsid: "n".repeat(128) };
  const respond = plainResponder(exceptions, options);
  const name = Array.from({ length: 4 }, (_, n) => "x".repeat(n === 3 ? 61 : 63)).join(".");
  const cookie = Buffer.concat([Buffer.from([0, 10, 0, 8]), Buffer.alloc(8, 1)]);
  const subnet = Buffer.concat([Buffer.from([0, 8, 0, 20, 0, 2, 128, 0]), Buffer.alloc(16, 0x20)]);
  const data = Buffer.concat([Buffer.from([0, 3, 0, 0]), cookie, subnet]);
  const reply = respond(query(name, { records: [opt({ data })] }), CLIENT, "udp");
  assert.ok(reply instanceof Buffer);
  const { rcode, tc, answers } = decode(reply);
  assert.deepEqual([rcode, tc, answers.length, reply.length <= 512], [5, false, 0, true]);
});
