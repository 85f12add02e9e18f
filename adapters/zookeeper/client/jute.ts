import { ReadError } from "../../../src/errors.ts";

/** Reads what a server wrote, field by field. Every length is checked against what is there before anything is made of it. */
export interface Fields {
  int(): number;
  long(): bigint;
  /** Octets of a length that stands before them; none where that is −1. */
  octets(most: number): Buffer;
  /** UTF-8; octets that are none become U+FFFD. */
  text(most: number): string;
  /** @param most of texts @param each the most octets of one */
  texts(most: number, each: number): readonly string[];
}

/** The fields of a record of Jute, ZooKeeper's encoding (zookeeper-jute: BinaryInputArchive). @throws {ReadError} Each, when it cannot be there. */
export function fieldsOf(record: Buffer): Fields {
  let at = 0;
  function take(bytes: number): number {
    const from = at;
    if (bytes > record.length - from) throw new ReadError("answer", "an answer ends early");
    at += bytes;
    return from;
  }
  function length(most: number, what: string): number {
    const stated = record.readInt32BE(take(4));
    if (stated > most) throw new ReadError("answer", `an answer has ${what} of ${stated}, ${most} are allowed`);
    return Math.max(0, stated);
  }
  const octets = (most: number) => {
    const bytes = length(most, "a text");
    const from = take(bytes);
    return record.subarray(from, from + bytes);
  };
  return {
    int: () => record.readInt32BE(take(4)),
    long: () => record.readBigInt64BE(take(8)),
    octets,
    text: (most) => octets(most).toString("utf8"),
    texts(most, each) {
      const count = length(most, "a list");
      return Array.from({ length: count }, () => octets(each).toString("utf8"));
    },
  };
}

/** A number of four octets. */
export function int(value: number): Buffer {
  const octets = Buffer.alloc(4);
  octets.writeInt32BE(value);
  return octets;
}

/** A number of eight octets. */
export function long(value: bigint): Buffer {
  const octets = Buffer.alloc(8);
  octets.writeBigInt64BE(value);
  return octets;
}

/** A text or octets, with their length before them. */
export function sized(value: string | Buffer): Buffer {
  const octets = typeof value === "string" ? Buffer.from(value) : value;
  return Buffer.concat([int(octets.length), octets]);
}

/** Yes or no. */
export function flag(value: boolean): Buffer {
  return Buffer.of(value ? 1 : 0);
}
