import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { createServer, type TLSSocket } from "node:tls";
import { frame, frameReader } from "../../../src/dns/wire/tcp-frame.ts";
import { lacking } from "../../servers/programs.ts";
import { ask, askUdp, startServer, startUpstream, upstreamAnswer } from "../sockets.ts";
import { addresses, decode, query, record } from "../wire.ts";

const NAME = "dns.example.org";

/** A key and a certificate of its own for `NAME`. */
function certificate(): { readonly key: string; readonly cert: string } {
  const dir = mkdtempSync(join(tmpdir(), "x2istio-tls-"));
  const [key, cert] = [join(dir, "key"), join(dir, "cert")];
  const subject = ["-subj", `/CN=${NAME}`, "-addext", `subjectAltName=DNS:${NAME}`];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  try {
    execFileSync("openssl", ["req", "-x509", ...curve, "-keyout", key, "-out", cert, "-days", "2", ...subject], {
      stdio: "ignore",
    });
    return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
  } finally {
    rmSync(dir, { recursive: true });
  }
}

const skip = lacking("openssl");
const pair = skip === false ? certificate() : undefined;
const good = (packet: Buffer, last = 1) =>
  upstreamAnswer(packet, { answers: [record("example.org", 1, 1, 60, Buffer.from([192, 0, 2, last]))] });

/** A DNS server that speaks TLS. */
async function startTls(t: TestContext) {
  const sockets: TLSSocket[] = [];
  const asked: Buffer[] = [];
  const server = createServer({ key: pair?.key ?? "", cert: pair?.cert ?? "" }, (socket) => {
    sockets.push(socket);
    const read = frameReader(0xffff);
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      for (const packet of read(chunk) ?? []) {
        asked.push(packet);
        socket.write(frame(good(packet)));
      }
    });
  });
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { port: (server.address() as AddressInfo).port, sockets, asked };
}

const upstream = (port: number, name = NAME, ca = pair?.cert ?? "") => ({
  address: "127.0.0.1",
  port,
  tls: { name, ...(ca === "" ? {} : { ca }) },
});

test("forward asks by TLS, all questions on one connection (RFC 7858 §3.3)", { skip }, async (t) => {
  const tls = await startTls(t);
  const { at } = await startServer(t, { forward: [upstream(tls.port)] });
  const packets = Array.from({ length: 30 }, (_, id) => query(`n${id}.example.org`, { id }));
  const replies = await askUdp(at, packets);
  assert.equal(new Set(replies.map((reply) => reply.readUInt16BE(0))).size, 30);
  assert.deepEqual(new Set(replies.flatMap(addresses)), new Set(["192.0.2.1"]));
  // One that is not answered for 400 ms is asked again.
  const names = tls.asked.map((packet) => decode(packet).questions[0]?.name);
  assert.deepEqual([new Set(names).size, tls.sockets.length], [30, 1]);
});

test("forward connects again when an upstream has closed the connection (RFC 7858 §3.4)", { skip }, async (t) => {
  const tls = await startTls(t);
  const { at } = await startServer(t, { forward: [upstream(tls.port)] });
  for (let n = 0; n < 3; n++) {
    assert.deepEqual(addresses(await ask(at, query(`n${n}.example.org`))), ["192.0.2.1"]);
    tls.sockets.at(-1)?.end();
    await new Promise((resolve) => setTimeout(resolve, n * 20)); // before, while and after the server hears of it
  }
  assert.equal(tls.sockets.length, 3);
});

for (const [title, change] of [
  ["has another name", { name: "other.example.org" }],
  ["nobody vouches for", { ca: "" }],
] as const)
  test(`forward tells nothing to an upstream whose certificate ${title} (RFC 8310 §8.1)`, { skip }, async (t) => {
    const tls = await startTls(t);
    const { name = NAME, ca = pair?.cert ?? "" } = { name: undefined, ca: undefined, ...change };
    const { at } = await startServer(t, { forward: [upstream(tls.port, name, ca)] });
    assert.equal(decode(await ask(at, query("example.org"))).rcode, 2);
    assert.equal(tls.asked.length, 0);
  });

test("forward asks the next upstream when one has no TLS", { skip }, async (t) => {
  const plain = await startUpstream(t, () => []);
  const tls = await startTls(t);
  const { at } = await startServer(t, { forward: [upstream(plain.port), upstream(tls.port)] });
  assert.deepEqual(addresses(await ask(at, query("example.org"))), ["192.0.2.1"]);
});
