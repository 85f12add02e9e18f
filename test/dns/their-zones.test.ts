import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { TYPE } from "../../src/dns/wire/codes.ts";
import { freePorts } from "../e2e/cli.ts";
import { startChild } from "../servers/child.ts";
import { lacking } from "../servers/programs.ts";
import { until } from "../until.ts";
import { startNsd } from "./nsd.ts";
import { ask, askUdp, startServer } from "./sockets.ts";
import { addresses, decode, query, table } from "./wire.ts";

const ZONE = "corp.example.com";
const CAA = 257;

/** A company's zone, as it is before some of its names become services of the mesh. */
const zoneFile = `
$ORIGIN ${ZONE}.
$TTL 300
@ IN SOA ns.example.net. hostmaster.${ZONE}. 7 3600 1200 604800 300
@ IN NS ns.example.net.
@ IN MX 10 smtp.${ZONE}.
@ IN TXT "v=spf1 mx -all"
@ IN CAA 0 issue "ca.example.net"
@ IN A 192.0.2.1
@ IN AAAA 2001:db8::1
smtp IN A 192.0.2.2
smtp IN TXT "the mail"
www IN CNAME lb
lb IN A 192.0.2.3
lb IN MX 20 smtp
lb IN TXT "the balancer"
ldap IN A 192.0.2.4
_ldap._tcp IN SRV 0 100 389 ldap
`;

const services = table({
  [ZONE]: { a: ["240.241.0.1"] },
  [`smtp.${ZONE}`]: { a: ["240.241.0.2"] },
  [`www.${ZONE}`]: { a: ["240.241.0.3"] },
  [`ldap.${ZONE}`]: { a: ["240.241.0.4"], ports: [{ name: "ldap", number: 389, transport: "tcp" }] },
  [`fresh.${ZONE}`]: { a: ["240.241.0.5"] },
});

/** Whoever asks us: a resolver with a cache, which draws its own conclusions from what we say. */
const resolvers = {
  unbound: async (dir: string, port: number, ours: number) => {
    const none = ["username", "chroot", "pidfile"].map((key) => `  ${key}: ""\n`).join("");
    const server = `server:\n  interface: 127.0.0.1\n  port: ${port}\n  use-syslog: no\n  directory: "${dir}"\n${none}  do-not-query-localhost: no\n  module-config: "iterator"\n`;
    await writeFile(join(dir, "conf"), `${server}forward-zone:\n  name: "."\n  forward-addr: 127.0.0.1@${ours}\n`);
    return ["-d", "-c", join(dir, "conf")];
  },
  dnsmasq: async (_dir: string, port: number, ours: number) => [
    ...["--keep-in-foreground", "--log-facility=-", "--no-resolv", "--no-hosts", "--user=root", "--bind-interfaces"],
    ...["--listen-address=127.0.0.1", `--port=${port}`, "--pid-file", `--server=127.0.0.1#${ours}`],
  ],
};

async function startResolver(t: TestContext, program: keyof typeof resolvers, ours: number) {
  const dir = await mkdtemp(join(tmpdir(), "x2istio-their-zones-"));
  const { dns: port } = await freePorts();
  const child = await startChild(program, await resolvers[program](dir, port, ours), join(dir, "out"));
  t.after(async () => {
    await child.stop();
    await rm(dir, { recursive: true });
  });
  const at = { address: "127.0.0.1", port };
  await until(async () => {
    if (!child.isRunning()) throw new Error(`Cannot start ${program} as it ended:\n${child.logTail()}`);
    const [answer] = await askUdp(at, [query("up.mesh.internal")], { waitMs: 300 });
    return answer !== undefined && addresses(answer).length === 1;
  });
  return at;
}

async function startUs(t: TestContext) {
  const nsd = await startNsd(t, ZONE, zoneFile);
  const zones = [
    { name: "mesh.internal", forward: [] },
    { name: ZONE, forward: [nsd] },
  ];
  const names = new Map([...services.names, ...table({ "up.mesh.internal": { a: ["240.241.0.9"] } }).names]);
  return (await startServer(t, { zones, table: () => ({ ...services, names }) })).at;
}

/** Question, type, and of the answer: its code, AA, and how many records of that type it has. */
const cases: readonly (readonly [name: string, type: number, want: string])[] = [
  ...[TYPE.MX, TYPE.TXT, CAA, TYPE.NS, TYPE.SOA].map((type) => [ZONE, type, "0 theirs 1"] as const),
  [ZONE, TYPE.A, "0 ours 1"],
  [ZONE, TYPE.AAAA, "0 ours 0"],
  [ZONE, TYPE.HTTPS, "0 ours 0"],
  [`smtp.${ZONE}`, TYPE.A, "0 ours 1"],
  [`smtp.${ZONE}`, TYPE.TXT, "0 theirs 1"],
  [`smtp.${ZONE}`, TYPE.MX, "0 theirs 0"],
  [`www.${ZONE}`, TYPE.MX, "0 theirs 1"],
  [`www.${ZONE}`, TYPE.TXT, "0 theirs 1"],
  [`www.${ZONE}`, CAA, "0 theirs 0"],
  [`www.${ZONE}`, TYPE.A, "0 ours 1"],
  [`fresh.${ZONE}`, TYPE.MX, "0 theirs 0"],
  [`fresh.${ZONE}`, TYPE.A, "0 ours 1"],
  [`_ldap._tcp.${ZONE}`, TYPE.SRV, "0 theirs 1"],
  [`_ldap._tcp.ldap.${ZONE}`, TYPE.SRV, "0 ours 1"],
  [`ldap.${ZONE}`, TYPE.SRV, "0 theirs 0"],
  [`nobody.${ZONE}`, TYPE.MX, "3 theirs 0"],
];

test("types of names in a company's zone are those of its NSD, addresses are ours", {
  skip: lacking("nsd"),
}, async (t) => {
  const at = await startUs(t);
  for (const [name, type, want] of cases) {
    const { rcode, aa, answers } = decode(await ask(at, query(name, { type })));
    const own = answers.filter((record) => record.type === type);
    assert.equal(own.length, answers.length, `${name} ${type} has records of other types`);
    assert.equal(`${rcode} ${aa ? "ours" : "theirs"} ${own.length}`, want, `${name} ${type}`);
  }
});

for (const program of ["unbound", "dnsmasq"] as const)
  test(`${program} finds our addresses, whatever it was asked before`, { skip: lacking("nsd", program) }, async (t) => {
    const at = await startResolver(t, program, (await startUs(t)).port);
    for (const [name, row] of services.names) {
      for (const type of [TYPE.MX, TYPE.TXT, CAA, TYPE.SOA, TYPE.NS, TYPE.HTTPS, TYPE.AAAA, TYPE.CNAME, TYPE.SRV])
        assert.equal(decode(await ask(at, query(name, { type }))).rcode, 0, `${name} ${type}`);
      assert.deepEqual(addresses(await ask(at, query(name))), row.a, name);
    }
    const mail = decode(await ask(at, query(`www.${ZONE}`, { type: TYPE.MX })));
    assert.deepEqual(
      mail.answers.map(({ type }) => type),
      [TYPE.MX],
    );
  });
