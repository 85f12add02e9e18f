import assert from "node:assert/strict";
import { test } from "node:test";
import { controllerMetrics } from "../../src/controller/metrics.ts";
import { pass } from "../../src/controller/pass.ts";
import { recordVipMoves, vipNotices } from "../../src/controller/vip-moves.ts";
import { createLog } from "../../src/log.ts";
import { createMetrics } from "../../src/metrics.ts";
import type { Notice, WriteOutcome, WriteReport } from "../../src/model/target.ts";
import { decider } from "../plan/at-once.ts";
import { endpoints, entry, readings, type Said, service } from "../plan/build.ts";
import { config, type MemoryTarget, memoryTarget } from "../plan/memory.ts";

/** An entry was written with other addresses. */
function report(from: readonly string[], to: readonly string[], outcome: WriteOutcome = "written"): WriteReport {
  const stands = entry("dc1/shop/orders", { addresses: from });
  const { manifest } = entry("dc1/shop/orders", { addresses: to });
  const { key, registry } = stands;
  const object = { key, registry, manifest, service: "dc1/shop/orders" };
  return { results: [{ change: { kind: "update", object, standing: stands }, outcome }] };
}

const cases: readonly (readonly [from: readonly string[], to: readonly string[], moves: boolean])[] = [
  [["240.241.0.9"], ["240.241.0.10"], true],
  [["240.241.0.9"], ["fd00::9"], true],
  [["240.241.0.9", "fd00::9"], ["240.241.0.9"], true],
  [["240.241.0.9"], [], true],
  [["240.241.0.9"], ["240.241.0.9"], false],
  [["240.241.0.9"], ["240.241.0.9", "fd00::9"], false],
  [[], ["240.241.0.9"], false],
];
for (const [from, to, moves] of cases)
  test(`an entry with ${from.join(" ") || "no VIP"} that gets ${to.join(" ") || "none"} has ${moves ? "" : "not "}moved`, async () => {
    const lines: { readonly msg?: string; readonly host?: string }[] = [];
    const stream = { write: (line: string) => void lines.push(JSON.parse(line)) };
    const metrics = createMetrics().once(controllerMetrics);
    const count = async () => (await metrics.vipsMoved.get()).values[0]?.value;
    const written = report(from, to);
    recordVipMoves(written, createLog({ level: "info", pretty: false, stream }), metrics);
    assert.deepEqual([lines.map(({ msg }) => msg), await count()], moves ? [["a VIP has moved"], 1] : [[], 0]);
    const notices = vipNotices(written);
    assert.deepEqual(
      notices.map(({ reason, regarding }) => [reason, regarding]),
      moves ? [["VipMoved", written.results[0]?.change.kind === "update" && written.results[0].change.object.key]] : [],
    );
    assert.deepEqual(vipNotices(report(from, to, "failed")), []);
  });

/** Passes over what dc1 says, with VIPs of these ranges, on one target. */
async function run(target: MemoryTarget, ranges: readonly string[], said: Said): Promise<void> {
  const decide = decider(config(["dc1"], { vips: { ranges } }));
  await pass({
    target,
    signal: new AbortController().signal,
    mayWrite: () => true,
    isDryRun: false,
    decide: () =>
      decide({
        readings: readings({ dc1: said }),
        ...{ standing: target.standing(), nowMs: target.nowMs() },
        ...{ allowDeletes: new Set(["dc1"]) },
      }),
  });
}

test("a VIP that moves with the configured families is told on its entry, and the endpoints go on while the ledger is refused", async () => {
  const target = memoryTarget();
  const told: Notice[] = [];
  target.report = async (_holds, _options, notices = []) => void told.push(...notices);
  const specOf = () => {
    const [object] = target.objects.values();
    return object?.manifest.kind === "ServiceEntry" ? object.manifest.spec : undefined;
  };
  await run(target, ["240.241.0.0/16"], [service()]);
  const [before = ""] = specOf()?.addresses ?? [];
  await run(target, ["240.242.0.0/16"], [service()]);
  assert.deepEqual([specOf()?.addresses, told], [[before], []], "other ranges move nothing");

  const said = [service("orders", { endpoints: endpoints(1, 9) })];
  const write = target.writeLedger;
  target.writeLedger = () => Promise.reject(new Error("503"));
  await assert.rejects(run(target, ["fd00:241::/64"], said), /503/);
  assert.deepEqual([specOf()?.addresses, specOf()?.endpoints?.[0]?.address], [[before], "192.0.9.1"]);
  target.requests.length = 0;
  await assert.rejects(run(target, ["fd00:241::/64"], said), /503/);
  assert.deepEqual(target.requests, [], "nothing else is to be changed");
  target.writeLedger = write;
  await run(target, ["fd00:241::/64"], said);
  const [after = ""] = specOf()?.addresses ?? [];
  assert.match(after, /^fd00:241::/);
  assert.deepEqual(
    told.map(({ reason, message }) => `${reason}: ${message}`),
    [
      `VipMoved: the VIP of orders.shop.dc1.mesh.internal was ${before} and is ${after} now: callers that keep the old one reach nothing`,
    ],
  );
});
