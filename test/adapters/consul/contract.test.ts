import { once } from "node:events";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { consul } from "../../../adapters/consul/consul.ts";
import { consulOptions } from "../../../adapters/consul/options.ts";
import { createLog } from "../../../src/log.ts";
import { createMetrics } from "../../../src/metrics.ts";
import { createSecrets } from "../../../src/secrets.ts";
import { type AdapterWorld, adapterContract } from "../../../src/testing/testing.ts";
import { ensureServers, noServers } from "../../servers/build.ts";
import { consulServers, startConsul } from "../../servers/consul.ts";

if ((await ensureServers(consulServers)) === undefined) {
  test("consul keeps the contract of adapters", { skip: noServers }, () => undefined);
} else {
  const server = await startConsul();
  after(() => server.stop());

  async function start(): Promise<AdapterWorld> {
    const gate = await openGate(server.address);
    const ids = new Map<string, Set<string>>();
    const idsOf = (service: string) => ids.get(service) ?? new Set();
    const add = async (service: string, address: string) => {
      await server.register({ service, id: `${service}-${address}`, address, port: 80 });
      ids.set(service, idsOf(service).add(`${service}-${address}`));
    };
    const remove = async (service: string, id: string) => {
      await server.deregister({ id });
      idsOf(service).delete(id);
    };
    const removeAll = async (service: string) => {
      for (const id of idsOf(service)) await remove(service, id);
    };
    const adapter = consul(consulOptions.parse({ address: gate.address, verifyEvery: "1s" }), {
      registry: "dc1",
      dir: ".",
      log: createLog({ level: "silent", pretty: false }),
      metrics: createMetrics(),
      secrets: createSecrets(),
    });
    return {
      adapter,
      async addService(name, addresses) {
        for (const address of addresses) await add(name, address);
      },
      removeService: removeAll,
      addEndpoint: add,
      removeEndpoint: (service, address) => remove(service, `${service}-${address}`),
      breakList: async () => gate.refuse("/v1/catalog/services"),
      breakService: async (name) => gate.refuse(`/v1/health/service/${name}`),
      setHealthy: (service, address, healthy) =>
        server.setCheck(`${service}-${address}`, healthy ? "passing" : "critical"),
      async close() {
        await gate.close();
        for (const service of ids.keys()) await removeAll(service);
      },
    };
  }

  adapterContract("consul", { start });
}

/** A proxy before Consul that can refuse a path. */
async function openGate(upstream: string) {
  const refused = new Set<string>();
  const server = createServer((question, answer) => {
    const { pathname } = new URL(question.url ?? "/", upstream);
    if (refused.has(pathname)) {
      answer.writeHead(500).end("refused");
      return;
    }
    const inner = request(new URL(question.url ?? "/", upstream), { headers: question.headers });
    inner.on("response", (reply) => reply.pipe(answer.writeHead(reply.statusCode ?? 500, reply.headers)));
    inner.on("error", () => answer.destroy());
    answer.on("close", () => inner.destroy());
    inner.end();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    refuse(path: string) {
      refused.add(path);
      return async () => {
        refused.delete(path);
      };
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
