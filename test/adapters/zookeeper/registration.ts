/** A provider of Dubbo to register; all else is as Dubbo's clients write it. */
export interface Provider {
  readonly interface?: string;
  readonly address?: string;
  readonly port?: number;
  readonly protocol?: string;
  /** Further parameters, or others instead. */
  readonly params?: Readonly<Record<string, string | number | boolean>>;
}

/** The interface of a {@link Provider} that names none. */
export const API = "com.acme.OrderApi";

/** What a client of Dubbo 2.7 calls a provider's node, below `/dubbo/<interface>/providers`. */
export function providerNode(provider: Provider = {}): string {
  const { interface: name = API, address = "192.0.2.1", port = 20880, protocol = "dubbo", params = {} } = provider;
  const all = {
    ...{ anyhost: true, application: "orders", deprecated: false, dubbo: "2.0.2", dynamic: true, generic: false },
    ...{ interface: name, methods: "find,place", pid: 4711, release: "2.7.23", side: "provider" },
    ...{ timestamp: 1_700_000_000_000, ...params },
  };
  const query = Object.entries(all).map(([key, value]) => `${key}=${value}`);
  return encodeURIComponent(`${protocol}://${address}:${port}/${name}?${query.join("&")}`);
}

/** What an operator's tool calls a rule's node, below `/dubbo/<interface>/configurators`. */
export function configuratorNode(
  place: string,
  params: Readonly<Record<string, string | number | boolean>>,
  name = API,
): string {
  const all = { category: "configurators", dynamic: false, enabled: true, ...params };
  const query = Object.entries(all).map(([key, value]) => `${key}=${value}`);
  return encodeURIComponent(`override://${place}/${name}?${query.join("&")}`);
}

/** Where a provider stands. */
export function providerPath(provider: Provider = {}): string {
  return `/dubbo/${provider.interface ?? API}/providers/${providerNode(provider)}`;
}

/** An instance in Curator's form. */
export interface CuratorInstance {
  readonly app: string;
  readonly address?: string;
  readonly port?: number;
  readonly sslPort?: number | null;
  readonly id?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
  /** Further fields, or others instead. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** The data of a node that Spring Cloud ZooKeeper writes below `/services/<app>`. */
export function springData(instance: CuratorInstance): string {
  const { app, address = "192.0.2.1", port = 8080, sslPort = null, id = "1", metadata = {}, fields = {} } = instance;
  return JSON.stringify({
    ...{ name: app, id, address, port, sslPort },
    payload: {
      "@class": "org.springframework.cloud.zookeeper.discovery.ZookeeperInstance",
      ...{ id: app, name: app, metadata: { instance_status: "UP", ...metadata } },
    },
    registrationTimeUTC: 1_700_000_000_000,
    serviceType: "DYNAMIC",
    uriSpec: { parts: [{ value: "scheme", variable: true }] },
    ...fields,
  });
}

/** The data of a node that Dubbo 3 writes below `/services/<app>`. */
export function dubboData(
  instance: CuratorInstance,
  endpoints: readonly object[] = [{ port: 20880, protocol: "dubbo" }],
): string {
  const { app, address = "192.0.2.1", port = 20880, metadata = {}, fields = {} } = instance;
  return JSON.stringify({
    ...{ name: app, id: `${address}:${port}`, address, port, sslPort: null },
    payload: {
      "@class": "org.apache.dubbo.registry.zookeeper.ZookeeperInstance",
      ...{ id: `${address}:${port}`, name: app },
      metadata: {
        "dubbo.endpoints": JSON.stringify(endpoints),
        ...{ "dubbo.metadata.revision": "0f1e", "dubbo.metadata.storage-type": "local", timestamp: "1700000000000" },
        ...metadata,
      },
    },
    registrationTimeUTC: 1_700_000_000_000,
    ...{ serviceType: "DYNAMIC", uriSpec: null },
    ...fields,
  });
}
