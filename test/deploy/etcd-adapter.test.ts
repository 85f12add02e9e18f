import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { loadModule } from "../../adapters/module/load.ts";
import { adapterContract, adapterOf } from "../../src/testing/testing.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { startChild } from "../servers/child.ts";
import { freePort } from "../servers/free-port.ts";
import { startTcpProxy } from "../servers/tcp-proxy.ts";
import { until } from "../until.ts";

const example = join(import.meta.dirname, "../../deploy/examples/etcd-adapter");
const paths = await ensureServers(["etcd"]);
const skip = paths === undefined && noServers;
const module = await loadModule("etcd.js", example);

/** An etcd of its own, spoken to as its own clients do. */
async function startEtcd() {
  const dir = await mkdtemp(join(tmpdir(), "x2istio-etcd-"));
  const port = await freePort();
  const address = `http://127.0.0.1:${port}`;
  const peer = `unix://${join(dir, "peer.sock")}`;
  const args = [
    ...["--unsafe-no-fsync", "--data-dir", join(dir, "data")],
    ...["--listen-client-urls", address, "--advertise-client-urls", address],
    ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", `default=${peer}`],
  ];
  const child = await startChild(paths?.etcd ?? "", args, join(dir, "etcd.out"));
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  const ask = async (path: string, body: object) => {
    const answer = await fetch(`${address}${path}`, { method: "POST", body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${child.logTail()}`);
  };
  await until(() =>
    ask("/v3/kv/range", { key: base64("a") }).then(
      () => true,
      () => !child.isRunning(),
    ),
  );
  return {
    address,
    port,
    put: (key: string, value: string) => ask("/v3/kv/put", { key: base64(key), value: base64(value) }),
    remove: (key: string) => ask("/v3/kv/deleterange", { key: base64(key) }),
    async stop() {
      await child.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

const adapterAt = (address: string, options: object = {}) =>
  adapterOf(module, { registry: "etcd", dir: example, options: { address, ...options } });

if (paths !== undefined)
  adapterContract("the example for etcd", {
    async start() {
      const etcd = await startEtcd();
      const proxy = await startTcpProxy(etcd.port);
      const addresses = new Map<string, string[]>();
      const keyOf = (service: string, address: string) => `/apps/${service}/${address}`;
      const add = async (service: string, address: string) => {
        addresses.set(service, [...(addresses.get(service) ?? []), address]);
        await etcd.put(keyOf(service, address), JSON.stringify({ Op: 0, Addr: `${address}:9090` }));
      };
      const take = async (service: string, address: string) => {
        addresses.set(service, addresses.get(service)?.filter((one) => one !== address) ?? []);
        await etcd.remove(keyOf(service, address));
      };
      return {
        adapter: await adapterAt(`http://127.0.0.1:${proxy.port}`, { prefix: "/apps/" }),
        async addService(name, all) {
          for (const address of all) await add(name, address);
        },
        async removeService(name) {
          for (const address of addresses.get(name) ?? []) await take(name, address);
        },
        addEndpoint: add,
        removeEndpoint: take,
        async breakList() {
          proxy.set("503");
          return async () => proxy.set(undefined);
        },
        async close() {
          await proxy.stop();
          await etcd.stop();
        },
      };
    },
  });

test("the example reads the forms of go-zero and of gRPC's naming", { skip }, async (t) => {
  const etcd = await startEtcd();
  t.after(etcd.stop);
  await etcd.put("user.rpc/7587870460981677828", "192.0.2.11:8080");
  await etcd.put("user.rpc/7587870460981677829", "[2001:db8::11]:8081");
  await etcd.put("orders/192.0.2.12:9090", '{"Op":0,"Addr":"192.0.2.12:9090","Metadata":null}');
  await etcd.put("orders/bad", "{");
  await etcd.put("config", "no instance");
  const adapter = await adapterAt(etcd.address);
  const { services } = await adapter.read(AbortSignal.timeout(60_000), { trigger: "poll" });
  const shown = services.map((one) => {
    assert.ok(one.state === "ok");
    const { name, ports, endpoints, leftOut } = one.service;
    return [
      name,
      ports.map(({ number }) => number),
      endpoints.map(({ address, ports: own }) => [address, own?.["grpc"]]),
      leftOut.length,
    ];
  });
  assert.deepEqual(shown.sort(), [
    ["orders", [9090], [["192.0.2.12", undefined]], 1],
    [
      "user.rpc",
      [8080],
      [
        ["192.0.2.11", undefined],
        ["2001:db8::11", 8081],
      ],
      0,
    ],
  ]);
});
