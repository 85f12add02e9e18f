import {
  emptyStore,
  findService,
  type Instance,
  type InstanceFields,
  instanceId,
  keyOf,
  type NewInstance,
  type ServiceFields,
  type Store,
  type StoredAlias,
  type StoredService,
  timeText,
} from "./store.ts";

/** A name in a namespace. */
export interface Name {
  readonly namespace: string;
  readonly name: string;
}

/** Changes to what a server knows. */
export interface Registry {
  readonly store: Store;
  /** Make the service and the namespace if need be. @returns The instance's id. */
  register(instance: NewInstance, owners?: string): string;
  update(id: string, fields: InstanceFields): void;
  /** @returns Whether there was such an instance. */
  deregister(id: string): boolean;
  /** As the checker does it for an instance whose heartbeats stay away. */
  lapse(id: string): void;
  /** Note a heartbeat; an instance that had lapsed is healthy again. */
  beat(id: string): void;
  setService(namespace: string, name: string, fields?: ServiceFields): StoredService;
  /** With all its instances and aliases. */
  deleteService(namespace: string, name: string): void;
  createAlias(alias: Name, of: Name, owners?: string): StoredAlias;
  deleteAlias(alias: Name): void;
  find(id: string): Instance | undefined;
}

/** A seeded source of numbers in [0, 1). */
export type Random = () => number;

/** A random number of `digits` hexadecimal digits. */
export function hex(random: Random, digits: number): string {
  return Array.from({ length: digits }, () => Math.floor(random() * 16).toString(16)).join("");
}

const DEFAULTS: Required<InstanceFields> = {
  protocol: null,
  version: null,
  priority: null,
  weight: 100,
  healthy: true,
  isolate: false,
  metadata: {},
  location: null,
  logicSet: null,
  heartbeatTtlSeconds: null,
};

/** A registry as a fresh server has it: two namespaces, and the server's own service in one. */
export function createRegistry(random: Random, now: () => number = Date.now): Registry {
  const store = emptyStore();

  const stamp = () => {
    store.changes += 1;
    return { mtime: timeText(now()), changed: store.changes, revision: hex(random, 32) };
  };

  function addNamespace(name: string, comment = "", owners = "Polaris"): void {
    if (store.namespaces.has(name)) return;
    store.namespaces.set(name, { name, comment, owners, ctime: timeText(now()), changed: store.changes });
  }

  function setService(namespace: string, name: string, fields: ServiceFields = {}): StoredService {
    addNamespace(namespace);
    const key = keyOf(namespace, name);
    const old = store.services.get(key);
    const service: StoredService = {
      ...(old ?? {
        id: hex(random, 32),
        namespace,
        name,
        metadata: {},
        export_to: [],
        ports: "",
        business: "",
        department: "",
        comment: "",
        owners: "Polaris",
        ctime: timeText(now()),
        instances: new Map(),
        lastHealthy: new Map(),
        seenPorts: new Set(),
      }),
      ...fields,
      ...stamp(),
    };
    store.services.set(key, service);
    store.listed.add(namespace);
    return service;
  }

  function put(service: StoredService, instance: Instance): void {
    service.instances.set(instance.id, instance);
    service.seenPorts.add(`${instance.port}/${instance.protocol ?? ""}`);
    if (instance.healthy) service.lastHealthy.set(instance.id, instance);
  }

  function holderOf(id: string): StoredService | undefined {
    return [...store.services.values()].find(({ instances }) => instances.has(id));
  }

  function change(id: string, fields: Partial<Instance>): void {
    const service = holderOf(id);
    const old = service?.instances.get(id);
    if (service === undefined || old === undefined) throw new Error(`There is no instance "${id}"`);
    put(service, { ...old, ...fields, ...stamp() });
  }

  const registry: Registry = {
    store,
    setService,
    register(instance, owners = "Polaris") {
      const { namespace = "default", service: name, vpcId = null } = instance;
      const id = instanceId(instance);
      const service = findService(store, namespace, name) ?? setService(namespace, name, { owners });
      const old = service.instances.get(id);
      const made = { ...DEFAULTS, ...instance, id, vpcId };
      const since = old?.ctime ?? timeText(now());
      put(service, { ...made, namespace: service.namespace, service: service.name, ctime: since, ...stamp() });
      return id;
    },
    update: change,
    deregister(id) {
      const service = holderOf(id);
      service?.lastHealthy.delete(id);
      return service?.instances.delete(id) ?? false;
    },
    lapse(id) {
      const { metadata = {}, beat } = registry.find(id) ?? {};
      const last = beat === undefined ? {} : { "internal-lastheartbeat": String(beat) };
      change(id, { healthy: false, metadata: { ...metadata, ...last } });
    },
    beat(id) {
      const service = holderOf(id);
      const old = service?.instances.get(id);
      if (service === undefined || old === undefined || old.heartbeatTtlSeconds === null) return;
      service.instances.set(id, { ...old, beat: Math.floor(now() / 1000) });
      if (old.healthy) return;
      const { "internal-lastheartbeat": _last, ...metadata } = old.metadata;
      change(id, { healthy: true, metadata });
    },
    deleteService(namespace, name) {
      const service = store.services.get(keyOf(namespace, name));
      store.services.delete(keyOf(namespace, name));
      for (const [key, { target }] of store.aliases) if (target === service?.id) store.aliases.delete(key);
    },
    createAlias(alias, of, owners = "Polaris") {
      const service = store.services.get(keyOf(of.namespace, of.name));
      if (service === undefined) throw new Error(`There is no service "${of.namespace}/${of.name}"`);
      addNamespace(alias.namespace);
      const { changed, revision, mtime } = stamp();
      const made = { ...alias, id: hex(random, 32), target: service.id, owners, ctime: mtime, changed, revision };
      store.aliases.set(keyOf(alias.namespace, alias.name), made);
      store.listed.add(alias.namespace);
      return made;
    },
    deleteAlias(alias) {
      store.aliases.delete(keyOf(alias.namespace, alias.name));
    },
    find: (id) => holderOf(id)?.instances.get(id),
  };

  addNamespace("Polaris", "Polaris-server", "polaris");
  addNamespace("default", "Default Environment", "polaris");
  registry.register({
    namespace: "Polaris",
    service: "polaris.checker",
    host: "127.0.0.1",
    port: 8091,
    protocol: "grpc",
  });
  return registry;
}
