/** A stream of numbers in [0, 1) that a seed determines (xorshift, Marsaglia 2003). */
export function randomOf(seed: number): () => number {
  let state = Math.imul(seed + 1, 0x9e3779b1) | 1;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  for (let turn = 0; turn < 8; turn++) next(); // seeds that are near each other are soon far apart
  return next;
}
