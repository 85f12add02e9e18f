import assert from "node:assert/strict";
import { test } from "node:test";
import { startPolaris } from "../polaris/polaris.ts";
import { startConsul } from "../servers/consul.ts";
import { startMesh } from "./mesh.ts";
import { ownNetwork } from "./network.ts";

const skip = await ownNetwork();
const CALLS = 3000;
const PORT = 8080;
const PLACES = { dc1: ["192.0.2.11", "192.0.2.12"], prod: ["192.0.2.21", "192.0.2.22"], vms: ["192.0.2.31"] } as const;
const ALL = Object.values(PLACES).flat();
/** Of five instances more is as rare as one in a thousand (χ², four degrees of freedom). */
const MOST = 18.5;

test("calls to a merged service spread by instance, whatever weight its registries give by default, or by the shares of its members", {
  skip,
}, async (t) => {
  const consul = await startConsul();
  t.after(() => consul.stop());
  for (const address of PLACES.dc1)
    await consul.register({ service: "orders", id: address, address, port: PORT, meta: { protocol: "http" } });
  const polaris = await startPolaris();
  t.after(() => polaris.stop());
  for (const host of PLACES.prod)
    polaris.register({ namespace: "default", service: "orders", host, port: PORT, protocol: "http" });
  const registries = (shares: Readonly<Record<string, number>>) =>
    [
      { kind: "consul", name: "dc1", address: consul.address },
      { kind: "polaris", name: "prod", address: polaris.address, namespaces: ["default"] },
      { kind: "static", name: "vms", file: "services.yaml" },
    ].map((one) => (shares[one.name] === undefined ? one : { ...one, share: shares[one.name] }));
  const ports = [{ name: "http", number: PORT, protocol: "http" }];
  const endpoints = PLACES.vms.map((address) => ({ address }));
  const sections = {
    registries: registries({}),
    merge: ["dc1", "prod", "vms"],
    hosts: { template: "{service}.{namespace}.mesh.internal" },
  };
  const mesh = await startMesh(t, { services: [{ namespace: "default", name: "orders", ports, endpoints }], sections });
  await mesh.backends(...ALL.map((address) => ({ protocol: "http" as const, who: address, address, port: PORT })));
  const web = await mesh.withSidecar("web");
  const call = { kind: "http", url: `http://orders.default.mesh.internal:${PORT}` } as const;
  const spread = async () => {
    const { length } = ALL;
    await mesh.becomes(length, async () => Object.keys(await web.tally({ ...call, count: 50 })).length);
    return web.tally({ ...call, count: CALLS });
  };
  const unlikely = (tally: Readonly<Record<string, number>>, expected: (address: string) => number) =>
    ALL.reduce((sum, address) => sum + ((tally[address] ?? 0) - expected(address)) ** 2 / expected(address), 0);

  await t.test("by instance", async () => {
    const tally = await spread();
    assert.ok(unlikely(tally, () => CALLS / ALL.length) < MOST, JSON.stringify(tally));
  });

  await t.test("by share", async () => {
    const shares = { dc1: 1, prod: 2, vms: 1 };
    await mesh.fixture.setConfig({ ...sections, registries: registries(shares) });
    // Of an endpoint of the default weight.
    const shareOf = (address: string) => ((PLACES.prod as readonly string[]).includes(address) ? shares.prod : 1);
    const whole = ALL.reduce((sum, address) => sum + shareOf(address), 0);
    const expected = (address: string) => (CALLS * shareOf(address)) / whole;
    await mesh.becomes(true, async () => unlikely(await spread(), expected) < MOST);
  });
});
