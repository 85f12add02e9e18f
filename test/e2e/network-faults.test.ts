import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { stringify } from "yaml";
import { faultRow } from "../faults/row.ts";
import { startPolaris } from "../polaris/polaris.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { consulServers, startConsul } from "../servers/consul.ts";
import { type Kube, kubeServers, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { type NetworkFault, startTcpProxy, type TcpProxy } from "../servers/tcp-proxy.ts";
import { type Replica, ready, startReplica } from "./cli.ts";
import { configMapsPath, entries, entriesPath, MESH, SHOP, untilEndpoints, vipsOf, wipe } from "./cluster.ts";
import { dnsQuery, pollDns } from "./dns.ts";
import { type Fixture, fixture, tempDir } from "./fixture.ts";

const skip = (await ensureServers([...kubeServers, ...consulServers])) === undefined && noServers;

const FAULTS: readonly NetworkFault[] = ["delay", "drop", "reset", "truncate", "throttle", "corrupt", "503"];
/** With these everything arrives in the end. */
const LATE: readonly NetworkFault[] = ["delay", "throttle"];
/** Several polls, and the time limit of a request. */
const FAULT_MS = 3500;
const COUNT = 6;

const hostOf = (service: string, namespace: string, registry: string) =>
  `${service}.${namespace}.${registry}.mesh.internal`;
const WITNESS = hostOf("witness", "default", "vms");
const witness = (address: string) => ({
  name: "witness",
  ports: [{ name: "tcp", number: 5432, protocol: "tcp" }],
  endpoints: [{ address }],
});

/** A registry behind a proxy, with services s0, s1, … of one endpoint each. */
interface Behind {
  readonly registry: string;
  readonly hosts: readonly string[];
  readonly proxy: TcpProxy;
  /** Give s0 one more endpoint. */
  addEndpoint(address: string): Promise<void>;
}

suite("on the way to a server everything goes wrong", { skip, concurrency: false }, () => {
  let kube: Kube;
  before(async () => {
    kube = await startKube({ namespaces: [MESH, SHOP] });
  });
  after(() => kube?.stop());
  /** Not afterEach(): that would be called after each fault, too. */
  const wipeAfter = (t: TestContext) => t.after(() => wipe(kube, entriesPath(), configMapsPath));

  /** Start a replica that reads the registry behind the proxy, and a file that must not be delayed by it. */
  async function startBeside(t: TestContext, options: object, { registry, hosts }: Behind) {
    wipeAfter(t);
    const place = await fixture(t, [witness("198.51.100.1")], {
      owner: registry,
      registries: [{ kind: "static", name: "vms", file: "services.yaml" }, options],
      aliases: [],
      // The brake is not what keeps the services.
      policy: { maxDeletePercent: 100, keepEmpty: "1s" },
    });
    const replica = startReplica(t, { ...place, env: { KUBECONFIG: kube.kubeconfigPath } });
    await ready(replica);
    await until("all is written", async () => {
      const standing = await entries(kube);
      return [...hosts, WITNESS].every((host) => standing.has(host));
    });
    await allAnswered(replica, [...hosts, WITNESS]);
    return { place, replica };
  }

  async function allAnswered(replica: Replica, names: readonly string[]): Promise<void> {
    await until("all is answered", async () => {
      const answers = await Promise.all(names.map((name) => dnsQuery(replica.dns, name)));
      return answers.every(({ addresses }) => addresses.length === 1);
    });
  }

  const versions = async (hosts: readonly string[]) => {
    const standing = await entries(kube);
    return hosts.map((host) => `${host} ${standing.get(host)?.metadata.resourceVersion}`);
  };

  /** Let each fault be for a while, and look at what must not change, and at what must. */
  async function throughAll(t: TestContext, behind: Behind, place: Fixture, replica: Replica): Promise<void> {
    const standing = ["192.0.2.1"];
    for (const [at, fault] of FAULTS.entries()) {
      await t.test(fault, async (one) => {
        const before = await versions(behind.hosts);
        const names = new Map([...vipsOf(await entries(kube))].filter(([host]) => behind.hosts.includes(host)));
        const poll = pollDns(replica.dns, names);
        one.after(() => poll.stop());
        const failed = await failedReads(replica, behind.registry);
        behind.proxy.set(fault);
        const address = `198.51.100.${at + 2}`;
        await place.setServices([witness(address)]);
        const tookMs = await untilEndpoints(kube, WITNESS, [address]);
        await sleep(Math.max(0, FAULT_MS - tookMs));
        assert.deepEqual(await versions(behind.hosts), before, "nothing of it was written");
        assert.ok(tookMs < FAULT_MS, `another registry's change was written after ${tookMs} ms`);
        if (!LATE.includes(fault)) assert.ok((await failedReads(replica, behind.registry)) > failed, "it was felt");
        behind.proxy.set(undefined);
        const added = `192.0.2.${at + 101}`;
        standing.push(added);
        await behind.addEndpoint(added);
        const backMs = await untilEndpoints(kube, behind.hosts[0] ?? "", standing, 60_000);
        await poll.stop();
        assert.deepEqual(poll.bad.slice(0, 5), []);
        one.diagnostic(`another registry: ${tookMs} ms; back after ${backMs} ms; ${poll.good} good answers`);
      });
    }
    assert.equal(await replica.stop(), 0);
  }

  test(
    faultRow({
      target: "Consul",
      fault: "the network delays, drops, resets, cuts, throttles or damages its answers, or a gateway answers 503",
      expect: "nothing of it is written, another registry's changes are not delayed, and its next change is seen",
      peer: "slime #389",
    }),
    async (t) => {
      const consul = await startConsul();
      t.after(() => consul.stop());
      const proxy = await startTcpProxy(consul.ports.http);
      t.after(() => proxy.stop());
      const instance = (service: string, address: string) => ({
        service,
        id: `${service}-${address}`,
        address,
        port: 80,
      });
      const names = Array.from({ length: COUNT }, (_, at) => `s${at}`);
      await consul.register(...names.map((name) => instance(name, "192.0.2.1")));
      const behind: Behind = {
        registry: "dc1",
        hosts: names.map((name) => hostOf(name, "default", "dc1")),
        proxy,
        addEndpoint: async (address) => void (await consul.register(instance("s0", address))),
      };
      const address = `http://127.0.0.1:${proxy.port}`;
      const options = { kind: "consul", name: "dc1", poll: "* * * * * *", address, timeout: "1s" };
      const { place, replica } = await startBeside(t, options, behind);
      await throughAll(t, behind, place, replica);
    },
  );

  test(
    faultRow({
      target: "Polaris",
      fault: "the network delays, drops, resets, cuts, throttles or damages its answers, or a gateway answers 503",
      expect: "nothing of it is written, another registry's changes are not delayed, and its next change is seen",
      peer: "slime #389",
    }),
    async (t) => {
      const polaris = await startPolaris();
      t.after(() => polaris.stop());
      const proxy = await startTcpProxy(Number(new URL(polaris.address).port));
      t.after(() => proxy.stop());
      const names = Array.from({ length: COUNT }, (_, at) => `s${at}`);
      const register = (service: string, host: string) =>
        polaris.register({ namespace: "prod", service, host, port: 80, protocol: "http" });
      for (const name of names) register(name, "192.0.2.1");
      const behind: Behind = {
        registry: "live",
        hosts: names.map((name) => hostOf(name, "prod", "live")),
        proxy,
        addEndpoint: async (address) => void register("s0", address),
      };
      const address = `http://127.0.0.1:${proxy.port}`;
      const options = {
        kind: "polaris",
        name: "live",
        poll: "* * * * * *",
        address,
        timeout: "1s",
        namespaces: ["prod"],
      };
      const { place, replica } = await startBeside(t, options, behind);
      await throughAll(t, behind, place, replica);
    },
  );

  test(
    faultRow({
      target: "API server",
      fault: "the network delays, drops, resets, cuts, throttles or damages its answers",
      expect: "DNS answers go on, and what changed meanwhile is written once the network is sound",
    }),
    async (t) => {
      wipeAfter(t);
      const proxy = await startTcpProxy(kube.port);
      t.after(() => proxy.stop());
      const place = await fixture(t, [witness("198.51.100.1")], { owner: "far", aliases: [] });
      const kubeconfig = await kubeconfigTo(t, kube, proxy.port);
      const replica = startReplica(t, { ...place, env: { KUBECONFIG: kubeconfig } });
      await ready(replica);
      await untilEndpoints(kube, WITNESS, ["198.51.100.1"]);
      await allAnswered(replica, [WITNESS]);
      for (const [at, fault] of FAULTS.filter((one) => one !== "503").entries()) {
        await t.test(fault, async (one) => {
          const names = new Map([...vipsOf(await entries(kube))].filter(([host]) => host === WITNESS));
          const poll = pollDns(replica.dns, names);
          one.after(() => poll.stop());
          proxy.set(fault);
          const address = `198.51.100.${at + 2}`;
          await place.setServices([witness(address)]);
          await sleep(FAULT_MS);
          proxy.set(undefined);
          const backMs = await untilEndpoints(kube, WITNESS, [address], 60_000);
          await poll.stop();
          assert.deepEqual(poll.bad.slice(0, 5), []);
          assert.equal(replica.isRunning(), true);
          one.diagnostic(`written ${backMs} ms after the fault; ${poll.good} good answers`);
        });
      }
      assert.equal(await replica.stop(), 0);
    },
  );
});

async function failedReads({ http }: Replica, registry: string): Promise<number> {
  const text = await (await fetch(`${http}/metrics`)).text();
  const sample = `x2istio_registry_reads_total{registry="${registry}",result="failed"} `;
  const line = text.split("\n").find((one) => one.startsWith(sample));
  return Number(line?.slice(sample.length) ?? 0);
}

async function kubeconfigTo(t: TestContext, { adminToken: token }: Kube, port: number): Promise<string> {
  const path = join(await tempDir(t), "kubeconfig");
  const server = `https://127.0.0.1:${port}`;
  const text = stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "proxy",
    clusters: [{ name: "proxy", cluster: { server, "insecure-skip-tls-verify": true } }],
    users: [{ name: "proxy", user: { token } }],
    contexts: [{ name: "proxy", context: { cluster: "proxy", user: "proxy" } }],
  });
  await writeFile(path, text);
  return path;
}
