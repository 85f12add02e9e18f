import { covers } from "../../istio/ranges.ts";
import type { ClusterFacts, ServiceFact } from "../../model/cluster-facts.ts";
import { attempt } from "../attempt.ts";
import { type Check, valueOr, whenKnown } from "../check.ts";
import type { Finding } from "../finding.ts";
import type { DoctorSettings } from "../settings.ts";
import { counted, shellWord, someOf } from "../text.ts";
import { type Places, placesOf, socketOf, socketText } from "./places.ts";
import { type DnsServer, dnsServers, routeOf } from "./servers.ts";
import { nameFindings, zoneFindings } from "./zones.ts";

const check = "dns";

/** The cluster's DNS must send our zones to us, be allowed to ask, and not get its own questions back. */
export const dns: Check = (facts, settings, installation) =>
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
        ...servers.flatMap((server) => nameFindings(server, places, settings, installation)),
        ...ownService(servers, places, facts, settings),
        ...loops(services, servers, facts, settings),
        ...admission(servers, facts, settings),
      ];
    }),
  );

/** Whoever the zones are sent to has to be there. */
function ownService(
  servers: readonly DnsServer[],
  { ours, address, isUs, mayBeUs }: Places,
  { dnsBackends }: ClusterFacts,
  { dns: { listen, zones }, file }: DoctorSettings,
): readonly Finding[] {
  const targets = servers.flatMap((server) => zones.flatMap(({ name }) => routeOf(name, server).to));
  const isUsed = (service: ServiceFact) =>
    targets.some((to) => service.addresses.includes(socketOf(to)?.address ?? ""));
  if (address === undefined && !targets.some((to) => isUs(to) || mayBeUs(to)))
    return [
      {
        check,
        state: "problem",
        message:
          "no Service leads to X2Istio's DNS: it is not installed, or its Service is not labelled app.kubernetes.io/name=x2istio",
        fix: "kubectl apply -k deploy/kustomize/example",
      },
    ];
  const used = ours.filter(isUsed);
  if (used.length === 0) return [];
  const ready = whenKnown(check, { dnsBackends }, (known) => used.map((one) => readiness(one, known.dnsBackends)));
  if (!listen.every(({ address: own }) => own.startsWith("127.") || own === "::1")) return ready;
  return [
    {
      check,
      state: "problem",
      message: `dns.listen is ${listen.map(socketText).join(" and ")}, which cannot be reached from outside the pod`,
      fix: `in ${file} write dns: {listen: ["0.0.0.0:5353"]}`,
    },
    ...ready,
  ];
}

function readiness({ namespace, name }: ServiceFact, backends: ReadonlyMap<string, number>): Finding {
  const ready = backends.get(`${namespace}/${name}`) ?? 0;
  const replicas = `${counted(ready, "replica")} ${ready === 1 ? "is" : "are"}`;
  if (ready > 0) return { check, state: "fine", message: `${replicas} ready behind Service ${namespace}/${name}` };
  const inNamespace = `-n ${shellWord(namespace)} deployment/x2istio`;
  return {
    check,
    state: "problem",
    message: `no replica is ready behind Service ${namespace}/${name}: questions for our zones fail`,
    fix: `kubectl rollout status ${inNamespace}, then kubectl logs ${inNamespace}`,
  };
}

/** Whom we ask must not be who asks us, nor ourselves. */
function loops(
  services: readonly ServiceFact[],
  servers: readonly DnsServer[],
  { pods }: ClusterFacts,
  { dns: { forward, zones }, file }: DoctorSettings,
): readonly Finding[] {
  const plugins = servers
    .filter(({ isNodeCache }) => isNodeCache)
    .flatMap(({ blocks }) => blocks.flatMap((one) => one.plugins));
  const cluster = new Set([
    ...services.filter(({ isClusterDns }) => isClusterDns).flatMap(({ addresses }) => addresses),
    ...valueOr(pods, []).flatMap(({ isDns, addresses }) => (isDns ? addresses : [])),
    ...plugins.flatMap(({ name, args }) => (name === "bind" ? args : [])),
  ]);
  const ours = new Set(services.filter(({ isOurs }) => isOurs).flatMap(({ addresses }) => addresses));
  const upstreams = [
    ...forward.map((socket) => ({ key: "dns.forward", socket })),
    ...zones.flatMap((zone) => zone.forward.map((socket) => ({ key: `forward of zone ${zone.name}`, socket }))),
  ];
  return upstreams.flatMap(({ key, socket }): readonly Finding[] => {
    const who = cluster.has(socket.address) ? "the cluster's DNS" : "X2Istio's own Service";
    if (!cluster.has(socket.address) && !ours.has(socket.address)) return [];
    return [
      {
        check,
        state: "problem",
        message: `${key} names ${socketText(socket)}, which is ${who}: queries from there would loop`,
        fix: `in ${file} name there the servers that the cluster's DNS itself asks: kubectl get configmap -n ${servers[0]?.namespace} ${servers[0]?.configMap} -o yaml`,
      },
    ];
  });
}

/** Who asks us is refused unless `dns.allow` has its address. */
function admission(
  servers: readonly DnsServer[],
  { pods, nodes }: ClusterFacts,
  { dns: { allow }, file }: DoctorSettings,
): readonly Finding[] {
  const ofPods = whenKnown(check, { pods }, (known) =>
    refusals(
      known.pods.flatMap(({ isDns, addresses }) => (isDns ? addresses : [])),
      allow,
      file,
    ),
  );
  // NodeLocal DNSCache asks from the node's own address.
  if (!servers.some(({ isNodeCache }) => isNodeCache)) return ofPods;
  const ofNodes = whenKnown(check, { nodes }, (known) =>
    refusals(
      known.nodes.flatMap(({ addresses }) => addresses),
      allow,
      file,
    ),
  );
  return [...ofPods, ...ofNodes];
}

function refusals(asking: readonly string[], allow: readonly string[], file: string): readonly Finding[] {
  if (asking.length === 0) return [];
  const refused = [...new Set(asking)].filter((address) => !allow.some((range) => covers(range, address)));
  if (refused.length === 0)
    return [{ check, state: "fine", message: `dns.allow includes the cluster's DNS: ${someOf(asking)}` }];
  const single = refused.slice(0, 3).map((one) => `${one}/${one.includes(":") ? 128 : 32}`);
  return [
    {
      check,
      state: "problem",
      message: `dns.allow does not include ${someOf(refused)}, from which the cluster's DNS asks: it is answered REFUSED`,
      fix: `in ${file} write dns: {allow: [${[...allow, ...single].join(", ")}]}, or the whole range of pods or nodes`,
    },
  ];
}
