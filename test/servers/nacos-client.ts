import { connect } from "../../adapters/nacos/client/connection.ts";
import type { NacosInstance } from "./nacos.ts";

/** What keeps ephemeral instances: they go with it. */
export interface NacosClient {
  /** Instances of one service; also changes one. */
  register(...instances: readonly [NacosInstance, ...NacosInstance[]]): Promise<void>;
  deregister(instance: NacosInstance): Promise<void>;
  /** As a crash does it: nothing is deregistered. */
  close(): void;
}

/** Connect to a server by gRPC, as the clients of Java do. @param address `http://host:port` */
export async function nacosClient(
  address: string,
  {
    namespace = "public",
    headers = {},
  }: { readonly namespace?: string; readonly headers?: Record<string, string> } = {},
): Promise<NacosClient> {
  const signal = new AbortController().signal;
  const { hostname, port } = new URL(address);
  const connection = await connect(
    {
      ...{ target: `${hostname}:${Number(port) + 1000}`, namespace, timeoutMs: 30_000 },
      headers: async () => headers,
      onPush: () => undefined,
      onEnd: () => undefined,
    },
    signal,
  );
  const kept = new Map<string, NacosInstance[]>();
  /** A client has one list of instances for each service: what it registers takes the place of what it had. */
  async function keep(service: NacosInstance, instances: readonly NacosInstance[]): Promise<void> {
    const { serviceName, groupName = "DEFAULT_GROUP" } = service;
    kept.set(`${groupName}@@${serviceName}`, [...instances]);
    const common = { namespace, serviceName, groupName, module: "naming" };
    const fields = instances.map((one) => ({ port: 8080, clusterName: "DEFAULT", ephemeral: true, ...one }));
    const [type, body] =
      instances.length > 0
        ? ["BatchInstanceRequest", { type: "batchRegisterInstance", instances: fields }]
        : ["InstanceRequest", { type: "deregisterInstance", instance: { port: 8080, ephemeral: true, ...service } }];
    await connection.request(
      type as string,
      { ...common, ...(body as object) },
      { group: groupName, service: serviceName },
      signal,
    );
  }
  const others = ({ serviceName, groupName = "DEFAULT_GROUP", ip, port = 8080 }: NacosInstance) =>
    (kept.get(`${groupName}@@${serviceName}`) ?? []).filter((one) => one.ip !== ip || (one.port ?? 8080) !== port);
  return {
    register: (...instances) => keep(instances[0], [...others(instances[0]), ...instances]),
    deregister: (instance) => keep(instance, others(instance)),
    close: () => connection.close(),
  };
}
