import type { NameRow, NameTable } from "../../src/model/name-table.ts";

/** What a test query has besides its name. */
export interface QueryOptions {
  readonly id?: number;
  readonly type?: number;
  readonly class?: number;
  /** Bits of the header's second word; RD by default. */
  readonly flags?: number;
  /** The four counts of the header. */
  readonly counts?: readonly [number, number, number, number];
  /** Records after the question. */
  readonly records?: readonly Buffer[];
}

/** A name on the wire; labels may hold any octet. */
export function wireName(name: string | readonly Buffer[]): Buffer {
  const labels =
    typeof name === "string"
      ? name
          .split(".")
          .filter((label) => label !== "")
          .map((label) => Buffer.from(label, "latin1"))
      : name;
  return Buffer.concat([...labels.flatMap((label) => [Buffer.from([label.length]), label]), Buffer.from([0])]);
}

/** A query, written by hand, so that it can also be a wrong one. */
export function query(name: string | readonly Buffer[], options: QueryOptions = {}): Buffer {
  const {
    id = 0x1234,
    type = 1,
    class: qclass = 1,
    flags = 0x0100,
    records = [],
    counts = [1, 0, 0, records.length],
  } = options;
  const header = Buffer.alloc(12);
  for (const [index, value] of [id, flags, ...counts].entries()) header.writeUInt16BE(value, index * 2);
  const tail = Buffer.alloc(4);
  tail.writeUInt16BE(type, 0);
  tail.writeUInt16BE(qclass, 2);
  return Buffer.concat([header, wireName(name), tail, ...records]);
}

/** One record of any kind. */
export function record(name: string, type: number, qclass: number, ttl: number, data: Buffer): Buffer {
  const head = Buffer.alloc(10);
  head.writeUInt16BE(type, 0);
  head.writeUInt16BE(qclass, 2);
  head.writeUInt32BE(ttl >>> 0, 4);
  head.writeUInt16BE(data.length, 8);
  return Buffer.concat([wireName(name), head, data]);
}

/** An OPT record. */
export function opt({
  version = 0,
  dnssecOk = false,
  size = 4096,
  extendedRcode = 0,
  data = Buffer.alloc(0) as Buffer,
  name = "",
} = {}): Buffer {
  return record(name, 41, size, extendedRcode * 2 ** 24 + version * 2 ** 16 + (dnssecOk ? 0x8000 : 0), data);
}

/** A record as the tests compare it. */
export interface DecodedRecord {
  readonly name: string;
  readonly type: number;
  readonly class: number;
  readonly ttl: number;
  readonly data: Buffer;
  /** Name in the data of NS and CNAME records, MNAME of SOA records. */
  readonly target: string | undefined;
}

/** An answer, read by a decoder that shares nothing with src/dns. */
export function decode(message: Buffer) {
  const word = (at: number) => message.readUInt16BE(at);
  let at = 12;

  function nameAt(start: number, depth = 0): { text: string; end: number } {
    if (depth > 20) throw new Error("pointers without end");
    const length = message.readUInt8(start);
    if (length === 0) return { text: "", end: start + 1 };
    if (length >= 0xc0) return { text: nameAt(word(start) & 0x3fff, depth + 1).text, end: start + 2 };
    const rest = nameAt(start + 1 + length, depth);
    const label = message.toString("latin1", start + 1, start + 1 + length);
    return { text: rest.text === "" ? label : `${label}.${rest.text}`, end: rest.end };
  }

  function nextQuestion() {
    const { text, end } = nameAt(at);
    at = end + 4;
    return { name: text, type: word(end), class: word(end + 2) };
  }

  function nextRecord(): DecodedRecord {
    const { text, end } = nameAt(at);
    const type = word(end);
    const length = word(end + 8);
    if (end + 10 + length > message.length) throw new Error("record beyond the message");
    at = end + 10 + length;
    const target = type === 2 || type === 5 || type === 6 ? nameAt(end + 10).text : undefined;
    return {
      name: text,
      type,
      class: word(end + 2),
      ttl: message.readUInt32BE(end + 4),
      data: message.subarray(end + 10, at),
      target,
    };
  }

  const flags = word(2);
  const decoded = {
    id: word(0),
    qr: (flags & 0x8000) !== 0,
    opcode: (flags >> 11) & 0xf,
    aa: (flags & 0x0400) !== 0,
    tc: (flags & 0x0200) !== 0,
    rd: (flags & 0x0100) !== 0,
    ra: (flags & 0x0080) !== 0,
    z: (flags >> 4) & 0x7,
    rcode: flags & 0xf,
    questions: Array.from({ length: word(4) }, nextQuestion),
    answers: Array.from({ length: word(6) }, nextRecord),
    authority: Array.from({ length: word(8) }, nextRecord),
    additional: Array.from({ length: word(10) }, nextRecord),
  };
  if (at !== message.length) throw new Error(`${message.length - at} bytes after the message`);
  return decoded;
}

/** Addresses of the A records of an answer. */
export function addresses(message: Buffer): string[] {
  return decode(message)
    .answers.filter(({ type }) => type === 1)
    .map(({ data }) => [...data].join("."));
}

/** A name table; parents are worked out from the names. */
export function table(rows: Readonly<Record<string, Partial<NameRow>>>, serial = 7): NameTable {
  const names = new Map(
    Object.entries(rows).map(([name, row]) => [name, { name, host: name, a: [], aaaa: [], settledAtMs: 0, ...row }]),
  );
  const parents = new Set<string>();
  for (const name of names.keys()) {
    for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1)) parents.add(name.slice(dot + 1));
  }
  for (const name of names.keys()) parents.delete(name);
  return { names, parents, serial };
}
