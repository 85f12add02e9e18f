import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Upstream } from "../../../src/dns/forward/upstream.ts";
import { freePorts } from "../../e2e/cli.ts";
import { ensureServers } from "../../servers/build.ts";
import { startChild } from "../../servers/child.ts";
import { startNsd } from "../nsd.ts";
import { ask, askUdp, openTcp, startServer } from "../sockets.ts";
import { addresses, decode, opt, query } from "../wire.ts";

const ZONE = "example.org";
const many = Array.from({ length: 60 }, (_, n) => `192.0.2.${n}`);
const ZONE_FILE = [
  `$ORIGIN ${ZONE}.`,
  "@ 300 IN SOA ns.example.org. admin.example.org. 1 3600 600 86400 60",
  "@ 300 IN NS ns.example.org.",
  "ns 300 IN A 192.0.2.53",
  "db 300 IN A 192.0.2.1",
  'db 300 IN TXT "one" "two"',
  "alias 300 IN CNAME db",
  ...many.map((address) => `many 300 IN A ${address}`),
  "",
].join("\n");

function isInstalled(command: string): boolean {
  try {
    execFileSync("which", [command], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

const coredns = (await ensureServers(["coredns"]))?.coredns;

async function tempDir(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "x2istio-upstream-"));
  t.after(() => rm(dir, { recursive: true }));
  return dir;
}

/** Start a program and wait until it answers for the zone, by UDP at `port`. */
async function startProgram(
  t: TestContext,
  { dir, port, command, args }: { dir: string; port: number; command: string; args: readonly string[] },
): Promise<void> {
  const child = await startChild(command, args, join(dir, "out"));
  t.after(() => child.stop());
  for (let tries = 0; tries < 100; tries++) {
    if (!child.isRunning()) throw new Error(`Cannot start ${command} as it ended:\n${child.logTail()}`);
    const [answer] = await askUdp({ address: "127.0.0.1", port }, [query(`db.${ZONE}`)], { waitMs: 300 });
    if (answer !== undefined && addresses(answer).length > 0) return;
    await sleep(50);
  }
  throw new Error(`Cannot start ${command}:\n${child.logTail()}`);
}

async function startCoredns(t: TestContext): Promise<Upstream> {
  const dir = await tempDir(t);
  const { dns: port } = await freePorts();
  await writeFile(join(dir, "zone"), ZONE_FILE);
  await writeFile(join(dir, "Corefile"), `.:${port} {\nbind 127.0.0.1\nfile ${join(dir, "zone")} ${ZONE}\n}\n`);
  await startProgram(t, { dir, port, command: coredns ?? "", args: ["-conf", join(dir, "Corefile")] });
  return { address: "127.0.0.1", port };
}

/** Unbound, with the zone as its own; with TLS, on a second port. */
async function startUnbound(t: TestContext, byTls: boolean): Promise<Upstream> {
  const dir = await tempDir(t);
  const { dns: port, http: tlsPort } = await freePorts();
  const [key, cert] = [join(dir, "key"), join(dir, "cert")];
  const subject = ["-subj", "/CN=dns.example.org", "-addext", "subjectAltName=DNS:dns.example.org"];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  execFileSync("openssl", ["req", "-x509", ...curve, "-keyout", key, "-out", cert, ...subject], { stdio: "ignore" });
  await writeFile(join(dir, "zone"), ZONE_FILE);
  const none = ["username", "chroot", "pidfile"].map((name) => `  ${name}: ""`);
  const lines = [
    "server:",
    ...none,
    `  interface: 127.0.0.1@${port}`,
    `  interface: 127.0.0.1@${tlsPort}`,
    `  tls-port: ${tlsPort}`,
    `  tls-service-key: "${key}"`,
    `  tls-service-pem: "${cert}"`,
    "  use-syslog: no",
    `  directory: "${dir}"`,
    "auth-zone:",
    `  name: ${ZONE}`,
    `  zonefile: "${join(dir, "zone")}"`,
    "  for-upstream: yes",
    "  for-downstream: yes",
    "",
  ];
  await writeFile(join(dir, "unbound.conf"), lines.join("\n"));
  await startProgram(t, { dir, port, command: "unbound", args: ["-d", "-c", join(dir, "unbound.conf")] });
  if (!byTls) return { address: "127.0.0.1", port };
  return { address: "127.0.0.1", port: tlsPort, tls: { name: "dns.example.org", ca: await readFile(cert, "utf8") } };
}

const needs = (...commands: string[]) => {
  const missing = commands.find((command) => !isInstalled(command));
  return missing === undefined ? false : `${missing} is not installed`;
};

const upstreams: readonly {
  readonly name: string;
  readonly skip: string | false;
  start(t: TestContext): Promise<Upstream>;
}[] = [
  { name: "NSD", skip: needs("nsd"), start: (t) => startNsd(t, ZONE, ZONE_FILE) },
  { name: "CoreDNS", skip: coredns === undefined && "CoreDNS cannot be built here", start: startCoredns },
  { name: "Unbound", skip: needs("unbound", "openssl"), start: (t) => startUnbound(t, false) },
  { name: "Unbound by TLS", skip: needs("unbound", "openssl"), start: (t) => startUnbound(t, true) },
];

for (const { name, skip, start } of upstreams)
  test(`forward asks ${name}, and keeps what it says`, { skip }, async (t) => {
    const upstream = await start(t);
    const { at, events } = await startServer(t, { forward: [upstream] });
    for (const asked of [`db.${ZONE}`, `DB.Example.ORG`]) {
      const reply = decode(await ask(at, query(asked, { records: [opt({ dnssecOk: true })] })));
      assert.deepEqual([reply.rcode, reply.aa, reply.ra, reply.questions[0]?.name], [0, false, true, asked]);
      assert.deepEqual([reply.answers[0]?.data.join("."), reply.additional.length], ["192.0.2.1", 1]);
      assert.ok((reply.answers[0]?.ttl ?? 0) > 290);
    }
    const alias = await ask(at, query(`alias.${ZONE}`));
    assert.deepEqual([decode(alias).answers.length, addresses(alias)], [2, ["192.0.2.1"]]);
    const denied = decode(await ask(at, query(`nobody.${ZONE}`)));
    assert.deepEqual([denied.rcode, denied.authority[0]?.type, (denied.authority[0]?.ttl ?? 0) <= 300], [3, 6, true]);
    const none = decode(await ask(at, query(`db.${ZONE}`, { type: 28 })));
    assert.deepEqual([none.rcode, none.answers.length, none.authority.length], [0, 0, 1]);
    assert.equal(decode(await ask(at, query(`many.${ZONE}`))).tc, true);
    const tcp = await openTcp(at);
    tcp.send(query(`many.${ZONE}`));
    const [whole] = await tcp.take(1);
    tcp.socket.destroy();
    assert.deepEqual(addresses(whole as Buffer).toSorted(), many.toSorted());
    const sources = events.map(({ source }) => source);
    assert.deepEqual(sources, ["forward", "cache", "forward", "forward", "forward", "forward", "cache"]);
  });
