import { createHash, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { TokenJudge, TokenVerdict } from "../model/report.ts";

/** A file that was replaced is read again after this time. */
const FILE_LIVES_MS = 5000;
const MOST_FILE_TOKENS = 100;

/** What a judge of tokens needs. */
export interface TokenOptions {
  /** Told why no token can be accepted. */
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

/** Accepts what any of them accepts. A verdict that is unavailable counts more than one that refuses. */
export function anyOf(judges: readonly TokenJudge[]): TokenJudge {
  return async (token, client) => {
    let last: TokenVerdict = { state: "refused" };
    for (const judge of judges) {
      const verdict = await judge(token, client);
      if (verdict.state === "accepted") return verdict;
      if (verdict.state === "unavailable") last = verdict;
    }
    return last;
  };
}

function digestOf(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
