import { type LabelPlace, labelPlaces, NAMES_IN } from "./data-names.ts";
import { HEADER_BYTES } from "./sizes.ts";
import { skipName } from "./wire-name.ts";

const UNDERSCORE = 0x5f;

/**
 * Finds what in an answer's names repeats its question: its letters are those of our own question, whose case is random, and must not be told
 * to a client. The function returned takes one record after the other, and gives three numbers for each label: its offset, that in the
 * question, and its length.
 */
export function echoFinder(message: Uint8Array): (record: RecordPlaces) => readonly number[] {
  const question = labelPlaces(message, HEADER_BYTES) ?? [];
  const written = (at: number) => echoesIn(message, at, question);
  return ({ at, type, data, end }) => {
    const found = [...written(at)];
    const [before = 0, names = 0] = NAMES_IN[type] ?? [];
    let place: number | undefined = data + before;
    for (let index = 0; index < names && place !== undefined && place < end; index++) {
      found.push(...written(place));
      place = skipName(message, place);
    }
    return found;
  };
}

/** Where a record's parts stand in its message. */
export interface RecordPlaces {
  readonly at: number;
  readonly type: number;
  readonly data: number;
  readonly end: number;
}

function echoesIn(message: Uint8Array, start: number, question: readonly LabelPlace[]): readonly number[] {
  const labels = labelPlaces(message, start) ?? [];
  const questionEnd = (question.at(-1)?.at ?? HEADER_BYTES) + (question.at(-1)?.length ?? 0);
  let isAligned = true;
  return labels.toReversed().flatMap((label, index) => {
    const same = question.at(-1 - index);
    isAligned &&= same !== undefined && isSame(message, label, same);
    // What a pointer leads to in the question is the client's anyway.
    if (label.at <= questionEnd) return [];
    const from = isAligned ? same : hasUpperCase(message, label) ? sourceOf(message, label, question) : undefined;
    return from === undefined ? [] : [label.at, from.at, label.length];
  });
}

/** A label of the question that an answer may have moved elsewhere, as SRV for `_orders._tcp.domain` leads to `orders.domain`. */
function sourceOf(message: Uint8Array, label: LabelPlace, question: readonly LabelPlace[]): LabelPlace | undefined {
  for (const one of question) {
    const bare = message[one.at] === UNDERSCORE ? { at: one.at + 1, length: one.length - 1 } : one;
    if (isSame(message, label, one)) return one;
    if (isSame(message, label, bare)) return bare;
  }
  return undefined;
}

function isSame(message: Uint8Array, a: LabelPlace, b: LabelPlace): boolean {
  if (a.length !== b.length) return false;
  for (let offset = 0; offset < a.length; offset++) if (message[a.at + offset] !== message[b.at + offset]) return false;
  return true;
}

function hasUpperCase(message: Uint8Array, { at, length }: LabelPlace): boolean {
  return message.subarray(at, at + length).some((octet) => octet >= 0x41 && octet <= 0x5a);
}
