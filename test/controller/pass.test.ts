import assert from "node:assert/strict";
import { test } from "node:test";
import { type PassOptions, pass, writeUpdates } from "../../src/controller/pass.ts";
import { ConflictError } from "../../src/errors.ts";
import { faultRow } from "../faults/row.ts";
import { decider } from "../plan/at-once.ts";
import { HOUR_MS, readings, type Said, service } from "../plan/build.ts";
import { config, type MemoryTarget, memoryTarget } from "../plan/memory.ts";

const HOST = "orders.shop.dc1.mesh.internal";
const ENTRY = `ServiceEntry/mesh-services/${HOST}`;
const LEDGER = /^ledger x2istio-vips-240-241-\d+-0$/;
const settings = config(["dc1"], {
  aliases: [{ registry: "dc1", as: "{service}", in: "shop" }],
  vips: { ranges: ["240.241.0.0/20"] },
});

/** Passes over what dc1 says, on one target. */
function bench(target = memoryTarget()) {
  const decide = decider(settings);
  let decided = 0;
  const run = (said: Said, options: Partial<PassOptions> = {}) =>
    pass({
      target,
      signal: new AbortController().signal,
      mayWrite: () => true,
      isDryRun: false,
      decide: () => {
        decided++;
        return decide({
          readings: readings({ dc1: said }),
          standing: target.standing(),
          nowMs: target.nowMs(),
          allowDeletes: new Set(["dc1"]),
        });
      },
      ...options,
    });
  return { target, run, decided: () => decided };
}

function line({ ledger }: MemoryTarget): string {
  return [...ledger.values()].flatMap(({ data }) => Object.values(data)).join("\n");
}

test("pass() claims the VIP before it writes what uses it", async () => {
  const { target, run } = bench();
  const { report, ledgerWrites } = await run([service()]);
  assert.match(target.requests[0] ?? "", LEDGER);
  assert.deepEqual(target.requests.slice(1), [`create ${ENTRY}`, "create Service/shop/orders"]);
  assert.deepEqual([report.results.length, ledgerWrites], [2, 1]);
});

test("pass() asks for nothing when nothing is to do", async () => {
  const { target, run } = bench();
  await run([service()]);
  target.requests.length = 0;
  const { report, ledgerWrites } = await run([service()]);
  assert.deepEqual([target.requests, report.results, ledgerWrites], [[], [], 0]);
});

test("pass() writes one object for one changed endpoint", async () => {
  const { target, run } = bench();
  await run([service()]);
  target.requests.length = 0;
  await run([service("orders", { endpoints: [{ address: "192.0.2.9" }] })]);
  assert.deepEqual(target.requests, [`update ${ENTRY}`]);
});

test(
  faultRow({
    target: "own process",
    fault: "two writers claim VIPs at once",
    expect: "the second meets a conflict and takes another address",
  }),
  async () => {
    const { target, run, decided } = bench();
    await run([service()]);
    const [vip = ""] = [...target.ledger.values()].flatMap(({ data }) => Object.keys(data));
    const raced = memoryTarget();
    let isFirst = true;
    raced.fault = (request) => {
      if (!isFirst || !request.startsWith("ledger")) return undefined;
      isFirst = false;
      // Another installation was faster, with the very address.
      const name = request.slice("ledger ".length);
      raced.ledger.set(name, { name, resourceVersion: "99", data: { [vip]: "web west used" } });
      return "conflict";
    };
    const other = bench(raced);
    await other.run([service()]);
    assert.deepEqual([decided(), other.decided()], [1, 2]);
    const rows = Object.fromEntries([...raced.ledger.values()].flatMap(({ data }) => Object.entries(data)));
    assert.equal(rows[vip], "web west used");
    const own = Object.entries(rows)
      .find(([, row]) => row === `${HOST} east used`)?.[0]
      .replaceAll("-", ".");
    const { spec } = raced.objects.get(ENTRY)?.manifest ?? {};
    assert.deepEqual(spec !== undefined && "addresses" in spec ? spec.addresses : undefined, [own]);
  },
);

test(
  faultRow({
    target: "own process",
    fault: "a writer that has seen nothing for a while makes an entry anew, and its VIP is another host's by now",
    expect: "it meets a conflict and takes another address",
  }),
  async () => {
    const { target, run } = bench();
    await run([service()]);
    const [block] = target.ledger.values();
    const [vip = ""] = Object.keys(block?.data ?? {});
    target.objects.delete(ENTRY);
    target.requests.length = 0;
    target.fault = (request) => {
      if (block === undefined || !LEDGER.test(request) || target.ledger.get(block.name) !== block) return undefined;
      target.ledger.set(block.name, { ...block, resourceVersion: "99", data: { [vip]: "web.example.org east used" } });
      return "conflict";
    };
    const { ledgerWrites } = await run([service()]);
    assert.deepEqual(target.requests.slice(-1), [`create ${ENTRY}`]);
    const { spec } = target.objects.get(ENTRY)?.manifest ?? {};
    const given = spec !== undefined && "addresses" in spec ? spec.addresses : [];
    assert.equal(given?.length, 1);
    assert.notEqual(given?.[0], vip.replaceAll("-", "."));
    assert.equal(ledgerWrites, 1);
  },
);

test("pass() has the ledger say that a VIP is still its host's before it makes its entry anew", async () => {
  const { target, run } = bench();
  await run([service()]);
  const before = structuredClone([...target.ledger]);
  target.objects.delete(ENTRY);
  target.requests.length = 0;
  const { ledgerWrites } = await run([service()]);
  assert.match(target.requests[0] ?? "", LEDGER);
  assert.deepEqual([target.requests.slice(1), ledgerWrites], [[`create ${ENTRY}`], 0]);
  assert.deepEqual(
    [...target.ledger].map(([, { data }]) => data),
    before.map(([, { data }]) => data),
  );
});

test("pass() gives up when the ledger keeps moving, with nothing written", async () => {
  const { target, run } = bench();
  target.fault = (request) => (request.startsWith("ledger") ? "conflict" : undefined);
  await assert.rejects(run([service()]), ConflictError);
  assert.equal(target.requests.length, 5);
  assert.ok(target.requests.every((request) => LEDGER.test(request)));
  assert.equal(target.objects.size, 0);
});

test("pass() passes on what is no conflict", async () => {
  const { target, run } = bench();
  target.writeLedger = () => Promise.reject(new Error("503"));
  await assert.rejects(run([service()]), /503/);
  assert.equal(target.objects.size, 0);
});

test(
  faultRow({
    target: "API server",
    fault: "the ledger of VIPs cannot be written, while a new service waits for one",
    expect: "the endpoints of all others are updated",
  }),
  async () => {
    const { target, run } = bench();
    await run([service()]);
    const write = target.writeLedger;
    target.writeLedger = () => Promise.reject(new Error("503"));
    const said = [service("orders", { endpoints: [{ address: "192.0.2.9" }] }), service("stock")];
    target.requests.length = 0;
    await assert.rejects(run(said), /503/);
    assert.deepEqual(target.requests, [`update ${ENTRY}`]);
    await assert.rejects(run([service(), service("stock")], { mayWrite: () => false }), /503/);
    assert.deepEqual(target.requests, [`update ${ENTRY}`], "whoever may not write does not");
    target.writeLedger = write;
    await run(said);
    assert.equal(target.objects.size, 4);
  },
);

test("pass() writes nothing when it may not", async () => {
  const { target, run } = bench();
  const { decision, report } = await run([service()], { mayWrite: () => false });
  assert.deepEqual([target.requests, report.results, decision.plan.create.length], [[], [], 2]);
});

test("pass() stops when leadership is lost after the allocation", async () => {
  const { target, run } = bench();
  const { report } = await run([service()], { mayWrite: () => target.ledger.size === 0 });
  assert.equal(target.requests.length, 1);
  assert.deepEqual(report.results, []);
});

test(
  faultRow({ target: "own process", fault: "leadership is lost in mid-pass", expect: "the next write is not sent" }),
  async () => {
    const { target, run } = bench();
    const { report } = await run([service()], { mayWrite: () => target.requests.length < 2 });
    assert.deepEqual(
      report.results.map(({ outcome }) => outcome),
      ["written", "skipped"],
    );
  },
);

test("pass() decides and writes nothing in a dry run, the ledger included", async () => {
  const { target, run } = bench();
  const reported: unknown[] = [];
  target.report = async (holds) => void reported.push(holds);
  const { decision, ledgerWrites } = await run([service()], { isDryRun: true });
  assert.deepEqual([target.requests, target.ledger.size, reported, ledgerWrites], [[], 0, [], 0]);
  assert.equal(decision.plan.create.length, 2);
});

test("pass() lets the VIP of a deleted entry rest at once", async () => {
  const { target, run } = bench();
  await run([service()]);
  await run([service("stock")]);
  target.clockMs += HOUR_MS;
  const { ledgerWrites } = await run([service("stock")]);
  assert.equal(target.objects.has(ENTRY), false);
  assert.match(line(target), new RegExp(`${HOST} east resting ${new Date(target.clockMs).toISOString()}`));
  assert.equal(ledgerWrites, 1);
});

test("pass() goes on when the VIP of a deleted entry cannot be set to rest yet", async () => {
  const { target, run } = bench();
  await run([service()]);
  await run([service("stock")]);
  target.clockMs += HOUR_MS;
  target.fault = (request) => (request.startsWith("ledger") ? "conflict" : undefined);
  await run([service("stock")]);
  assert.match(line(target), new RegExp(`${HOST} east used`));
  target.fault = () => undefined;
  await run([service("stock")]);
  assert.match(line(target), new RegExp(`${HOST} east resting`), "the next pass does it");
});

test("pass() keeps the VIP of an entry whose deletion failed", async () => {
  const { target, run } = bench();
  await run([service()]);
  await run([service("stock")]);
  target.clockMs += HOUR_MS;
  target.fault = (request) => (request.startsWith("delete") ? "failed" : undefined);
  await run([service("stock")]);
  assert.match(line(target), new RegExp(`${HOST} east used`));
});

test("pass() reports what is held", async () => {
  const { target, run } = bench();
  const reported: string[] = [];
  target.report = async (holds) => void reported.push(...holds.map(({ subject }) => subject));
  await run([service("orders.v2")]);
  assert.deepEqual(reported, ["shop/orders.v2"]);
});

test("pass() tells its progress", async () => {
  const { run } = bench();
  const told: string[] = [];
  await run([service()], { onProgress: (done, total) => told.push(`${done}/${total}`) });
  assert.deepEqual(told, ["1/2", "2/2"]);
});

test("pass() asks a ledger that cannot be written once", async () => {
  const { target, run, decided } = bench();
  target.writeLedger = () => Promise.reject(new Error("503"));
  await assert.rejects(run([service()]), /503/);
  assert.equal(decided(), 1);
});

test("pass() gives an entry another VIP only once the ledger has it, and writes its endpoints meanwhile", async () => {
  const { target, run } = bench();
  await run([service(), service("stock")]);
  const specOf = () => {
    const { spec } = target.objects.get(ENTRY)?.manifest ?? {};
    return spec !== undefined && "addresses" in spec ? spec : undefined;
  };
  const [vip = ""] = specOf()?.addresses ?? [];
  for (const [name, block] of target.ledger) {
    const { [vip.replaceAll(".", "-")]: row, ...rest } = block.data;
    const data = { ...rest, ...(row === undefined ? {} : { [vip.replaceAll(".", "-")]: "web west used" }) };
    target.ledger.set(name, { ...block, resourceVersion: `${block.resourceVersion}9`, data });
  }
  const write = target.writeLedger;
  target.writeLedger = () => Promise.reject(new Error("503"));
  target.requests.length = 0;
  const said = [service("orders", { endpoints: [{ address: "192.0.2.9" }] }), service("stock", { endpoints: [] })];
  await assert.rejects(run(said), /503/);
  assert.deepEqual(
    target.requests,
    [ENTRY, ENTRY.replace("orders", "stock")].map((key) => `update ${key}`),
  );
  assert.deepEqual([specOf()?.addresses, specOf()?.endpoints], [[vip], [{ address: "192.0.2.9" }]]);
  await assert.rejects(run(said), /503/);
  assert.equal(target.requests.length, 2, "its VIP alone is not written");
  target.writeLedger = write;
  await run(said);
  assert.match(target.requests[2] ?? "", LEDGER);
  assert.ok(!JSON.stringify(target.objects.get(ENTRY)).includes(`"${vip}"`));
});

test("pass() writes nothing that is not due, whether the ledger can be written or not", async () => {
  const { target, run } = bench();
  await run([service()]);
  target.requests.length = 0;
  const said = [service("orders", { endpoints: [{ address: "192.0.2.9" }] }), service("stock")];
  const isDue: PassOptions["isDue"] = (change) => change.kind !== "update";
  const write = target.writeLedger;
  target.writeLedger = () => Promise.reject(new Error("503"));
  await assert.rejects(run(said, { isDue }), /503/);
  assert.deepEqual(target.requests, []);
  target.writeLedger = write;
  await run(said, { isDue: ({ kind }) => kind === "update" });
  assert.deepEqual(
    target.requests.filter((request) => !LEDGER.test(request)),
    [`update ${ENTRY}`],
  );
});

test("pass() does not write the ledger after deletes when leadership was lost meanwhile", async () => {
  const { target, run } = bench();
  await run([service()]);
  await run([service("stock")]);
  target.clockMs += HOUR_MS;
  let ledgerWrites = 0;
  const write = target.writeLedger;
  target.writeLedger = async (...args) => {
    ledgerWrites++;
    await write(...args);
  };
  const result = await run([service("stock")], { mayWrite: () => target.objects.has(ENTRY) });
  assert.equal(target.objects.has(ENTRY), false);
  assert.deepEqual([ledgerWrites, result.ledgerWrites], [0, 0]);
  assert.match(line(target), new RegExp(`${HOST} east used`));
});

test("pass() asks nothing of the target in a dry run, whatever may be written", async () => {
  const { target, run } = bench();
  const asked: string[] = [];
  for (const name of ["write", "writeLedger", "report"] as const)
    target[name] = (async () => void asked.push(name)) as never;
  await run([service("orders.v2")], { isDryRun: true });
  assert.deepEqual(asked, []);
});

test("writeUpdates() writes what is due and changes what stands, and nothing in a dry run", async () => {
  const { target, run } = bench();
  await run([service(), service("stock")]);
  const said = [service("orders", { endpoints: [] }), service("stock", { endpoints: [] }), service("new")];
  const { decision } = await run(said, { isDryRun: true });
  target.requests.length = 0;
  const options = { target, signal: new AbortController().signal, mayWrite: () => true };
  assert.deepEqual(await writeUpdates(decision, { ...options, isDryRun: true }), { results: [] });
  assert.deepEqual(await writeUpdates(decision, { ...options, isDryRun: false, isDue: () => false }), { results: [] });
  assert.deepEqual(target.requests, []);
  const isDue: PassOptions["isDue"] = (change) => change.kind === "update" && change.object.key === ENTRY;
  const { results } = await writeUpdates(decision, { ...options, isDryRun: false, isDue });
  assert.deepEqual([target.requests, results.map(({ outcome }) => outcome)], [[`update ${ENTRY}`], ["written"]]);
});
