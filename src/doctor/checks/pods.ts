import type { NamespaceFact, PodFact } from "../../model/cluster-facts.ts";
import { type Check, valueOr, whenKnown } from "../check.ts";
import type { Finding } from "../finding.ts";
import { aliasNamespaces } from "../settings.ts";
import { counted, shellWord, someOf } from "../text.ts";

const check = "pods";

/** Pods that get a VIP for an alias need something that leads it on: a sidecar, or ztunnel. */
export const pods: Check = (facts, settings) =>
  whenKnown(check, { pods: facts.pods, namespaces: facts.namespaces }, (known) => {
    const places = aliasNamespaces(settings);
    const revisions = valueOr(facts.istiodPods, []).map(({ revision }) => revision);
    const found = places.flatMap((namespace) => {
      const fact = known.namespaces.get(namespace);
      const inside = known.pods.filter((pod) => pod.namespace === namespace);
      const uncaptured = inside.filter((pod) => !hasDataPlane(pod, fact));
      return uncaptured.length === 0 ? [] : [finding(namespace, fact, uncaptured, inside.length, revisions)];
    });
    if (found.length > 0) return found;
    const count = known.pods.filter(({ namespace }) => places.includes(namespace)).length;
    const where = places.length === 0 ? "there are no aliases" : `in ${someOf(places)}: ${counted(count, "pod")}`;
    return [{ check, state: "fine", message: `every pod beside an alias has a sidecar or is ambient (${where})` }];
  });

function hasDataPlane(
  { hasSidecar, isHostNetwork, dataplaneMode }: PodFact,
  namespace: NamespaceFact | undefined,
): boolean {
  const mode = dataplaneMode ?? namespace?.labels["istio.io/dataplane-mode"];
  return hasSidecar || (mode === "ambient" && !isHostNetwork);
}

function finding(
  namespace: string,
  fact: NamespaceFact | undefined,
  uncaptured: readonly PodFact[],
  all: number,
  revisions: readonly string[],
): Finding {
  const names = uncaptured.map(({ name }) => name).sort();
  const optedOut = uncaptured.filter(({ inject }) => inject === "false").length;
  const onHost = uncaptured.filter(({ isHostNetwork }) => isHostNetwork).length;
  const notes = [
    ...(optedOut > 0 ? [`${optedOut} opted out by sidecar.istio.io/inject`] : []),
    ...(onHost > 0 ? [`${onHost} in the node's network, where no sidecar can be`] : []),
  ];
  const why = notes.length === 0 ? "" : ` (${notes.join(", ")})`;
  return {
    check,
    state: "problem",
    message: `${uncaptured.length} of ${counted(all, "pod")} in namespace ${namespace} ${uncaptured.length === 1 ? "has" : "have"} no sidecar and ${uncaptured.length === 1 ? "is" : "are"} not ambient, so that calls by alias fail from there: ${someOf(names)}${why}`,
    fix: injecting(namespace, fact, uncaptured, revisions),
  };
}

function injecting(
  namespace: string,
  fact: NamespaceFact | undefined,
  uncaptured: readonly PodFact[],
  revisions: readonly string[],
): string {
  const isLabelled = fact?.labels["istio-injection"] === "enabled" || fact?.labels["istio.io/rev"] !== undefined;
  const [revision] = revisions;
  const label =
    revision === undefined || revisions.includes("default") ? "istio-injection=enabled" : `istio.io/rev=${revision}`;
  const owners = [
    ...new Set(uncaptured.flatMap(({ owner }) => (owner === undefined ? [] : [restartable(owner)]))),
  ].sort();
  const restarts = owners.filter((owner) => owner !== undefined).map(shellWord);
  const restart = `kubectl rollout restart -n ${shellWord(namespace)} ${restarts.length > 0 ? restarts.join(" ") : "deployment"}`;
  return isLabelled ? restart : `kubectl label namespace ${shellWord(namespace)} ${shellWord(label)} && ${restart}`;
}

function restartable({ kind, name }: { readonly kind: string; readonly name: string }): string | undefined {
  return ["Deployment", "StatefulSet", "DaemonSet"].includes(kind) ? `${kind.toLowerCase()}/${name}` : undefined;
}
