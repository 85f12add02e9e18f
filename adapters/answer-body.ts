import { ReadError } from "../src/errors.ts";
import { type JsonLimits, jsonScan } from "./json-scan.ts";

/** How large an answer may be. */
export interface AnswerLimits extends JsonLimits {
  readonly bytes: number;
}

type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

/** Takes in the body of one answer, piece by piece. */
export interface AnswerBody {
  /** The answer's head has come. @throws {ReadError} When the body is compressed, which nobody asked for. */
  begin(status: number, headers: Headers): void;
  /** @throws {ReadError} When there is more of it than there may be. */
  add(piece: Uint8Array): void;
  /** @throws {ReadError} When octets are missing that the header promised. */
  whole(): Buffer<ArrayBuffer>;
  /** Lists, mappings and commas in it. */
  values(): number;
  /** Give its memory back, whatever has become of it. */
  drop(): void;
}

/** Octets of memory that the answers of one registry share. */
export interface Budget {
  /** @throws {ReadError} When there are not so many left. */
  take(bytes: number): void;
  give(bytes: number): void;
}

const KIB = 1024;
const MIB = 1024 * KIB;
/** Of what a registry says of an error, no more is kept; only the first words are shown. */
const MOST_ERROR_BYTES = 64 * KIB;
/** All answers under way of one registry: a list of the largest size, and as much again for services. */
const SHARED_BYTES = 128 * MIB;
/** A server sends kilobytes at once. One that sends single octets costs more time than its answer is worth. */
const MOST_SMALL_PIECES = 10_000;
const SMALL_PIECE_BYTES = 64;

/** A budget for the answers of one registry. */
export function answerBudget(most = SHARED_BYTES): Budget {
  let left = most;
  return {
    take(bytes) {
      if (bytes > left) throw new ReadError("answer", `is one of several that together are larger than ${most} bytes`);
      left -= bytes;
    },
    give(bytes) {
      left += bytes;
    },
  };
}

/**
 * Gather a body in one buffer that grows up to a limit, and count what is in it before anything is parsed. Without `limits` only
 * the head of a good answer is wanted, and its body is not kept.
 */
export function answerBody(limits: AnswerLimits | undefined, budget: Budget): AnswerBody {
  const most = limits?.bytes ?? SHARED_BYTES;
  const scan = limits === undefined ? undefined : jsonScan(limits);
  let isGood = true;
  let isOver = false;
  let promised: number | undefined;
  let only: Uint8Array<ArrayBuffer> | undefined; // a small answer is one piece, which needs no copy
  let memory = new ArrayBuffer(0);
  let taken = 0;
  let kept = 0;
  let length = 0;
  let pieces = 0;

  function keep(piece: Uint8Array): void {
    if (kept === 0 && only === undefined) {
      only = piece as Uint8Array<ArrayBuffer>;
      kept = piece.length;
      return;
    }
    const first = only;
    only = undefined;
    reserve(kept + piece.length);
    const octets = new Uint8Array(memory);
    if (first !== undefined) octets.set(first);
    octets.set(piece, kept);
    kept += piece.length;
  }

  function reserve(needed: number): void {
    if (needed <= taken) return;
    const size = Math.min(Math.max(2 * taken, needed, 64 * KIB), Math.max(most, needed));
    budget.take(size - taken);
    taken = size;
    memory = memory.transfer(size); // what was before is free at once
  }

  return {
    begin(status, headers) {
      isGood = status === 200;
      const { "content-length": bytes, "content-encoding": encoding = "identity" } = headers;
      promised = bytes === undefined ? undefined : Number(bytes);
      if (encoding !== "identity" && encoding !== "")
        throw new ReadError("answer", "is compressed, which was not asked for");
    },
    add(piece) {
      if (isOver) return; // of an answer that was refused, more may come before its connection knows
      length += piece.length;
      pieces++;
      if (pieces > MOST_SMALL_PIECES && length < pieces * SMALL_PIECE_BYTES)
        throw new ReadError("answer", `comes in pieces of less than ${SMALL_PIECE_BYTES} bytes`);
      if (!isGood) return kept < MOST_ERROR_BYTES ? keep(piece) : undefined;
      if (length > most) throw new ReadError("answer", `is larger than ${most} bytes`);
      scan?.add(piece);
      if (limits !== undefined) keep(piece);
    },
    whole() {
      if (promised !== undefined && promised !== length) throw new ReadError("answer", "ended early");
      if (only !== undefined) return Buffer.from(only.buffer, only.byteOffset, only.length);
      return Buffer.from(memory, 0, kept);
    },
    values: () => scan?.values() ?? 0,
    drop() {
      isOver = true;
      budget.give(taken);
      taken = 0;
      memory = new ArrayBuffer(0);
      only = undefined;
    },
  };
}
