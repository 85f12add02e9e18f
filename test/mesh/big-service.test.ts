import assert from "node:assert/strict";
import { test } from "node:test";
import { type FileService, hostOf } from "../e2e/fixture.ts";
import { backendsOf, readExample, serviceNamed } from "./example.ts";
import { startMesh } from "./mesh.ts";
import { ownNetwork } from "./network.ts";

const skip = await ownNetwork();

const MOST = 4096;

/** `count` endpoints like those that the example begins with. */
function fleetOf(count: number, first: FileService, labels: Readonly<Record<string, string>> = {}): FileService {
  const endpoints = Array.from({ length: count }, (_, at) => {
    const like = first.endpoints[at % first.endpoints.length];
    const own = like?.labels as Readonly<Record<string, string>> | undefined;
    return { ...like, address: `198.18.${at >> 8}.${at & 255}`, labels: { ...own, ...labels } };
  });
  return { ...first, endpoints };
}

/** As Envoy has them. */
interface Group {
  readonly locality?: { readonly region?: string; readonly zone?: string };
  readonly lb_endpoints: readonly {
    readonly endpoint: { readonly address: { readonly socket_address: { readonly address: string } } };
    readonly load_balancing_weight?: number;
  }[];
}

test("a service with thousands of endpoints is served, and held as it is when it has too many", { skip }, async (t) => {
  const example = await readExample("big-service");
  const [few, stock] = [serviceNamed(example, "fleet"), serviceNamed(example, "stock")];
  const fleet = fleetOf(MOST, few);
  const mesh = await startMesh(t, { ...example, services: [fleet, stock] });
  await mesh.backends({ protocol: "http", who: "fleet", address: "0.0.0.0", port: 7070 }, ...backendsOf(stock));
  const web = await mesh.withSidecar("web");
  const url = "http://fleet:7070";
  const known = async () => {
    const { configs } = await web.envoy.configDump();
    const found = configs
      .flatMap((config) => config.dynamic_endpoint_configs ?? [])
      .find(({ endpoint_config: { cluster_name: name } }) => name === `outbound|7070||${hostOf(fleet)}`);
    const groups: readonly Group[] = found?.endpoint_config.endpoints ?? [];
    return groups.flatMap(({ locality: { region, zone } = {}, lb_endpoints }) =>
      lb_endpoints.map(({ endpoint, load_balancing_weight: weight }) => {
        const { address } = endpoint.address.socket_address;
        return { address, weight, region, zone };
      }),
    );
  };
  const count = async () => (await known()).length;
  const held = async () => {
    const { holds } = (await (await fetch(`${mesh.replica.http}/api/plan`)).json()) as {
      readonly holds: readonly { readonly reason: string; readonly service: string; readonly message: string }[];
    };
    return holds.map(({ reason, service, message }) => `${reason} ${service}: ${message}`);
  };

  await t.test("4,096 endpoints, each with its weight and locality", async () => {
    await mesh.becomes(MOST, count);
    const byAddress = <Item extends { readonly address: string }>(items: readonly Item[]) =>
      [...items].sort((a, b) => (a.address < b.address ? -1 : 1));
    assert.deepEqual(
      byAddress(await known()),
      byAddress(fleet.endpoints.map(({ address, weight, region, zone }) => ({ address, weight, region, zone }))),
    );
    assert.deepEqual(await web.tally({ kind: "http", url, count: 500, lanes: 4 }), { fleet: 500 });
  });

  await t.test("one that changes is one push of endpoints", async () => {
    await mesh.istiod.settled();
    const { eds: edsBefore = 0, ...before } = await mesh.istiod.pushes();
    const [, ...others] = fleet.endpoints;
    const changed = {
      ...fleet,
      endpoints: [...others, { address: "198.19.0.1", weight: 50, region: "us", zone: "us-1b" }],
    };
    await mesh.fixture.setServices([changed, stock]);
    const found = async () =>
      (await known()).filter(({ address }) => address === "198.19.0.1" || address === "198.18.0.0");
    await mesh.becomes([{ address: "198.19.0.1", weight: 50, region: "us", zone: "us-1b" }], found);
    await mesh.istiod.settled();
    const { eds = 0, ...after } = await mesh.istiod.pushes();
    assert.deepEqual(after, before, "nothing but endpoints was pushed");
    assert.equal(eds - edsBefore, 1);
    await mesh.fixture.setServices([fleet, stock]);
    await mesh.becomes([{ address: "198.18.0.0", weight: 10, region: "eu", zone: "eu-1a" }], found);
  });

  await t.test("one endpoint too many holds the service as it is, says why, and holds no other", async () => {
    await mesh.fixture.setServices([
      fleetOf(MOST + 1, few),
      { ...stock, endpoints: [...stock.endpoints, { address: "192.0.2.22" }] },
    ]);
    const why = "services[0].endpoints: must be at most 4096 (Istio's limit), are 4097";
    await mesh.becomes([`unread vms/shop/fleet: services.yaml:9:7: ${why}`], held);
    await mesh.becomes(2, async () => (await web.envoy.endpoints(hostOf(stock), 8080)).length);
    assert.equal(await count(), MOST);
    assert.deepEqual(await web.tally({ kind: "http", url, count: 50 }), { fleet: 50 });
  });

  await t.test(
    "as large as is allowed it is taken by the API server, istiod and Envoy; larger, it is held",
    async () => {
      const padded = (length: number) => {
        const names = Array.from({ length: 4 }, (_, at) => [`pad-${at}`, "x".repeat(length)]);
        return fleetOf(MOST, few, Object.fromEntries(names));
      };
      await mesh.fixture.setServices([padded(49), stock]);
      await mesh.becomes(true, async () => JSON.stringify(await mesh.entry(hostOf(fleet))).length > 1_350_000);
      assert.deepEqual(await held(), []);
      await mesh.istiod.settled();
      assert.equal(await count(), MOST);
      assert.deepEqual(await web.tally({ kind: "http", url, count: 50 }), { fleet: 50 });
      await mesh.fixture.setServices([padded(51), stock]);
      await mesh.becomes(true, async () =>
        /^invalid vms\/shop\/fleet: it would have \d+ bytes, 1400000 are allowed$/.test((await held()).join()),
      );
      await mesh.fixture.setServices([fleet, stock]);
      await mesh.becomes([], held);
      assert.deepEqual(await web.tally({ kind: "http", url, count: 50 }), { fleet: 50 });
    },
  );
});
