import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { liveNames } from "../../../src/cli/serve/live-names.ts";
import { createLog } from "../../../src/log.ts";
import type { StandingObject } from "../../../src/model/standing.ts";
import { decider } from "../../plan/at-once.ts";
import { entry, NOW_MS, readings, service, standing } from "../../plan/build.ts";
import { config, memoryTarget } from "../../plan/memory.ts";
import { until } from "../../until.ts";

const HOST = "orders.shop.dc1.mesh.internal";
const never = new AbortController().signal;
const orders = (address: string, endpoints: readonly object[] = []) =>
  entry("dc1/shop/orders", { addresses: [address], endpoints: endpoints as never });

/** Names of a target in memory, followed until the test ends. */
function setUp(t: TestContext, rest: { readonly demand?: string; readonly dns?: object } = {}) {
  const settings = config([{ name: "dc1", ...(rest.demand === undefined ? {} : { demand: rest.demand }) }], {
    dns: { ...rest.dns },
  });
  const target = memoryTarget();
  const errors: unknown[] = [];
  let tables = 0;
  const names = liveNames(target, settings, () => tables++);
  const ending = new AbortController();
  const log = createLog({
    level: "error",
    pretty: false,
    stream: { write: (line: string) => void errors.push(JSON.parse(line).msg) },
  });
  let following: Promise<void> | undefined;
  t.after(async () => {
    ending.abort();
    await following;
  });
  return {
    ...{ names, target, settings, errors, tables: () => tables },
    row: () => names.table()?.names.get(HOST),
    put(object: StandingObject) {
      target.objects.set(object.key, object);
      return target.write([], { signal: never, mayWrite: () => true });
    },
    follow() {
      following = names.follow(ending.signal, log);
    },
    async stop() {
      ending.abort();
      await following;
    },
  };
}

test("liveNames() has no table before it is made, and follows the target from then on", async (t) => {
  const { names, target, row, put, follow, tables } = setUp(t);
  assert.deepEqual([names.table(), names.version()], [undefined, -1]);
  await put(orders("240.241.0.7"));
  await names.renew(never);
  assert.deepEqual([row()?.a, names.version(), tables()], [["240.241.0.7"], target.version(), 1]);
  follow();
  await put(orders("240.241.0.8"));
  await until(() => row()?.a[0] === "240.241.0.8");
  assert.equal(names.version(), target.version());
});

test("liveNames() gives a new VIP of a cluster a second to settle, and one of a folder none", async (t) => {
  for (const [kind, settleMs] of [
    ["kubernetes", 1000],
    ["directory", 0],
  ] as const) {
    t.mock.timers.enable({ apis: ["Date"], now: NOW_MS });
    const { names, target, row, put } = setUp(t);
    Object.assign(target, { kind });
    await names.renew(never);
    await put(orders("240.241.0.7"));
    await names.renew(never);
    const waitsMs = Math.max(0, (row()?.settledAtMs ?? 0) - NOW_MS);
    assert.equal(waitsMs, settleMs, kind);
    t.mock.timers.reset();
  }
});

test("liveNames() answers from the last table while one cannot be made, says so, and goes on", async (t) => {
  const { names, target, row, put, follow, errors } = setUp(t);
  await put(orders("240.241.0.7"));
  await names.renew(never);
  const { standing: whole } = target;
  target.standing = () => {
    throw new Error("an object that nobody foresaw");
  };
  follow();
  await put(orders("240.241.0.8"));
  await until(() => errors.length > 0);
  assert.deepEqual(row()?.a, ["240.241.0.7"]);
  target.standing = whole;
  await put(orders("240.241.0.9"));
  await until(() => row()?.a[0] === "240.241.0.9");
  assert.deepEqual(new Set(errors), new Set(["the names cannot be read from the target; the last ones are answered"]));
});

test("liveNames() has endpoints only once they are wanted, or where a view answers with them", async (t) => {
  const one = setUp(t);
  await one.put(orders("240.241.0.7", [{ address: "192.0.2.1" }]));
  await one.names.renew(never);
  assert.equal(one.names.table()?.hasEndpoints ?? false, false);
  one.follow();
  one.names.wantEndpoints();
  await until(() => one.names.table()?.hasEndpoints === true);
  const views = [{ name: "vms", clients: ["10.0.0.0/8"], answer: "endpoints" }];
  const other = setUp(t, { dns: { views } });
  await other.put(orders("240.241.0.7", [{ address: "192.0.2.1" }]));
  await other.names.renew(never);
  assert.equal(other.names.table()?.hasEndpoints, true);
});

test("liveNames() lets names wait of services that are only known, where their registry runs on demand", async (t) => {
  for (const demand of ["reported", "all"]) {
    const { names, target, settings, follow } = setUp(t, { demand });
    const known = decider(settings)({
      readings: readings({ dc1: [service("stock")] }),
      standing: standing(),
      nowMs: NOW_MS,
      allowDeletes: new Set(),
    });
    await names.renew(never);
    names.know(known);
    follow();
    const isWaiting = () => names.table()?.names.get("stock.shop.dc1.mesh.internal")?.waits === true;
    if (demand === "reported") await until(isWaiting);
    else {
      await target.write([], { signal: never, mayWrite: () => true });
      await names.renew(never);
      assert.equal(isWaiting(), false);
    }
  }
});

test("follow() ends when it is told to, and then follows no more", async (t) => {
  const { names, put, row, follow, stop } = setUp(t);
  await put(orders("240.241.0.7"));
  await names.renew(never);
  follow();
  await stop();
  await put(orders("240.241.0.8"));
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(row()?.a, ["240.241.0.7"]);
});
