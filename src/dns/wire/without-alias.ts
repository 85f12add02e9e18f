import { RCODE, TYPE } from "./codes.ts";
import { labelPlaces, NAMES_IN } from "./data-names.ts";
import { type ForeignAnswer, readForeign } from "./foreign.ts";
import { HEADER_BYTES } from "./sizes.ts";
import { skipName } from "./wire-name.ts";

/** The question's name as a pointer. */
const ASKED = Buffer.from([0xc0, HEADER_BYTES]);
/** AD in the header's fourth octet. */
const FLAG_AD = 0x20;

/** A record's place in a message. */
interface RecordPlace {
  readonly at: number;
  readonly nameEnd: number;
  readonly end: number;
  readonly type: number;
}

/**
 * Someone else's answer as one about a name that has addresses here. It is no denial of the name. Where the name is an alias there, the
 * records at its end become the name's own, without the CNAME: caches (RFC 2181 §10.1) would take that for what all types have, and look
 * for the addresses where it leads.
 */
export function withoutAlias(answer: ForeignAnswer): ForeignAnswer {
  const { message } = answer;
  const rcode = answer.rcode === RCODE.NXDOMAIN ? RCODE.NOERROR : answer.rcode;
  const questionEnd = endOfName(message, HEADER_BYTES) + 4;
  const records = placesOf(message, questionEnd);
  const answers = records.slice(0, message.readUInt16BE(6));
  if (!answers.some(({ type }) => type === TYPE.CNAME)) return rcode === answer.rcode ? answer : { ...answer, rcode };
  const asked = message.readUInt16BE(questionEnd - 4);
  const authority = records.slice(answers.length, answers.length + message.readUInt16BE(8));
  const own = answers.filter(({ type }) => type === asked);
  const soas = own.length > 0 ? [] : authority.filter(({ type }) => type === TYPE.SOA).slice(0, 1);
  const ttlSeconds = Math.min(...answers.map(({ nameEnd }) => message.readUInt32BE(nameEnd + 4)));
  const head = Buffer.from(message.subarray(0, questionEnd));
  head.writeUInt8(head.readUInt8(3) & ~FLAG_AD, 3);
  head.writeUInt16BE(own.length, 6);
  head.writeUInt16BE(soas.length, 8);
  head.writeUInt16BE(0, 10);
  const parts = [
    ...own.map((place) => inFull(message, place, ASKED, ttlSeconds)),
    ...soas.map((place) => inFull(message, place, nameAt(message, place.at).octets)),
  ];
  const made = readForeign(Buffer.concat([head, ...parts]), questionEnd);
  return { ...(made ?? answer), rcode };
}

function placesOf(message: Buffer, from: number): readonly RecordPlace[] {
  const places: RecordPlace[] = [];
  for (let at = from; at < message.length; at = places.at(-1)?.end ?? message.length) {
    const nameEnd = endOfName(message, at);
    const end = nameEnd + 10 + message.readUInt16BE(nameEnd + 8);
    places.push({ at, nameEnd, end, type: message.readUInt16BE(nameEnd) });
  }
  return places;
}

/** A record that points to nothing but the question. @throws When its data are malformed. */
function inFull(message: Buffer, { nameEnd, end, type }: RecordPlace, owner: Buffer, ttlSeconds?: number): Buffer {
  const head = Buffer.from(message.subarray(nameEnd, nameEnd + 10));
  const [before = 0, names = 0] = NAMES_IN[type] ?? [];
  let at = nameEnd + 10 + before;
  const parts = [message.subarray(nameEnd + 10, at)];
  for (let index = 0; index < names; index++) {
    const name = nameAt(message, at);
    parts.push(name.octets);
    at = name.end;
  }
  if (at > end) throw new Error("Cannot read the data of a record in an upstream's answer");
  const data = Buffer.concat([...parts, message.subarray(at, end)]);
  if (ttlSeconds !== undefined) head.writeUInt32BE(ttlSeconds, 4);
  head.writeUInt16BE(data.length, 8);
  return Buffer.concat([owner, head, data]);
}

/** @throws When it is malformed, which an answer that was read before is not where a name is to be passed over. */
function endOfName(message: Buffer, at: number): number {
  const end = skipName(message, at);
  if (end === undefined) throw new Error("Cannot read a name in an upstream's answer");
  return end;
}

/** A name without pointers. @throws When it is malformed. */
function nameAt(message: Buffer, start: number): { readonly octets: Buffer; readonly end: number } {
  const labels = labelPlaces(message, start);
  if (labels === undefined) throw new Error("Cannot read a name in an upstream's answer");
  const octets = labels.map(({ at, length }) => message.subarray(at - 1, at + length));
  return { octets: Buffer.concat([...octets, Buffer.alloc(1)]), end: endOfName(message, start) };
}
