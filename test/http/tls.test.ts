import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm, unlink, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { type TestContext, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { describeError } from "../../src/errors.ts";
import { httpServer } from "../../src/http/server.ts";
import { openTls } from "../../src/http/tls.ts";
import { writeCertificate } from "../certificates.ts";
import { securityRow } from "../security/row.ts";
import { until } from "../servers/kube-admin.ts";
import { lacking } from "../servers/programs.ts";

const skip = lacking("openssl");

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(`${tmpdir()}/x2istio-tls-`);
  t.after(() => rm(dir, { recursive: true }));
  return dir;
}

async function serve(t: TestContext, dir: string) {
  const files = await writeCertificate(dir, "one.example.org");
  const errors: string[] = [];
  const expiries: number[] = [];
  const tls = await openTls(files, {
    onUse: (ms) => expiries.push(ms),
    onError: (error) => errors.push(describeError(error)),
    checkMs: 10,
  });
  const server = await httpServer({
    listen: { address: "127.0.0.1", port: 0 },
    source: {
      ready: () => ({ ready: true, reasons: [] }),
      services: () => [],
      plan: () => [],
      metrics: async () => "",
    },
    tls,
  });
  t.after(() => server.stop());
  return { ...files, server, errors, expiries };
}

/** Whose certificate is shown, after a request was answered. */
async function shown(port: number): Promise<string | undefined> {
  const socket = connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false });
  await once(socket, "secureConnect");
  const name = socket.getPeerCertificate().subject.CN;
  socket.write("GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
  assert.match(Buffer.concat(await socket.toArray()).toString(), /^HTTP\/1\.1 200 /);
  return typeof name === "string" ? name : name?.[0];
}

test("HTTPS shows a certificate that was replaced, and keeps the last one while files are broken", {
  skip,
}, async (t) => {
  const dir = await folder(t);
  const { server, errors, expiries, certFile, keyFile } = await serve(t, dir);
  assert.equal(await shown(server.port), "one.example.org");
  await writeCertificate(dir, "two.example.org", 3);
  await until("the second is shown", async () => (await shown(server.port)) === "two.example.org");
  assert.equal(expiries.length, 2);
  assert.ok((expiries[1] ?? 0) > (expiries[0] ?? 0));

  const broken: readonly (readonly [how: () => Promise<unknown>, says: RegExp])[] = [
    [() => writeFile(certFile, "no certificate"), new RegExp(`Cannot serve HTTPS by the certificate ${certFile}`)],
    [() => unlink(certFile), new RegExp(`Cannot read the certificate ${certFile} of http.tls: ENOENT`)],
    [() => writeCertificate(dir, "three.example.org").then(() => writeFile(keyFile, "")), new RegExp(keyFile)],
  ];
  for (const [how, says] of broken) {
    const before = errors.length;
    await how();
    await until("it is said", async () => errors.slice(before).some((error) => says.test(error)));
    assert.match((await shown(server.port)) ?? "", /^(two|three)\./, "the last one that could be used");
  }
  const told = errors.length;
  await writeCertificate(dir, "four.example.org");
  await until("the fourth is shown", async () => (await shown(server.port)) === "four.example.org");
  assert.ok(errors.length <= told + 1);
});

test("HTTPS is not served by what is no certificate and key", { skip }, async (t) => {
  const dir = await folder(t);
  const files = await writeCertificate(dir, "one.example.org");
  const hooks = { onUse: () => undefined, onError: assert.ifError };
  const other = await folder(t);
  const { keyFile } = await writeCertificate(other, "other.example.org");
  await assert.rejects(openTls({ ...files, keyFile }, hooks), /Cannot serve HTTPS by the certificate .* with the key/);
  await assert.rejects(
    openTls({ ...files, certFile: `${dir}/missing` }, hooks),
    /Cannot read the certificate .*missing/,
  );
  await assert.rejects(openTls({ ...files, keyFile: `${dir}/missing` }, hooks), /Cannot read the key .*missing/);
});

test(securityRow({
  who: "HTTP client",
  attack: "connects to HTTPS and never begins TLS",
  outcome: "it delays nobody, and the connection ends",
}), { skip }, async (t) => {
  const { server } = await serve(t, await folder(t));
  const idle = await Promise.all(
    Array.from({ length: 300 }, async () => {
      const socket = connect({ port: server.port, host: "127.0.0.1", localAddress: "127.0.0.9" });
      socket.on("error", () => undefined);
      const closed = new Promise((resolve) => socket.once("close", resolve));
      await once(socket, "connect");
      return closed;
    }),
  );
  assert.equal(await shown(server.port), "one.example.org");
  await Promise.all(idle);
});
