/** How much the tests that repeat something do. `npm run test:quick` and `npm run test:long` set X2ISTIO_TEST_SIZE. */
type Size = "quick" | "normal" | "full";

/** What a test does at the sizes other than normal, where a tenth and ten times as much are not right. */
interface Sizes {
  readonly quick?: number;
  readonly full?: number;
}

/** How often a test is to repeat something that it repeats `normal` times in `npm test`. */
export function sized(normal: number, { quick = Math.ceil(normal / 10), full = normal * 10 }: Sizes = {}): number {
  return { quick, normal, full }[testSize()];
}

/** The size of this run. @throws When X2ISTIO_TEST_SIZE is none of the sizes. */
export function testSize(): Size {
  const { X2ISTIO_TEST_SIZE: size = "normal" } = process.env;
  if (size === "quick" || size === "normal" || size === "full") return size;
  throw new Error(`Cannot use X2ISTIO_TEST_SIZE as it must be quick, normal or full: it is ${JSON.stringify(size)}`);
}
