import type { ServiceFact } from "../../model/cluster-facts.ts";
import type { DoctorSettings, Socket } from "../settings.ts";
import type { DnsServer, Route } from "./servers.ts";

/** Who is where, as far as a forward can name it. */
export interface Places {
  readonly ours: readonly ServiceFact[];
  /** Addresses of the cluster's DNS Service. */
  readonly cluster: readonly string[];
  /** Of the Service, else of a socket of ours: what a forward is to name. */
  readonly address: string | undefined;
  readonly isUs: (to: string) => boolean;
  /** It may be: nothing in the cluster is, and where we listen is any address. */
  readonly mayBeUs: (to: string) => boolean;
}

/** Read it off the cluster's Services and the configuration. */
export function placesOf(services: readonly ServiceFact[], { dns: { listen } }: DoctorSettings): Places {
  const ours = services.filter(({ isOurs, udpPorts }) => isOurs && udpPorts.length > 0);
  const [service] = ours;
  const sockets = [
    ...ours.flatMap(({ addresses, udpPorts }) =>
      addresses.flatMap((address) => udpPorts.map((port) => ({ address, port }))),
    ),
    ...listen,
  ];
  const isAny = ({ address }: Socket) => address === "0.0.0.0" || address === "::";
  const [fixed] = listen.filter((one) => !isAny(one)).map(socketText);
  return {
    ours,
    cluster: services.filter(({ isClusterDns }) => isClusterDns).flatMap(({ addresses }) => addresses),
    address: service === undefined ? fixed : service.addresses[0],
    isUs(to) {
      const socket = socketOf(to);
      return socket !== undefined && sockets.some((one) => one.address === socket.address && one.port === socket.port);
    },
    mayBeUs(to) {
      const port = socketOf(to)?.port;
      return service === undefined && listen.some((one) => isAny(one) && one.port === port);
    },
  };
}

/** As a forward and `dns.forward` have it. */
export function socketText({ address, port }: Socket): string {
  const host = address.includes(":") ? `[${address}]` : address;
  return port === 53 ? address : `${host}:${port}`;
}

/** `10.96.0.53`, `10.96.0.53:53`, `dns://[::1]:53`; `undefined` for all else. */
export function socketOf(to: string): Socket | undefined {
  const plain = to.replace(/^dns:\/\//, "");
  const [, v6, v4, port] = /^(?:\[([0-9a-f:.]+)\]|([\d.]+))(?::(\d+))?$/i.exec(plain) ?? [];
  const address = v6 ?? v4 ?? (/^[0-9a-f:]+$/i.test(plain) ? plain : undefined);
  return address === undefined ? undefined : { address, port: port === undefined ? 53 : Number(port) };
}

/** Whether a server leads on to us. */
export function isFine({ to }: Route, { isNodeCache }: DnsServer, { isUs, cluster }: Places): boolean {
  // NodeLocal DNSCache may leave the zone to CoreDNS, which leads on.
  const leads = (one: string) => isUs(one) || (isNodeCache && (isClusterDns(one) || cluster.includes(one)));
  return to.length > 0 && to.every(leads);
}

/** What the node cache replaces by the address of the cluster's DNS. */
function isClusterDns(to: string): boolean {
  return to === "__PILLAR__CLUSTER__DNS__";
}
