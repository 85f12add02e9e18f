import type { ConsulInstance } from "../servers/consul-catalog.ts";
import type { Manifest } from "./manifests.ts";

/** As Istio reads the metadata that names an instance's protocol; what it does not know is TCP. */
const PROTOCOLS: Readonly<Record<string, string>> = { http: "HTTP", grpc: "GRPC", mysql: "MYSQL" };
/** Opened on every service, and led to each instance's own port. */
const DEFAULT_PORT = 80;

/**
 * Entries of the form that consul2istio writes with its defaults (seen of its version of 2023): one for each service, named by its host, which is
 * the service's name, of one label unless it is given a domain; all ports that any instance has, and port 80 as TCP; labels of tags `key|value`.
 */
export function entriesOfConsul2istio(instances: readonly ConsulInstance[], domain?: string): readonly Manifest[] {
  return [...Map.groupBy(instances, ({ service }) => service)].map(([service, all]) => {
    const host = domain === undefined ? service : `${service}.${domain}`;
    const ports = new Map([...all.map(portOf), portOn(DEFAULT_PORT, "tcp")].map((port) => [port.number, port]));
    return {
      apiVersion: "networking.istio.io/v1",
      kind: "ServiceEntry",
      metadata: { name: host, namespace: "istio-system", labels: { manager: "Aeraki", registry: "consul" } },
      spec: {
        hosts: [host],
        location: "MESH_INTERNAL",
        resolution: "STATIC",
        ports: [...ports.values()],
        endpoints: all.map((instance) => ({
          address: instance.address,
          locality: "dc1",
          ports: { [portOf(instance).name]: instance.port, [`tcp-${DEFAULT_PORT}`]: instance.port },
          labels: Object.fromEntries(
            (instance.tags ?? []).map((tag) => tag.split("|")).filter(({ length }) => length > 1),
          ),
        })),
      },
    };
  });
}

function portOf({ port = 0, meta = {} }: ConsulInstance) {
  return portOn(port, meta.protocol ?? "tcp");
}

function portOn(number: number, protocol: string) {
  return { name: `${protocol}-${number}`, number, protocol: PROTOCOLS[protocol] ?? "TCP", targetPort: number };
}
