import assert from "node:assert/strict";
import { test } from "node:test";
import { createAdapters, type ServiceRanges } from "../../../src/cli/setup/adapters.ts";
import { createLog } from "../../../src/log.ts";
import type { Adapter, Snapshot } from "../../../src/model/adapter.ts";
import { endpoint, service, snapshot } from "../../plan/build.ts";
import { config } from "../../plan/memory.ts";

const signal = new AbortController().signal;
const POLL = { trigger: "poll" } as const;
const listed = snapshot("dc1", [service("a", { endpoints: [endpoint("192.0.2.1"), endpoint("10.96.0.7")] })]);

/** The adapter of one registry, as the product uses it. */
async function adapterOf(
  read: Adapter["read"],
  serviceRanges?: ServiceRanges,
  registry: object = {},
): Promise<Adapter> {
  const context = {
    configContext: { env: {}, adapters: {} },
    createAdapter: () => ({ registry: "dc1", read }),
    log: createLog({ level: "silent", pretty: false }),
  };
  const [adapter] = await createAdapters(config([{ name: "dc1", ...registry }]), context, serviceRanges);
  return adapter ?? assert.fail();
}

function endpointsOf({ services: [one] }: Snapshot): readonly string[] {
  return one?.state === "ok" ? one.service.endpoints.map(({ address }) => address) : assert.fail();
}

test("createAdapters() leave out what is in the cluster's range of Services, as soon as it is known", async () => {
  let known: readonly string[] = [];
  const adapter = await adapterOf(
    async () => listed,
    async () => known,
  );
  assert.deepEqual(endpointsOf(await adapter.read(signal, POLL)), ["192.0.2.1", "10.96.0.7"]);
  known = ["10.96.0.0/16"];
  assert.deepEqual(endpointsOf(await adapter.read(signal, POLL)), ["192.0.2.1"]);
});

test("createAdapters() read without a cluster, and never give VIPs for endpoints", async () => {
  const looping = snapshot("dc1", [service("a", { endpoints: [endpoint("192.0.2.1"), endpoint("240.241.0.7")] })]);
  const adapter = await adapterOf(async () => looping);
  assert.deepEqual(endpointsOf(await adapter.read(signal, POLL)), ["192.0.2.1"]);
});

test("createAdapters() tell at once that a registry cannot be read, whatever the cluster is waited for", async () => {
  const adapter = await adapterOf(
    async () => {
      throw new Error("connection refused");
    },
    () => new Promise(() => {}),
  );
  await assert.rejects(adapter.read(signal, POLL), { message: "connection refused" });
});

for (const [network, want] of [
  ["vm-1", ["vm-1", "vm-1"]],
  [{ dc2: "vm-2", "*": "vm-1" }, ["vm-1", "vm-2"]],
  [undefined, [undefined, undefined]],
] as const)
  test(`createAdapters() say that endpoints are in network ${JSON.stringify(network)}`, async () => {
    const endpoints = [endpoint("192.0.2.1", { region: "dc1" }), endpoint("192.0.2.2", { region: "dc2" })];
    const adapter = await adapterOf(async () => snapshot("dc1", [service("a", { endpoints })]), undefined, { network });
    const [one] = (await adapter.read(signal, POLL)).services;
    assert.deepEqual(one?.state === "ok" && one.service.endpoints.map((at) => at.network), want);
  });
