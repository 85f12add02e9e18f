import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { stringify } from "yaml";
import { faultRow } from "../faults/row.ts";
import { until } from "../servers/kube-admin.ts";
import { freePorts, type Replica, readiness, ready, runCli, startReplica } from "./cli.ts";
import { dnsQuery } from "./dns.ts";
import { apiServices, copyExample, digests, type Example, edit, folderEndpoints } from "./embedded.ts";
import { type FileService, tcpService, tempDir } from "./fixture.ts";

const ORDERS = "orders.shop.vms.mesh.internal";

async function runExample(t: TestContext, example: Example): Promise<Replica> {
  const replica = startReplica(t, example);
  await ready(replica);
  return replica;
}

test("the example estate is written, answered and told of", async (t) => {
  const example = await copyExample(t);
  const replica = await runExample(t, example);
  const ask = (name: string, type?: "A" | "AAAA") => dnsQuery(replica.dns, name, type);

  const services = await apiServices(replica.http);
  assert.ok(services.length >= 12, `${services.length} services`);
  for (const { host, vips, legacyNames } of services) {
    for (const name of [host, ...legacyNames, host.toUpperCase()]) {
      assert.deepEqual(await ask(name), { rcode: 0, addresses: vips, ttl: 30 }, name);
      assert.deepEqual(await ask(name, "AAAA"), { rcode: 0, addresses: [], ttl: undefined }, `AAAA ${name}`);
    }
  }
  const sid = await ask("64001.65536");
  assert.deepEqual(sid.addresses, services.find(({ service }) => service === "vms/logistics/parcels")?.vips);
  assert.equal((await ask("nobody.shop.vms.mesh.internal")).rcode, 3, "NXDOMAIN in a zone of ours");
  assert.equal((await ask("shop.vms.mesh.internal")).rcode, 0, "NODATA where names are below");
  assert.equal((await ask("example.net")).rcode, 5, "REFUSED elsewhere");
  assert.deepEqual(await folderEndpoints(example.out, "recommendations.shop.vms.mesh.internal"), [
    "2001:db8:10::41",
    "2001:db8:10::42",
    "203.0.113.43",
  ]);
  assert.ok(!(await folderEndpoints(example.out, ORDERS)).includes("192.0.2.14"), "a disabled endpoint is left out");

  // Until the next pass it lists what was just written.
  await until("nothing is left to do", async () =>
    /"changes": \[\]/.test(await (await fetch(`${replica.http}/api/plan`)).text()),
  );
  for (const [path, status, text] of [
    ["/healthz", 200, /ok/],
    ["/readyz", 200, /"ready": true/],
    ["/metrics", 200, /^x2istio_target_writes_total{operation="create",result="ok"} 14$/m],
    ["/api/services", 200, /"vms\/shop\/orders"/],
    ["/api/plan", 200, /"changes": \[\]/],
    ["/", 200, /\/readyz/],
    ["/nothing", 404, /nothing at this path/],
  ] as const) {
    const answer = await fetch(replica.http + path);
    assert.equal(answer.status, status, path);
    assert.match(await answer.text(), text, path);
  }
  assert.equal((await fetch(`${replica.http}/healthz`, { method: "POST" })).status, 405);
  assert.match(replica.output(), new RegExp(`objects +${example.out}`));
  assert.match(replica.output(), new RegExp(`dig @127\\.0\\.0\\.1 -p ${replica.dns}`));
});

test(
  faultRow({
    target: "static",
    fault: "a file stops parsing, then has one bad service, then is deleted",
    expect: "no object and no answer changes; file and line are reported",
    peer: "slime #389",
  }),
  async (t) => {
    const example = await copyExample(t);
    const replica = await runExample(t, example);

    const startedMs = performance.now();
    await edit(example.services, (text) =>
      text
        .replace("address: 192.0.2.11", "address: 192.0.2.99")
        .replace("orders.corp.example.com]", "buy.corp.example.com]"),
    );
    let answeredMs = 0;
    let writtenMs = 0;
    await until("the edit is written and answered", async () => {
      const [written, answer] = await Promise.all([
        folderEndpoints(example.out, ORDERS),
        dnsQuery(replica.dns, "buy.corp.example.com"),
      ]);
      const nowMs = performance.now() - startedMs;
      if (written.includes("192.0.2.99")) writtenMs ||= nowMs;
      if (answer.addresses.length === 1) answeredMs ||= nowMs;
      return writtenMs > 0 && answeredMs > 0;
    });
    t.diagnostic(`written after ${Math.round(writtenMs)} ms, answered after ${Math.round(answeredMs)} ms`);
    assert.equal((await dnsQuery(replica.dns, "orders.corp.example.com")).rcode, 3, "the old name has gone");

    const before = await digests(example.out);
    await edit(example.services, (text) => text.replace("services:", "services: ["));
    const said = () => replica.logged("the registry could be read only in part; nothing of it is removed");
    await until("it says so", async () => said().length > 0);
    assert.match(String(said()[0]?.why), /services\.yaml:\d+:\d+/);
    assert.deepEqual((await dnsQuery(replica.dns, ORDERS)).addresses.length, 1);

    await edit(example.services, (text) =>
      text
        .replace("services: [", "services:")
        .replace("number: 8080, protocol: http}", "number: 808000, protocol: http}"),
    );
    const held = async () =>
      (await apiServices(replica.http)).find(({ service }) => service === "vms/shop/orders")?.held ?? [];
    await until("one bad service is held", async () => {
      const all = await apiServices(replica.http);
      return (await held()).length > 0 && all.filter((one) => one.held.length > 0).length === 1;
    });
    assert.match((await held())[0]?.message ?? "", /services\.yaml:\d+/);
    assert.equal((await dnsQuery(replica.dns, ORDERS)).addresses.length, 1);

    await rm(example.services);
    await until(
      "it cannot be read",
      async () => replica.logged("the registry cannot be read; its objects stay as they are").length > 0,
    );
    assert.equal((await dnsQuery(replica.dns, ORDERS)).addresses.length, 1);
    assert.deepEqual(await digests(example.out), before);
  },
);

test(
  faultRow({
    target: "own process",
    fault: "it is killed while it holds the lock of a folder, or started twice",
    expect: "the lock is taken over; the second is refused",
  }),
  async (t) => {
    const example = await copyExample(t);
    const first = await runExample(t, example);
    const before = await digests(example.out);
    assert.ok(before.size >= 12);

    const other = await freePorts();
    await writeFile(
      join(example.dir, "second.yaml"),
      stringify({
        owner: "example",
        registries: [{ kind: "static", name: "vms", file: "services.yaml" }],
        target: { kind: "directory", path: "out" },
        dns: { listen: [`127.0.0.1:${other.dns}`] },
        http: { listen: `127.0.0.1:${other.http}` },
      }),
    );
    const second = await runCli(["run", "--config", join(example.dir, "second.yaml")]);
    assert.equal(second.code, 1);
    assert.match(
      second.stderr,
      new RegExp(`^Cannot run as process ${first.pid} already writes to .*/out: stop it`, "m"),
    );
    const sameAddress = await runCli(["run", "--config", example.config]);
    assert.equal(sameAddress.code, 1);
    assert.match(sameAddress.stderr, /^Cannot /m);
    assert.deepEqual(await digests(example.out), before);

    assert.equal(await first.stop(), 0);
    const again = await runExample(t, example);
    await until("it has made a pass", async () => (await apiServices(again.http)).length >= 12);
    assert.equal(await again.stop(), 0);
    const { code } = await runCli(["apply", "--config", example.config]);
    assert.equal(code, 0);
    assert.deepEqual(await digests(example.out), before);

    await rm(example.out, { recursive: true });
    const anew = await runCli(["apply", "--config", example.config]);
    assert.equal(anew.code, 0, anew.stderr);
    const withoutTimes = (map: Map<string, string>) =>
      [...map].map(([name, text]) => [name, text.split(" ")[0]]).sort();
    assert.deepEqual(withoutTimes(await digests(example.out)), withoutTimes(before), "the same VIPs without any state");

    // A process that was killed leaves a lock behind, which is nobody's.
    const killed = await runExample(t, example);
    await killed.kill();
    await edit(example.services, (text) => text.replace("192.0.2.11,", "192.0.2.99,"));
    assert.equal((await runCli(["apply", "--config", example.config])).code, 0);
  },
);

test(
  faultRow({
    target: "own process",
    fault: "a new configuration is broken, or its address is taken",
    expect: "the old one stays in use",
  }),
  async (t) => {
    const example = await copyExample(t);
    const replica = await runExample(t, example);
    const before = await digests(example.out);

    await edit(example.config, (text) => text.replace("aliases:", "aliasses:"));
    const refused = () => replica.logged("the new configuration cannot be used; the old one stays in use");
    await until("it says so", async () => refused().length > 0);
    assert.match(String(refused()[0]?.error), /x2istio\.yaml:\d+:\d+.*aliasses/);
    const told = async (at: string) =>
      ((await (await fetch(`${at}/api/status`)).json()) as { configuration: Record<string, unknown> }).configuration;
    await until("the API says so", async () => (await told(replica.http)).state === "refused");
    const { error, since, digest } = await told(replica.http);
    assert.match(String(error), /x2istio\.yaml:\d+:\d+.*aliasses/);
    assert.match(String(since), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    assert.match(String(digest), /^[0-9a-f]{16}$/);
    const metrics = async (at: string) => (await fetch(`${at}/metrics`)).text();
    assert.match(await metrics(replica.http), /^x2istio_config_refused_timestamp_seconds [1-9]\d{9}$/m);
    assert.equal((await dnsQuery(replica.dns, ORDERS)).addresses.length, 1);
    assert.deepEqual(await digests(example.out), before);

    const moved = await freePorts();
    await edit(example.config, (text) =>
      text
        .replace("aliasses:", "aliases:")
        .replace("in: shop}", "in: store}")
        .replace(`127.0.0.1:${replica.dns}`, `127.0.0.1:${moved.dns}`)
        .replace(`127.0.0.1:${example.ports.http}`, `127.0.0.1:${moved.http}`),
    );
    const http = `http://127.0.0.1:${moved.http}`;
    await until("the new one is in use", async () => (await readiness({ ...replica, http }))?.ready === true);
    await until("the API says so", async () => (await told(http)).state === "current");
    assert.equal("error" in (await told(http)), false);
    assert.notEqual((await told(http)).digest, digest);
    assert.match(await metrics(http), /^x2istio_config_refused_timestamp_seconds 0$/m);
    await until("the new alias stands", async () =>
      (await apiServices(http)).some(({ aliases }) => aliases.includes("store/orders")),
    );
    assert.ok((await apiServices(http)).every(({ aliases }) => aliases.every((alias) => !alias.startsWith("shop/"))));
    assert.equal((await dnsQuery(moved.dns, ORDERS)).addresses.length, 1);
    await assert.rejects(dnsQuery(replica.dns, ORDERS, "A", 500), "nobody listens on the old port");

    // An address that cannot be bound is like any other fault of a new configuration.
    const taken = createServer();
    await new Promise<void>((done) => taken.listen(0, "127.0.0.1", done));
    t.after(() => taken.close());
    const { port } = taken.address() as { port: number };
    const refusals = refused().length;
    await edit(example.config, (text) => text.replace(`127.0.0.1:${moved.http}`, `127.0.0.1:${port}`));
    await until("it says so", async () => refused().length > refusals);
    await until("the old one goes on", async () => (await readiness({ ...replica, http }))?.ready === true);
    assert.equal((await dnsQuery(moved.dns, ORDERS)).addresses.length, 1);
    assert.equal(await replica.stop(), 0);
  },
);

test("SIGTERM frees the ports and ends with 0", async (t) => {
  const example = await copyExample(t);
  const replica = await runExample(t, example);
  const startedMs = performance.now();
  replica.signal("SIGTERM");
  await until("readiness fails", async () => (await readiness(replica))?.ready !== true);
  await until(
    "the ports are free",
    async () => (await isFree(replica.dns)) && (await isFree(Number(new URL(replica.http).port))),
  );
  t.diagnostic(`ports were free after ${Math.round(performance.now() - startedMs)} ms`);
  assert.equal(await replica.exited, 0);
});

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

interface Folder {
  readonly dir: string;
  readonly config: string;
  write(file: string, services: readonly FileService[]): Promise<void>;
  configure(sections: object): Promise<void>;
}

async function folder(t: TestContext): Promise<Folder> {
  const dir = await tempDir(t);
  const config = join(dir, "x2istio.yaml");
  return {
    dir,
    config,
    write: (file, services) => writeFile(join(dir, file), stringify({ services })),
    configure: (sections) =>
      writeFile(config, stringify({ owner: "east", target: { kind: "directory", path: "out" }, ...sections })),
  };
}
const registry = (name: string) => ({ kind: "static", name, file: `${name}.yaml` });

test(
  faultRow({
    target: "own process",
    fault: "a registry leaves the configuration",
    expect: "its objects stay until they are pruned",
  }),
  async (t) => {
    const { dir, config, write, configure } = await folder(t);
    await write("vms.yaml", [tcpService("a", "198.51.100.1")]);
    await write("metal.yaml", [tcpService("b", "198.51.100.2"), tcpService("c", "198.51.100.3")]);
    await configure({ registries: [registry("vms"), registry("metal")] });
    const cli = (...args: readonly string[]) => runCli(["--config", config, ...args]);
    assert.equal((await cli("apply")).code, 0);
    const refused = await cli("prune", "--registry", "metal");
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /^Cannot prune "metal"/);

    await configure({ registries: [registry("vms")] });
    const orphaned = await cli("apply");
    assert.equal(orphaned.code, 3, orphaned.stdout);
    const names = async () =>
      [...(await digests(join(dir, "out"))).keys()].filter((name) => name.endsWith(".mesh.internal.yaml"));
    assert.equal((await names()).length, 3, "an orphan stays");
    const dryRun = await cli("prune", "--registry", "metal", "--dry-run");
    assert.equal(dryRun.code, 0);
    assert.equal((await names()).length, 3);
    const pruned = await cli("prune", "--registry", "metal");
    assert.equal(pruned.code, 0, pruned.stderr);
    assert.deepEqual(await names(), ["mesh-services/a.data.vms.mesh.internal.yaml"]);
    assert.equal((await cli("apply")).code, 0);
  },
);

test(
  faultRow({
    target: "static",
    fault: "one of two merged registries cannot be read",
    expect: "its endpoints and services stay, the other's change",
    peer: "consul2istio",
  }),
  async (t) => {
    const { dir, config, write, configure } = await folder(t);
    await write("dc1.yaml", [tcpService("db", "198.51.100.1"), tcpService("only1", "198.51.100.3")]);
    await write("dc2.yaml", [tcpService("db", "198.51.100.2"), tcpService("only2", "198.51.100.4")]);
    await configure({ registries: [registry("dc1"), registry("dc2")], merge: ["dc1", "dc2"] });
    const apply = () => runCli(["--config", config, "apply"]);
    const endpoints = async (name: string) =>
      [...(await folderEndpoints(join(dir, "out"), `${name}.data.dc1.mesh.internal`))].sort();
    assert.equal((await apply()).code, 0);
    assert.deepEqual(await endpoints("db"), ["198.51.100.1", "198.51.100.2"]);
    assert.deepEqual(await endpoints("only2"), ["198.51.100.4"], "its host is that of the first registry");

    await rm(join(dir, "dc2.yaml"));
    await write("dc1.yaml", [tcpService("db", "198.51.100.9"), tcpService("only1", "198.51.100.3")]);
    const failing = await apply();
    assert.equal(failing.code, 1, failing.stdout);
    assert.deepEqual(await endpoints("db"), ["198.51.100.2", "198.51.100.9"]);
    assert.deepEqual(await endpoints("only2"), ["198.51.100.4"]);

    await write("dc2.yaml", [tcpService("only2", "198.51.100.5")]);
    assert.equal((await apply()).code, 0);
    assert.deepEqual(await endpoints("db"), ["198.51.100.9"]);
    assert.deepEqual(await endpoints("only2"), ["198.51.100.5"]);
  },
);
