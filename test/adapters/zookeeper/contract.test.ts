import { type AdapterWorld, adapterContract } from "../../../src/testing/testing.ts";
import { type Fake, startFake } from "./fake.ts";
import { configuratorNode, dubboData, providerNode } from "./registration.ts";
import { newRegistry } from "./registry.ts";

const provider = (service: string, address: string) =>
  `/dubbo/${service}/providers/${providerNode({ interface: service, address })}`;
const rule = (service: string, address: string) =>
  `/dubbo/${service}/configurators/${configuratorNode(`${address}:20880`, { disabled: true }, service)}`;

/** How services stand in a tree. */
interface Form {
  readonly options: object;
  readonly root: string;
  /** Below which a service's own instances are. */
  readonly placeOf: (service: string) => string;
  add(fake: Fake, service: string, address: string): void;
  remove(fake: Fake, service: string, address: string): void;
  setHealthy(fake: Fake, service: string, address: string, healthy: boolean): void;
}

const DUBBO: Form = {
  options: {},
  root: "/dubbo",
  placeOf: (service) => `/dubbo/${service}/providers`,
  add: (fake, service, address) => fake.put(provider(service, address)),
  remove: (fake, service, address) => fake.remove(provider(service, address)),
  setHealthy: (fake, service, address, healthy) =>
    healthy ? fake.remove(rule(service, address)) : fake.put(rule(service, address)),
};
const CURATOR: Form = {
  options: { layout: "curator" },
  root: "/services",
  placeOf: (service) => `/services/${service}`,
  add: (fake, app, address) => fake.put(`/services/${app}/${address}`, dubboData({ app, address })),
  remove: (fake, app, address) => fake.remove(`/services/${app}/${address}`),
  setHealthy: (fake, app, address, healthy) =>
    fake.put(`/services/${app}/${address}`, dubboData({ app, address, fields: { enabled: healthy } })),
};

async function start(form: Form, isOld: boolean): Promise<AdapterWorld> {
  const fake = await startFake();
  fake.isOld = isOld;
  fake.put(form.root);
  const deny = (path: string) => {
    fake.denied.add(path);
    return async () => void fake.denied.delete(path);
  };
  return {
    adapter: newRegistry(fake.address, form.options),
    async addService(name, addresses) {
      for (const address of addresses) form.add(fake, name, address);
    },
    removeService: async (name) => fake.remove(`${form.root}/${name}`),
    addEndpoint: async (name, address) => form.add(fake, name, address),
    removeEndpoint: async (name, address) => form.remove(fake, name, address),
    breakList: async () => deny(form.root),
    breakService: async (name) => deny(form.placeOf(name)),
    setHealthy: async (name, address, healthy) => form.setHealthy(fake, name, address, healthy),
    close: () => fake.close(),
  };
}

adapterContract("zookeeper, Dubbo by interface", { start: () => start(DUBBO, false) });
adapterContract("zookeeper, Dubbo before 3.6", { start: () => start(DUBBO, true) });
adapterContract("zookeeper, Curator", { start: () => start(CURATOR, false) });
