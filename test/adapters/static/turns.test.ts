import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { type Checker, checker } from "../../../adapters/static/check.ts";
import type { Target } from "../../../adapters/static/probe.ts";

/** What the checks are told of, and what they tell. */
interface World {
  readonly checks: Checker;
  readonly target: Target;
  /** `out` or `in`, and after how many probes. */
  readonly turns: string[];
  /** Why it went out. */
  readonly reasons: string[];
  /** How many are down, as it was last told. */
  down: number;
  /** All that was told. */
  readonly downs: number[];
  /** Until so many probes have been made. */
  probed(count: number): Promise<void>;
}

/** Checks of one target that answers as the script says, `+` well and `-` badly, and goes on as the script ends. */
async function scripted(t: TestContext, script: string, rise: number, fall: number): Promise<World> {
  let concluded = 0;
  const waiting: { readonly count: number; readonly resolve: () => void }[] = [];
  const server = createServer((_, response) => {
    // What counts is what was concluded: a probe under way when a round ends says nothing, and is made again.
    const good = script[Math.min(concluded, script.length - 1)] === "+";
    response.writeHead(good ? 200 : 500).end();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const world: World = {
    checks: checker({
      maxProbes: 1,
      metrics: {
        probed() {
          concluded++;
          for (const one of waiting) if (concluded > one.count) one.resolve();
        },
        down(count) {
          world.down = count;
          world.downs.push(count);
        },
      },
      onTurn(_target, why) {
        world.turns.push(`${why === undefined ? "in" : "out"} ${concluded}`);
        if (why !== undefined) world.reasons.push(why);
      },
    }),
    target: {
      ...{ id: "one", service: "vms/default/a", host: "127.0.0.1", port },
      check: {
        http: { port: "main", path: "/", status: [200] },
        ...{ interval: 1, timeout: 60_000, rise, fall },
      },
    },
    ...{ turns: [], reasons: [], down: 0, downs: [] },
    async probed(count) {
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.push({ count, resolve });
      await promise;
    },
  };
  const ending = new AbortController();
  world.checks.adopt([world.target]);
  const running = (async () => {
    for (;;) await world.checks.run(world.checks.generation(), ending.signal);
  })().catch(() => undefined);
  t.after(async () => {
    ending.abort();
    await running;
    server.close();
    server.closeAllConnections();
  });
  return world;
}

const cases: readonly {
  readonly name: string;
  readonly script: string;
  readonly rise: number;
  readonly fall: number;
  readonly want: readonly string[];
}[] = [
  { name: "goes out with the third failure in a row", script: "---", rise: 1, fall: 3, want: ["out 3"] },
  { name: "stays in while failures alternate with successes", script: "-+-+-+-+-+", rise: 1, fall: 3, want: [] },
  { name: "stays in while there are never three in a row", script: "--+--+--+--+", rise: 1, fall: 3, want: [] },
  { name: "goes out when there are three in a row at last", script: "--+--+---", rise: 9, fall: 3, want: ["out 9"] },
  { name: "comes back with the second success in a row", script: "-++", rise: 2, fall: 1, want: ["out 1", "in 3"] },
  { name: "stays out while there are never two in a row", script: "-+-+-+-+-", rise: 2, fall: 1, want: ["out 1"] },
  { name: "is slow to rise and quick to fall", script: "--+++++", rise: 5, fall: 2, want: ["out 2", "in 7"] },
  { name: "is quick to rise and slow to fall", script: "-----++", rise: 2, fall: 5, want: ["out 5", "in 7"] },
  { name: "counts anew after it came back", script: "--++-+--", rise: 2, fall: 2, want: ["out 2", "in 4", "out 8"] },
  {
    name: "turns at once where one is enough",
    script: "-+-+",
    rise: 1,
    fall: 1,
    want: ["out 1", "in 2", "out 3", "in 4"],
  },
];
for (const { name, script, rise, fall, want } of cases)
  test(`a checked endpoint ${name}: ${script}, rise ${rise}, fall ${fall}`, async (t) => {
    const world = await scripted(t, script, rise, fall);
    await world.probed(script.length);
    assert.deepEqual(
      world.turns.filter((turn) => Number(turn.split(" ")[1]) <= script.length),
      want,
    );
  });

test("the reason says how many probes failed, and since when they do in a row", async (t) => {
  const startedMs = Date.now();
  for (const [script, fall, text] of [
    ["--", 2, "2 probes"],
    ["-", 1, "1 probe"],
  ] as const) {
    const world = await scripted(t, script, 1, fall);
    await world.probed(script.length);
    const [, why = "", since = ""] = /^(.*) since (\S+)$/.exec(world.reasons[0] ?? "") ?? [];
    assert.equal(why, `unhealthy: GET / answered 500, ${text}`);
    assert.ok(Date.parse(since) >= Math.floor(startedMs / 1000) * 1000, since);
    assert.equal(world.checks.down("one"), world.reasons[0]);
  }
});

test("the count of those that are down goes with turns, and with targets that are no longer checked", async (t) => {
  const world = await scripted(t, "-", 1, 1);
  await world.probed(1);
  assert.equal(world.down, 1);
  world.checks.adopt([]);
  assert.equal(world.down, 0);
  assert.equal(world.checks.down("one"), undefined);
  world.checks.adopt([world.target]);
  assert.equal(world.checks.down("one"), undefined, "what is checked anew counts as healthy");
});

test("adopt() keeps what is known of a target that stays", async (t) => {
  const world = await scripted(t, "-", 1, 1);
  await world.probed(1);
  const generation = world.checks.generation();
  world.checks.adopt([{ ...world.target }]);
  assert.equal(world.checks.down("one"), world.reasons[0]);
  assert.equal(world.checks.generation(), generation);
  assert.equal(world.down, 1);
});

test("each turn counts up the generation, and the count of those that are down goes up and down", async (t) => {
  const world = await scripted(t, "-+-+", 1, 1);
  await world.probed(4);
  assert.deepEqual(world.downs.slice(0, 5), [0, 1, 0, 1, 0]);
  assert.equal(world.checks.generation(), world.turns.length);
});
