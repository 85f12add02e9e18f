import { Packet } from "dns2";
import ipaddr from "ipaddr.js";
import { CLASS_IN, TYPE } from "./codes.ts";
import type { Query } from "./message.ts";
import { encodeName } from "./wire-name.ts";

/** One record of an answer (RFC 1035 §3.2.1; AAAA: RFC 3596 §2.2; SRV: RFC 2782). Names in lower case without trailing dot. */
export type ResourceRecord = { readonly name: string; readonly ttlSeconds: number } & (
  | { readonly type: "A" | "AAAA"; readonly address: string }
  | { readonly type: "CNAME" | "NS" | "PTR"; readonly target: string }
  | {
      readonly type: "SRV";
      readonly priority: number;
      readonly weight: number;
      readonly port: number;
      readonly target: string;
    }
  | { readonly type: "TXT"; readonly texts: readonly string[] }
  | { readonly type: "HINFO"; readonly cpu: string; readonly os: string }
  | {
      readonly type: "SOA";
      readonly primary: string;
      readonly mailbox: string;
      readonly serial: number;
      readonly refreshSeconds: number;
      readonly retrySeconds: number;
      readonly expireSeconds: number;
      readonly minimumSeconds: number;
    }
);

const NOTHING = Buffer.alloc(0);
/**
 * What the name that was asked is called for dns2, which would take its `\DDD` for four octets each. No name of ours is one octet 0, as that would be
 * `\000`.
 */
const ASKED = "\0";

/**
 * The bits of records that follow the question of `query`, with names compressed against it (RFC 1035 §4.1.4): a record of the
 * name that was asked carries the case that was asked (RFC 4343 §4.1).
 *
 * @throws When a record cannot be bits: an address that is none, a label over 63 octets.
 */
export function encodeRecords(query: Query, records: readonly ResourceRecord[]): Buffer {
  if (records.length === 0) return NOTHING;
  const writer = Object.assign(new Packet.Writer(), { names: questionNames(query) });
  // dns2 takes a pointer's offset from what its writer holds, one array item per bit; the header and question themselves are copied elsewhere.
  writer.buffer = new Array<number>(query.questionEnd * 8).fill(0);
  // It also makes a buffer of all that was written so far after every record, which is quadratic and of no use here.
  const toBuffer = writer.toBuffer.bind(writer);
  writer.toBuffer = () => NOTHING;
  const nameOf = (name: string) => (name !== "" && name === query.question?.name ? ASKED : name);
  for (const record of records) {
    if (record.type === "SRV") writeSrv(record, nameOf(record.name), writer);
    else Packet.Resource.encode(new Packet.Resource(toDns2(record, nameOf)), writer);
  }
  return toBuffer().subarray(query.questionEnd);
}

/** dns2 compresses the target, which RFC 2782 forbids. */
function writeSrv(
  record: ResourceRecord & { readonly type: "SRV" },
  owner: string,
  writer: InstanceType<typeof Packet.Writer>,
): void {
  const target = encodeName(record.target);
  if (target === undefined) throw new Error(`Cannot write "${record.target}" as a DNS name`);
  Packet.Name.encode(owner, writer);
  for (const word of [TYPE.SRV, CLASS_IN]) writer.write(word, 16);
  writer.write(record.ttlSeconds, 32);
  for (const word of [6 + target.length, record.priority, record.weight, record.port]) writer.write(word, 16);
  for (const octet of target) writer.write(octet, 8);
}

/** Offsets of the question's name and of its parents, as dns2 looks them up. */
function questionNames({ packet, question }: Query): Map<string, number> {
  const offsets = new Map<string, number>();
  if (question === undefined) return offsets;
  let offset = 12;
  offsets.set(ASKED, offset);
  for (let rest = question.name; rest !== ""; ) {
    offsets.set(rest, offset);
    offset += 1 + (packet[offset] as number);
    const dot = rest.indexOf(".");
    rest = dot < 0 ? "" : rest.slice(dot + 1);
  }
  return offsets;
}

function toDns2(
  record: Exclude<ResourceRecord, { readonly type: "SRV" }>,
  nameOf: (name: string) => string,
): ConstructorParameters<typeof Packet.Resource>[0] {
  const head = { name: nameOf(record.name), type: TYPE[record.type], class: CLASS_IN, ttl: record.ttlSeconds };
  switch (record.type) {
    case "A":
      return { ...head, address: record.address };
    case "AAAA":
      return { ...head, address: withoutDots(record.address) };
    case "CNAME":
      return { ...head, domain: nameOf(record.target) };
    case "NS":
      return { ...head, ns: nameOf(record.target) };
    case "PTR":
      return { ...head, domain: nameOf(record.target) };
    case "TXT":
      return { ...head, data: [...record.texts] };
    case "HINFO":
      return { ...head, data: Buffer.concat([characterString(record.cpu), characterString(record.os)]) };
    case "SOA":
      return {
        ...head,
        primary: nameOf(record.primary),
        admin: record.mailbox,
        serial: record.serial,
        refresh: record.refreshSeconds,
        retry: record.retrySeconds,
        expiration: record.expireSeconds,
        minimum: record.minimumSeconds,
      };
  }
}

/** dns2 3.1.1 writes `::ffff:192.0.2.1` (RFC 5952 §5) as `::ffff:c0`. */
function withoutDots(address: string): string {
  return address.includes(".") ? ipaddr.IPv6.parse(address).toNormalizedString() : address;
}

/** A length octet and that many octets (RFC 1035 §3.3). */
function characterString(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  return Buffer.concat([Buffer.from([bytes.length]), bytes]);
}
