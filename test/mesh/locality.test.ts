import assert from "node:assert/strict";
import { test } from "node:test";
import { hostOf } from "../e2e/fixture.ts";
import { backendsOf, readExample, serviceNamed } from "./example.ts";
import { startMesh } from "./mesh.ts";
import { ownNetwork } from "./network.ts";

const skip = await ownNetwork();

/** As Envoy has it. */
interface Group {
  readonly locality?: { readonly region?: string; readonly zone?: string; readonly sub_zone?: string };
  readonly priority?: number;
  readonly lb_endpoints: readonly {
    readonly endpoint: { readonly address: { readonly socket_address: { readonly address: string } } };
  }[];
}

test("calls go to the nearest endpoints, and to the next nearest when these are down", { skip }, async (t) => {
  const example = await readExample("locality");
  const orders = serviceNamed(example, "orders");
  const mesh = await startMesh(t, example);
  const [hall1, hall2, zoneB, us] = await mesh.backends(
    ...backendsOf(orders).filter(({ protocol }) => protocol === "http"),
  );
  await mesh.backends(...backendsOf(orders).filter(({ protocol }) => protocol === "tcp"));
  const locality = { region: "eu", zone: "eu-1a", sub_zone: "hall-1" };
  const [web, guest, vip] = await Promise.all([
    mesh.withSidecar("web", { locality }),
    mesh.withSidecar("guest", { namespace: "default", locality }),
    mesh.vip(orders),
  ]);
  const url = "http://orders:8080";
  const at = (last: number) => `orders/http@192.0.2.${last}`;
  const groups = async (app: typeof web) => {
    const { configs } = await app.envoy.configDump();
    const found = configs
      .flatMap((config) => config.dynamic_endpoint_configs ?? [])
      .find(({ endpoint_config: { cluster_name: name } }) => name === `outbound|8080||${hostOf(orders)}`);
    const list: readonly Group[] = found?.endpoint_config.endpoints ?? [];
    return list
      .flatMap(({ locality: { region = "", zone = "", sub_zone = "" } = {}, priority = 0, lb_endpoints }) =>
        lb_endpoints.map(({ endpoint }) => [
          endpoint.address.socket_address.address,
          priority,
          `${region}/${zone}/${sub_zone}`,
        ]),
      )
      .sort();
  };

  await t.test("region, zone and subzone arrive, and make the order in which endpoints are called", async () => {
    await mesh.becomes(
      [
        ["192.0.2.11", 0, "eu/eu-1a/hall-1"],
        ["192.0.2.12", 1, "eu/eu-1a/hall-2"],
        ["192.0.2.13", 2, "eu/eu-1b/"],
        ["192.0.2.14", 3, "us//"],
        ["192.0.2.15", 4, "asia/asia-1a/"],
      ],
      () => groups(web),
    );
  });

  const tally = async () => Object.keys(await web.tally({ kind: "http", url, count: 50 }));
  await t.test("each in its turn", async () => {
    await mesh.becomes([at(11)], tally);
    for (const [down, next] of [
      [hall1, 12],
      [hall2, 13],
      [zoneB, 14],
      [us, 15],
    ] as const) {
      await down?.stop();
      await mesh.becomes([at(next)], tally);
    }
  });

  await t.test("TCP, too", async () => {
    // One rule, one host: what was thrown out for HTTP is another cluster's endpoint.
    const who = await web.tally({ kind: "tcp", host: vip, port: 3306, count: 20 });
    assert.deepEqual(who, { "orders/mysql@192.0.2.11": 20 });
  });

  await t.test("an endpoint that comes takes the calls back if it is the nearest", async () => {
    const near = { address: "192.0.2.16", region: "eu", zone: "eu-1a", subzone: "hall-1" };
    await mesh.backends({ protocol: "http", who: at(16), address: near.address, port: 8080 });
    const [, ...others] = orders.endpoints;
    await mesh.fixture.setServices([{ ...orders, endpoints: [near, ...others] }]);
    await mesh.becomes([at(16)], tally);
    // Half of the nearest are left: Envoy gives them 1.4 times their share of the calls.
    await mesh.fixture.setServices([{ ...orders, endpoints: [...orders.endpoints, near] }]);
    await mesh.becomes([at(15), at(16)], async () => (await tally()).sort());
    await mesh.fixture.setServices([orders]);
    await mesh.becomes([at(15)], tally);
  });

  await t.test(
    "a namespace that does not have the rule calls them all, unless the rule stands beside the entry",
    async () => {
      const priorities = async () => [...new Set((await groups(guest)).map(([, priority]) => priority))].sort();
      await mesh.becomes([0], priorities);
      assert.equal((await groups(guest)).length, orders.endpoints.length);
      const [rule] = example.manifests;
      assert.ok(rule !== undefined);
      await mesh.apply({ ...rule, metadata: { ...rule.metadata, namespace: "mesh-services" } });
      await mesh.becomes([0, 1, 2, 3, 4], priorities);
    },
  );
});
