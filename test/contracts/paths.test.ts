import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { basename, dirname, join, resolve } from "node:path";
import { type TestContext, test } from "node:test";
import { freePorts, ready, startReplica } from "../e2e/cli.ts";
import { dnsQuery } from "../e2e/dns.ts";
import { place, service, services } from "./folder.ts";

const MAIN = resolve(import.meta.dirname, "../../src/main.ts");

function inFolder(cwd: string, ...args: readonly string[]) {
  return spawnSync(process.execPath, [MAIN, ...args], { cwd, encoding: "utf8", env: { NO_COLOR: "1" } });
}

test("relative paths resolve against the configuration's folder, --config defaults to ./x2istio.yaml", async (t) => {
  const { dir, files, write } = await place(t, services(1));
  const elsewhere = inFolder(dirname(dir), "apply", "--config", join(basename(dir), "x2istio.yaml"));
  assert.equal(elsewhere.status, 0, elsewhere.stderr);
  const entry = "mesh-services/s0.default.vms.mesh.internal.yaml";
  assert.ok((await files()).includes(entry));
  assert.equal(inFolder(dir, "apply").status, 0);
  await write("services.yaml", { services: [service("s0", "192.0.2.1", "192.0.2.2")] });
  assert.equal(inFolder(dir, "plan", "--detailed-exitcode").status, 2);
});

test("absent sections mean their defaults: an empty mapping is a whole configuration", async (t) => {
  const { dir, write, files } = await place(t, []);
  await write("x2istio.yaml", "{}\n");
  const { status, stdout } = inFolder(dir, "plan");
  assert.equal(status, 0);
  assert.match(stdout, /^No registry is configured\.$/m);
  assert.deepEqual(await files(), []);
});

test("only run binds sockets", async (t) => {
  const ports = await taken(t);
  const { x2istio } = await place(t, services(1), {
    dns: { listen: [`127.0.0.1:${ports.dns}`] },
    http: { listen: `127.0.0.1:${ports.http}` },
  });
  for (const [args, code] of [
    [["validate"], 0],
    [["plan"], 0],
    [["apply"], 0],
    [["explain", "s0"], 0],
    [["prune", "--registry", "old"], 0],
  ] as const)
    assert.equal((await x2istio(...args)).code, code, args.join(" "));
  const run = await x2istio("run");
  assert.equal(run.code, 1);
  assert.match(run.stderr, new RegExp(`^Cannot listen for DNS on 127\\.0\\.0\\.1:${ports.dns} `, "m"));
});

/** Two ports that somebody has. */
async function taken(t: TestContext): Promise<{ readonly dns: number; readonly http: number }> {
  const ports = await freePorts();
  const udp = createSocket("udp4");
  const tcp = createServer();
  t.after(() => Promise.all([new Promise<void>((done) => udp.close(done)), new Promise((done) => tcp.close(done))]));
  await new Promise<void>((done) => udp.bind(ports.dns, "127.0.0.1", done));
  await new Promise<void>((done) => tcp.listen(ports.http, "127.0.0.1", done));
  return ports;
}

test("ready once the first pass has ended, not well either, where nothing stands", async (t) => {
  const ports = await freePorts();
  const { config } = await place(t, [], {
    registries: [{ kind: "static", name: "vms", file: "absent.yaml" }],
    dns: { listen: [`127.0.0.1:${ports.dns}`] },
    http: { listen: `127.0.0.1:${ports.http}`, readyWait: "1s" },
  });
  const replica = startReplica(t, { config, ports });
  await ready(replica);
  assert.equal((await dnsQuery(ports.dns, "s0.default.vms.mesh.internal")).rcode, 2, "nobody knows the name yet");
  assert.equal(await replica.stop(), 0);
});

test("ready means that the names of the first pass are given out", async (t) => {
  const ports = await freePorts();
  const { config, files } = await place(t, services(200), {
    dns: { listen: [`127.0.0.1:${ports.dns}`] },
    http: { listen: `127.0.0.1:${ports.http}` },
  });
  const replica = startReplica(t, { config, ports });
  await ready(replica);
  for (const name of ["s0", "s199"])
    assert.equal((await dnsQuery(ports.dns, `${name}.default.vms.mesh.internal`)).addresses.length, 1, name);
  assert.equal(await replica.stop(), 0);
  // Nor lock, status or temporary file stays under `path`.
  for (const file of await files())
    assert.match(file, /^mesh-services\/(s\d+\.default\.vms\.mesh\.internal|x2istio-vips-240-241-\d+-0)\.yaml$/);
});
