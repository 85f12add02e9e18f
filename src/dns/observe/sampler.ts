/** One in a thousand of 100,000 questions a second: more would only fill the log. */
const MOST_PER_SECOND = 100;

/** True for `share` of all calls at random, and for 100 a second at most. */
export function sampler(
  share: number,
  random: () => number = Math.random,
  nowMs: () => number = () => performance.now(),
): () => boolean {
  let second = 0;
  let taken = 0;
  return () => {
    if (share === 0 || random() >= share) return false;
    const now = Math.floor(nowMs() / 1000);
    if (now !== second) taken = 0;
    second = now;
    return ++taken <= MOST_PER_SECOND;
  };
}
