import type { ApiServer, Kept } from "./api-server.ts";

/** A request of someone else; whether it was taken. */
type Outside = (method: string, path: string, body?: object) => boolean;

const ISTIO = "/apis/networking.istio.io/v1";
const SECURITY = "/apis/security.istio.io/v1";
const PLURALS = ["serviceentries", "services", "virtualservices"] as const;
const FINALIZER = "example.org/guard";

/** What a tenant may do in a namespace of theirs that touches what is ours. */
export type TenantAct = "speak" | "host" | "address" | "egress" | "mutual-tls";

export interface TenantObject {
  readonly act: TenantAct;
  readonly namespace: string;
  readonly host: string;
  readonly address: string;
}

/** Where the object of an act stands. */
const PLACES: Readonly<Record<TenantAct, string>> = {
  speak: `${ISTIO}/namespaces/NS/virtualservices`,
  host: `${ISTIO}/namespaces/NS/serviceentries`,
  address: `${ISTIO}/namespaces/NS/serviceentries`,
  egress: `${ISTIO}/namespaces/NS/sidecars`,
  "mutual-tls": `${SECURITY}/namespaces/NS/peerauthentications`,
};

/** Make a tenant's object, or take it away where it is there already; whether that was taken. */
export function tenantActs(outside: Outside, { act, namespace, host, address }: TenantObject): "made" | "taken" | "no" {
  const name = `tenant-${act}`;
  const place = PLACES[act].replace("NS", namespace);
  const route = [{ route: [{ destination: { host } }] }];
  const port = [{ number: 80, name: "http", protocol: "HTTP" }];
  const specs: Readonly<Record<TenantAct, object>> = {
    speak: { hosts: [host], http: route },
    host: { hosts: [host], ports: port, resolution: "STATIC" },
    address: { hosts: ["tenant.example.org"], addresses: [address], ports: port, resolution: "STATIC" },
    egress: { egress: [{ hosts: ["./*"] }] },
    "mutual-tls": { mtls: { mode: "STRICT" } },
  };
  if (outside("POST", place, { metadata: { name, labels: { app: "theirs" } }, spec: specs[act] })) return "made";
  return outside("DELETE", `${place}/${name}`) ? "taken" : "no";
}

/** A finalizer on an object, as controllers of others put one on what they watch. */
export function guard(outside: Outside, path: string): boolean {
  return outside("PATCH", path, { metadata: { finalizers: [FINALIZER] } });
}

/** Take all finalizers away: what was to go goes. */
export function unguard(api: ApiServer, outside: Outside): void {
  for (const plural of PLURALS)
    for (const kept of api.objects(plural).filter(({ metadata }) => (metadata.finalizers ?? []).length > 0))
      outside("PATCH", pathOf(kept, plural), { metadata: { finalizers: null } });
}

/** Where an object of one of our kinds stands. */
export function pathOf({ metadata }: Kept, plural: string): string {
  const base = plural === "services" ? "/api/v1" : ISTIO;
  return `${base}/namespaces/${metadata.namespace}/${plural}/${metadata.name}`;
}
