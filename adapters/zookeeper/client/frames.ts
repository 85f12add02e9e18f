import { ReadError } from "../../../src/errors.ts";

/** What one answer may have: the default of servers is 1 MiB (jute.maxbuffer), and large estates raise it. */
export const MOST_FRAME_BYTES = 16 * 1024 * 1024;

/** Cuts a stream of octets into frames, each with its length before it. */
export interface Frames {
  /** The frames that are whole now. @throws {ReadError} As soon as one states a length that none has. */
  add(piece: Buffer): readonly Buffer[];
}

const LEAST_MEMORY = 64 * 1024;

/** Memory for a frame grows with what has come of it, not with what it says that will come. */
export function frames(mostBytes = MOST_FRAME_BYTES): Frames {
  const head = Buffer.alloc(4);
  let headLength = 0;
  let wanted: number | undefined; // octets of the frame, once its length is known
  let memory = Buffer.alloc(0);
  let held = 0;

  function lengthFrom(piece: Buffer, from: number): number {
    let at = from;
    while (headLength < 4 && at < piece.length) head[headLength++] = piece[at++] ?? 0;
    if (headLength < 4) return at;
    headLength = 0;
    wanted = head.readInt32BE(0);
    if (wanted < 0 || wanted > mostBytes)
      throw new ReadError("answer", `an answer states a length of ${wanted} bytes, ${mostBytes} are allowed`);
    return at;
  }

  function keep(octets: Buffer, most: number): void {
    if (held + octets.length > memory.length) {
      const grown = Buffer.allocUnsafe(Math.min(most, Math.max(2 * memory.length, held + octets.length, LEAST_MEMORY)));
      memory.copy(grown, 0, 0, held);
      memory = grown;
    }
    octets.copy(memory, held);
    held += octets.length;
  }

  return {
    add(piece) {
      const whole: Buffer[] = [];
      for (let at = 0; ; ) {
        if (wanted === undefined) at = lengthFrom(piece, at);
        if (wanted === undefined) return whole;
        const own = piece.subarray(at, at + wanted - held);
        at += own.length;
        if (held + own.length < wanted) {
          keep(own, wanted);
          return whole;
        }
        if (held > 0) keep(own, wanted);
        whole.push(held > 0 ? memory : own);
        memory = Buffer.alloc(0);
        held = 0;
        wanted = undefined;
      }
    },
  };
}
