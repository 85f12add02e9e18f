import { type AdapterWorld, adapterContract } from "../../../src/testing/testing.ts";
import { newRegistry, startStub } from "./registry.ts";

async function start(): Promise<AdapterWorld> {
  const stub = await startStub();
  const remove = (isGone: (app: string, address: string) => boolean) => {
    stub.instances = stub.instances.filter(({ app, address }) => !isGone(app, address));
  };
  const refuse = (path: string) => {
    stub.special[path] = (_request, response) => response.writeHead(500).end();
    return async () => {
      delete stub.special[path];
    };
  };
  return {
    adapter: newRegistry(stub.address),
    async addService(app, addresses) {
      for (const address of addresses) stub.instances.push({ app, address });
    },
    removeService: async (name) => remove((app) => app === name),
    addEndpoint: async (app, address) => void stub.instances.push({ app, address }),
    removeEndpoint: async (service, gone) => remove((app, address) => app === service && address === gone),
    breakList: async () => refuse("/eureka/apps"),
    async setHealthy(service, at, healthy) {
      stub.instances = stub.instances.map((one) =>
        one.app === service && one.address === at ? { ...one, fields: { status: healthy ? "UP" : "DOWN" } } : one,
      );
    },
    async shuffle() {
      stub.instances.reverse();
    },
    close: () => stub.close(),
  };
}

adapterContract("eureka", { start });
