import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ready, runCli, startReplica } from "../e2e/cli.ts";
import { entriesPath, get, MESH, servicesPath } from "../e2e/cluster.ts";
import { dnsQuery } from "../e2e/dns.ts";
import type { FileService } from "../e2e/fixture.ts";
import { startConsul } from "../servers/consul.ts";
import { until } from "../servers/kube-admin.ts";
import { sized } from "../size.ts";
import { startMesh } from "./mesh.ts";
import { ownNetwork } from "./network.ts";
import type { App } from "./pod.ts";

const skip = await ownNetwork();

const PORTS = { http: 8080, tcp: 3306, grpc: 9090 } as const;
const PROTOCOLS = ["http", "tcp", "grpc"] as const;
/** Before and after each change. */
const CALLS = 200;
const [ORDERS, STOCK, CACHE, PAY] = ["192.0.2.11", "192.0.2.12", "192.0.2.21", "192.0.2.22"] as const;

function vm(name: string, address: string, legacyName: string): FileService {
  const ports = PROTOCOLS.map((protocol) => ({ name: protocol, number: PORTS[protocol], protocol }));
  return { namespace: "shop", name, ports, endpoints: [{ address }], legacyNames: [legacyName] };
}

const [ORDERS_NAME, STOCK_NAME] = ["orders.corp.example.com", "stock.corp.example.com"];
const CACHE_NAME = "cache.corp.example.com";
const nothing = async () => undefined;
const orders = (name = "orders", legacyName = ORDERS_NAME) => vm(name, ORDERS, legacyName);
const stock = (legacyName = STOCK_NAME) => vm("stock", STOCK, legacyName);

/** Ask for each of `names` so many times a second. Those that were not answered with an address, one sentence each. */
function ask(port: number, names: readonly string[], perSecond: number): { stop(): Promise<readonly string[]> } {
  const bad: string[] = [];
  const asked: Promise<void>[] = [];
  const one = async (name: string) => {
    const at = new Date().toISOString();
    const { rcode, addresses } = await dnsQuery(port, name).catch((error) => ({ rcode: error, addresses: [] }));
    if (rcode !== 0 || addresses.length === 0) bad.push(`${at} ${name}: ${rcode}`);
  };
  const timer = setInterval(() => asked.push(...names.map(one)), 1000 / perSecond);
  return {
    async stop() {
      clearInterval(timer);
      await Promise.all(asked);
      assert.ok(asked.length > 1000, `${asked.length} questions`);
      return bad;
    },
  };
}

for (const how of ["run", "apply"] as const)
  test(`names that move between services of a file and of Consul are denied to nobody, and no call fails, by ${how}`, {
    skip,
  }, async (t) => {
    const consul = await startConsul();
    t.after(() => consul.stop());
    const instance = (service: string, address: string, id = service) =>
      consul.register({ service, id, address, port: PORTS.http, meta: { protocol: "http" } });
    await instance("cache", CACHE);
    await instance("pay", PAY);
    const mesh = await startMesh(t, {
      services: [orders(), stock()],
      sections: {
        registries: [
          { kind: "static", name: "vms", file: "services.yaml" },
          { kind: "consul", name: "dc1", address: consul.address, legacyNames: ["{service}.corp.example.com"] },
        ],
        aliases: [
          ...["orders", "order-api", "Orders"].map((service) => ({
            registry: "vms",
            service,
            as: "orders",
            in: "shop",
          })),
          ...["pay", "pay-api"].map((service) => ({ registry: "dc1", service, as: "pay", in: "shop" })),
        ],
        policy: { minDeletes: 100 },
      },
    });
    for (const [who, address] of Object.entries({ orders: ORDERS, stock: STOCK, cache: CACHE, pay: PAY }))
      await mesh.backends(...PROTOCOLS.map((protocol) => ({ protocol, who, address, port: PORTS[protocol] })));
    const [web, batch] = await Promise.all([mesh.withSidecar("web"), mesh.withSidecar("batch")]);
    const host = "orders.shop.vms.mesh.internal";
    const [vip = ""] = (await mesh.entry(host)).addresses ?? [];
    const calls = {
      legacy: [web, 50, { kind: "http", url: `http://${ORDERS_NAME}:${PORTS.http}` }],
      alias: [web, 30, { kind: "http", url: `http://orders:${PORTS.http}` }],
      consul: [web, 20, { kind: "http", url: `http://${CACHE_NAME}:${PORTS.http}` }],
      "consul's alias": [web, 20, { kind: "http", url: `http://pay:${PORTS.http}` }],
      vip: [batch, 40, { kind: "tcp", host: vip, port: PORTS.tcp }],
      grpc: [batch, 40, { kind: "grpc", target: `dns:${ORDERS_NAME}:${PORTS.grpc}` }],
    } as const;
    for (const [name, [app, , call]] of Object.entries(calls))
      await until(`calls by ${name} are answered`, async () => {
        const [reply] = await app.make({ ...call, count: 1 });
        return reply?.who !== undefined;
      });

    let answerer = mesh.replica;
    if (how === "apply") {
      assert.equal(await mesh.replica.stop(), 0);
      const { config, ports } = mesh.fixture;
      const env = { KUBECONFIG: mesh.kube.kubeconfigPath };
      answerer = startReplica(t, { config, ports, env, args: ["dns", "--config", config] });
      await ready(answerer);
    }
    const apply = async () => {
      if (how === "run") return;
      const env = { KUBECONFIG: mesh.kube.kubeconfigPath };
      const { code, stdout, stderr } = await runCli(["--config", mesh.fixture.config, "apply"], { env });
      // 3: an alias that another one has is held.
      assert.ok(code === 0 || code === 3, `${stdout}${stderr}`);
    };
    for (const [name, [app, perSecond, call]] of Object.entries(calls)) await app.load({ name, perSecond, call });
    const names = [ORDERS_NAME, STOCK_NAME, CACHE_NAME, host];
    const questions = ask(answerer.dns, names, 50);
    t.after(() => questions.stop());
    const failed: string[] = [];
    let all = 0;
    const more = async (count: number) => {
      for (let seen = 0; seen < count; ) {
        await sleep(50);
        for (const loads of await Promise.all([web, batch].map((app: App) => app.takeLoads())))
          for (const [name, load] of Object.entries(loads)) {
            const answered = Object.values(load.who).reduce((sum, one) => sum + one, 0);
            seen += answered;
            all += answered;
            failed.push(
              ...Object.entries(load.failed).map(
                ([what, { count: times, firstMs }]) =>
                  `${times} by ${name}, first at ${new Date(firstMs).toISOString()}: ${what}`,
              ),
            );
          }
      }
    };
    const namesOf = async (of: string) =>
      (await get(mesh.kube, `${entriesPath(MESH)}/${of}`))?.metadata.annotations?.["x2istio.dev/names"] ?? "";
    const holds = (of: string, name: string) =>
      until(`${of} has ${name}`, async () => (await namesOf(of)).includes(`"${name}"`));
    const leads = (alias: string, to: string) =>
      until(`alias ${alias} leads to ${to}`, async () => {
        const service = await get(mesh.kube, `${servicesPath()}/${alias}`);
        return service?.spec.externalName === to;
      });
    const [api, pay, payApi] = [
      "order-api.shop.vms.mesh.internal",
      "pay.default.dc1.mesh.internal",
      "pay-api.default.dc1.mesh.internal",
    ];
    const renamed = async (to: string) => {
      await holds(to, ORDERS_NAME);
      await leads("orders", to);
    };
    const change = async (what: string, make: () => Promise<void>, isDone: () => Promise<void>) => {
      await more(CALLS);
      t.diagnostic(`${new Date().toISOString()} ${what}`);
      await make();
      await apply();
      await isDone();
      await more(CALLS);
      await apply(); // as the next of those that come every ten seconds
    };
    const services =
      (...list: readonly FileService[]) =>
      () =>
        mesh.fixture.setServices(list);

    const steps: readonly (readonly [string, () => Promise<void>, () => Promise<void>])[] = [
      ["a service is renamed", services(orders("order-api"), stock()), () => renamed(api)],
      ["it is renamed back", services(orders(), stock()), () => renamed(host)],
      ["it is written in another case", services(orders("Orders"), stock()), () => renamed(host)],
      ["and as before", services(orders(), stock()), () => renamed(host)],
      [
        "two exchange their names",
        services(orders("orders", STOCK_NAME), stock(ORDERS_NAME)),
        () => holds(host, STOCK_NAME),
      ],
      ["and back", services(orders(), stock()), () => renamed(host)],
      // For Consul the same service, whatever is done.
      ["Consul has it in another case, too", () => instance("Cache", CACHE, "capital"), nothing],
      ["and only so", () => consul.deregister({ id: "cache" }), nothing],
      ["and as before", () => instance("cache", CACHE), nothing],
      ["and only as before", () => consul.deregister({ id: "capital" }), nothing],
      ["Consul has another one", () => instance("pay-api", PAY), () => holds(payApi, "pay-api.corp.example.com")],
      ["and the first no more", () => consul.deregister({ id: "pay" }), () => leads("pay", payApi)],
      ["and the first again", () => instance("pay", PAY), () => holds(pay, "pay.corp.example.com")],
      ["and the other no more", () => consul.deregister({ id: "pay-api" }), () => leads("pay", pay)],
    ];
    for (let round = 0; round < sized(1, { quick: 1, full: 10 }); round++)
      for (const step of steps) await change(...step);
    const denied = await questions.stop();
    t.diagnostic(`${all} calls`);
    assert.deepEqual({ denied, failed }, { denied: [], failed: [] });
  });
