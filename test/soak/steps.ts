import fc from "fast-check";

/** One thing that happens, and how long the world then goes on. `who`, `n` and `m` choose whom and how much. */
export interface Step {
  readonly kind: Kind;
  readonly who: number;
  readonly n: number;
  readonly m: number;
  readonly ms: number;
}

/** All that can happen, with how often. */
const KINDS = {
  // in the registries
  change: 10,
  remove: 4,
  empty: 2,
  halve: 4,
  rename: 3,
  moveName: 5,
  mode: 7,
  well: 3,
  hints: 1,
  // between a process and the API server
  requests: 6,
  watches: 4,
  breakWatches: 2,
  compact: 1,
  // in the cluster, by someone else
  foreign: 4,
  unforeign: 2,
  drift: 3,
  removed: 2,
  premade: 1,
  ledger: 2,
  guard: 3,
  tenant: 4,
  refuse: 2,
  forbid: 3,
  // to the processes
  kill: 2,
  restart: 2,
  freeze: 3,
  lose: 3,
  wallClock: 1,
  // by the operator
  release: 1,
  // only in some installations
  claim: 0,
  retire: 0,
  spelling: 0,
  ask: 0,
} as const;
export type Kind = keyof typeof KINDS;

const stepOf = (kinds: Readonly<Record<string, number>>): fc.Arbitrary<Step> =>
  fc.record({
    kind: fc.oneof(
      ...Object.entries(kinds).map(([kind, weight]) => ({ weight, arbitrary: fc.constant(kind as Kind) })),
    ),
    who: fc.nat(1),
    n: fc.nat(999),
    m: fc.nat(999),
    ms: fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom(1, 30, 100, 300) },
      { weight: 5, arbitrary: fc.constantFrom(1000, 2500, 5000) },
      { weight: 2, arbitrary: fc.constantFrom(12_000, 30_000) },
      { weight: 1, arbitrary: fc.constantFrom(70_000, 130_000) },
    ),
  });

/** The history that a seed determines; `further` says how often what happens only in some installations does. */
export function historyOf(
  seed: number,
  steps: number,
  further: Readonly<Partial<Record<Kind, number>>> = {},
): readonly Step[] {
  const step = stepOf({ ...KINDS, ...further });
  const [history = []] = fc.sample(fc.array(step, { minLength: steps, maxLength: steps, size: "max" }), {
    seed,
    numRuns: 1,
  });
  return history;
}
