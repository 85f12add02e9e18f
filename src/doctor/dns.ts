import type { ClusterFacts, PodFact, ServiceFact } from "../model/cluster-facts.ts";
import { attempt } from "./attempt.ts";
import { type Places, placesOf, socketOf, socketText } from "./dns-places.ts";
import { type DnsServer, dnsServers, routeOf } from "./dns-servers.ts";
import { nameFindings, zoneFindings } from "./dns-zones.ts";
import {
  type Check,
  counted,
  type DoctorSettings,
  type Finding,
  type Socket,
  shellWord,
  someOf,
  whenKnown,
} from "./finding.ts";
import { covers } from "./ranges.ts";

const check = "dns";

/** The cluster's DNS must send our zones to us, be let in, and not get its own questions back. */
export const dns: Check = (facts, settings, estate) =>
  whenKnown(check, { corefiles: facts.corefiles, services: facts.services }, ({ corefiles, services }) =>
    attempt(check, () => {
      const servers = dnsServers(corefiles, settings.target.clusterDomain);
      const places = placesOf(services, settings);
      if (!servers.some(({ isNodeCache }) => !isNodeCache))
        return [
          {
            check,
            state: "unchecked",
            message: `could not be checked: no ConfigMap in ${settings.dnsNamespace} has a Corefile; --dns-namespace names another place`,
          },
        ];
      return [
        ...servers.flatMap((server) => zoneFindings(server, places, settings)),
        ...servers.flatMap((server) => nameFindings(server, places, settings, estate)),
        ...installation(servers, places, facts, settings),
        ...loops(services, servers, facts, settings),
        ...whenKnown(check, { pods: facts.pods }, ({ pods }) => admission(pods, servers, facts, settings)),
      ];
    }),
  );

/** Whoever the zones are sent to has to be there. */
function installation(
  servers: readonly DnsServer[],
  { ours, isUs, mayBeUs }: Places,
  { dnsBackends }: ClusterFacts,
  { dns: { listen, zones }, file }: DoctorSettings,
): readonly Finding[] {
  const targets = servers.flatMap((server) => zones.flatMap(({ name }) => routeOf(name, server).to));
  const isUsed = (service: ServiceFact) =>
    targets.some((to) => service.addresses.includes(socketOf(to)?.address ?? ""));
  if (ours.length === 0 && !targets.some((to) => isUs(to) || mayBeUs(to)))
    return [
      {
        check,
        state: "problem",
        message:
          "no Service leads to X2Istio's DNS: it is not installed, or its Service is not labelled app.kubernetes.io/name=x2istio",
        mend: "kubectl apply -k deploy/kustomize/example",
      },
    ];
  const used = ours.filter(isUsed);
  if (used.length === 0) return [];
  const isLoopback = ({ address }: Socket) => address.startsWith("127.") || address === "::1";
  return [
    ...(listen.every(isLoopback)
      ? [
          {
            check,
            state: "problem",
            message: `dns.listen is ${listen.map(socketText).join(" and ")}, which nobody outside the pod reaches`,
            mend: `in ${file} write dns: {listen: ["0.0.0.0:5353"]}`,
          } as const,
        ]
      : []),
    ...whenKnown(check, { dnsBackends }, (known) =>
      used.map(({ namespace, name }): Finding => {
        const ready = known.dnsBackends.get(`${namespace}/${name}`) ?? 0;
        if (ready > 0)
          return {
            check,
            state: "fine",
            message: `${counted(ready, "replica")} ${ready === 1 ? "is" : "are"} ready behind Service ${namespace}/${name}`,
          };
        return {
          check,
          state: "problem",
          message: `no replica is ready behind Service ${namespace}/${name}: questions for our zones fail`,
          mend: `kubectl rollout status -n ${shellWord(namespace)} deployment/x2istio, then kubectl logs -n ${shellWord(namespace)} deployment/x2istio`,
        };
      }),
    ),
  ];
}

/** What we ask must not be who asks us. */
function loops(
  services: readonly ServiceFact[],
  servers: readonly DnsServer[],
  { pods }: ClusterFacts,
  { dns: { forward, zones }, file }: DoctorSettings,
): readonly Finding[] {
  const caches = servers.filter(({ isNodeCache }) => isNodeCache).flatMap(({ blocks }) => blocks);
  const bound = caches.flatMap(({ plugins }) =>
    plugins.filter(({ name }) => name === "bind").flatMap(({ args }) => args),
  );
  const cluster = new Set([
    ...services.filter(({ isClusterDns }) => isClusterDns).flatMap(({ addresses }) => addresses),
    ...(pods.known ? pods.value.filter(({ isDns }) => isDns).flatMap(({ addresses }) => addresses) : []),
    ...bound,
  ]);
  const upstreams = [
    ...forward.map((socket) => ({ key: "dns.forward", socket })),
    ...zones.flatMap((zone) => zone.forward.map((socket) => ({ key: `forward of zone ${zone.name}`, socket }))),
  ];
  return upstreams
    .filter(({ socket }) => cluster.has(socket.address))
    .map(({ key, socket }) => ({
      check,
      state: "problem",
      message: `${key} names ${socketText(socket)}, which is the cluster's DNS: a question that it sends to X2Istio comes back to it, again and again`,
      mend: `in ${file} name there the servers that the cluster's DNS itself asks: kubectl get configmap -n ${servers[0]?.namespace} ${servers[0]?.configMap} -o yaml`,
    }));
}

/** Who asks us is refused unless `dns.allow` has its address. */
function admission(
  pods: readonly PodFact[],
  servers: readonly DnsServer[],
  { nodes }: ClusterFacts,
  { dns: { allow }, file }: DoctorSettings,
): readonly Finding[] {
  const hasCache = servers.some(({ isNodeCache }) => isNodeCache);
  const asking = [
    ...pods.filter(({ isDns }) => isDns).flatMap(({ addresses }) => addresses),
    ...(hasCache && nodes.known ? nodes.value.flatMap(({ addresses }) => addresses) : []),
  ];
  const refused = [...new Set(asking)].filter((address) => !allow.some((range) => covers(range, address)));
  if (refused.length > 0)
    return [
      {
        check,
        state: "problem",
        message: `dns.allow does not let in ${someOf(refused)}, from which the cluster's DNS asks: it is answered REFUSED`,
        mend: `in ${file} write dns: {allow: [${[...allow, ...refused.slice(0, 3).map((one) => `${one}/${one.includes(":") ? 128 : 32}`)].join(", ")}]}, or the pods' whole range`,
      },
    ];
  return asking.length === 0
    ? []
    : [{ check, state: "fine", message: `dns.allow lets in the cluster's DNS: ${someOf(asking)}` }];
}
