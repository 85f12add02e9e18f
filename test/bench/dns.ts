/** DNS servers in turn under dnsperf: `dns.ts [ROUNDS] [SECONDS]`. See README.md. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ensureServers } from "../servers/build.ts";
import { startChild } from "../servers/child.ts";
import { hostsFile, questions, ZONE, zoneFile } from "./dns-names.ts";
import { isInstalled, type Load, type LoadOptions, latencyMs, load, pinned } from "./dns-perf.ts";
import { median, type Row, table } from "./table.ts";

const [rounds = 5, seconds = 3] = process.argv.slice(2).map(Number);
const NAMES = 10_000;
const FIRST_PORT = 15_300;
const SERVER = join(import.meta.dirname, "dns-server.ts");

interface Server {
  readonly name: string;
  command(port: number): readonly [string, readonly string[]];
}

interface Case {
  readonly name: string;
  readonly servers: readonly Server[];
  readonly questions: string;
  readonly edns?: boolean;
}

let nextPort = FIRST_PORT;
const dir = await mkdtemp(join(tmpdir(), "x2istio-dns-"));
const path = (name: string) => join(dir, name);
const node = (kind: string, ...more: readonly number[]): Server["command"] => {
  return (port) => [process.execPath, [SERVER, kind, String(port), ...more.map(String)]];
};

try {
  if (!isInstalled("dnsperf") || !isInstalled("taskset"))
    process.stdout.write("dnsperf (Debian: dnsperf) and taskset (util-linux) are needed: nothing was measured\n");
  else await compare();
} finally {
  await rm(dir, { recursive: true });
}

async function compare(): Promise<void> {
  await writeFile(path("hosts"), hostsFile(NAMES));
  await writeFile(path("zone"), zoneFile(NAMES));
  for (const kind of ["hits", "mixed", "case"] as const) await writeFile(path(kind), questions(NAMES, kind));
  await writeFile(path("many"), questions(100_000, "hits"));
  const echo: Server = { name: "raw UDP echo", command: node("echo", 0) };
  const ours: Server = { name: "x2istio", command: node("x2istio", NAMES, 1) };
  const many: Server = { name: "x2istio, 100,000 names", command: node("x2istio", 100_000, 1) };
  const changing: Server = { name: "x2istio, 100,000 names, 50 changes/s", command: node("x2istio", 100_000, 1, 50) };
  const dns2: Server = { name: "dns2", command: node("dns2", NAMES) };
  const others = await otherServers();
  const [hosts] = others;
  const rivals = hosts === undefined ? [ours] : [ours, hosts];
  const cases: readonly Case[] = [
    { name: "hits", servers: [echo, ours, ...others, dns2], questions: "hits" },
    { name: "hits with EDNS", servers: rivals, questions: "hits", edns: true },
    { name: "90 % hits, 10 % NXDOMAIN", servers: rivals, questions: "mixed" },
    { name: "hits in random case", servers: rivals, questions: "case" },
    { name: "many names", servers: [many, changing], questions: "many" },
  ];
  const results = new Map<string, Load[]>();
  for (let round = 0; round <= rounds; round++) {
    for (const one of cases) {
      const servers = round % 2 === 0 ? one.servers : one.servers.toReversed();
      for (const server of servers) {
        const key = `${one.name}: ${server.name}`;
        const file = path(one.questions);
        const found = await withServer(server, (pid, port) =>
          load(pid, { port, file, seconds, edns: one.edns ?? false }),
        );
        // The first round only warms files and caches up.
        if (round > 0) results.set(key, [...(results.get(key) ?? []), found]);
        process.stderr.write(`round ${round}, ${key}: ${Math.round(found.queriesPerSecond)}/s, ${found.lost} lost\n`);
      }
    }
  }
  report(results);
  await reportLatency(rivals, results);
  if (availableParallelism() < 3)
    process.stdout.write("\ntwo workers: not comparable, as dnsperf has no core of its own\n");
}

function report(results: ReadonlyMap<string, readonly Load[]>): void {
  const rows = (what: keyof Load) =>
    [...results].map(([name, found]) => ({ what: name, values: found.map((one) => one[what]) }));
  process.stdout.write(`\nqueries/s, ${rounds} rounds of ${seconds} s\n${table(rows("queriesPerSecond"))}`);
  process.stdout.write(
    `\nqueries for each second of the server's processor time\n${table(rows("queriesPerCpuSecond"))}`,
  );
  process.stdout.write(`\nqueries lost\n${table(rows("lost"))}`);
  const ratios = [...results.keys()].flatMap((name) => {
    const rival = name.replace(/: .*/, name.startsWith("many") ? ": x2istio, 100,000 names" : ": x2istio");
    const mine = name.startsWith("many") && name === rival ? "hits: x2istio" : rival;
    if (name === mine) return [];
    const [numerator, denominator] = name.startsWith("many") ? [name, mine] : [mine, name];
    return [ratio(`${numerator} ÷ ${denominator}`, results.get(numerator) ?? [], results.get(denominator) ?? [])];
  });
  process.stdout.write(`\nratio of medians: queries/s, queries per processor second\n${ratios.join("")}`);
}

function ratio(name: string, mine: readonly Load[], theirs: readonly Load[]): string {
  const of = (what: keyof Load) => median(mine.map((one) => one[what])) / median(theirs.map((one) => one[what]));
  return `${name.padEnd(76)} ${of("queriesPerSecond").toFixed(2)}  ${of("queriesPerCpuSecond").toFixed(2)}\n`;
}

/** At half of what the slowest of them can do. */
async function reportLatency(servers: readonly Server[], results: ReadonlyMap<string, readonly Load[]>): Promise<void> {
  const rates = servers.map(({ name }) =>
    median((results.get(`hits: ${name}`) ?? []).map((one) => one.queriesPerSecond)),
  );
  const rate = Math.min(...rates) / 2;
  const options = (port: number): LoadOptions => ({ port, file: path("hits"), seconds });
  const rows: Row[] = [];
  for (const server of servers) {
    const values: number[] = [];
    for (let round = 0; round < rounds; round++)
      values.push(await withServer(server, async (_, port) => latencyMs(options(port), rate)));
    rows.push({ what: server.name, values, digits: 3 });
  }
  process.stdout.write(`\np99 latency in ms at ${Math.round(rate)} queries/s\n${table(rows)}`);
}

async function otherServers(): Promise<readonly Server[]> {
  const coredns = (await ensureServers(["coredns"]))?.coredns;
  const servers: Server[] = [];
  if (coredns === undefined) process.stdout.write("CoreDNS cannot be built here (needs Go): left out\n");
  else {
    await writeFile(path("hosts.Corefile"), corefile(`hosts ${path("hosts")} {\n ttl 30\n reload 0\n}`));
    await writeFile(path("file.Corefile"), corefile(`file ${path("zone")} {\n reload 0\n}`));
    const start =
      (file: string): Server["command"] =>
      (port) => [coredns, ["-conf", path(file), "-dns.port", String(port)]];
    servers.push({ name: "CoreDNS hosts", command: start("hosts.Corefile") });
    servers.push({ name: "CoreDNS file", command: start("file.Corefile") });
  }
  if (!isInstalled("nsd")) process.stdout.write("NSD (Debian: nsd) is not installed: left out\n");
  else {
    await writeFile(path("nsd.conf"), nsdConf());
    servers.push({ name: "NSD", command: (port) => ["nsd", ["-d", "-c", path("nsd.conf"), "-p", String(port)]] });
  }
  return servers;
}

function corefile(plugin: string): string {
  return `${ZONE} {\nbind 127.0.0.1\n${plugin}\n}\n`;
}

function nsdConf(): string {
  const none = ["pidfile", "username", "chroot", "logfile", "database"].map((key) => `  ${key}: ""\n`).join("");
  const files = ["xfrdfile", "zonelistfile"].map((key) => `  ${key}: "${path(key)}"\n`).join("");
  const server = `server:\n  server-count: 1\n  rrl-ratelimit: 0\n  ip-address: 127.0.0.1\n  zonesdir: "${dir}"\n${none}${files}`;
  return `${server}remote-control:\n  control-enable: no\nzone:\n  name: ${ZONE}\n  zonefile: zone\n`;
}

/** Start a server on the first core and wait until it answers. */
async function withServer<T>(server: Server, use: (pid: number, port: number) => Promise<T>): Promise<T> {
  const port = nextPort++;
  const child = await startChild(...pinned(0, ...server.command(port)), path("server.out"));
  try {
    await sleep(server.name.includes("100,000") ? 3000 : 1500);
    if (!child.isRunning()) throw new Error(`Cannot measure ${server.name} as it ended:\n${child.logTail()}`);
    return await use(child.pid, port);
  } finally {
    await child.stop();
  }
}
