import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { changeLog } from "../../src/async/change-log.ts";
import { createChanges } from "../../src/async/changes.ts";
import { type Controller, startController } from "../../src/controller/controller.ts";
import { createDemand, type Demand } from "../../src/controller/demand.ts";
import { relayDemand } from "../../src/controller/demand-relay.ts";
import { type Leadership, soleWriter } from "../../src/controller/leadership.ts";
import { ConflictError } from "../../src/errors.ts";
import { createLog } from "../../src/log.ts";
import { createMetrics } from "../../src/metrics.ts";
import {
  DEMAND_ANNOTATION,
  type DemandChannel,
  IDLE_SINCE_ANNOTATION,
  readDemand,
  type StandingDemand,
} from "../../src/model/demand.ts";
import type { StandingObject } from "../../src/model/standing.ts";
import { demandTtls } from "../../src/plan/known.ts";
import { HOUR_MS, NOW_MS, service, snapshot } from "../plan/build.ts";
import { config, type MemoryTarget, memoryTarget } from "../plan/memory.ts";
import { until } from "../until.ts";

const NAMES = ["orders", "b", "c", "d", "e"];
const KEY = "dc1/shop/orders";
const key = (name: string) => `dc1/shop/${name}`;
const objectOf = (name: string) => `ServiceEntry/mesh-services/${name}.shop.dc1.mesh.internal`;
const settings = config([{ name: "dc1", demand: "reported", demandTtl: "8h" }]);
const silent = createLog({ level: "error", pretty: false, stream: { write: () => undefined } });
const web = { caller: "web", via: "report" } as const;

function start(
  t: TestContext,
  demand: Demand,
  { target = memoryTarget(), leadership = soleWriter("me") as Leadership } = {},
): { readonly controller: Controller; readonly target: MemoryTarget; readonly signal: AbortSignal } {
  const end = new AbortController();
  const changes = createChanges();
  const controller = startController({
    config: settings,
    adapters: [
      {
        registry: "dc1",
        read: async () =>
          snapshot(
            "dc1",
            NAMES.map((name) => service(name)),
          ),
        waitForChange: (_, signal) => changes.wait(changes.version(), signal),
      },
    ],
    target,
    leadership,
    demand,
    signal: end.signal,
    log: silent,
    metrics: createMetrics(),
  });
  t.after(async () => {
    end.abort();
    await controller.done;
  });
  return { controller, target, signal: end.signal };
}

const annotations = (object: StandingObject | undefined) => object?.manifest.metadata.annotations ?? {};

test("createDemand() keeps who asked last, and tells once of what is news", () => {
  const demand = createDemand();
  const asked: string[] = [];
  demand.judge((name) => {
    asked.push(name);
    return true;
  }, 60_000);
  const versions = [1, 2, 3].map((n) => {
    demand.ask(KEY, { ...web, caller: `web-${n % 2}` }, NOW_MS + n);
    return demand.changes.version();
  });
  assert.deepEqual(versions, [1, 1, 1], "the same news within a minute is none");
  assert.deepEqual([...demand.takeNews()], [KEY]);
  assert.deepEqual([...demand.takeNews()], []);
  demand.ask(KEY, web, NOW_MS + 61_000);
  assert.equal(demand.changes.version(), 2);
  assert.deepEqual(
    demand
      .demands()
      .get(KEY)
      ?.by.map(({ caller, lastMs }) => [caller, lastMs - NOW_MS]),
    [
      ["web", 61_000],
      ["web-1", 3],
      ["web-0", 2],
    ],
  );
  demand.keep(() => false);
  assert.equal(demand.demands().size, 0);
});

test("createDemand() tells callers apart by who they are, by what they ask and from where", () => {
  const demand = createDemand();
  const askers = [
    web,
    { caller: "web", via: "dns", view: "mesh" },
    { caller: "web", via: "dns", view: "vms" },
    { caller: "db", via: "report" },
  ] as const;
  for (const [n, asker] of [...askers, ...askers].entries()) demand.ask(KEY, asker, NOW_MS + n);
  assert.deepEqual(
    demand
      .demands()
      .get(KEY)
      ?.by.map(({ lastMs }) => lastMs - NOW_MS),
    [7, 6, 5, 4],
  );
});

test("createDemand() keeps the time of the last question when an older one comes late", () => {
  const demand = createDemand();
  demand.ask(KEY, web, NOW_MS);
  demand.ask(KEY, { caller: "db", via: "replica" }, NOW_MS - 5000);
  assert.equal(demand.demands().get(KEY)?.lastMs, NOW_MS);
});

test("createDemand() forgets all of services that are not known any more, their news too, and nothing of others", () => {
  const demand = createDemand();
  demand.judge(() => true, 60_000);
  demand.ask(KEY, web, NOW_MS);
  demand.ask(key("b"), web, NOW_MS);
  demand.keep((one) => one !== KEY);
  assert.deepEqual([...demand.demands().keys()], [key("b")]);
  assert.deepEqual([...demand.takeNews()], [key("b")]);
  demand.ask(KEY, web, NOW_MS + 1);
  assert.deepEqual([...demand.takeNews()], [KEY], "what was forgotten is news again");
});

test("createDemand() keeps 16 callers of a service at most", () => {
  const demand = createDemand();
  for (let n = 0; n < 1000; n++) demand.ask(KEY, { ...web, caller: `web-${n}` }, NOW_MS + n);
  assert.equal(demand.demands().get(KEY)?.by.length, 16);
  assert.equal(demand.demands().get(KEY)?.by[0]?.caller, "web-999");
});

test("a service of a registry that runs on demand is made for who asks, marked idle in silence, and goes without a brake", async (t) => {
  const demand = createDemand();
  const { controller, target } = start(t, demand);
  await until(() => controller.hasPassed());
  assert.deepEqual([target.objects.size, controller.latest()?.undemanded.size], [0, NAMES.length]);
  for (const name of NAMES) demand.ask(key(name), web, target.clockMs);
  await until(() => target.objects.size === NAMES.length);
  assert.deepEqual(readDemand(annotations(target.objects.get(objectOf("orders")))[DEMAND_ANNOTATION]), {
    lastMs: NOW_MS,
    callers: ["web"],
  });

  // Nine hours on, one of them is still asked for.
  target.clockMs += 9 * HOUR_MS;
  demand.ask(KEY, { ...web, caller: "cron" }, target.clockMs);
  const idle = () =>
    [...target.objects.values()].filter((one) => annotations(one)[IDLE_SINCE_ANNOTATION] !== undefined);
  await until(() => idle().length === NAMES.length - 1);
  assert.ok(idle().every(({ manifest }) => manifest.kind === "ServiceEntry" && manifest.spec.endpoints?.length === 1));
  assert.deepEqual(readDemand(annotations(target.objects.get(objectOf("orders")))[DEMAND_ANNOTATION])?.callers, [
    "cron",
    "web",
  ]);

  demand.ask(key("b"), web, target.clockMs);
  await until(() => idle().length === NAMES.length - 2);
  target.clockMs += HOUR_MS;
  demand.ask(KEY, web, target.clockMs);
  // The controller looks at everything at least every ten seconds.
  demand.changes.notify();
  await until(() => target.objects.size === 2);
  assert.deepEqual([...target.objects.keys()].sort(), [objectOf("b"), objectOf("orders")]);
  assert.deepEqual(controller.latest()?.plan.brakes, []);
  const gone = target.requests.filter((request) => request.startsWith("delete"));
  assert.equal(gone.length, 3);

  demand.ask(key("c"), web, target.clockMs);
  await until(() => target.objects.has(objectOf("c")));
  assert.deepEqual(controller.latest()?.plan.brakes, []);
});

test("an entry that stands is the demand, also for a process that heard nothing", async (t) => {
  const demand = createDemand();
  const first = start(t, demand);
  await until(() => first.controller.hasPassed());
  demand.ask(KEY, web, first.target.clockMs);
  await until(() => first.target.objects.size === 1);
  const { objects, ledger } = first.target;
  const second = start(t, createDemand(), { target: memoryTarget(undefined, { objects, ledger }) });
  await until(() => second.controller.hasPassed());
  assert.deepEqual(second.controller.latest()?.plan.delete, []);
  assert.equal(second.controller.latest()?.plan.unchanged, 1);
});

/** A ConfigMap in memory that several replicas see. */
function sharedChannel() {
  const changes = changeLog<string>();
  let told: ReadonlyMap<string, StandingDemand> = new Map();
  const state = { conflicts: 0, heard: [] as string[] };
  const channel: DemandChannel = {
    told: () => told,
    version: changes.version,
    wait: changes.wait,
    follow: (signal) => new Promise((resolve) => signal.addEventListener("abort", () => resolve())),
    async tell(next) {
      if (state.conflicts-- > 0) throw new ConflictError("it moved");
      state.heard.push(...next.keys());
      told = next;
      changes.add("told");
    },
  };
  return { channel, state, told: () => told };
}

test("what another replica hears, the leader builds, and what is done is told no more", async (t) => {
  const { channel, state, told } = sharedChannel();
  state.conflicts = 1;
  const target = memoryTarget();
  const follower: Leadership = { ...soleWriter("other"), isLeader: () => false };
  const [leading, following] = [createDemand(), createDemand()];
  const one = start(t, leading, { target });
  const two = start(t, following, { target, leadership: follower });
  const ttlMs = demandTtls(settings.registries);
  const common = { channel, ttlMs, nowMs: target.nowMs, log: silent };
  const relays = [
    relayDemand({
      ...common,
      ...{ demand: leading, leadership: soleWriter("me"), latest: one.controller.latest, signal: one.signal },
    }),
    relayDemand({
      ...common,
      ...{ demand: following, leadership: follower, latest: two.controller.latest, signal: two.signal },
    }),
  ];
  t.after(() => Promise.all(relays));
  await until(() => one.controller.hasPassed() && two.controller.hasPassed());
  following.ask(KEY, web, target.clockMs);
  following.ask(key("b"), { caller: "192.0.2.7", via: "dns", view: "mesh" }, target.clockMs);
  await until(() => target.objects.size === 2);
  assert.deepEqual(
    [...target.objects.values()].map((object) => readDemand(annotations(object)[DEMAND_ANNOTATION])?.callers),
    [["dns:192.0.2.7"], ["web"]],
  );
  await until(() => told().size === 0);
  // What it hears again within a day changes nothing.
  state.heard = [];
  following.ask(KEY, web, target.clockMs + 61_000);
  following.ask(key("c"), web, target.clockMs + 61_000);
  await until(() => target.objects.has(objectOf("c")));
  assert.deepEqual([...new Set(state.heard)], [key("c")]);
});

const strange: readonly { readonly name: string; readonly told: readonly [string, StandingDemand] }[] = [
  { name: "a service that nobody lists", told: ["dc1/shop/nobody", { lastMs: NOW_MS, callers: ["web"] }] },
  { name: "a service of another registry", told: ["dc2/shop/orders", { lastMs: NOW_MS, callers: ["web"] }] },
  { name: "a question of long ago", told: [KEY, { lastMs: NOW_MS - HOUR_MS, callers: ["web"] }] },
];
for (const { name, told: line } of strange)
  test(`the leader takes away ${name} that was told, and builds nothing`, async (t) => {
    const { channel, told } = sharedChannel();
    const demand = createDemand();
    const { controller, target, signal } = start(t, demand);
    await until(() => controller.hasPassed());
    await channel.tell(new Map([line]));
    const relay = relayDemand({
      ...{ channel, demand, latest: controller.latest, nowMs: target.nowMs, log: silent, signal },
      ...{ leadership: soleWriter("me"), ttlMs: demandTtls(settings.registries) },
    });
    t.after(() => relay);
    await until(() => told().size === 0);
    assert.equal(target.objects.size, 0);
  });
