import assert from "node:assert/strict";
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { faultRow } from "../faults/row.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { consulServers, startConsul } from "../servers/consul.ts";
import { kubeServers } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { startMesh } from "./consul-mesh.ts";
import { tempDir } from "./fixture.ts";

const skip = (await ensureServers([...kubeServers, ...consulServers])) === undefined && noServers;

const hostOf = (service: string, registry: string) => `${service}.default.${registry}.mesh.internal`;
const instance = (service: string, at: number) => ({
  service,
  id: `${service}-${at}`,
  address: `192.0.2.${at}`,
  port: 8080,
});
const place = (at: number) => ({ address: `192.0.2.${at}` });
const NODES = 'node_prefix "" { policy = "read" }';
const ALL = `${NODES} service_prefix "" { policy = "read" }`;
const ONE = `${NODES} service "web" { policy = "read" }`;

test("a token shows what it may, and taking it away takes nothing from the mesh", { skip }, async (t) => {
  const consul = await startConsul({ acl: true, tls: "mutual" });
  t.after(() => consul.stop());
  await consul.register(instance("web", 1), instance("db", 2), instance("cache", 3));
  const dir = await tempDir(t);
  const setToken = async (name: string, secret: string) => {
    await writeFile(join(dir, `${name}~`), `${secret}\n`);
    await rename(join(dir, `${name}~`), join(dir, name));
  };
  const [all, one] = [await consul.createToken(ALL), await consul.createToken(ONE)];
  await setToken("all", all.secret);
  await setToken("one", one.secret);

  const { ca, cert, key } = consul.tls ?? assert.fail("it was started with TLS");
  const registry = { kind: "consul", poll: "* * * * * *", address: consul.httpsAddress };
  const mesh = await startMesh(
    t,
    [
      { ...registry, name: "all", tokenFile: join(dir, "all"), tls: { ca, cert, key } },
      { ...registry, name: "one", tokenFile: join(dir, "one"), tls: { ca, cert, key } },
      { ...registry, name: "uncertified", tokenFile: join(dir, "all"), tls: { ca } },
      { ...registry, name: "untrusting", tokenFile: join(dir, "all"), tls: { cert, key } },
      { ...registry, name: "plain", address: consul.address, tokenFile: join(dir, "all") },
    ],
    { policy: { maxDeletePercent: 100 } },
  );
  const hosts = async (name: string) =>
    [...(await mesh.all()).keys()].filter((host) => host.endsWith(`.${name}.mesh.internal`)).sort();
  const versions = async (name: string) =>
    [...(await mesh.all())]
      .filter(([host]) => host.endsWith(`.${name}.mesh.internal`))
      .map(([host, { metadata }]) => [host, metadata.resourceVersion]);
  const reads = async (name: string, result: string) =>
    (await mesh.metric(`x2istio_registry_reads_total{registry="${name}",result="${result}"}`)) ?? 0;
  const reasons = (name: string) =>
    mesh.replica
      .logged("the registry cannot be read; its objects stay as they are")
      .filter((line) => line.registry === name)
      .map(({ why }) => String(why))
      .join("\n");
  /** Two more reads: the first may have begun before. */
  const read = async (name: string, result = "any") => {
    const count = async () =>
      result !== "any"
        ? reads(name, result)
        : (await Promise.all(["ok", "incomplete", "failed"].map((one) => reads(name, one)))).reduce((a, b) => a + b);
    const before = await count();
    await until(`${name} is read (${result})`, async () => (await count()) >= before + 2);
  };

  await t.test("only services that the token may read", async () => {
    for (const service of ["web", "db", "cache"])
      for (const name of ["all", "plain"]) await mesh.becomes(hostOf(service, name), {});
    await mesh.becomes(hostOf("web", "one"), { endpoints: [place(1)] });
    assert.deepEqual(await hosts("one"), [hostOf("web", "one")]);
  });

  await t.test("a change of what it may read", async () => {
    await mesh.change(hostOf("web", "one"), () => consul.register(instance("web", 11)), {
      endpoints: [place(1), place(11)],
    });
    await mesh.becomes(hostOf("web", "all"), { endpoints: [place(1), place(11)] });
  });

  await t.test(
    "no connection without the client certificate that Consul wants, nor to a Consul that nobody vouches for",
    async () => {
      for (const name of ["uncertified", "untrusting"]) {
        await until(`${name} has failed`, async () => reasons(name) !== "");
        assert.deepEqual(await hosts(name), []);
        t.diagnostic(reasons(name));
      }
    },
  );

  await t.test(
    faultRow({
      target: "Consul",
      fault: "its token loses rights and the list gets shorter with status 200",
      expect: "what is missing stays",
      peer: "external-dns #3841",
    }),
    async () => {
      const before = await versions("all");
      await setToken("all", one.secret);
      await read("all");
      await read("plain");
      assert.deepEqual(await versions("all"), before);
      await mesh.change(hostOf("web", "all"), () => consul.register(instance("web", 12)), {
        endpoints: [place(1), place(11), place(12)],
      });
      await mesh.becomes(hostOf("db", "all"), { endpoints: [place(2)] });
      await setToken("all", all.secret);
      await mesh.change(hostOf("db", "all"), () => consul.register(instance("db", 21)), {
        endpoints: [place(2), place(21)],
      });
    },
  );

  await t.test(
    faultRow({
      target: "Consul",
      fault: "its token is revoked, and replaced in the file",
      expect: "its objects stay; the new token is used without a restart",
    }),
    async () => {
      await read("all");
      const before = await versions("all");
      await consul.revokeToken(all);
      await read("all", "failed");
      assert.match(reasons("all"), /403/);
      assert.ok(!mesh.replica.output().includes(all.secret), "no secret is logged");
      await consul.register(instance("db", 22));
      await read("all", "failed");
      assert.deepEqual(await versions("all"), before);
      await setToken("all", (await consul.createToken(ALL)).secret);
      await mesh.becomes(hostOf("db", "all"), { endpoints: [place(2), place(21), place(22)] });
    },
  );
});
