import assert from "node:assert/strict";
import { test } from "node:test";
import type { UsageJson } from "../../src/usage/json.ts";
import { until } from "../servers/kube-admin.ts";
import { ready, runCli, startReplica } from "./cli.ts";
import { dnsQuery } from "./dns.ts";
import { copyExample } from "./embedded.ts";

const LEGACY = "orders.corp.example.com";

test("x2istio report tells who asks for which names, and the metrics do", async (t) => {
  const example = await copyExample(t);
  const replica = startReplica(t, example);
  await ready(replica);
  const report = async (...args: readonly string[]) => {
    const result = await runCli(["--config", example.config, "report", ...args]);
    assert.equal(result.code, 0, result.stderr);
    return result.stdout;
  };
  assert.match(await report(), /^14 services: 0 called by a legacy name, 14 not yet moved, 14 that nobody asks for\./m);
  for (let n = 0; n < 12; n++) await dnsQuery(replica.dns, LEGACY);
  await dnsQuery(replica.dns, "stock.shop.vms.mesh.internal");
  await until("the questions are counted", async () => {
    const { services } = (await (await fetch(`${replica.http}/api/usage`)).json()) as UsageJson;
    return services.flatMap(({ names }) => names).reduce((sum, { questions }) => sum + questions, 0) === 13;
  });
  const text = await report("--from", replica.http);
  assert.match(
    text,
    new RegExp(`^  ${LEGACY} +vms/shop/orders +outside +12 questions +last .* ago +from 127\\.0\\.0\\.1$`, "m"),
  );
  const json = JSON.parse(await report("-o", "json", "--idle", "1h")) as {
    readonly legacy: readonly { readonly service: string }[];
    readonly idleMs: number;
  };
  assert.deepEqual([json.legacy.map(({ service }) => service), json.idleMs], [["vms/shop/orders"], 3_600_000]);
  assert.match(await report("-o", "csv"), new RegExp(`^vms/shop/orders,outside,,legacy,${LEGACY},mesh,12,`, "m"));
  const metrics = await (await fetch(`${replica.http}/metrics`)).text();
  for (const line of [
    'x2istio_usage_questions_total{registry="vms",kind="legacy",view="mesh"} 12',
    'x2istio_usage_questions_total{registry="vms",kind="host",view="mesh"} 1',
    'x2istio_usage_services_count{registry="vms",state="legacy"} 1',
    'x2istio_stage_services_count{registry="vms",stage="outside"} 14',
  ])
    assert.ok(
      metrics.includes(`${line}\n`),
      `${line}\n${metrics
        .split("\n")
        .filter((one) => /usage|stage/.test(one))
        .join("\n")}`,
    );
  const nobody = await runCli(["--config", example.config, "report", "--from", "http://127.0.0.1:9"]);
  assert.equal(nobody.code, 1);
  assert.match(nobody.stderr, /^Cannot read the usage from http:\/\/127\.0\.0\.1:9: is x2istio run running there\?/);
  assert.equal(await replica.stop(), 0);
});
