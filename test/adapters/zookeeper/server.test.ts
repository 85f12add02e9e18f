import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { describeError } from "../../../src/errors.ts";
import { writeCertificate } from "../../certificates.ts";
import { runCli } from "../../e2e/cli.ts";
import { faultRow } from "../../faults/row.ts";
import { ensureServers, noServers } from "../../servers/build.ts";
import { freePort } from "../../servers/free-port.ts";
import { lacking } from "../../servers/programs.ts";
import { startZooKeeper, type ZooKeeper, zooKeeperServers } from "../../servers/zookeeper.ts";
import { API, dubboData, providerPath } from "./registration.ts";
import { addresses, newRegistry, read, readUntil, registryAt, services } from "./registry.ts";

const skip = lacking("openssl") || ((await ensureServers(zooKeeperServers)) === undefined && noServers);

suite("a ZooKeeper server", { skip }, () => {
  let server: ZooKeeper;
  let dir: string;
  let securePort: number;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), "x2istio-zookeeper-tls-"));
    const { certFile, keyFile } = await writeCertificate(dir, "zk.example.org");
    await writeFile(join(dir, "both.pem"), `${await readFile(keyFile, "utf8")}${await readFile(certFile, "utf8")}`);
    securePort = await freePort();
    server = await startZooKeeper([
      "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
      ...[`secureClientPort=${securePort}`, "secureClientPortAddress=127.0.0.1", "ssl.clientAuth=none"],
      ...[`ssl.keyStore.location=${dir}/both.pem`, "ssl.keyStore.type=PEM"],
    ]);
  });
  after(async () => {
    await server?.stop();
    await rm(dir, { recursive: true, force: true });
  });

  test("is read through TLS, below a path, and tells of changes", async (t) => {
    const writer = await server.writer();
    t.after(() => writer.close());
    const path = (address: string) => `/prod${providerPath({ address })}`;
    await writer.create(path("192.0.2.1"));
    const registry = registryAt(t, `127.0.0.1:${securePort}/prod`, {
      tls: { ca: join(dir, "tls.crt"), serverName: "zk.example.org" },
    });
    const first = await read(registry);
    assert.deepEqual(addresses(first, API), ["192.0.2.1"]);
    await writer.create(path("192.0.2.2"), { ephemeral: true });
    await readUntil(registry, first, (snapshot) => addresses(snapshot, API)?.length === 2);
    const otherName = registryAt(t, `127.0.0.1:${securePort}`, {
      tls: { ca: join(dir, "tls.crt"), serverName: "other.example.org" },
    });
    assert.match(describeError(await read(otherName).catch((error: unknown) => error)), /altnames|does not match/i);
  });

  test(
    faultRow({
      target: "ZooKeeper",
      fault: "the server's certificate is of nobody who is trusted",
      expect: "the read fails as a whole, before a password is sent",
    }),
    async (t) => {
      const digestAuth = { username: "mesh", password: "opensesame" };
      const registry = registryAt(t, `127.0.0.1:${securePort}`, { tls: {}, digestAuth });
      assert.match(describeError(await read(registry).catch((error: unknown) => error)), /self-signed certificate/);
    },
  );

  test("is left without a session when the adapter is closed", async () => {
    const writer = await server.writer();
    await writer.create("/services/orders/a", { data: dubboData({ app: "orders" }) });
    const sessions = async () => (await server.say("cons")).split("\n").filter((line) => line.includes("sid=")).length;
    const without = await sessions();
    const registry = newRegistry(server.address, { layout: "curator" });
    assert.deepEqual(Object.keys(services(await read(registry))), ["orders"]);
    assert.equal(await sessions(), without + 1);
    await registry.close();
    assert.equal(await sessions(), without);
    await writer.close();
  });

  test("is read as the manual's quick start says", async (t) => {
    const manual = await readFile(new URL("../../../adapters/zookeeper/README.md", import.meta.url), "utf8");
    const [, commands = ""] = /^```console\n(.*?)^```$/ms.exec(manual) ?? [];
    const [, config = ""] = /^```yaml\n(.*?)^```$/ms.exec(manual) ?? [];
    const writer = await server.writer();
    t.after(() => writer.close());
    for (const [, path = ""] of commands.matchAll(/^\$ zkCli\.sh -server \S+ create (\S+)$/gm))
      await writer.create(path);
    await writeFile(
      join(dir, "x2istio.yaml"),
      config
        .replace(/^ {4}address: .*$/m, `    address: "${server.address}"`)
        .replace(/^target: .*$/m, `target: {kind: directory, path: ${dir}/out}`),
    );
    const [, asked = ""] = /^\$ x2istio explain (\S+)$/m.exec(commands) ?? [];
    const applied = await runCli(["apply", "--config", join(dir, "x2istio.yaml")]);
    const { stdout } = await runCli(["explain", asked, "--config", join(dir, "x2istio.yaml")]);
    // Times, and the allocated address, are of each run.
    const plain = (line: string) =>
      line
        .replace(/\d[\d.]* m?s ago/g, "N s ago")
        .replace(/240\.241\.\d+\.\d+/g, "VIP")
        .replace(/\s+/g, " ")
        .trim();
    const printed = `${applied.stdout}${stdout}`.split("\n").map(plain);
    const shown = commands.split("\n").filter((line) => line !== "" && !line.startsWith("$"));
    assert.ok(shown.length > 5);
    for (const line of shown) assert.ok(printed.includes(plain(line)), `${line}\n${printed.join("\n")}`);
  });
});
