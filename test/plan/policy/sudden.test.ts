import assert from "node:assert/strict";
import { test } from "node:test";
import { SHRUNK_ANNOTATION } from "../../../src/model/objects.ts";
import { decide } from "../../../src/plan/decide.ts";
import { securityRow } from "../../security/row.ts";
import { endpoints, premade, readings, service } from "../build.ts";
import { config, memoryTarget } from "../memory.ts";

const NAMES = Array.from({ length: 10 }, (_, n) => `s${n}`);
const settings = config(["dc1"]);

/** Ten services of a registry in a target. Each pass is one of a process of its own: nothing is remembered. */
async function bench(first: number, names: readonly string[] = NAMES) {
  const target = memoryTarget();
  const options = { signal: new AbortController().signal, mayWrite: () => true };
  const counts = new Map(names.map((name) => [name, first]));
  const look = (isReleased = false) => {
    const said = [...counts].map(([name, count]) => service(name, { endpoints: endpoints(count) }));
    return decide(settings, {
      ...{ readings: readings({ dc1: said }), standing: target.standing(), nowMs: target.nowMs() },
      allowDeletes: new Set(isReleased ? ["dc1"] : []),
    });
  };
  async function pass(isReleased = false): Promise<readonly string[]> {
    const { ledger, plan } = look(isReleased);
    await target.writeLedger(ledger?.writes ?? [], options);
    await target.write([...plan.update, ...plan.create, ...plan.delete], options);
    return plan.brakes.map(({ kind }) => kind);
  }
  await pass();
  /** Endpoints of a service as they stand, and the mark beside them. */
  const standing = (name: string) => {
    const { manifest } = target.objects.get(`ServiceEntry/mesh-services/${name}.shop.dc1.mesh.internal`) ?? {};
    return {
      count: manifest?.kind === "ServiceEntry" ? (manifest.spec.endpoints ?? []).length : 0,
      mark: manifest?.metadata.annotations?.[SHRUNK_ANNOTATION],
    };
  };
  const all = () => NAMES.map((name) => standing(name).count);
  return { target, counts, look, pass, standing, all };
}

test(
  securityRow({
    who: "registry tenant",
    attack: "takes away nearly all instances of a service, at once or one by one",
    outcome: "it is believed, and no brake holds the endpoints of any other service",
  }),
  async () => {
    const { counts, pass, standing } = await bench(10);
    for (const count of [2, 10, 5, 2, 1]) {
      counts.set("s0", count);
      assert.deepEqual(await pass(), []);
      assert.equal(standing("s0").count, count);
    }
  },
);

test("losses that come service after service trip the brake, whichever process looks, and it ends when they are back", async () => {
  const { counts, look, pass, all, standing, target } = await bench(4);
  const trips: number[] = [];
  for (const [n, name] of NAMES.entries()) {
    counts.set(name, 1);
    if ((await pass()).length > 0) trips.push(n);
    target.clockMs += 1000;
  }
  assert.deepEqual(trips, [4, 5, 6, 7, 8, 9], "more than 35 % of all");
  assert.deepEqual(all(), [1, 1, 1, 1, 4, 4, 4, 4, 4, 4]);
  assert.equal(look().plan.update.length, 0);
  counts.set("s0", 2);
  await pass();
  assert.equal(standing("s0").count, 2, "what grows is not held");
  for (const name of NAMES.slice(0, 9)) counts.set(name, 4);
  counts.set("s9", 3);
  assert.deepEqual(await pass(), ["endpoints"], "the last one is not whole yet");
  assert.deepEqual(
    all(),
    NAMES.map(() => 4),
  );
  counts.set("s9", 4);
  assert.deepEqual(await pass(), []);
  assert.deepEqual(
    NAMES.map((name) => standing(name).mark),
    NAMES.map(() => undefined),
  );
});

test("what an operator let go counts no more", async () => {
  const { counts, pass, all } = await bench(4);
  for (const name of NAMES) counts.set(name, 2);
  counts.set("s9", 1);
  assert.deepEqual(await pass(), ["endpoints"]);
  assert.deepEqual(await pass(true), []);
  assert.deepEqual(all(), [2, 2, 2, 2, 2, 2, 2, 2, 2, 1]);
  counts.set("s0", 1);
  assert.deepEqual(await pass(), []);
  assert.equal(all()[0], 1);
});

test("a mark is written with the loss, and not again", async () => {
  const { counts, pass, look, standing, target } = await bench(4);
  counts.set("s0", 3);
  await pass();
  assert.match(standing("s0").mark ?? "", /^4 /);
  target.clockMs += 3_600_000;
  assert.deepEqual(look().plan.update, []);
});

test(
  securityRow({
    who: "cluster tenant",
    attack: "writes entries by hand, with endpoints, for many services of a registry or for some that it does not list",
    outcome: "no brake counts them: neither does one trip by them, nor do they hide what the registry loses",
  }),
  async () => {
    const { counts, look, pass, standing, target } = await bench(4);
    const plant = (name: string) => {
      const entry = premade(`dc1/shop/${name}`, name, { spec: { endpoints: endpoints(50, 9) } });
      target.premade.set(entry.key, { ...entry, isApart: true });
    };
    const ghosts = Array.from({ length: 40 }, (_, n) => `ghost${n}`);
    for (const name of [...NAMES, ...ghosts]) plant(name);
    counts.set("s0", 1);
    assert.deepEqual(look().plan.brakes, []);
    assert.deepEqual(await pass(), []);
    assert.equal(standing("s0").count, 1);
    counts.delete("s1");
    counts.delete("s2");
    assert.deepEqual(await pass(), []);
    assert.equal(standing("s1").count, 0);
    for (const name of ghosts) plant(name);
    for (const name of NAMES.slice(3)) counts.set(name, 1);
    assert.deepEqual(
      look().plan.brakes.map(({ kind }) => kind),
      ["endpoints"],
    );
  },
);

test("half of the endpoints of most services at once trips the brake, and ends by itself, whichever process looks", async () => {
  const { counts, look, pass, all, target } = await bench(4);
  for (const name of NAMES.slice(0, 8)) counts.set(name, 2);
  for (let minute = 0; minute < 10; minute++) {
    assert.deepEqual(await pass(), ["endpoints"]);
    assert.deepEqual(look().plan.update, [], "nothing is written twice");
    target.clockMs += 60_000;
  }
  assert.deepEqual(
    all(),
    NAMES.map(() => 4),
  );
  assert.deepEqual(
    look().plan.released.map(({ kind }) => kind),
    ["endpoints"],
  );
  assert.deepEqual(await pass(), []);
  assert.deepEqual(all(), [2, 2, 2, 2, 2, 2, 2, 2, 4, 4]);
  counts.set("s8", 3);
  assert.deepEqual(await pass(), [], "what was let go does not count as sudden");
});

test("scale-in is believed while a brake keeps what other services lost suddenly", async () => {
  const { counts, pass, standing } = await bench(4);
  for (const name of NAMES.slice(0, 8)) counts.set(name, 2);
  await pass();
  for (const name of NAMES.slice(0, 7)) counts.set(name, 4);
  for (const count of [3, 2, 1]) {
    counts.set("s9", count);
    assert.deepEqual(await pass(), ["endpoints"]);
    assert.equal(standing("s9").count, count);
  }
  assert.equal(standing("s7").count, 4);
});

test("services that return after all were lost are believed as far as they are whole again", async () => {
  const names = Array.from({ length: 63 }, (_, n) => `s${n}`);
  const { counts, pass, standing, target } = await bench(5, names);
  counts.clear();
  assert.deepEqual(await pass(), ["services"]);
  for (const returned of [2, 10]) {
    for (const name of names.slice(0, returned)) counts.set(name, 1);
    target.clockMs += 1000;
    assert.deepEqual(await pass(), ["services", "endpoints"]);
    assert.deepEqual(new Set(names.map((name) => standing(name).count)), new Set([5]));
  }
  for (const name of names.slice(0, 5)) counts.set(name, 5);
  counts.set("s4", 4);
  await pass();
  assert.deepEqual(new Set(names.map((name) => standing(name).count)), new Set([5]));
  for (const name of names) counts.set(name, 5);
  assert.deepEqual(await pass(), []);
});
