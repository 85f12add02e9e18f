/**
 * A stage in steps: it yields wherever its caller may do something else for a while. What it reads must stay as it is until
 * it has ended.
 */
export type Steps<Result> = Generator<undefined, Result, undefined>;

/** Items that a stage looks at between two yields: together they take well under a millisecond. */
export const ITEMS_PER_STEP = 32;

/** Go through all steps at once. */
export function runSteps<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

/** The same stage as a plain function. */
export function atOnce<Args extends unknown[], Result>(
  stage: (...args: Args) => Steps<Result>,
): (...args: Args) => Result {
  return (...args) => runSteps(stage(...args));
}
