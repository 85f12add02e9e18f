import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { type TestContext, test } from "node:test";
import type { ListenAddress } from "../../src/dns/serve/options.ts";
import type { NameRow } from "../../src/model/name-table.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { sized } from "../size.ts";
import { startCoredns } from "./coredns.ts";
import { startNsd, withoutNsd } from "./nsd.ts";
import { numbers } from "./numbers.ts";
import { startServer } from "./sockets.ts";
import { type DecodedRecord, decode, opt, query, table } from "./wire.ts";

const ZONE = "mesh.internal";
const QUESTIONS = sized(60_000);
const AT_ONCE = 100;
/** When no answer came for this long, what is missing was lost. */
const QUIET_MS = 200;

const rows: Record<string, Partial<NameRow>> = { [ZONE]: { a: ["192.0.2.53"] } };
for (let n = 0; n < 300; n++) {
  const ports = n % 3 === 0 ? [{ name: "http", number: 8000 + n, transport: "tcp" as const }] : [];
  const aaaa = n % 4 === 0 ? [`fd00::${n.toString(16)}`] : [];
  rows[`svc-${n}.ns-${n % 7}.${ZONE}`] = { a: n % 5 === 4 ? [] : [`240.241.1.${n % 256}`], aaaa, ports };
}
rows[`svc-9.ns-2.${ZONE}`] = { aaaa: ["fd00::9"] };
rows[`many.${ZONE}`] = { a: Array.from({ length: 20 }, (_, n) => `240.241.2.${n}`) };
rows[`huge.${ZONE}`] = { a: Array.from({ length: 60 }, (_, n) => `240.241.3.${n}`) };
rows[`alias.${ZONE}`] = { cname: `svc-0.ns-0.${ZONE}` };
rows[`twice.${ZONE}`] = { cname: `alias.${ZONE}` };
rows[`half.${ZONE}`] = { cname: `svc-1.ns-1.${ZONE}` };
rows[`gone.${ZONE}`] = { cname: `nobody.${ZONE}` };
rows[`out.${ZONE}`] = { cname: "orders.example.org" };
rows[`a.b.c.d.${ZONE}`] = { a: ["240.241.4.1"] };
rows[`*.wild.${ZONE}`] = { a: ["240.241.5.1"] };
rows[`known.wild.${ZONE}`] = { aaaa: ["fd00::5:2"] };
rows[`a.ent.wild.${ZONE}`] = { a: ["240.241.5.3"] };
rows[`*.cwild.${ZONE}`] = { cname: `svc-0.ns-0.${ZONE}` };
rows[`*.chain.wild.${ZONE}`] = { cname: `x.cwild.${ZONE}` };
// A row without address would be no name at all in a zone file.
for (const [name, { a = [], aaaa = [], cname }] of Object.entries(rows))
  if (a.length + aaaa.length === 0 && cname === undefined) delete rows[name];

function zoneFile(): string {
  const lines = [`$ORIGIN ${ZONE}.`, "@ 5 IN SOA @ nobody.invalid. 7 3600 1200 604800 5", "@ 30 IN NS @"];
  for (const [name, { a = [], aaaa = [], cname, ports = [] }] of Object.entries(rows)) {
    for (const address of a) lines.push(`${name}. 30 IN A ${address}`);
    for (const address of aaaa) lines.push(`${name}. 30 IN AAAA ${address}`);
    if (cname !== undefined) lines.push(`${name}. 30 IN CNAME ${cname}.`);
    for (const { name: port, number } of ports) {
      lines.push(`_${port}._tcp.${name}. 30 IN SRV 0 100 ${number} ${name}.`);
    }
  }
  return `${lines.join("\n")}\n`;
}

interface Asked {
  readonly packet: Buffer;
  readonly name: string;
  readonly type: number;
  readonly class: number;
  readonly flags: number;
  readonly edns: boolean;
  readonly version: number;
}

function questions(): Asked[] {
  const below = numbers(Number(process.env.X2ISTIO_SEED ?? 42));
  const pick = <T>(...items: readonly T[]): T => items[below(items.length)] as T;
  const known = Object.keys(rows);
  const names: readonly (() => string)[] = [
    () => pick(...known),
    () => pick(...known),
    () => pick(...known),
    () => `nope-${below(50)}.ns-${below(9)}.${ZONE}`,
    () => pick("ns-0", "d", "c.d", "b.c.d", "x.b.c.d", "ns-8", "_tcp.svc-0.ns-0").concat(`.${ZONE}`),
    () => `_${pick("http", "grpc")}._${pick("tcp", "udp")}.svc-${below(20)}.ns-${below(7)}.${ZONE}`,
    () => `x.${pick(...known)}`,
    () =>
      `${pick("x", "x.y", "*", "known", "a.known", "ent", "b.ent", "a.ent", "x.chain", "_http._tcp")}.${pick("wild", "wild", "cwild")}.${ZONE}`,
    () => pick(ZONE, "internal", "example.org", "", "com", `${ZONE}.example.org`, `not${ZONE}`),
  ];
  return Array.from({ length: QUESTIONS }, (_, n) => {
    const plain = pick(...names)();
    const name =
      below(3) === 0 ? [...plain].map((letter) => (below(2) ? letter.toUpperCase() : letter)).join("") : plain;
    const type = below(12) === 0 ? below(300) : pick(1, 1, 1, 28, 28, 5, 33, 6, 2, 15, 16, 12, 65, 64, 43);
    const qclass = below(60) === 0 ? pick(0, 2, 3, 4, 254, 255, 77) : 1;
    const flags = pick(
      0x0100,
      0x0100,
      0x0100,
      0,
      0x0110,
      0x0120,
      0x0020,
      0x0010,
      0x0040,
      ...(below(20) ? [] : [0x1000, 0x2000, 0x2800, 0x3000, 0x7800]),
    );
    const edns = below(3) === 0;
    const version = edns && below(20) === 0 ? pick(1, 255) : 0;
    const data = below(4) === 0 ? Buffer.from("fde900020102", "hex") : Buffer.alloc(0);
    const record = opt({ size: pick(0, 512, 1232, 4096), dnssecOk: below(2) === 1, version, data });
    const packet = query(name, { id: n % 0x10000, type, class: qclass, flags, records: edns ? [record] : [] });
    return { packet, name: plain, type, class: qclass, flags, edns, version };
  });
}

const idOf = (asked: readonly Asked[], index: number) => asked[index]?.packet.readUInt16BE(0) ?? 0;

/** Ask all, a few at a time; what is lost is asked again. */
async function askAll(to: ListenAddress, asked: readonly Asked[]): Promise<readonly (Buffer | undefined)[]> {
  const socket = createSocket({ type: "udp4", recvBufferSize: 4_000_000 });
  const answers: (Buffer | undefined)[] = [];
  for (let from = 0; from < asked.length; from += AT_ONCE) {
    let missing = asked.slice(from, from + AT_ONCE).map((_, index) => from + index);
    for (let tries = 0; missing.length > 0 && tries < 10; tries++) {
      const done = Promise.withResolvers<void>();
      const waiting = new Map(missing.map((index) => [idOf(asked, index), index]));
      const quiet = setTimeout(done.resolve, QUIET_MS);
      const onMessage = (message: Buffer) => {
        quiet.refresh();
        const index = waiting.get(message.readUInt16BE(0));
        if (index === undefined) return;
        answers[index] = message;
        waiting.delete(message.readUInt16BE(0));
        if (waiting.size === 0) done.resolve();
      };
      socket.on("message", onMessage);
      for (const index of missing) socket.send((asked[index] as Asked).packet, to.port, to.address);
      await done.promise;
      clearTimeout(quiet);
      socket.off("message", onMessage);
      missing = [...waiting.values()];
    }
  }
  socket.close();
  return answers;
}

const lineOf = ({ name, type, class: qclass, ttl, data, target }: DecodedRecord) =>
  `${name.toLowerCase()} ${ttl} ${qclass} ${type} ${target?.toLowerCase() ?? ""} ${type === 6 ? data.toString("hex", data.length - 20) : target === undefined ? data.toString("hex") : ""}`;

const NO_ANSWER = "no answer";

/** What must be alike. */
function essence(message: Buffer | undefined): string {
  if (message === undefined) return NO_ANSWER;
  const { rcode, qr, opcode, aa, tc, rd, ra, questions, answers, authority, additional } = decode(message);
  const edns = additional.find(({ type }) => type === 41);
  const sections = [answers, authority].map((records) => records.map(lineOf).toSorted());
  const upper = edns === undefined ? "" : `opt ${edns.ttl.toString(16)}`;
  return JSON.stringify({ rcode, qr, opcode, aa, tc, rd, ra, questions, sections, upper });
}

const withoutSoa = (text: string) => text.replace(/\],\["mesh\.internal 5 1 6 [^"]*"\]/, "],[]");
const withoutDo = (text: string) => text.replace("opt 1008000", "opt 1000000");

/** The records in the answer section of what is compared. */
const recordsIn = (text: string) => (JSON.parse(text) as { readonly sections: readonly string[][] }).sections[0] ?? [];

type Reference = "NSD" | "CoreDNS";

/** Where we differ by intent, from whom if not from both, and why. */
const DIFFERENCES: readonly (readonly [
  why: string,
  covers: (asked: Asked, ours: string, theirs: string) => boolean,
  from?: Reference,
])[] = [
  [
    "opcodes but QUERY are NOTIMP (RFC 1035 §4.1.1), with question and OPT; others know NOTIFY and leave question and OPT out",
    ({ flags }, ours) => (flags & 0x7800) !== 0 && ours.includes('"rcode":4'),
  ],
  [
    "BADVERS copies DO (RFC 3225 §3); others do not",
    ({ version }, ours, theirs) => version > 0 && withoutDo(ours) === theirs,
  ],
  [
    "classes but IN are REFUSED with the question; NSD leaves it out, and answers class ANY",
    ({ class: qclass }, ours) => qclass !== 1 && ours.includes('"rcode":5'),
  ],
  [
    "types that can only be meta-data are FORMERR (RFC 6895 §3.1, RFC 2930 §3, RFC 8945 §4.2); others take them for data",
    ({ type }, ours) => [0, 41, 249, 250].includes(type) && ours.includes('"rcode":1'),
  ],
  [
    "MAILA and MAILB are NOTIMP; others take them for data",
    ({ type }, ours) => (type === 253 || type === 254) && ours.includes('"rcode":4'),
  ],
  [
    "AXFR and IXFR are REFUSED; NSD says NOTIMP by UDP",
    ({ type }, ours) => (type === 251 || type === 252) && ours.includes('"rcode":5'),
  ],
  [
    "NSEC3 at an alias follows it, as every type but CNAME (RFC 1034 §3.6.2); NSD knows it for one that stands at no name",
    ({ type }, ours) => type === 50 && ours.includes(" 30 1 5 "),
    "NSD",
  ],
  [
    "ANY is one RRset, the A records first (RFC 8482 §4.1); NSD gives all",
    ({ type }, ours, theirs) => type === 255 && recordsIn(ours).every((record) => theirs.includes(record)),
    "NSD",
  ],
  [
    "ANY is one RRset (RFC 8482 §4.1); CoreDNS gives HINFO (§4.2), of every name",
    ({ type }, _, theirs) => type === 255 && theirs.includes(" 8482 1 13 "),
    "CoreDNS",
  ],
  [
    "BADVERS is said before the class is checked (RFC 6891 §6.1.3); CoreDNS refuses the class first",
    ({ version, class: qclass }, ours) => version > 0 && qclass !== 1 && ours.includes("opt 100"),
    "CoreDNS",
  ],
  [
    "an answer that is cut has as many records as fit (RFC 2181 §9); NSD gives none, and others take more than 1232 octets for too many, or fewer",
    ({ name }, ours, theirs) =>
      name.endsWith(`huge.${ZONE}`) &&
      [ours, theirs].some((one) => one.includes('"tc":true')) &&
      !ours.includes('"sections":[[]'),
  ],
  [
    "NODATA behind an alias has an SOA (RFC 2308 §2.2); CoreDNS leaves it out",
    (_, ours, theirs) => ours.includes(" 30 1 5 ") && withoutSoa(ours) === theirs,
    "CoreDNS",
  ],
  [
    "NXDOMAIN behind an alias is said (RFC 6604 §3); CoreDNS says NOERROR",
    ({ name }, ours, theirs) =>
      name.endsWith(`gone.${ZONE}`) && withoutSoa(ours).replace('"rcode":3', '"rcode":0') === theirs,
    "CoreDNS",
  ],
  [
    "a wildcard does not stand for an empty non-terminal (RFC 4592 §2.2.2); in CoreDNS it does",
    ({ name }, ours) => name === `ent.wild.${ZONE}` && ours.includes('"sections":[[],['),
    "CoreDNS",
  ],
];

/** What is put to both servers, and why their answers are not the same where they are not. */
function compare(
  from: Reference,
  asked: readonly Asked[],
  ours: readonly (Buffer | undefined)[],
  theirs: readonly (Buffer | undefined)[],
) {
  const justified = new Map<string, number>();
  const unexplained: string[] = [];
  for (const [index, one] of asked.entries()) {
    const [mine, other] = [essence(ours[index]), essence(theirs[index])];
    if (mine === other) continue;
    const why = DIFFERENCES.find(
      ([, covers, only = from]) => only === from && mine !== NO_ANSWER && covers(one, mine, other),
    )?.[0];
    if (why !== undefined) justified.set(why, (justified.get(why) ?? 0) + 1);
    else {
      const { name, type, class: qclass, flags, edns, version } = one;
      const question = `${name} ${type} ${qclass} ${flags.toString(16)} edns ${edns} ${version}`;
      unexplained.push(`${question}\n  ours   ${mine}\n  theirs ${other}`);
    }
  }
  return { justified, unexplained };
}

const coredns = (await ensureServers(["coredns"]))?.coredns;

/** Another server with the same names. CoreDNS's plugins make it leave out the zone's NS, and answer ANY as RFC 8482 has it. */
const references: readonly {
  readonly name: Reference;
  readonly skip: string | false;
  isPut?(asked: Asked): boolean;
  start(t: TestContext): Promise<ListenAddress>;
}[] = [
  { name: "NSD", skip: withoutNsd(), start: (t) => startNsd(t, ZONE, zoneFile()) },
  {
    name: "CoreDNS",
    skip: coredns === undefined && noServers,
    // NOTIFY is left unanswered where there is nothing to notify of.
    isPut: ({ flags }) => (flags & 0x7800) !== 0x2000,
    start: (t) => startCoredns(t, coredns ?? "", { zone: ZONE, zoneFile: zoneFile(), plugins: "minimal\nany" }),
  },
];

test(`${QUESTIONS} questions`, { timeout: 300_000 }, async (t) => {
  const now = table(rows);
  const { at } = await startServer(t, { table: () => now });
  const all = questions();
  const answers = await askAll(at, all);
  for (const { name, skip, isPut = () => true, start } of references)
    await t.test(`${QUESTIONS} questions have the same answers as from ${name}`, { skip }, async (t) => {
      const asked = all.filter(isPut);
      const ours = answers.filter((_, index) => isPut(all[index] as Asked));
      assert.ok(ours.length === asked.length && !ours.includes(undefined));
      const { justified, unexplained } = compare(name, asked, ours, await askAll(await start(t), asked));
      for (const [why, count] of justified) t.diagnostic(`${count} of ${asked.length} differ: ${why}`);
      assert.equal(unexplained.length, 0, `${unexplained.length} differ:\n${unexplained.slice(0, 40).join("\n")}`);
    });
});
