import type { Kube } from "../servers/kube.ts";

const SERVICES = 20_000;
const ENTRIES = 5_000;
const IN_FLIGHT = 32;

/** Put Services and ServiceEntries into the cluster that nobody of ours made, as large clusters have them. */
export async function fillForeign(kube: Pick<Kube, "request">): Promise<void> {
  const services = Array.from({ length: SERVICES }, (_, at) => ({
    path: "/api/v1/namespaces/default/services",
    body: service(`team-service-${at}`),
  }));
  const entries = Array.from({ length: ENTRIES }, (_, at) => ({
    path: "/apis/networking.istio.io/v1/namespaces/default/serviceentries",
    body: entry(`team-entry-${at}`),
  }));
  const left = [...services, ...entries];
  const worker = async () => {
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      const { status, body } = await kube.request("POST", next.path, next.body);
      if (status !== 201) throw new Error(`Cannot POST ${next.path}: ${status} ${JSON.stringify(body).slice(0, 300)}`);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
}

function service(name: string): object {
  const labels = { app: name, "app.kubernetes.io/part-of": "shop", team: "checkout", version: "v1" };
  const ports = [
    { name: "http", port: 80, targetPort: 8080 },
    { name: "grpc", port: 9090 },
  ];
  // Without a cluster IP, so that the range of the test server's addresses does not matter.
  return { metadata: { name, labels }, spec: { clusterIP: "None", selector: { app: name }, ports } };
}

function entry(name: string): object {
  return {
    apiVersion: "networking.istio.io/v1",
    kind: "ServiceEntry",
    metadata: { name, labels: { team: "checkout" } },
    spec: {
      hosts: [`${name}.example.org`],
      location: "MESH_EXTERNAL",
      resolution: "DNS",
      ports: [{ name: "https", number: 443, protocol: "TLS" }],
      endpoints: [{ address: `a.${name}.example.org` }, { address: `b.${name}.example.org` }],
    },
  };
}
