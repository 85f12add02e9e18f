import assert from "node:assert/strict";
import type { Kube } from "../servers/kube.ts";

/** An object of a cluster as its parts would have made it; `status` is written after it. */
export interface ClusterObject {
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly status?: object;
}

/** Create objects that a real cluster has of its own: nobody else makes them for a lone API server. */
export async function populate(kube: Kube, ...objects: readonly ClusterObject[]): Promise<void> {
  for (const { path, body, status } of objects) {
    const created = await kube.request<{ metadata: { name: string } }>("POST", path, body);
    assert.equal(created.status, 201, `${path}: ${JSON.stringify(created.body)}`);
    if (status === undefined) continue;
    const patched = await kube.request("PATCH", `${path}/${created.body.metadata.name}/status`, { status });
    assert.equal(patched.status, 200, JSON.stringify(patched.body));
  }
}

export function configMap(namespace: string, name: string, data: Readonly<Record<string, string>>): ClusterObject {
  return { path: `/api/v1/namespaces/${namespace}/configmaps`, body: { metadata: { name }, data } };
}

/** A node with its range of pods. */
export function node(name: string, podCIDR: string, address: string): ClusterObject {
  return {
    path: "/api/v1/nodes",
    body: { metadata: { name }, spec: { podCIDR, podCIDRs: [podCIDR] } },
    status: { addresses: [{ type: "InternalIP", address }] },
  };
}

export interface PodFields {
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Beside the program's own: `["istio-proxy"]`. */
  readonly containers?: readonly string[];
  readonly image?: string;
  readonly ip?: string;
  /** Name of its Deployment. */
  readonly deployment?: string;
}

const HASH = "6d4cf56db6";

export function pod(namespace: string, name: string, fields: PodFields = {}): ClusterObject {
  const { labels = {}, annotations = {}, containers = [], image = "app:1", ip, deployment } = fields;
  const owner = {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    name: `${deployment}-${HASH}`,
    uid: "11111111-1111-1111-1111-111111111111",
    controller: true,
  };
  return {
    path: `/api/v1/namespaces/${namespace}/pods`,
    body: {
      metadata: {
        name,
        annotations,
        labels: { ...labels, ...(deployment !== undefined && { "pod-template-hash": HASH }) },
        ...(deployment !== undefined && { ownerReferences: [owner] }),
      },
      spec: {
        containers: ["app", ...containers].map((container) => ({
          name: container === "app" && labels.app === "istiod" ? "discovery" : container,
          image,
        })),
      },
    },
    status: {
      phase: "Running",
      conditions: [{ type: "Ready", status: "True" }],
      ...(ip !== undefined && { podIP: ip, podIPs: [{ ip }] }),
    },
  };
}

/** A Deployment whose pods are not made by anyone. */
export function deployment(namespace: string, name: string): ClusterObject {
  const labels = { app: name };
  return {
    path: `/apis/apps/v1/namespaces/${namespace}/deployments`,
    body: {
      metadata: { name },
      spec: {
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [{ name: "app", image: "app:1" }] } },
      },
    },
  };
}

/** A Service of DNS: UDP and TCP on port 53. */
export function dnsService(
  namespace: string,
  name: string,
  clusterIP: string,
  labels: Readonly<Record<string, string>>,
): ClusterObject {
  const ports = ["UDP", "TCP"].map((protocol) => ({ name: `dns-${protocol.toLowerCase()}`, port: 53, protocol }));
  return {
    path: `/api/v1/namespaces/${namespace}/services`,
    body: { metadata: { name, labels }, spec: { clusterIP, ports, selector: labels } },
  };
}

/** What stands behind a Service. */
export function endpointSlice(namespace: string, service: string, addresses: readonly string[]): ClusterObject {
  return {
    path: `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`,
    body: {
      metadata: { name: `${service}-1`, labels: { "kubernetes.io/service-name": service } },
      addressType: "IPv4",
      endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
      ports: [{ name: "dns-udp", port: 5353, protocol: "UDP" }],
    },
  };
}

/** As kubeadm makes it, with `more` behind. */
export function corefile(more = ""): string {
  return `.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30
    loop
    reload
    loadbalance
}
${more}`;
}

/** The `values` of an injector's ConfigMap. */
export function injectorValues(proxy: object = { includeIPRanges: "*", excludeIPRanges: "" }): string {
  return JSON.stringify({ global: { proxy } });
}

/** The election that istiod holds in its config cluster while it works. */
export function election(renewed: Date): ClusterObject {
  const record = { holderIdentity: "istiod-0", holderKey: "default", leaseDurationSeconds: 30, renewTime: renewed };
  const annotations = { "control-plane.alpha.kubernetes.io/leader": JSON.stringify(record) };
  return {
    path: "/api/v1/namespaces/istio-system/configmaps",
    body: { metadata: { name: "istio-ip-autoallocate", annotations } },
  };
}

export function istioObject(
  kind: "Sidecar" | "ServiceEntry",
  namespace: string,
  name: string,
  spec: object,
): ClusterObject {
  const plural = kind === "Sidecar" ? "sidecars" : "serviceentries";
  const apiVersion = "networking.istio.io/v1";
  return {
    path: `/apis/${apiVersion}/namespaces/${namespace}/${plural}`,
    body: { apiVersion, kind, metadata: { name }, spec },
  };
}
