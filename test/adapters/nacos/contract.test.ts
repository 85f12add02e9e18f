import { type AdapterWorld, adapterContract } from "../../../src/testing/testing.ts";
import { newRegistry } from "./registry.ts";
import { type StubHost, startStub } from "./stub.ts";

const DENIED = { resultCode: 500, errorCode: 403, success: false, message: "no right" };

async function start(): Promise<AdapterWorld> {
  const stub = await startStub();
  const { address, grpcPortOffset } = stub;
  const keyOf = (name: string) => `DEFAULT_GROUP@@${name}`;
  const hostsOf = (name: string) => stub.services.get(keyOf(name)) ?? [];
  const change = async (name: string, edit: (hosts: readonly StubHost[]) => readonly StubHost[]) =>
    stub.set(keyOf(name), edit(hostsOf(name)));
  const create = () => newRegistry({ address, grpcPortOffset, groups: ["DEFAULT_GROUP"] });
  const others: ReturnType<typeof create>[] = [];
  const refusal = (isRefused: (name: unknown) => boolean) => {
    const refuse = ({ serviceName }: Readonly<Record<string, unknown>>) =>
      isRefused(serviceName) ? DENIED : undefined;
    stub.special = { ...stub.special, ServiceQueryRequest: refuse, SubscribeServiceRequest: refuse };
  };
  return {
    adapter: create(),
    addService: async (name, addresses) => change(name, () => addresses.map((ip) => ({ ip }))),
    async removeService(name) {
      stub.set(keyOf(name), []);
      stub.services.delete(keyOf(name));
    },
    addEndpoint: async (name, ip) => change(name, (hosts) => [...hosts, { ip }]),
    removeEndpoint: async (name, gone) => change(name, (hosts) => hosts.filter(({ ip }) => ip !== gone)),
    async breakList() {
      stub.special.ServiceListRequest = () => DENIED;
      return async () => void delete stub.special.ServiceListRequest;
    },
    async breakService(broken) {
      refusal((name) => name === broken);
      stub.push(keyOf(broken), { serviceInfo: { name: broken, groupName: "DEFAULT_GROUP", hosts: "none" } });
      return async () => refusal(() => false);
    },
    async denyService(denied) {
      refusal((name) => name === denied);
      const hosts = hostsOf(denied);
      stub.services.delete(keyOf(denied));
      return async () => {
        refusal(() => false);
        stub.services.set(keyOf(denied), hosts);
      };
    },
    async another() {
      const other = create();
      others.push(other);
      return other;
    },
    setHealthy: async (name, at, healthy) =>
      change(name, (hosts) => hosts.map((one) => (one.ip === at ? { ...one, healthy } : one))),
    async shuffle() {
      stub.services = new Map([...stub.services].reverse().map(([key, hosts]) => [key, hosts.toReversed()]));
      for (const key of stub.services.keys()) stub.push(key);
    },
    async close() {
      for (const other of others) await other.close();
      await stub.close();
    },
  };
}

adapterContract("nacos", { start });
