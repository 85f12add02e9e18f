/** Status of a check. */
export type CheckStatus = "passing" | "warning" | "critical";

/** One instance as the catalog is to hold it. */
export interface ConsulInstance {
  readonly service: string;
  /** The service's name by default. */
  readonly id?: string;
  /** "vm" by default. */
  readonly node?: string;
  /** 192.0.2.250 by default. Every registration of a node sets it anew. */
  readonly nodeAddress?: string;
  readonly nodeMeta?: Readonly<Record<string, string>>;
  /** Without it the node's address counts. */
  readonly address?: string;
  readonly port?: number;
  readonly tags?: readonly string[];
  readonly meta?: Readonly<Record<string, string>>;
  readonly weights?: { readonly passing: number; readonly warning: number };
  /** connect-proxy, mesh-gateway, … */
  readonly kind?: string;
  /** Of the instance's one check, `service:<id>`; passing by default. */
  readonly status?: CheckStatus;
  readonly datacenter?: string;
}

/** An instance, or with only `node` the node. */
export interface ConsulPlace {
  readonly id?: string;
  /** "vm" by default. */
  readonly node?: string;
}

type Send = (
  method: string,
  path: string,
  body?: unknown,
) => Promise<{ readonly status: number; readonly body: unknown }>;

/** Changes of the catalog. Every method throws when Consul refuses. */
export interface ConsulCatalog {
  /** Add instances of nodes that run no agent, or change them; any number, some at a time. */
  register(...instances: readonly ConsulInstance[]): Promise<void>;
  deregister(place: ConsulPlace): Promise<void>;
  setCheck(id: string, status: CheckStatus, node?: string): Promise<void>;
  setNodeAddress(address: string, node?: string): Promise<void>;
  /** Put an instance or a node under maintenance, by the check that an agent makes of it, or end that. */
  maintenance(place: ConsulPlace, on: boolean): Promise<void>;
}

const NODE = "vm";

/** @param send Its answers with another status than 200 are thrown. */
export function consulCatalog(send: Send): ConsulCatalog {
  async function put(path: string, body: unknown): Promise<void> {
    const answer = await send("PUT", path, body);
    if (answer.status !== 200) throw new Error(`Cannot PUT ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  }
  const check = (node: string, CheckID: string, Status: string, ServiceID = "") =>
    put("/v1/catalog/register", {
      Node: node,
      SkipNodeUpdate: true,
      Check: { CheckID, Name: CheckID, Status, ServiceID },
    });
  return {
    async register(...instances) {
      const left = [...instances];
      const worker = async () => {
        for (let next = left.shift(); next !== undefined; next = left.shift())
          await put("/v1/catalog/register", registration(next));
      };
      await Promise.all(Array.from({ length: Math.min(16, instances.length) }, worker));
    },
    deregister: ({ id, node = NODE }) =>
      put("/v1/catalog/deregister", { Node: node, ...(id !== undefined && { ServiceID: id }) }),
    setCheck: (id, status, node = NODE) => check(node, `service:${id}`, status, id),
    setNodeAddress: (address, node = NODE) => put("/v1/catalog/register", { Node: node, Address: address }),
    async maintenance({ id, node = NODE }, on) {
      const CheckID = id === undefined ? "_node_maintenance" : `_service_maintenance:${id}`;
      if (on) await check(node, CheckID, "critical", id);
      else await put("/v1/catalog/deregister", { Node: node, CheckID });
    },
  };
}

function registration(instance: ConsulInstance): object {
  const { service, id = service, node = NODE, nodeAddress = "192.0.2.250", weights } = instance;
  return {
    Datacenter: instance.datacenter,
    Node: node,
    Address: nodeAddress,
    NodeMeta: instance.nodeMeta,
    Service: {
      ID: id,
      Service: service,
      Kind: instance.kind,
      Proxy: instance.kind === "connect-proxy" ? { DestinationServiceName: service } : undefined,
      Address: instance.address,
      Port: instance.port,
      Tags: instance.tags,
      Meta: instance.meta,
      Weights: weights && { Passing: weights.passing, Warning: weights.warning },
    },
    Check: { CheckID: `service:${id}`, Name: `check of ${id}`, Status: instance.status ?? "passing", ServiceID: id },
  };
}
