import {
  REPLACES_ANNOTATION,
  REQUEST_ANNOTATION,
  STAGE_ANNOTATION,
  WEIGHT_ANNOTATION,
} from "../../../src/model/claim.ts";
import { NAMESPACE } from "../registry.ts";

/** A request of someone else; whether it was taken. */
type Outside = (method: string, path: string, body?: object) => boolean;

const SERVICES = `/api/v1/namespaces/${NAMESPACE}/services`;
const SLICES = `/apis/discovery.k8s.io/v1/namespaces/${NAMESPACE}/endpointslices`;
const PORTS = [
  { name: "http-a", port: 8080 },
  { name: "http-b", port: 8081 },
  { name: "tcp-db", port: 5432 },
];

/** The Service in the cluster that replaces `name` of dc1. Where it is of no use, it has none of the ports by which that is called. */
export function claimantOf(name: string, isOfUse = true): string {
  return `${name}-${isOfUse ? "v2" : "v3"}`;
}

/** Have a Service claim `name` and ask for a stage; the first time it is made. */
export function claim(
  outside: Outside,
  name: string,
  asked: { readonly stage: string; readonly weight?: number; readonly request: string },
  isOfUse = true,
): boolean {
  const service = claimantOf(name, isOfUse);
  const annotations = {
    [REPLACES_ANNOTATION]: `dc1/${NAMESPACE}/${name}`,
    [STAGE_ANNOTATION]: asked.stage,
    [WEIGHT_ANNOTATION]: asked.weight === undefined ? null : `${asked.weight}`,
    [REQUEST_ANNOTATION]: asked.request,
  };
  const isThere = outside("PATCH", `${SERVICES}/${service}`, { metadata: { annotations } });
  if (isThere) return true;
  const ports = isOfUse ? PORTS : [{ name: "http-a", port: 9999 }];
  const given = Object.fromEntries(Object.entries(annotations).filter(([, value]) => value !== null));
  setReady(outside, service, true);
  return outside("POST", SERVICES, {
    metadata: { name: service, annotations: given, labels: { app: "theirs" } },
    spec: { type: "ClusterIP", clusterIP: "10.96.0.7", selector: { app: service }, ports },
  });
}

/** Whether the Service has a ready endpoint. */
export function setReady(outside: Outside, service: string, ready: boolean): boolean {
  const endpoints = [{ addresses: ["10.1.0.7"], conditions: { ready } }];
  const slice = { metadata: { name: `${service}-x`, labels: { "kubernetes.io/service-name": service } }, endpoints };
  return outside("PATCH", `${SLICES}/${service}-x`, { endpoints }) || outside("POST", SLICES, slice);
}
