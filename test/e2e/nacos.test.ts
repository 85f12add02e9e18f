import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { faultRow } from "../faults/row.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { kubeServers } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { type NacosInstance, type NacosVersion, nacosServers, startNacos } from "../servers/nacos.ts";
import { type NacosClient, nacosClient } from "../servers/nacos-client.ts";
import { type Mesh, startMesh } from "./consul-mesh.ts";

const skip = (await ensureServers([...kubeServers, ...nacosServers])) === undefined && noServers;
const hostOf = (service: string) => `${service}.public.prod.mesh.internal`;
const place = (
  at: number,
  { port, weight = 100, ...more }: { port?: number; weight?: number; labels?: object } = {},
) => ({
  ...{ address: `192.0.2.${at}`, ports: port === undefined ? undefined : { tcp: port }, weight },
  ...(more as { labels?: Record<string, string> }),
});
const instance = (at: number, fields: Partial<NacosInstance> = {}): NacosInstance => ({
  ...{ serviceName: "orders", ip: `192.0.2.${at}` },
  ...fields,
});
/** Services of one client. */
const STORM = Array.from({ length: 60 }, (_, at) => `storm-${at}`);

/** A server, its clients, and x2istio that reads it. */
interface World extends Mesh {
  readonly nacos: Awaited<ReturnType<typeof startNacos>>;
  /** A client that goes with the test. */
  connect(): Promise<NacosClient>;
}

async function start(t: TestContext, version: NacosVersion, registry: object = {}): Promise<World> {
  const nacos = await startNacos(version);
  t.after(() => nacos.stop());
  const mesh = await startMesh(t, [
    // Only pushes tell of what changes in time: the poll is for what is found by lists.
    { kind: "nacos", name: "prod", address: nacos.address, poll: "*/3 * * * * *", ...registry },
  ]);
  return {
    ...mesh,
    nacos,
    async connect() {
      const client = await nacosClient(nacos.address);
      t.after(() => client.close());
      return client;
    },
  };
}

/** What only changes with the spec of an entry: brakes write marks beside it. */
async function generations(mesh: Mesh, services: readonly string[]): Promise<readonly unknown[]> {
  const all = await mesh.all();
  return services.map((service) => {
    const { metadata, spec } = all.get(hostOf(service)) ?? {};
    return [service, (metadata as { readonly generation?: number } | undefined)?.generation, spec?.endpoints];
  });
}

async function untilAll({ all }: Mesh, services: readonly string[]): Promise<void> {
  await until("all have an endpoint", async () => {
    const entries = await all();
    return services.every((service) => entries.get(hostOf(service))?.spec.endpoints?.length === 1);
  });
}

for (const version of nacosServers)
  test(`what changes in ${version} changes the mesh`, { skip }, async (t) => {
    const { nacos, connect, ...mesh } = await start(t, version);
    const { becomes, change, replica } = mesh;
    const [client, second] = [await connect(), await connect()];
    await client.register(instance(1));
    const host = hostOf("orders");

    await t.test("registering, also on another port", async () => {
      const entry = await becomes(host, {
        endpoints: [place(1)],
        ports: [{ number: 8080, name: "tcp", protocol: "TCP" }],
      });
      assert.deepEqual(entry.spec.hosts, [host]);
      await change(host, () => second.register(instance(2, { port: 8081 })), {
        endpoints: [place(1), place(2, { port: 8081 })],
      });
    });

    await t.test("weight, version, health, and taking it out of use", async () => {
      const both = (first: object[]) => ({ endpoints: [...first, place(2, { port: 8081 })] as never });
      await change(host, () => client.register(instance(1, { weight: 0.5 })), both([place(1, { weight: 50 })]));
      await change(
        host,
        () => client.register(instance(1, { metadata: { version: "v2" } })),
        both([place(1, { labels: { version: "v2" } })]),
      );
      await change(host, () => client.register(instance(1, { healthy: false })), both([]));
      await change(host, () => client.register(instance(1)), both([place(1)]));
      await change(host, () => client.register(instance(1, { weight: 0 })), both([]));
      await change(host, () => client.register(instance(1)), both([place(1)]));
      await change(host, () => client.register(instance(1, { enabled: false })), both([]));
      await change(host, () => client.register(instance(1)), both([place(1)]));
    });

    await t.test("another group, found by itself, and a persistent instance", async () => {
      await second.register(instance(7, { groupName: "payments", metadata: { protocol: "grpc" } }));
      const found = async () =>
        [...(await mesh.all()).values()].find(({ spec }) => spec.hosts[0]?.startsWith("payments--orders"));
      await until("it is there", async () => (await found()) !== undefined);
      assert.equal((await found())?.metadata.annotations?.["x2istio.dev/service"], "prod/public/payments@@orders");
      assert.deepEqual(
        (await found())?.spec.ports.map(({ protocol }) => protocol),
        ["GRPC"],
      );
      // Nacos connects to persistent instances, so that it has to be the machine's own address, which no endpoint can be.
      await nacos.register({ serviceName: "lasting", ip: "127.0.0.1" });
      await becomes(hostOf("lasting"), { endpoints: [] });
    });

    await t.test("deregistering, one and the last", async () => {
      await change(host, () => second.deregister(instance(2, { port: 8081 })), { endpoints: [place(1)] });
      await change(host, () => client.deregister(instance(1)), { endpoints: [] });
      await change(host, () => client.register(instance(1)), { endpoints: [place(1)] });
    });

    await t.test(
      faultRow({
        target: "Nacos",
        fault: "a real client breaks and takes 60 services with it within half a second",
        expect: "nothing is written if it comes back, and else the brake holds all of it",
        peer: "nacos #10209",
      }),
      async () => {
        const keep = async (client: NacosClient) => {
          for (const serviceName of STORM) await client.register(instance(9, { serviceName }));
          return client;
        };
        const first = await keep(await connect());
        await untilAll(mesh, STORM);
        const before = await generations(mesh, STORM);
        const endpoints = async () => (await mesh.metric('x2istio_registry_endpoints_count{registry="prod"}')) ?? 0;
        const whole = await endpoints();
        const breaks = async (client: NacosClient) => {
          client.close();
          await until("all are missed", async () => (await endpoints()) <= whole - STORM.length);
        };
        await breaks(first);
        const back = await keep(await connect());
        await back.register(instance(10, { serviceName: "storm-0" }));
        await becomes(hostOf("storm-0"), { endpoints: [place(9), place(10)] });
        await until("all are back", async () => (await endpoints()) === whole + 1);
        assert.deepEqual((await generations(mesh, STORM)).slice(1), before.slice(1));
        assert.equal(replica.logged("a brake is on").length, 0);
        await breaks(back);
        await until("the brake is on", async () => replica.logged("a brake is on").length > 0);
        assert.deepEqual((await generations(mesh, STORM)).slice(1), before.slice(1));
        await keep(await connect());
        await until("the brake is off", async () => (await mesh.metric(BRAKE)) === 0);
        await untilAll(mesh, STORM);
      },
    );

    await t.test(
      faultRow({
        target: "Nacos",
        fault: "a real server is killed, and started again with the persistent instances only, or with nothing",
        expect: "nothing of what it lacks is removed, and what registers is taken at once",
        peer: "slime",
      }),
      async () => {
        const all = [...STORM.slice(1), "orders", "lasting"];
        const before = await generations(mesh, all);
        await nacos.kill();
        const failed = 'x2istio_registry_reads_total{registry="prod",result="failed"}';
        await until("it cannot be read", async () => ((await mesh.metric(failed)) ?? 0) > 0);
        await nacos.start({ forget: version === "nacos-2" });
        const back = await connect();
        await back.register(instance(11, { serviceName: "new-one" }));
        await becomes(hostOf("new-one"), { endpoints: [place(11)] });
        await back.register(instance(1));
        assert.deepEqual(await generations(mesh, all), before);
      },
    );
  });

const BRAKE = 'x2istio_brake_state_count{registry="prod",kind="services"}';
