import assert from "node:assert/strict";
import { test } from "node:test";
import { declareMetrics } from "../src/cli/serve/metrics.ts";
import { controllerMetrics } from "../src/controller/metrics.ts";
import { createMetrics } from "../src/metrics.ts";

/** All lines of the metrics of registries, in order. */
async function linesOf(metrics: ReturnType<typeof createMetrics>, registry: string): Promise<readonly string[]> {
  return (await metrics.registry.metrics()).split("\n").filter((line) => line.includes(`registry="${registry}"`));
}

test("setRegistries() sets every label set to 0, and leaves nothing of a registry that has left", async () => {
  const metrics = createMetrics();
  declareMetrics(metrics);
  metrics.setRegistries(["dc1", "vms"]);
  const lines = await linesOf(metrics, "dc1");
  const starts = [
    ...["timeout", "connection", "denied", "server", "answer", "other"].map(
      (kind) => `x2istio_registry_failures_total{registry="dc1",kind="${kind}"} 0`,
    ),
    ...["address", "disabled", "duplicate", "health", "kubernetes", "name", "port", "weight"].map(
      (kind) => `x2istio_registry_left_out_count{registry="dc1",kind="${kind}"} 0`,
    ),
    ...["filter", "infrastructure", "kubernetes"].map(
      (kind) => `x2istio_registry_skipped_count{registry="dc1",kind="${kind}"} 0`,
    ),
    'x2istio_registry_services_count{registry="dc1"} 0',
    'x2istio_registry_staleness_seconds{registry="dc1"} ',
    'x2istio_registry_reads_total{registry="dc1",result="ok"} 0',
    'x2istio_brake_state_count{registry="dc1",kind="services"} 0',
  ];
  for (const start of starts)
    assert.ok(
      lines.some((line) => line.startsWith(start)),
      start,
    );
  metrics.once(controllerMetrics).registryFailures.inc({ registry: "dc1", kind: "timeout" });
  metrics.setRegistries(["vms"]);
  assert.deepEqual(await linesOf(metrics, "dc1"), []);
  assert.ok((await linesOf(metrics, "vms")).length > 0);
});

test("the staleness of a registry grows until it is read completely", async (t) => {
  let nowMs = 1000;
  t.mock.method(performance, "now", () => nowMs);
  const metrics = createMetrics();
  const { registryStaleness, readComplete } = metrics.once(controllerMetrics);
  const staleness = async () => (await registryStaleness.get()).values.map(({ value }) => value);
  metrics.setRegistries(["dc1"]);
  nowMs += 30_000;
  assert.deepEqual(await staleness(), [30]);
  readComplete("dc1");
  nowMs += 1000;
  assert.deepEqual(await staleness(), [1]);
  metrics.setRegistries([]);
  readComplete("dc1"); // a read that was under way when its registry left
  assert.deepEqual(await staleness(), []);
});
