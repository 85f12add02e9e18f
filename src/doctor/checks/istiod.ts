import type { ElectionFact, IstiodPod, IstioFacts } from "../../model/cluster-facts.ts";
import { attempt } from "../attempt.ts";
import { type Check, whenKnown } from "../check.ts";
import { isHeld } from "../elections.ts";
import type { Finding } from "../finding.ts";
import { readMeshConfigs } from "../mesh-config.ts";
import type { DoctorSettings } from "../settings.ts";
import { shellWord, someOf } from "../text.ts";

const check = "istiod";
/** Elections that istiod holds in its config cluster only: pilot/pkg/leaderelection/leaderelection.go and who uses it. */
const OF_CONFIG_CLUSTER =
  /^istio-(?:leader|ip-autoallocate|status-leader|analyze-leader|gateway-status-leader.*|gateway-deployment.*)$/;
const OLDEST_MINOR = 22;

/**
 * An istiod must read its configuration from this cluster: ServiceEntries are read from nowhere else. Whoever holds the elections
 * of a config cluster does; it need not run in it.
 */
export const istiod: Check = ({ istio, istiodPods, nowMs }, settings) =>
  whenKnown(check, { istio, istiodPods }, (known) => [
    ...versions(known.istiodPods, settings),
    reader(known.istio, known.istiodPods, nowMs, settings),
    ...attempt(check, () => sources(known.istio, settings)),
  ]);

function reader(
  { elections }: IstioFacts,
  pods: readonly IstiodPod[],
  nowMs: number,
  { istioNamespace }: DoctorSettings,
): Finding {
  const live = elections.filter((one) => isHeld(one, nowMs));
  const here = live.filter(({ name, key }) => OF_CONFIG_CLUSTER.test(name) && !key.startsWith("^"));
  if (here.length > 0)
    return { check, state: "fine", message: `${holdersOf(here)} reads its configuration from this cluster` };
  const ready = pods.filter(({ isReady }) => isReady);
  if (live.some(({ key }) => key.startsWith("^")))
    return {
      check,
      state: "problem",
      message: `${holdersOf(live)} serves this cluster but reads its configuration from another one, and ServiceEntries are read from there only`,
      fix: "kubectl config get-contexts, then name the config cluster's in target.context of the configuration",
    };
  if (ready.length > 0)
    return {
      check,
      state: "unchecked",
      message: `could not be checked: ${someOf(ready.map(({ name }) => name))} is ready but holds none of a config cluster's elections`,
    };
  if (pods.length > 0)
    return {
      check,
      state: "problem",
      message: `no istiod is ready: ${someOf(pods.map(({ name }) => name))}`,
      fix: `kubectl describe pods -n ${shellWord(istioNamespace)} -l app=istiod`,
    };
  return {
    check,
    state: "problem",
    message: `no istiod uses this cluster as its config cluster: none runs in ${istioNamespace}, and none has held an election there lately`,
    fix: `helm upgrade --install istiod istio/istiod -n ${shellWord(istioNamespace)}`,
  };
}

function holdersOf(elections: readonly ElectionFact[]): string {
  return someOf([...new Set(elections.map(({ holder }) => holder))].sort());
}

function versions(pods: readonly IstiodPod[], { istioNamespace }: DoctorSettings): readonly Finding[] {
  const old = pods.filter(({ version }) => {
    const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(version) ?? [];
    return major !== undefined && Number(major) === 1 && Number(minor) < OLDEST_MINOR;
  });
  if (old.length === 0) return [];
  const found = [...new Set(old.map(({ version }) => version))];
  return [
    {
      check,
      state: "problem",
      message: `istiod is of version ${found.join(" and ")}, but 1.${OLDEST_MINOR} or later is needed`,
      fix: `helm upgrade istiod istio/istiod -n ${shellWord(istioNamespace)}`,
    },
  ];
}

/** With sources of its own istiod reads the API server only if that is one of them. */
function sources(istio: IstioFacts, { istioNamespace }: DoctorSettings): readonly Finding[] {
  const elsewhere = readMeshConfigs(istio).filter(
    ({ configSources }) => configSources.length > 0 && !configSources.some((address) => address.startsWith("k8s://")),
  );
  return elsewhere.map(({ name, configSources }) => ({
    check,
    state: "problem",
    message: `configSources of the mesh configuration name ${someOf(configSources.map((one) => JSON.stringify(one)))} but not k8s://, so that istiod reads no ServiceEntry of this cluster`,
    fix: `kubectl edit configmap -n ${shellWord(istioNamespace)} ${shellWord(name)}, and add {address: "k8s://"} to configSources`,
  }));
}
