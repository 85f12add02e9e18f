import assert from "node:assert/strict";
import { test } from "node:test";
import { cookies } from "../../../src/dns/wire/cookies.ts";
import { ask, orders, startServer } from "../sockets.ts";
import { decode, opt, query, table } from "../wire.ts";

const client = Buffer.from("0102030405060708", "hex");
const option = (code: number, data: Buffer) => {
  const head = Buffer.alloc(4);
  head.writeUInt16BE(code, 0);
  head.writeUInt16BE(data.length, 2);
  return Buffer.concat([head, data]);
};
const withCookie = (cookie: Buffer, size = 4096) => ({ records: [opt({ size, data: option(10, cookie) })] });

/** Options of an answer's OPT record by code. */
function optionsOf(message: Buffer): Map<number, Buffer> {
  const data = decode(message).additional.find(({ type }) => type === 41)?.data ?? Buffer.alloc(0);
  const found = new Map<number, Buffer>();
  for (let at = 0; at < data.length; at += 4 + data.readUInt16BE(at + 2))
    found.set(data.readUInt16BE(at), data.subarray(at + 4, at + 4 + data.readUInt16BE(at + 2)));
  return found;
}

const cookieOf = (message: Buffer) => optionsOf(message).get(10) ?? assert.fail("no cookie");
const big = table({ "big.mesh.internal": { a: Array.from({ length: 50 }, (_, n) => `240.241.0.${n}`) } });

test("an answer carries the client's cookie and a server cookie of 16 octets (RFC 7873 §5.2.3, RFC 9018 §4)", async (t) => {
  const { at } = await startServer(t);
  const cookie = cookieOf(await ask(at, orders(withCookie(client))));
  assert.deepEqual([cookie.subarray(0, 8), cookie.length, cookie[8]], [client, 24, 1]);
});

test("a query without cookie gets none (RFC 7873 §5.2.1)", async (t) => {
  const { at } = await startServer(t);
  assert.equal(optionsOf(await ask(at, orders({ records: [opt()] }))).size, 0);
});

test("a wrong cookie is as none, and is replaced (RFC 7873 §5.2.4)", async (t) => {
  const { at } = await startServer(t, { table: () => big });
  const cookie = cookieOf(await ask(at, query("big.mesh.internal", withCookie(client))));
  const forged = Buffer.from(cookie);
  forged.writeUInt8(forged.readUInt8(23) ^ 1, 23);
  for (const one of [client, cookie, forged]) {
    const found = await ask(at, query("big.mesh.internal", withCookie(one)));
    assert.deepEqual([decode(found).tc, decode(found).answers.length], [false, 50]);
    assert.notDeepEqual(cookieOf(found), forged);
  }
});

for (const length of [0, 1, 7, 9, 15, 41])
  test(`a cookie of ${length} octets is FORMERR (RFC 7873 §5.2.2)`, async (t) => {
    const { at } = await startServer(t);
    assert.equal(decode(await ask(at, orders(withCookie(Buffer.alloc(length))))).rcode, 1);
  });

test("a query without question asks for a cookie (RFC 7873 §5.4)", async (t) => {
  const { at } = await startServer(t);
  const whole = query("", { ...withCookie(client), counts: [0, 0, 0, 1] });
  const bare = Buffer.concat([whole.subarray(0, 12), whole.subarray(17)]);
  const answer = await ask(at, bare);
  assert.equal(decode(answer).rcode, 0);
  assert.equal(cookieOf(answer).length, 24);
});

test("threads share the secret: a cookie of one is good for all", async (t) => {
  const rateLimit = { perSecond: 1, slip: 1 };
  const { at } = await startServer(t, { workers: 2, table: () => big, rateLimit });
  const cookie = cookieOf(await ask(at, query("big.mesh.internal", withCookie(client))));
  for (let n = 0; n < 12; n++)
    assert.equal(decode(await ask(at, query("big.mesh.internal", withCookie(cookie)))).tc, false);
});

test("cookies() takes its own for an hour, from that client only (RFC 9018 §4.3)", () => {
  let nowMs = 1_700_000_000_000;
  const { isValid, renew } = cookies(Buffer.alloc(32, 1), () => nowMs);
  const cookie = renew(client, "192.0.2.1");
  assert.ok(isValid(cookie, "192.0.2.1"));
  assert.ok(!isValid(cookie, "192.0.2.2"));
  assert.ok(!cookies(Buffer.alloc(32, 2), () => nowMs).isValid(cookie, "192.0.2.1"));
  for (const [seconds, want] of [
    [3600, true],
    [3601, false],
    [-300, true],
    [-301, false],
  ] as const)
    assert.equal(
      cookies(Buffer.alloc(32, 1), () => nowMs + seconds * 1000).isValid(cookie, "192.0.2.1"),
      want,
      `${seconds} s`,
    );
  nowMs += 1000;
  assert.ok(isValid(renew(cookie, "192.0.2.1"), "192.0.2.1"), "a fresh one");
});

test("NSID is told to those who ask, where it is configured (RFC 5001 §2.2)", async (t) => {
  const asking = { records: [opt({ data: option(3, Buffer.alloc(0)) })] };
  const { at } = await startServer(t, { nsid: "east-1" });
  assert.equal(
    optionsOf(await ask(at, orders(asking)))
      .get(3)
      ?.toString(),
    "east-1",
  );
  assert.equal(optionsOf(await ask(at, orders({ records: [opt()] }))).size, 0);
  const quiet = await startServer(t);
  assert.equal(optionsOf(await ask(quiet.at, orders(asking))).size, 0);
});

test("SRV, PTR and TXT are on the wire as they should be (RFC 2782, RFC 1035 §3.3)", async (t) => {
  const ports = [{ name: "http", number: 8080, transport: "tcp" as const }];
  const name = "orders.mesh.internal";
  const rows = table({ [name]: { a: ["240.241.0.7"], ports, service: "vms/shop/orders" } });
  const { at } = await startServer(t, { table: () => rows, tellsServices: true });
  const data = async (asked: string, type: number) => decode(await ask(at, query(asked, { type }))).answers[0]?.data;
  assert.equal(
    (await data(`_http._tcp.${name}`, 33))?.toString("hex"),
    `000000641f90${query(name).subarray(12, -4).toString("hex")}`,
  );
  assert.deepEqual(await data("7.0.241.240.in-addr.arpa", 12), query(name).subarray(12, -4));
  assert.equal((await data(name, 16))?.toString("latin1"), "\u0017service=vms/shop/orders");
});
