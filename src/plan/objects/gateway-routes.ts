import type { ExposureRule } from "../../model/exposure.ts";
import {
  API_VERSIONS,
  EXPOSURE_ANNOTATION,
  type HostnameBackend,
  MANAGED_BY,
  MANAGED_BY_LABEL,
  type Manifest,
  OWNER_LABEL,
  REGISTRY_LABEL,
  type RouteDestination,
  SERVICE_ANNOTATION,
} from "../../model/objects.ts";
import { registryOfKey } from "../../model/service.ts";
import { destinations } from "../stages/stage-routes.ts";

/** Where a route leads. */
export interface Destination {
  readonly host: string;
  /** Of the service. */
  readonly port: number;
  /** Who takes a share of the calls, in percent. */
  readonly inside?: { readonly host: string; readonly weight: number };
}

/** Whose the routes are, and where they stand. */
export interface RouteOptions {
  readonly owner: string;
  readonly namespace: string;
  /** Default cluster.local. */
  readonly clusterDomain?: string;
}

/** The kind of route that leads from the gateway of an exposure. */
export function routeKind({ api, hosts }: ExposureRule): "VirtualService" | "HTTPRoute" | "TCPRoute" {
  if (api === "istio") return "VirtualService";
  return hosts.length > 0 ? "HTTPRoute" : "TCPRoute";
}

/** `<namespace>/<name>` of the Gateway. */
export function placeOf({ gateway }: ExposureRule): string {
  return `${gateway.namespace}/${gateway.name}`;
}

/** The route that leads from the gateway of an exposure to a host of the mesh. */
export function routeManifest(rule: ExposureRule, to: Destination, { owner, namespace }: RouteOptions): Manifest {
  const kind = routeKind(rule);
  const metadata = {
    name: rule.name,
    namespace,
    labels: { [MANAGED_BY_LABEL]: MANAGED_BY, [OWNER_LABEL]: owner, [REGISTRY_LABEL]: registryOfKey(rule.service) },
    annotations: { [SERVICE_ANNOTATION]: rule.service, [EXPOSURE_ANNOTATION]: rule.name },
  };
  const apiVersion = API_VERSIONS[kind];
  if (kind === "HTTPRoute") return { apiVersion, kind, metadata, spec: httpRoute(rule, to) };
  if (kind === "TCPRoute") return { apiVersion, kind, metadata, spec: { ...parents(rule), rules: [backend(to)] } };
  return { apiVersion, kind, metadata, spec: virtualService(rule, to) };
}

/** Which proxies are told of it is for `gateways` to say; a mesh may have another default of `exportTo`. */
function virtualService(rule: ExposureRule, { host, port, inside }: Destination) {
  const { hosts, path, listen } = rule;
  const route: RouteDestination[] = destinations(host, port, inside?.host ?? host, inside?.weight ?? 0);
  const gateways = [placeOf(rule)];
  const exportTo = ["*"];
  if (hosts.length === 0)
    return { hosts: ["*"], gateways, exportTo, tcp: [{ match: [{ port: listen ?? port }], route }] };
  const at = listen === undefined ? {} : { port: listen };
  // By whole segments, as the Gateway API matches paths: /orders is no prefix of /orders-old.
  const match =
    path !== "/"
      ? [
          { uri: { exact: path }, ...at },
          { uri: { prefix: `${path}/` }, ...at },
        ]
      : listen === undefined
        ? undefined
        : [at];
  return { hosts, gateways, exportTo, http: [{ ...(match === undefined ? {} : { match }), route }] };
}

function httpRoute(rule: ExposureRule, to: Destination) {
  const matches = [{ path: { type: "PathPrefix" as const, value: rule.path } }];
  return { ...parents(rule), hostnames: rule.hosts, rules: [{ matches, ...backend(to) }] };
}

function parents({ gateway, listen }: ExposureRule) {
  const parent = {
    group: "gateway.networking.k8s.io",
    kind: "Gateway",
    ...gateway,
    ...(listen === undefined ? {} : { port: listen }),
  } as const;
  return { parentRefs: [parent] };
}

function backend({ host, port, inside }: Destination): { readonly backendRefs: readonly HostnameBackend[] } {
  const to = (name: string, weight: number) =>
    ({ group: "networking.istio.io", kind: "Hostname", name, port, weight }) as const;
  const weight = inside?.weight ?? 0;
  if (inside === undefined || weight <= 0) return { backendRefs: [to(host, 1)] };
  return { backendRefs: weight >= 100 ? [to(inside.host, 1)] : [to(host, 100 - weight), to(inside.host, weight)] };
}
