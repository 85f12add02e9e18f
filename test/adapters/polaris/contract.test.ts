import { polarisOptions } from "../../../adapters/polaris/options.ts";
import { polaris } from "../../../adapters/polaris/polaris.ts";
import { createLog } from "../../../src/log.ts";
import { createMetrics } from "../../../src/metrics.ts";
import { createSecrets } from "../../../src/secrets.ts";
import { type AdapterWorld, adapterContract } from "../../../src/testing/testing.ts";
import type { FaultMatch } from "../../polaris/faults.ts";
import { startPolaris } from "../../polaris/polaris.ts";

const namespace = "Production";

async function start(): Promise<AdapterWorld> {
  const server = await startPolaris({ strict: true });
  server.setService(namespace, "empty");
  server.deleteService(namespace, "empty");
  const ids = new Map<string, string>();
  const idOf = (service: string, host: string) => ids.get(`${service} ${host}`) ?? "";
  const add = async (service: string, host: string) => {
    const id = server.register({ namespace, service, host, port: 80, protocol: "http" });
    ids.set(`${service} ${host}`, id);
  };
  const fail = async (match: FaultMatch): Promise<() => Promise<void>> => {
    const undo = server.fault({ kind: "code", code: 500000, match });
    return async () => undo();
  };
  const options = { address: server.address, namespaces: [namespace], interval: "100ms", token: "TOKEN-MAIN" };
  const newAdapter = () =>
    polaris(polarisOptions.parse(options), {
      registry: "prod",
      dir: ".",
      log: createLog({ level: "silent", pretty: false }),
      metrics: createMetrics(),
      secrets: createSecrets(),
    });
  return {
    adapter: newAdapter(),
    another: async () => newAdapter(),
    async denyService(service) {
      const undo = server.deny(namespace, service);
      return async () => undo();
    },
    async addService(name, addresses) {
      for (const address of addresses) await add(name, address);
    },
    removeService: async (name) => server.deleteService(namespace, name),
    addEndpoint: add,
    removeEndpoint: async (service, address) => server.deregister(idOf(service, address)),
    breakList: () => fail({ type: "SERVICES" }),
    breakService: (service) => fail({ service }),
    setHealthy: async (service, address, healthy) => server.update(idOf(service, address), { healthy }),
    shuffle: async () => undefined, // each answer has an order of its own
    close: () => server.stop(),
  };
}

adapterContract("polaris", { start });
