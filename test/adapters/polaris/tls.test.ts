import assert from "node:assert/strict";
import { once } from "node:events";
import { copyFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { createServer } from "node:tls";
import { securityRow } from "../../security/row.ts";
import { adapterOf, poll, serverOf, services } from "./fixture.ts";

/** Of polaris.internal, good for a hundred years, its own authority; and another that signed nothing. */
const pem = (name: string) => join(import.meta.dirname, "tls", `${name}.pem`);

/** A server behind TLS, with the certificate of polaris.internal. */
async function secureServer(t: TestContext): Promise<string> {
  const server = await serverOf(t);
  server.register({ namespace: "default", service: "a", host: "192.0.2.1", port: 80 });
  const [cert, key] = [await readFile(pem("cert")), await readFile(pem("key"))];
  const port = Number(new URL(server.address).port);
  const front = createServer({ cert, key }, (socket) => {
    const back = connect(port, "127.0.0.1");
    socket.on("error", () => back.destroy()).pipe(back);
    back.on("error", () => socket.destroy()).pipe(socket);
    t.after(() => socket.destroy());
  });
  front.on("tlsClientError", () => undefined);
  front.listen(0, "127.0.0.1");
  await once(front, "listening");
  t.after(() => front.close());
  return `https://127.0.0.1:${(front.address() as AddressInfo).port}`;
}

test(
  securityRow({
    who: "network",
    attack: "answers in place of a registry that is asked by TLS",
    outcome: "it is believed by its authority and name only",
  }),
  async (t) => {
    const address = await secureServer(t);
    const tls = { ca: pem("cert"), serverName: "polaris.internal" };
    assert.deepEqual(Object.keys(services(await poll(adapterOf(t, { address, tls })))), ["default/a"]);
    for (const wrong of [{}, { ...tls, ca: pem("other") }, { ...tls, serverName: "other.example.org" }, { ca: tls.ca }])
      await assert.rejects(poll(adapterOf(t, { address, tls: wrong })), { name: "ReadError", failure: "connection" });
    const missing = adapterOf(t, { address, tls: { ca: pem("none") } });
    await assert.rejects(poll(missing), { name: "ReadError", failure: "denied" });
  },
);

test("an exchanged authority is taken over", async (t) => {
  const dir = await mkdtemp(join(tmpdir(), "x2istio-polaris-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const ca = join(dir, "ca.pem");
  await copyFile(pem("other"), ca);
  const adapter = adapterOf(t, { address: await secureServer(t), tls: { ca, serverName: "polaris.internal" } });
  await assert.rejects(poll(adapter), { name: "ReadError", failure: "connection" });
  await copyFile(pem("cert"), ca);
  const until = Date.now() + 60_000;
  for (;;) {
    const snapshot = await poll(adapter).catch(() => undefined);
    if (snapshot !== undefined) break;
    assert.ok(Date.now() < until, "the new authority is not used");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
});
