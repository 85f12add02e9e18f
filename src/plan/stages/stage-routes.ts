import { isHttp } from "../../istio/ports.ts";
import type { ClaimantRef, StageDecision } from "../../model/claim.ts";
import type { EntryPort, RouteDestination, VirtualServiceSpec } from "../../model/objects.ts";

/** What of a decision says where calls go. */
export type Split = Pick<StageDecision, "weight" | "claimant" | "announced" | "sni">;

type HttpRule = NonNullable<VirtualServiceSpec["http"]>[number];

/** The name of a Service in the cluster's DNS. */
export function serviceHost({ namespace, name }: ClaimantRef, clusterDomain: string): string {
  return `${name}.${namespace}.svc.${clusterDomain}`;
}

/** Where the calls of one port go, by weight. Both sides have the port by the same number. */
export function destinations(host: string, number: number, inside: string, weight: number): RouteDestination[] {
  const to = (name: string) => ({ destination: { host: name, port: { number } } });
  if (weight <= 0) return [to(host)];
  if (weight >= 100) return [to(inside)];
  return [
    { ...to(host), weight: 100 - weight },
    { ...to(inside), weight },
  ];
}

/** Whether Istio routes a port by the server name that TLS callers send. */
export function isTls({ protocol }: Pick<EntryPort, "protocol">): boolean {
  return protocol === "TLS" || protocol === "HTTPS";
}

/** A header that a call would need to have and to lack. */
const NEVER = { "x2istio-announced": {} };

/**
 * A first route that no call ever takes: it only names where calls of a port go and may go next, so that clients have all of it
 * before they need it. grpc-go takes a new route at once and a cluster that is new with it a moment later, and fails the calls in
 * between with "unknown cluster selected for RPC". A weight of 0 would not do: istiod leaves such destinations out.
 */
function announcement(number: number, hosts: readonly string[]): HttpRule {
  return {
    match: [{ port: number, headers: NEVER, withoutHeaders: NEVER }],
    route: hosts.map((host) => ({ destination: { host, port: { number } }, weight: 1 })),
  };
}

/** Whether a route only announces where calls may go: none ever takes it. */
export function isAnnouncement({ match = [] }: Pick<HttpRule, "match">): boolean {
  return match.some(({ withoutHeaders }) => withoutHeaders !== undefined);
}

/** The routes of a service: a section for each kind of port. UDP is not the mesh's. */
export function stageRoutes(
  host: string,
  ports: readonly EntryPort[],
  { weight, claimant, announced, sni }: Split,
  clusterDomain: string,
): Pick<VirtualServiceSpec, "http" | "tcp" | "tls"> {
  const inside = claimant === undefined ? host : serviceHost(claimant, clusterDomain);
  const route = (number: number) => destinations(host, number, inside, claimant === undefined ? 0 : weight);
  const http = ports.filter(({ protocol }) => isHttp(protocol));
  const known = [host, ...announced.map((one) => serviceHost(one, clusterDomain))];
  const toHttp = ({ number }: EntryPort): readonly HttpRule[] => [
    ...(announced.length === 0 ? [] : [announcement(number, known)]),
    { match: [{ port: number }], route: route(number) },
  ];
  const tls = sni.length === 0 ? [] : ports.filter(isTls);
  const tcp = ports.filter((port) => port.protocol !== "UDP" && !isHttp(port.protocol) && !isTls(port));
  return {
    ...(http.length === 0 ? {} : { http: http.flatMap(toHttp) }),
    ...(tcp.length === 0
      ? {}
      : { tcp: tcp.map(({ number }) => ({ match: [{ port: number }], route: route(number) })) }),
    ...(tls.length === 0
      ? {}
      : { tls: tls.map(({ number }) => ({ match: [{ port: number, sniHosts: sni }], route: route(number) })) }),
  };
}
