import { createHash } from "node:crypto";

/** How long a cluster's verdict on a token is kept. */
const ACCEPTED_LIVES_MS = 60_000;
const OTHER_LIVES_MS = 10_000;
/** Of each kind of verdict. */
const MOST_REMEMBERED = 10_000;
const MOST_TOKEN_CHARACTERS = 8192;

/** What strangers with made-up tokens may cost the cluster: in a second, and at a time. */
const OF_ALL = { perSecond: 50, atOnce: 16 };
/** What each client gets of its own when others have used that up. */
const OF_ONE = { perSecond: 5, atOnce: 2 };
/** The last bound, of more clients than can be told from a flood. */
const AT_MOST = { perSecond: 200, atOnce: 64 };

/** The token of a header `authorization`; undefined when it has none. */
export function bearerToken(authorization: string | undefined): string | undefined {
  return /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
}

/** A verdict that is kept for a while. */
export interface Verdict {
  readonly state: "accepted" | "denied" | "refused" | "unavailable";
}

/** How a cluster is asked. */
export interface ReviewOptions {
  /** Told why no verdict can be had. */
  readonly onError: (error: unknown) => void;
  /** Never goes back. */
  readonly nowMs?: () => number;
}

/** Judges a token, for what it is used for. `client` says whose share of questions it costs. */
export type Reviewed<V extends Verdict> = (
  token: string,
  client?: string,
  use?: string,
) => Promise<V | { readonly state: "refused" | "unavailable" }>;

/**
 * Verdicts of a cluster, which is asked once a minute for each token and use. Clients share 50 questions a second, and have 5 of
 * their own beyond; a token that was accepted before costs nothing of that. So made-up tokens starve neither the cluster nor others.
 *
 * @param review asks it; rejects when it cannot be asked
 */
export function reviewed<V extends Verdict>(
  review: (token: string, use: string) => Promise<V>,
  { onError, nowMs = () => performance.now() }: ReviewOptions,
): Reviewed<V> {
  const accepted: Known<V> = new Map();
  const others: Known<V> = new Map();
  const asking = new Map<string, Promise<V | { readonly state: "unavailable" }>>();
  const budget = reviewBudget(nowMs);

  async function ask(key: string, token: string, use: string): Promise<V | { readonly state: "unavailable" }> {
    try {
      const verdict = await review(token, use);
      const isAccepted = verdict.state === "accepted";
      accepted.delete(key);
      const lives = isAccepted ? ACCEPTED_LIVES_MS : OTHER_LIVES_MS;
      remember(isAccepted ? accepted : others, key, { verdict, untilMs: nowMs() + lives });
      return verdict;
    } catch (error) {
      onError(error);
      return { state: "unavailable" };
    } finally {
      asking.delete(key);
    }
  }

  return async (token, client = "", use = "") => {
    // Tokens of service accounts are signed JWTs (RFC 7519).
    if (token.length > MOST_TOKEN_CHARACTERS || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) return { state: "refused" };
    const key = createHash("sha256").update(`${token} ${use}`).digest("base64");
    const before = accepted.get(key) ?? others.get(key);
    if (before !== undefined && before.untilMs > nowMs()) return before.verdict;
    const underWay = asking.get(key);
    if (underWay !== undefined) return underWay;
    const done = accepted.has(key) ? () => undefined : budget(client);
    if (done === undefined) return { state: "unavailable" };
    const asked = ask(key, token, use);
    asking.set(key, asked);
    return asked.finally(done);
  };
}

/** By digest of token and use; the oldest first. */
type Known<V> = Map<string, { readonly verdict: V; readonly untilMs: number }>;

function remember<V>(known: Known<V>, key: string, entry: { readonly verdict: V; readonly untilMs: number }): void {
  known.delete(key);
  known.set(key, entry);
  const [oldest] = known.keys();
  if (known.size > MOST_REMEMBERED && oldest !== undefined) known.delete(oldest);
}

/** Questions of this second, and those under way. */
interface Spent {
  inSecond: number;
  now: number;
}

/** Whether a client may ask one more question; call what is returned once it is answered. */
function reviewBudget(nowMs: () => number): (client: string) => (() => void) | undefined {
  const all: Spent = { inSecond: 0, now: 0 };
  const clients = new Map<string, Spent>();
  let second = -1;

  return (client) => {
    const current = Math.floor(nowMs() / 1000);
    if (current !== second) {
      second = current;
      all.inSecond = 0;
      for (const [name, spent] of clients) {
        if (spent.now === 0) clients.delete(name);
        spent.inSecond = 0;
      }
    }
    const own = clients.get(client) ?? { inSecond: 0, now: 0 };
    if (!fits(all, OF_ALL) && !(fits(own, OF_ONE) && fits(all, AT_MOST))) return undefined;
    clients.set(client, own);
    for (const spent of [all, own]) {
      spent.inSecond++;
      spent.now++;
    }
    return () => {
      for (const spent of [all, own]) spent.now--;
    };
  };
}

function fits({ inSecond, now }: Spent, { perSecond, atOnce }: typeof OF_ALL): boolean {
  return inSecond < perSecond && now < atOnce;
}
