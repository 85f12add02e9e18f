import { createHash, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { TokenJudge, TokenVerdict } from "../model/report.ts";

/** A file that was replaced is read anew after this time. */
const FILE_LIVES_MS = 5000;
const MOST_FILE_TOKENS = 100;

/** How long a cluster's word on a token counts. */
const ACCEPTED_LIVES_MS = 60_000;
const REFUSED_LIVES_MS = 10_000;
const MOST_REMEMBERED = 10_000;
/** What strangers with made-up tokens may cost the cluster. */
const MOST_REVIEWS = 16;
const REVIEWS_PER_SECOND = 50;
const MOST_TOKEN_CHARACTERS = 8192;

/** What may be left undone. */
export interface TokenOptions {
  /** Told why nobody can be let in. */
  readonly onError: (error: unknown) => void;
  /** Never goes back. */
  readonly nowMs?: () => number;
}

/** Tokens of a file, one on each line; any of them will do. */
export function fileTokens(file: string, { onError, nowMs = () => performance.now() }: TokenOptions): TokenJudge {
  let readAtMs = Number.NEGATIVE_INFINITY;
  let digests: Promise<readonly Buffer[] | undefined> = Promise.resolve(undefined);

  async function read(): Promise<readonly Buffer[] | undefined> {
    try {
      const lines = (await readFile(file, "utf8")).split("\n").map((line) => line.trim());
      return lines
        .filter((line) => line !== "")
        .slice(0, MOST_FILE_TOKENS)
        .map(digestOf);
    } catch (error) {
      onError(error);
      return undefined;
    }
  }

  return async (token) => {
    if (nowMs() - readAtMs >= FILE_LIVES_MS) {
      readAtMs = nowMs();
      digests = read();
    }
    const known = await digests;
    if (known === undefined) return { state: "unavailable" };
    const given = digestOf(token);
    // All are compared, and each in the same time, whichever it is.
    const matches = known.map((one) => timingSafeEqual(one, given));
    return { state: matches.includes(true) ? "accepted" : "refused" };
  };
}

/**
 * Tokens that a cluster judges, which is asked once a minute for each. Strangers cannot make it answer more than 50 questions a
 * second.
 *
 * @param review asks it; rejects when it cannot be asked
 */
export function reviewedTokens(
  review: (token: string) => Promise<TokenVerdict>,
  { onError, nowMs = () => performance.now() }: TokenOptions,
): TokenJudge {
  const known = new Map<string, { readonly verdict: TokenVerdict; readonly untilMs: number }>();
  const asking = new Map<string, Promise<TokenVerdict>>();
  let left = REVIEWS_PER_SECOND;
  let second = -1;

  function mayAsk(): boolean {
    const now = Math.floor(nowMs() / 1000);
    if (now !== second) left = REVIEWS_PER_SECOND;
    second = now;
    return asking.size < MOST_REVIEWS && left-- > 0;
  }

  async function ask(key: string, token: string): Promise<TokenVerdict> {
    try {
      const verdict = await review(token);
      const livesMs = verdict.state === "accepted" ? ACCEPTED_LIVES_MS : REFUSED_LIVES_MS;
      known.delete(key);
      known.set(key, { verdict, untilMs: nowMs() + livesMs });
      for (const oldest of known.keys()) {
        if (known.size <= MOST_REMEMBERED) break;
        known.delete(oldest);
      }
      return verdict;
    } catch (error) {
      onError(error);
      return { state: "unavailable" };
    } finally {
      asking.delete(key);
    }
  }

  return async (token) => {
    // Tokens of service accounts are signed JWTs (RFC 7519).
    if (token.length > MOST_TOKEN_CHARACTERS || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) return { state: "refused" };
    const key = digestOf(token).toString("base64");
    const before = known.get(key);
    if (before !== undefined && before.untilMs > nowMs()) return before.verdict;
    const under = asking.get(key);
    if (under !== undefined) return under;
    if (!mayAsk()) return { state: "unavailable" };
    const asked = ask(key, token);
    asking.set(key, asked);
    return asked;
  };
}

/** Whoever any of them lets in. */
export function anyOf(judges: readonly TokenJudge[]): TokenJudge {
  return async (token) => {
    let last: TokenVerdict = { state: "refused" };
    for (const judge of judges) {
      const verdict = await judge(token);
      if (verdict.state === "accepted") return verdict;
      if (verdict.state === "unavailable") last = verdict;
    }
    return last;
  };
}

function digestOf(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
