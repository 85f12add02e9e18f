import type { Reply } from "../reply.ts";

/** After an answer was made it is given for so many times as long as that took. */
const REST = 4;

/** Answers that are large or take long to make. */
export interface SharedReplies {
  /** The answer of now: one that is under way, one that was made just now, or what `make` gives. */
  get(name: string, make: () => Promise<Reply>): Promise<Reply>;
}

interface Shared {
  readonly reply: Promise<Reply>;
  untilMs: number;
}

/**
 * Make each answer once for all who ask meanwhile, and in a fifth of the time at most: however many ask, most of the time is
 * left for other work.
 *
 * @param nowMs never goes back
 */
export function sharedReplies(nowMs = () => performance.now()): SharedReplies {
  const known = new Map<string, Shared>();

  async function timed(name: string, make: () => Promise<Reply>): Promise<Reply> {
    const startedMs = nowMs();
    try {
      const reply = await make();
      return { ...reply, body: typeof reply.body === "string" ? Buffer.from(reply.body) : reply.body };
    } finally {
      const mine = known.get(name);
      const endMs = nowMs();
      if (mine !== undefined) mine.untilMs = endMs + REST * (endMs - startedMs);
    }
  }

  return {
    get(name, make) {
      const before = known.get(name);
      if (before !== undefined && nowMs() < before.untilMs) return before.reply;
      const shared = { reply: timed(name, make), untilMs: Number.POSITIVE_INFINITY };
      known.set(name, shared);
      return shared.reply;
    },
  };
}
