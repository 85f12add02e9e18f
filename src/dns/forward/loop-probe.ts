import { createHmac } from "node:crypto";
import { TYPE } from "../wire/codes.ts";
import type { Question } from "../wire/query.ts";
import type { ResourceRecord } from "../wire/records.ts";
import { MAX_NAME_BYTES } from "../wire/sizes.ts";
import { encodeName } from "../wire/wire-name.ts";
import { type Asked, askedForOctets } from "./upstream-query.ts";

/** Questions that only threads of this process can answer: an upstream that answers them forwards to us. */
export interface LoopProbe {
  /** A name below the one that was asked, which takes the same way; beside it, where that one is too long. */
  beside(asked: Asked): Asked;
  /** The record that answers such a question; undefined for any other. */
  recordFor(question: Question): ResourceRecord | undefined;
  isOurs(answer: Buffer): boolean;
}

/** Probes by a secret that all threads share. */
export function loopProbe(secret: Uint8Array): LoopProbe {
  const word = (of: string) => createHmac("sha256", secret).update(of).digest("hex").slice(0, 32);
  const [label, proof] = [word("loop question"), word("loop answer")];
  return {
    beside({ question }) {
      const first = (encodeName(label) as Uint8Array).subarray(0, -1);
      const isRoom = first.length + question.length - 4 <= MAX_NAME_BYTES;
      const above = question.subarray(isRoom ? 0 : 1 + (question[0] as number), -4);
      return askedForOctets(Buffer.concat([first, above]), TYPE.TXT);
    },
    recordFor({ name }) {
      if (!name.startsWith(label)) return undefined;
      return { name, type: "TXT", ttlSeconds: 0, texts: [proof] };
    },
    isOurs: (answer) => answer.includes(proof),
  };
}
