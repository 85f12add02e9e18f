import assert from "node:assert/strict";
import { test } from "node:test";
import {
  API,
  configuratorNode,
  dubboData,
  type Provider,
  providerNode,
  providerPath,
  springData,
} from "../adapters/zookeeper/registration.ts";
import { faultRow } from "../faults/row.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { kubeServers } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { startZooKeeper, zooKeeperServers } from "../servers/zookeeper.ts";
import { CREATOR } from "../servers/zookeeper-writer.ts";
import { startMesh } from "./consul-mesh.ts";

const skip = (await ensureServers([...kubeServers, ...zooKeeperServers])) === undefined && noServers;
const HOURLY = "0 0 * * * *"; // so that only the server's events tell of a change in time
const HOST = "com.acme.orderapi.default.dubbo.mesh.internal";
const place = (at: number, more: object = {}) => ({ address: `192.0.2.${at}`, weight: 100, ports: undefined, ...more });
const fixed = (provider: Provider) => ({ ...provider, params: { dynamic: false, ...provider.params } });

test("what changes in ZooKeeper changes the mesh, and what it loses does not", { skip }, async (t) => {
  const server = await startZooKeeper();
  t.after(() => server.stop());
  let writer = await server.writer();
  const register = (provider: Provider) => writer.create(providerPath(fixed(provider)));
  const deregister = (provider: Provider) => writer.remove(providerPath(fixed(provider)));
  await register({ address: "192.0.2.1" });
  await writer.create("/services/billing/a", { data: springData({ app: "billing" }) });
  const registry = { kind: "zookeeper", address: server.address, poll: HOURLY, timeout: "1s" };
  const locked = (password: string) => ({
    ...{ ...registry, name: "locked", root: "/locked", digestAuth: { username: "mesh", password } },
  });
  const registries = (password: string) => [
    { ...registry, name: "dubbo", legacyNames: ["{service}.dubbo.example.org"], dots: true },
    { ...registry, name: "apps", layout: "curator" },
    locked(password),
  ];
  const mesh = await startMesh(t, registries("wrong"));
  const { becomes, change, metric, entry, setConfig } = mesh;
  const reads = (name: string, result: string) =>
    metric(`x2istio_registry_reads_total{registry="${name}",result="${result}"}`);

  await t.test("registering, also on another port and by another weight", async () => {
    const stored = await becomes(HOST, {
      endpoints: [place(1)],
      ports: [{ number: 20880, name: "tcp-metaprotocol-dubbo-dubbo", protocol: "TCP" }],
    });
    assert.deepEqual(stored.spec.hosts, [HOST]);
    assert.match(stored.metadata.annotations?.["x2istio.dev/names"] ?? "", /com\.acme\.orderapi\.dubbo\.example\.org/);
    const other = { address: "192.0.2.2", port: 20881, params: { weight: 50 } };
    const ports = { "tcp-metaprotocol-dubbo-dubbo": 20881 };
    await change(HOST, () => register(other), { endpoints: [place(1), place(2, { weight: 50, ports })] });
    await change(HOST, () => deregister(other), { endpoints: [place(1)] });
  });

  await t.test("an operator's rules: weight, disabled, and back", async () => {
    await change(HOST, () => register({ address: "192.0.2.3" }), { endpoints: [place(1), place(3)] });
    const heavy = `/dubbo/${API}/configurators/${configuratorNode("192.0.2.3:20880", { weight: 200 })}`;
    await change(HOST, () => writer.create(heavy), { endpoints: [place(1), place(3, { weight: 200 })] });
    const off = `/dubbo/${API}/configurators/${configuratorNode("192.0.2.1:20880", { disabled: true })}`;
    await change(HOST, () => writer.create(off), { endpoints: [place(3, { weight: 200 })] });
    await change(HOST, () => writer.remove(off), { endpoints: [place(1), place(3, { weight: 200 })] });
    await change(HOST, () => writer.remove(heavy), { endpoints: [place(1), place(3)] });
    await change(HOST, () => deregister({ address: "192.0.2.3" }), { endpoints: [place(1)] });
  });

  await t.test("of Spring Cloud: out of service and back by data, and of Dubbo 3 beside it", async () => {
    const host = "billing.default.apps.mesh.internal";
    const at = (address: string, port?: number) => ({
      address,
      ports: port === undefined ? undefined : { http: port },
    });
    await becomes(host, { endpoints: [at("192.0.2.1")], ports: [{ number: 8080, name: "http", protocol: "HTTP" }] });
    const second = springData({ app: "billing", address: "192.0.2.2", port: 8081 });
    await change(host, () => writer.create("/services/billing/b", { data: second }), {
      endpoints: [at("192.0.2.1"), at("192.0.2.2", 8081)],
    });
    const out = springData({ app: "billing", metadata: { instance_status: "OUT_OF_SERVICE" } });
    await change(host, () => writer.set("/services/billing/a", out), { endpoints: [at("192.0.2.2", 8081)] });
    await change(host, () => writer.set("/services/billing/a", springData({ app: "billing" })), {
      endpoints: [at("192.0.2.1"), at("192.0.2.2", 8081)],
    });
    await writer.create("/services/ledger/192.0.2.5:20880", {
      data: dubboData({ app: "ledger", address: "192.0.2.5" }),
    });
    const ledger = { number: 20880, name: "tcp-metaprotocol-dubbo-dubbo", protocol: "TCP" };
    await becomes("ledger.default.apps.mesh.internal", { endpoints: [at("192.0.2.5")], ports: [ledger] });
  });

  await t.test("the last provider goes: the entry stays, without endpoints, and comes back", async () => {
    const last = { interface: "com.acme.LastApi", address: "192.0.2.8" };
    const host = "com.acme.lastapi.default.dubbo.mesh.internal";
    await register(last);
    await becomes(host, { endpoints: [place(8)] });
    await change(host, () => deregister(last), { endpoints: [] });
    await change(host, () => register(last), { endpoints: [place(8)] });
  });

  await t.test(
    faultRow({
      target: "ZooKeeper",
      fault: "a wrong password, and then the right one",
      expect: "every read fails as denied, and nothing is written; then everything is",
    }),
    async () => {
      const owner = await server.writer();
      t.after(() => owner.close());
      await owner.auth("mesh:opensesame");
      for (const path of ["", `/${API}`, `/${API}/providers`]) await owner.create(`/locked${path}`, { acl: CREATOR });
      const node = providerNode(fixed({ address: "192.0.2.9" }));
      await owner.create(`/locked/${API}/providers/${node}`, { acl: CREATOR });
      const host = "com.acme.orderapi.default.locked.mesh.internal";
      await until(
        "it is denied",
        async () => Number(await metric('x2istio_registry_failures_total{registry="locked",kind="denied"}')) > 0,
      );
      assert.equal(await entry(host), undefined);
      await setConfig({ registries: registries("opensesame"), aliases: [] });
      await becomes(host, { endpoints: [place(9)] });
    },
  );

  await t.test(
    faultRow({
      target: "ZooKeeper",
      fault: "the right to read one service is taken away",
      expect: "its entry stays as it is, and all others change",
    }),
    async () => {
      const secret = { interface: "com.acme.SecretApi", address: "192.0.2.10" };
      const host = "com.acme.secretapi.default.dubbo.mesh.internal";
      await register(secret);
      const { metadata } = await becomes(host, { endpoints: [place(10)] });
      await writer.setAcl("/dubbo/com.acme.SecretApi/providers", [[30, "world", "anyone"]]); // everything but to read
      await deregister(secret); // the event leads to a read that is refused
      await until(
        "it is a failed service",
        async () => Number(await metric('x2istio_registry_failures_total{registry="dubbo",kind="denied"}')) > 0,
      );
      await change(HOST, () => register({ address: "192.0.2.11" }), { endpoints: [place(1), place(11)] });
      await change(HOST, () => deregister({ address: "192.0.2.11" }), { endpoints: [place(1)] });
      assert.equal((await entry(host))?.metadata.resourceVersion, metadata.resourceVersion);
      await change(
        host,
        () =>
          writer
            .setAcl("/dubbo/com.acme.SecretApi/providers", [[31, "world", "anyone"]])
            .then(() => register({ ...secret, address: "192.0.2.12" })),
        { endpoints: [place(12)] },
      );
    },
  );

  await t.test(
    faultRow({
      target: "ZooKeeper",
      fault: "the session of a provider is over",
      expect: "its endpoint goes when ZooKeeper says so",
    }),
    async () => {
      const provider = await server.writer(1000);
      await change(HOST, () => provider.create(providerPath({ address: "192.0.2.13" }), { ephemeral: true }), {
        endpoints: [place(1), place(13)],
      });
      await change(HOST, async () => provider.vanish(), { endpoints: [place(1)] });
    },
  );

  await t.test(
    faultRow({
      target: "ZooKeeper",
      fault: "x2istio itself stands still until its sessions are over",
      expect: "it begins new ones, and what changed meanwhile is taken",
    }),
    async () => {
      const sessions = async () => [...(await server.say("dump")).matchAll(/^\t0x[0-9a-f]+$/gm)].length;
      const before = await sessions();
      mesh.replica.signal("SIGSTOP");
      await until("the server has ended them", async () => (await sessions()) <= before - 3);
      await change(
        HOST,
        async () => {
          await register({ address: "192.0.2.16" });
          mesh.replica.signal("SIGCONT");
        },
        { endpoints: [place(1), place(16)] },
      );
      assert.ok(Number(await metric('x2istio_zookeeper_connections_total{registry="dubbo",result="expired"}')) > 0);
      await change(HOST, () => deregister({ address: "192.0.2.16" }), { endpoints: [place(1)] });
    },
  );

  await t.test(
    faultRow({
      target: "ZooKeeper",
      fault: "the server is killed, and started again with its data",
      expect: "nothing is written meanwhile, and the first change after it is taken",
    }),
    async () => {
      const before = await mesh.all();
      const failed = Number(await reads("dubbo", "failed"));
      await server.kill();
      await until("reads fail", async () => Number(await reads("dubbo", "failed")) > failed);
      await server.start();
      writer = await server.writer();
      await change(HOST, () => register({ address: "192.0.2.14" }), { endpoints: [place(1), place(14)] });
      await change(HOST, () => deregister({ address: "192.0.2.14" }), { endpoints: [place(1)] });
      for (const [name, { spec }] of await mesh.all()) assert.deepEqual(spec, before.get(name)?.spec, name);
    },
  );

  const storm = Array.from({ length: 50 }, (_, at) => `com.acme.Storm${at}`);
  const stormHost = (name: string) => `${name.toLowerCase()}.default.dubbo.mesh.internal`;
  const ten = Array.from({ length: 10 }, (_, at) => `198.51.100.${at + 1}`);
  async function registerStorm(): Promise<() => void> {
    const crowd = await server.writer(2000);
    await Promise.all(
      storm.flatMap((name) =>
        ten.map((address) => crowd.create(providerPath({ interface: name, address }), { ephemeral: true })),
      ),
    );
    await until("all have ten endpoints", async () => {
      const all = await mesh.all();
      return storm.every((name) => all.get(stormHost(name))?.spec.endpoints?.length === 10);
    });
    return () => crowd.vanish();
  }
  const BRAKES = (["services", "endpoints"] as const).map(
    (kind) => `x2istio_brake_state_count{registry="dubbo",kind="${kind}"}`,
  );

  await t.test(
    faultRow({
      target: "ZooKeeper",
      fault: "a session with 500 ephemeral nodes ends: providers behind a cut vanish at once while they live",
      expect: "the brakes hold what goes suddenly, and what comes back is taken",
    }),
    async () => {
      const vanish = await registerStorm();
      vanish();
      await until("the server has none of them", async () => {
        const counts = await Promise.all(storm.map((name) => writer.children(`/dubbo/${name}/providers`)));
        return counts.every(({ length }) => length === 0);
      });
      await until(
        "x2istio has read so",
        async () => Number(await metric('x2istio_registry_endpoints_count{registry="dubbo"}')) < 10,
      );
      await until("a brake is on", async () => (await Promise.all(BRAKES.map(metric))).some((on) => on === 1));
      const all = await mesh.all();
      const held = storm.filter((name) => (all.get(stormHost(name))?.spec.endpoints?.length ?? 0) > 0);
      assert.ok(held.length >= 40, `${held.length} of 50 services have endpoints`);
      assert.deepEqual(all.get(HOST)?.spec.endpoints?.length, 1);
      await registerStorm();
      await until("no brake is on", async () => (await Promise.all(BRAKES.map(metric))).every((on) => on === 0));
    },
  );

  await t.test(
    faultRow({
      target: "ZooKeeper",
      fault: "the server is started again without its data, and a few providers register",
      expect: "a missing root removes nothing, and a half tree nothing either",
    }),
    async () => {
      const before = await mesh.all();
      await server.kill();
      await server.start("lost");
      writer = await server.writer();
      const ANSWER = 'x2istio_registry_failures_total{registry="dubbo",kind="answer"}';
      const answered = Number(await metric(ANSWER));
      await until("its root is missing", async () => Number(await metric(ANSWER)) > answered);
      await change(HOST, () => register({ address: "192.0.2.15" }), { endpoints: [place(15)] });
      const all = await mesh.all();
      for (const name of storm)
        assert.deepEqual(all.get(stormHost(name))?.spec.endpoints, before.get(stormHost(name))?.spec.endpoints, name);
    },
  );
});
