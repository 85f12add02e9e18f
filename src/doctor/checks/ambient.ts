import type { NamespaceFact, PodFact } from "../../model/cluster-facts.ts";
import { type Check, whenKnown } from "../check.ts";
import type { Finding } from "../finding.ts";
import type { InstallationFacts } from "../installation.ts";
import type { DoctorSettings } from "../settings.ts";
import { counted, someOf } from "../text.ts";

const check = "ambient";

/** Of several endpoints on one address ztunnel uses one. A waypoint knows them all. */
export const ambient: Check = ({ namespaces, pods }, settings, installation) =>
  whenKnown(check, { namespaces, pods }, (known): readonly Finding[] => {
    const places = ambientNamespaces(known.namespaces, known.pods);
    if (places.length === 0) return [{ check, state: "fine", message: "no pod is ambient" }];
    const target = known.namespaces.get(settings.target.namespace);
    const ofXds = companions(settings, places);
    const found = whenKnown(check, { installation }, (read) => findingsOf(read.installation, settings, target, places));
    // What is fine is said only where nothing else is to be said.
    return ofXds.length > 0 ? [...ofXds, ...found.filter(({ state }) => state !== "fine")] : found;
  });

function findingsOf(
  { crowded }: InstallationFacts,
  { file, registries, target: { namespace } }: DoctorSettings,
  target: NamespaceFact | undefined,
  places: readonly string[],
): readonly Finding[] {
  const fromNamespace = target?.labels["istio.io/use-waypoint"] ?? "none";
  const unreached = crowded.filter(({ waypoint = fromNamespace }) => waypoint === "none");
  const found = registries.flatMap(({ name }) => {
    const ofIt = unreached.filter(({ registry }) => registry === name);
    return ofIt.length === 0 ? [] : [finding(name, ofIt, places, { file, namespace })];
  });
  if (found.length > 0) return found;
  return [{ check, state: "fine", message: `ambient callers reach every endpoint (in ${someOf(places)})` }];
}

/**
 * The companion entry that `xds: true` makes for legacy names has no endpoints. ztunnel answers the DNS of ambient pods, too, and gives each
 * host of an entry an address: calls by a legacy name then go to one without endpoints, and are reset.
 */
function companions({ registries, file }: DoctorSettings, places: readonly string[]): readonly Finding[] {
  const names = registries
    .filter(({ xds, legacyNames = [] }) => xds === true && legacyNames.length > 0)
    .map(({ name }) => name);
  const [first] = names;
  if (first === undefined) return [];
  return [
    {
      check,
      state: "problem",
      message: `registry ${names.join(" and ")} ${names.length === 1 ? "has" : "have"} xds: true, and pods in ${someOf(places)} are ambient: DNS capture there gives legacy names an address without endpoints, so that calls by them are reset`,
      fix: `in ${file} write xds: false for registry ${names.join(" and ")}, or take those namespaces out of ambient; gRPC without a proxy then calls by the host`,
    },
  ];
}

function ambientNamespaces(
  namespaces: ReadonlyMap<string, NamespaceFact>,
  pods: readonly PodFact[],
): readonly string[] {
  const whole = [...namespaces].filter(([, { labels }]) => labels["istio.io/dataplane-mode"] === "ambient");
  const single = pods.filter(({ dataplaneMode }) => dataplaneMode === "ambient");
  return [...new Set([...whole.map(([name]) => name), ...single.map(({ namespace }) => namespace)])].sort();
}

function finding(
  registry: string,
  services: InstallationFacts["crowded"],
  places: readonly string[],
  { file, namespace }: { readonly file: string; readonly namespace: string },
): Finding {
  const names = services.map(({ service, address, count }) => `${service} has ${count} on ${address}`).sort();
  return {
    check,
    state: "problem",
    message: `${counted(services.length, "service")} of registry ${registry} ${services.length === 1 ? "has" : "have"} several endpoints on one address, of which ambient callers in ${someOf(places)} reach one only: ${someOf(names)}`,
    fix: `istioctl waypoint apply -n ${namespace} --name waypoint, then in ${file} write waypoint: ${namespace}/waypoint for registry ${registry}`,
  };
}
