/** DNS servers in turn under dnsperf: `dns.ts [ROUNDS] [SECONDS]`. See README.md. */
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { askUdp } from "../dns/sockets.ts";
import { query } from "../dns/wire.ts";
import { ensureServers } from "../servers/build.ts";
import { type Child, startChild } from "../servers/child.ts";
import { changeCostsMs } from "./dns-change.ts";
import { hostsFile, questions, service, ZONE, zoneFile } from "./dns-names.ts";
import { askOnce, isInstalled, type Load, latencyMs, load, pinned } from "./dns-perf.ts";
import { median, type Row, table } from "./table.ts";

const [rounds = 6, seconds = 3] = process.argv.slice(2).map(Number);
const NAMES = 10_000;
/** Before the figures are taken: code is compiled, caches are filled. */
/** After one second code is still being compiled. */
const WARM_UP_SECONDS = 2;
const CHANGES = 5000;
const FIRST_PORT = 15_300;
const LAST_CORE = String(availableParallelism() - 1);
const SERVER = join(import.meta.dirname, "dns-server.ts");

/** How deploy/Dockerfile starts Node: environment and flags. */
const dockerfile = readFileSync(join(import.meta.dirname, "../../deploy/Dockerfile"), "utf8");
const SHIPPED_ENV = /^ENV (.+)$/m.exec(dockerfile)?.[1]?.split(" ") ?? [];
const SHIPPED_FLAGS = /^ENTRYPOINT (.+)$/m.exec(dockerfile)?.[1]?.match(/--[\w=-]+/g) ?? [];

interface Server {
  readonly name: string;
  /** Default "0". dnsperf has the last core. */
  readonly cores?: string;
  command(port: number): readonly [string, readonly string[]];
}

interface Case {
  readonly name: string;
  readonly servers: readonly Server[];
  readonly questions: string;
  readonly edns?: boolean;
  /** Ask everything once before. */
  readonly fills?: boolean;
  /** Default 1. */
  readonly warmUpSeconds?: number;
}

const RATIOS: readonly (readonly [name: string, other: string, target: string])[] = [
  ["hits: x2istio", "hits: raw UDP echo", ">= 0.9"],
  ["hits: x2istio", "hits: CoreDNS hosts", ">= 1.05"],
  ["hits: x2istio", "hits: CoreDNS file", ">= 1.7"],
  ["hits: x2istio", "hits: NSD", ">= 0.6"],
  ["hits: x2istio", "hits: dns2", "no target"],
  ["hits with EDNS: x2istio", "hits with EDNS: CoreDNS hosts", ">= 1.05"],
  ["90 % hits, 10 % NXDOMAIN: x2istio", "90 % hits, 10 % NXDOMAIN: CoreDNS hosts", ">= 1.05"],
  ["hits in random case: x2istio", "hits in random case: CoreDNS hosts", ">= 1.05"],
  ["forwarded and cached: x2istio", "forwarded and cached: CoreDNS forward + cache", ">= 1"],
  ["100,000 names: x2istio", "hits: x2istio", ">= 0.95"],
  ["100,000 names: x2istio, 50 changes/s", "100,000 names: x2istio", "no target, no query lost"],
  ["hits, two workers: x2istio, two workers", "hits: x2istio", ">= 1.6 where dnsperf has a core of its own"],
];

let nextPort = FIRST_PORT;
const dir = await mkdtemp(join(tmpdir(), "x2istio-dns-"));
const path = (name: string) => join(dir, name);
const node = (kind: string, ...more: readonly number[]): Server["command"] => {
  return (port) => [process.execPath, [SERVER, kind, String(port), ...more.map(String)]];
};
const shipped = (kind: string, ...more: readonly number[]): Server["command"] => {
  const args = [...SHIPPED_FLAGS, SERVER, kind];
  return (port) => ["env", [...SHIPPED_ENV, process.execPath, ...args, String(port), ...more.map(String)]];
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
  const ours: Server = { name: "x2istio", command: shipped("x2istio", NAMES, 1) };
  const many: Server = { name: "x2istio", command: shipped("x2istio", 100_000, 1) };
  const changing: Server = { name: "x2istio, 50 changes/s", command: shipped("x2istio", 100_000, 1, 50) };
  const dns2: Server = { name: "dns2", command: node("dns2", NAMES) };
  const two: Server = { name: "x2istio, two workers", command: shipped("x2istio", NAMES, 2), cores: "0,1" };
  const coredns = (await ensureServers(["coredns"]))?.coredns;
  const others = await otherServers(coredns);
  const [hosts] = others;
  const upstream: Server = { name: "the upstream", command: shipped("x2istio", NAMES, 1), cores: LAST_CORE };
  const upstreamPort = nextPort++;
  const relays: Server[] = [{ name: "x2istio", command: shipped("forward", upstreamPort) }];
  if (coredns !== undefined) {
    await writeFile(
      path("forward.Corefile"),
      `. {\nbind 127.0.0.1\nforward . 127.0.0.1:${upstreamPort}\ncache 30\n}\n`,
    );
    relays.push({ name: "CoreDNS forward + cache", command: corednsWith(coredns, "forward.Corefile") });
  }
  const rivals = hosts === undefined ? [ours] : [ours, hosts];
  const cases: readonly Case[] = [
    { name: "hits", servers: [dns2, echo, ...others, ours], questions: "hits" },
    { name: "100,000 names", servers: [many, changing], questions: "many", warmUpSeconds: 3 },
    { name: "hits with EDNS", servers: rivals, questions: "hits", edns: true },
    { name: "90 % hits, 10 % NXDOMAIN", servers: rivals, questions: "mixed" },
    { name: "hits in random case", servers: rivals, questions: "case" },
    { name: "forwarded and cached", servers: relays, questions: "hits", fills: true },
    { name: "hits, two workers", servers: [two], questions: "hits" },
  ];
  const results = await withServer(upstream, () => measureAll(cases), upstreamPort);
  report(results);
  await reportLatency(rivals, results);
  const costs = changeCostsMs(100_000, CHANGES);
  const late = costs.filter((ms) => ms > 2).length;
  process.stdout.write(
    `\none change among 100,000 names, in the thread that answers, ms; ${late} of ${CHANGES} took more than 2 ms\n${table([{ what: "taken over", values: costs, digits: 3 }])}`,
  );
  if (availableParallelism() < 3)
    process.stdout.write("\ntwo workers: not comparable, as dnsperf has no core of its own\n");
}

/** By case and server, the figures of all rounds. */
async function measureAll(cases: readonly Case[]): Promise<ReadonlyMap<string, readonly Load[]>> {
  const results = new Map<string, Load[]>();
  for (let round = 1; round <= rounds; round++) {
    for (const one of cases) {
      const servers = round % 2 === 0 ? one.servers : one.servers.toReversed();
      for (const server of servers) {
        const key = `${one.name}: ${server.name}`;
        const file = path(one.questions);
        const measure = async (pid: number, port: number) => {
          const how = { port, file, edns: one.edns ?? false };
          if (one.fills === true) await askOnce({ ...how, seconds });
          await load(pid, { ...how, seconds: one.warmUpSeconds ?? WARM_UP_SECONDS });
          return load(pid, { ...how, seconds });
        };
        const found = await withServer(server, measure);
        results.set(key, [...(results.get(key) ?? []), found]);
        process.stderr.write(`round ${round}, ${key}: ${Math.round(found.queriesPerSecond)}/s, ${found.lost} lost\n`);
      }
    }
  }
  return results;
}

function report(results: ReadonlyMap<string, readonly Load[]>): void {
  const rows = (what: keyof Load) =>
    [...results].map(([name, found]) => ({ what: name, values: found.map((one) => one[what]) }));
  process.stdout.write(`\nqueries/s, ${rounds} rounds of ${seconds} s\n${table(rows("queriesPerSecond"))}`);
  process.stdout.write(
    `\nqueries for each second of the server's processor time\n${table(rows("queriesPerCpuSecond"))}`,
  );
  process.stdout.write(`\nqueries lost\n${table(rows("lost"))}`);
  const ratios = RATIOS.flatMap(([mine, other, target]) => {
    const [numerator, denominator] = [results.get(mine) ?? [], results.get(other) ?? []];
    if (numerator.length === 0 || denominator.length === 0) return [];
    const of = (what: keyof Load) =>
      median(numerator.map((one) => one[what])) / median(denominator.map((one) => one[what]));
    const figures = [of("queriesPerSecond"), of("queriesPerCpuSecond")].map((value) => value.toFixed(2).padStart(6));
    return [`${`${mine} ÷ ${other}`.padEnd(82)}${figures.join("")}  ${target}\n`];
  });
  process.stdout.write(`\nratio of medians: queries/s, queries per processor second, target\n${ratios.join("")}`);
}

/** At half of what the slowest of them can do. */
async function reportLatency(servers: readonly Server[], results: ReadonlyMap<string, readonly Load[]>): Promise<void> {
  const rates = servers.map(({ name }) =>
    median((results.get(`hits: ${name}`) ?? []).map((one) => one.queriesPerSecond)),
  );
  const rate = Math.min(...rates) / 2;
  const rows: (Row & { readonly values: number[] })[] = servers.map(({ name }) => ({
    what: name,
    values: [],
    digits: 3,
  }));
  const measure = async (pid: number, port: number) => {
    const how = { port, file: path("hits"), seconds };
    await load(pid, { ...how, seconds: WARM_UP_SECONDS });
    return latencyMs(how, rate, path("latency"));
  };
  for (let round = 1; round <= rounds; round++) {
    for (const [index, server] of servers.entries()) rows[index]?.values.push(await withServer(server, measure));
    process.stderr.write(`round ${round}, latency: ${rows.map(({ values }) => values.at(-1)?.toFixed(3)).join(" ")}\n`);
  }
  const [mine = Number.NaN, other = Number.NaN] = rows.map(({ values }) => median(values));
  const ratio = Number.isNaN(other) ? "" : `x2istio ÷ CoreDNS hosts ${(mine / other).toFixed(2)}, target <= 1\n`;
  process.stdout.write(`\np99 latency in ms at ${Math.round(rate)} queries/s\n${table(rows)}${ratio}`);
}

function corednsWith(coredns: string, file: string): Server["command"] {
  return (port) => [coredns, ["-conf", path(file), "-dns.port", String(port)]];
}

async function otherServers(coredns: string | undefined): Promise<readonly Server[]> {
  const servers: Server[] = [];
  if (coredns === undefined) process.stdout.write("CoreDNS cannot be built here (needs Go): left out\n");
  else {
    await writeFile(path("hosts.Corefile"), corefile(`hosts ${path("hosts")} {\n ttl 30\n reload 0\n}`));
    await writeFile(path("file.Corefile"), corefile(`file ${path("zone")} {\n reload 0\n}`));
    servers.push({ name: "CoreDNS hosts", command: corednsWith(coredns, "hosts.Corefile") });
    servers.push({ name: "CoreDNS file", command: corednsWith(coredns, "file.Corefile") });
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

/** Start a server on its cores and wait until it answers. */
async function withServer<T>(
  server: Server,
  use: (pid: number, port: number) => Promise<T>,
  port: number = nextPort++,
): Promise<T> {
  const child = await startChild(...pinned(server.cores ?? "0", ...server.command(port)), path("server.out"));
  try {
    await untilAnswering(child, server.name, port);
    return await use(child.pid, port);
  } finally {
    await child.stop();
  }
}

async function untilAnswering(child: Child, name: string, port: number): Promise<void> {
  const at = { address: "127.0.0.1", port };
  for (let tries = 0; tries < 100; tries++) {
    if (!child.isRunning()) throw new Error(`Cannot measure ${name} as it ended:\n${child.logTail()}`);
    const [answer] = await askUdp(at, [query(service(1).name)], { waitMs: 300 });
    if (answer !== undefined && (answer.readUInt8(3) & 0xf) === 0) return;
  }
  throw new Error(`Cannot measure ${name} as it does not answer:\n${child.logTail()}`);
}
