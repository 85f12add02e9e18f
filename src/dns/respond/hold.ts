import type { Answer, Held } from "../answer/answer.ts";
import { shares } from "../share/shares.ts";

/** Longest time that a question is held back: less than what stub resolvers wait before they ask again (5 s). */
const MAX_HOLD_MS = 2000;
/** How often a held question is looked up again: a new table may settle a name sooner than the old one said. */
const LOOK_AGAIN_MS = 100;

type Settled = Exclude<Answer, { readonly kind: "held" }>;

/** Questions whose answer must wait. */
export interface Hold {
  /**
   * Look up again until the answer is no longer held. Undefined after 2 s, after `release`, and for a client that has lost its place to
   * others: then SERVFAIL is due, which no one caches as a denial (RFC 2308 §7.1).
   *
   * @param client what shares places with others as one
   */
  wait(first: Held, lookUp: () => Answer, client: string): Promise<Settled | undefined>;
  /** Give up on all held questions. */
  release(): void;
}

/** How many questions may be held. */
export interface HoldOptions {
  readonly limit: number;
  /** Told of a client that has lost its place. */
  readonly onDropped?: (client: string) => void;
}

interface Place {
  readonly client: string;
  isLost: boolean;
  wake(): void;
}

/** Hold back at most `limit` questions at a time, of which each client has its share. */
export function holdQuestions({ limit, onDropped }: HoldOptions): Hold {
  const held = new Set<Place>();
  const places = shares<Place>({
    most: limit,
    drop(place) {
      onDropped?.(place.client);
      lose(place);
      return undefined;
    },
  });
  let released = false;
  return {
    async wait(first, lookUp, client) {
      if (released) return undefined;
      const place: Place = { client, isLost: false, wake() {} };
      held.add(place);
      places.add(client, place);
      try {
        return await untilSettled(place, first, lookUp);
      } finally {
        held.delete(place);
        places.remove(client, place);
      }
    },
    release() {
      released = true;
      for (const place of held) lose(place);
    },
  };
}

function lose(place: Place): void {
  place.isLost = true;
  place.wake();
}

async function untilSettled(place: Place, first: Held, lookUp: () => Answer): Promise<Settled | undefined> {
  const deadlineMs = performance.now() + MAX_HOLD_MS;
  for (let current: Answer = first; ; current = lookUp()) {
    if (current.kind !== "held") return current;
    const leftMs = deadlineMs - performance.now();
    if (place.isLost || leftMs <= 0) return undefined;
    await sleep(place, Math.max(1, Math.min(leftMs, LOOK_AGAIN_MS, current.untilMs - Date.now())));
  }
}

function sleep(place: Place, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    place.wake = () => {
      clearTimeout(timer);
      resolve();
    };
  });
}
