import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { test } from "node:test";
import type { ListenAddress } from "../../src/dns/server.ts";
import type { NameRow } from "../../src/model/name-table.ts";
import { startNsd, withoutNsd } from "./nsd.ts";
import { startServer } from "./sockets.ts";
import { type DecodedRecord, decode, opt, query, table } from "./wire.ts";

const ZONE = "mesh.internal";
const QUESTIONS = 60_000;
const AT_ONCE = 200;

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
      lines.push(`${name}. 30 IN SRV 0 100 ${number} ${name}.`);
    }
  }
  return `${lines.join("\n")}\n`;
}

/** Mulberry32: the same questions in every run. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
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

/** Ask all, a few at a time; what is lost is asked again. */
async function askAll(to: ListenAddress, asked: readonly Asked[]): Promise<readonly (Buffer | undefined)[]> {
  const socket = createSocket({ type: "udp4", recvBufferSize: 4_000_000 });
  const answers: (Buffer | undefined)[] = [];
  for (let from = 0; from < asked.length; from += AT_ONCE) {
    let missing = asked.slice(from, from + AT_ONCE).map((_, index) => from + index);
    for (let tries = 0; missing.length > 0 && tries < 5; tries++) {
      const done = Promise.withResolvers<void>();
      const waiting = new Map(missing.map((index) => [index % 0x10000, index]));
      const onMessage = (message: Buffer) => {
        const index = waiting.get(message.readUInt16BE(0));
        if (index === undefined) return;
        answers[index] = message;
        waiting.delete(message.readUInt16BE(0));
        if (waiting.size === 0) done.resolve();
      };
      socket.on("message", onMessage);
      for (const index of missing) socket.send((asked[index] as Asked).packet, to.port, to.address);
      const timer = setTimeout(done.resolve, 1000);
      await done.promise;
      clearTimeout(timer);
      socket.off("message", onMessage);
      missing = [...waiting.values()];
    }
  }
  socket.close();
  return answers;
}

const lineOf = ({ name, type, class: qclass, ttl, data, target }: DecodedRecord) =>
  `${name.toLowerCase()} ${ttl} ${qclass} ${type} ${target?.toLowerCase() ?? ""} ${type === 6 ? data.toString("hex", data.length - 20) : target === undefined ? data.toString("hex") : ""}`;

/** What must be alike. */
function essence(message: Buffer | undefined): string {
  if (message === undefined) return "no answer";
  const { rcode, qr, opcode, aa, tc, rd, ra, questions, answers, authority, additional } = decode(message);
  const edns = additional.find(({ type }) => type === 41);
  const sections = [answers, authority].map((records) => records.map(lineOf).toSorted());
  const upper = edns === undefined ? "" : `opt ${edns.ttl.toString(16)}`;
  return JSON.stringify({ rcode, qr, opcode, aa, tc, rd, ra, questions, sections, upper });
}

const withoutDo = (text: string) => text.replace("opt 1008000", "opt 1000000");

/** Where the two differ by intent, and why. */
const DIFFERENCES: readonly (readonly [
  why: string,
  covers: (asked: Asked, ours: string, theirs: string) => boolean,
])[] = [
  [
    "opcodes but QUERY are NOTIMP (RFC 1035 §4.1.1), with question and OPT; NSD knows NOTIFY and leaves question and OPT out",
    ({ flags }, ours) => (flags & 0x7800) !== 0 && ours.includes('"rcode":4'),
  ],
  [
    "BADVERS copies DO (RFC 3225 §3); NSD does not",
    ({ version }, ours, theirs) => version > 0 && withoutDo(ours) === theirs,
  ],
  [
    "classes but IN are REFUSED with the question; NSD leaves it out, and answers class ANY",
    ({ class: qclass }, ours) => qclass !== 1 && ours.includes('"rcode":5'),
  ],
  [
    "types that can only be meta-data are FORMERR (RFC 6895 §3.1, RFC 2930 §3, RFC 8945 §4.2); NSD takes TKEY and TSIG for data",
    ({ type }, ours) => [0, 41, 249, 250].includes(type) && ours.includes('"rcode":1'),
  ],
  [
    "MAILA and MAILB are NOTIMP; NSD takes them for data",
    ({ type }, ours) => (type === 253 || type === 254) && ours.includes('"rcode":4'),
  ],
  [
    "AXFR and IXFR are REFUSED; NSD says NOTIMP by UDP",
    ({ type }, ours) => (type === 251 || type === 252) && ours.includes('"rcode":5'),
  ],
  [
    "NSEC3 at an alias follows it, as every type but CNAME (RFC 1034 §3.6.2); NSD knows it for one that stands at no name",
    ({ type }, ours) => type === 50 && ours.includes(" 30 1 5 "),
  ],
  [
    "ANY is one HINFO (RFC 8482 §4.2); NSD gives one RRset (§4.1)",
    ({ type }, ours) => type === 255 && ours.includes(" 13 "),
  ],
  [
    "over 512 octets go to clients with a cookie only (RFC 7873 §1); NSD believes EDNS alone",
    ({ name, edns }, ours) => name.endsWith(`huge.${ZONE}`) && edns && ours.includes('"tc":true'),
  ],
];

test(`${QUESTIONS} questions have the same answers as from NSD`, { skip: withoutNsd() }, async (t) => {
  const now = table(rows);
  const { at } = await startServer(t, { table: () => now });
  const reference = await startNsd(t, ZONE, zoneFile());
  const asked = questions();
  const [ours, theirs] = [await askAll(at, asked), await askAll(reference, asked)];
  const counts = new Map<string, number>();
  const unexplained: string[] = [];
  for (const [index, one] of asked.entries()) {
    const [mine, other] = [essence(ours[index]), essence(theirs[index])];
    if (mine === other) continue;
    const why = DIFFERENCES.find(([, covers]) => covers(one, mine, other))?.[0];
    if (why === undefined)
      unexplained.push(
        `${one.name} ${one.type} ${one.class} ${one.flags.toString(16)} edns ${one.edns} ${one.version}\n  ours   ${mine}\n  theirs ${other}`,
      );
    else counts.set(why, (counts.get(why) ?? 0) + 1);
  }
  for (const [why, count] of counts) t.diagnostic(`${count} differ: ${why}`);
  assert.equal(unexplained.length, 0, `${unexplained.length} differ:\n${unexplained.slice(0, 40).join("\n")}`);
});
