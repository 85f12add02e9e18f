import assert from "node:assert/strict";
import { test } from "node:test";
import { cookies } from "../../../src/dns/wire/cookies.ts";
import { decode, opt, query, table } from "../wire.ts";
import { plainResponder } from "./responder.ts";

const secret = Buffer.alloc(32);
const CLIENT = "192.0.2.1";
const rows = table(
  Object.fromEntries(
    Array.from({ length: 100 }, (_, n) => [
      `n${n + 1}.mesh.internal`,
      { a: Array.from({ length: n + 1 }, (_, last) => `240.241.0.${last}`) },
    ]),
  ),
);

/** Data of a COOKIE option: the client's part, with ours where it is proven. */
function cookieOption(isProven: boolean): Buffer {
  const client = Buffer.from("0102030405060708", "hex");
  const cookie = isProven ? cookies(secret).renew(client, CLIENT) : client;
  return Buffer.concat([Buffer.from([0, 10, 0, cookie.length]), cookie]);
}

/** Octets of the longest answer that is given whole. */
function longest(transport: "udp" | "tcp", udpBytes: number | undefined, isProven: boolean): number {
  const exceptions: unknown[] = [];
  const respond = plainResponder(exceptions, { table: () => rows, cookies: cookies(secret) });
  let most = 0;
  for (let n = 1; n <= 100; n++) {
    const records = udpBytes === undefined ? [] : [opt({ size: udpBytes, data: cookieOption(isProven) })];
    const reply = respond(query(`n${n}.mesh.internal`, { records }), CLIENT, transport);
    assert.ok(reply instanceof Buffer);
    const { tc, answers } = decode(reply);
    assert.equal(answers.length, tc ? 0 : n);
    if (!tc) most = Math.max(most, reply.length);
  }
  assert.deepEqual(exceptions, []);
  return most;
}

const cases: readonly (readonly [udpBytes: number | undefined, isProven: boolean, most: number])[] = [
  [undefined, false, 512],
  [0, true, 512],
  [1, true, 512],
  [100, true, 512],
  [511, true, 512],
  [512, true, 512],
  [700, true, 700],
  [1232, true, 1232],
  [4096, true, 1232],
  [65_535, true, 1232],
  [100, false, 512],
  [4096, false, 512],
];
for (const [udpBytes, isProven, most] of cases)
  test(`a ${isProven ? "proven" : "strange"} client that takes ${udpBytes ?? "nothing said of"} octets by UDP gets ${most} at most (RFC 6891 §6.2.3)`, () => {
    const found = longest("udp", udpBytes, isProven);
    assert.ok(found <= most && found > most - 17, `${found} octets`);
  });

test("a client by TCP gets an answer whole, whatever it takes by UDP", () => {
  assert.ok(longest("tcp", 100, false) > 1600);
});
