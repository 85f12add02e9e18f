import { coverTogether, ISTIO_VIP_RANGES, listedRanges, overlaps, vipRanges } from "../../istio/ranges.ts";
import type { PodFact } from "../../model/cluster-facts.ts";
import { annotate, ownerText } from "../annotate.ts";
import { attempt } from "../attempt.ts";
import { type Check, whenKnown } from "../check.ts";
import type { Finding } from "../finding.ts";
import { type InjectorRanges, type MeshConfig, readInjectors, readMeshConfigs } from "../mesh-config.ts";
import type { DoctorSettings } from "../settings.ts";
import { counted, shellWord, someOf } from "../text.ts";
import { portFindings } from "./capture-ports.ts";

const check = "capture";

/** Sidecars must take what is sent to a VIP: by the defaults of the injectors, and by what pods say themselves. */
export const capture: Check = (facts, settings, installation) => {
  const { istio, pods } = facts;
  // Istio's own VIPs are for sidecars that capture DNS; whether they take the addresses is a matter of its prefixes.
  const ranges = settings.vips.mode === "istio" ? [ISTIO_VIP_RANGES.v4] : vipRanges(settings);
  return [
    ...whenKnown(check, { istio }, (known) =>
      attempt(check, () => ofMesh(readMeshConfigs(known.istio), readInjectors(known.istio), ranges, settings)),
    ),
    ...whenKnown(check, { istio, pods }, (known) =>
      attempt(check, () => ofPods(known.pods, readInjectors(known.istio), ranges)),
    ),
    ...portFindings(facts, settings, installation),
  ];
};

function ofMesh(
  meshes: readonly MeshConfig[],
  injectors: readonly InjectorRanges[],
  ranges: readonly string[],
  { istioNamespace }: DoctorSettings,
): readonly Finding[] {
  if (injectors.length === 0)
    return [
      {
        check,
        state: "unchecked",
        message: `could not be checked: there is no ConfigMap istio-sidecar-injector in ${istioNamespace}; --istio-namespace names another place`,
      },
    ];
  const found = [
    ...meshes
      .filter(({ interceptionMode }) => interceptionMode === "NONE")
      .map(({ name }) => interceptsNothing(name, istioNamespace)),
    ...injectors.flatMap((injector) => ofInjector(injector, ranges, istioNamespace)),
  ];
  if (found.length > 0) return found;
  const policies = [...new Set(meshes.map(({ outboundTrafficPolicy }) => outboundTrafficPolicy))];
  const otherwise = policies.length === 0 ? "" : `; what they do not know is under ${policies.join(" and ")}`;
  return [
    { check, state: "fine", message: `sidecars capture traffic to ${ranges.join(" and ")} by default${otherwise}` },
  ];
}

function interceptsNothing(name: string, istioNamespace: string): Finding {
  return {
    check,
    state: "problem",
    message: `interceptionMode of the mesh configuration in ConfigMap ${name} is NONE: sidecars do not capture traffic to VIPs`,
    fix: `helm upgrade istiod istio/istiod -n ${shellWord(istioNamespace)} --reuse-values --set meshConfig.defaultConfig.interceptionMode=REDIRECT`,
  };
}

function ofInjector(injector: InjectorRanges, ranges: readonly string[], istioNamespace: string): readonly Finding[] {
  const missed = ranges.filter((range) => !isTaken(range, injector.include, injector.exclude));
  if (missed.length === 0) return [];
  const { include, exclude } = repaired(injector.include, injector.exclude, missed);
  const value = (list: string) => list.replaceAll(",", "\\,");
  return [
    {
      check,
      state: "problem",
      message: `sidecars do not capture traffic to ${missed.join(" and ")}: ConfigMap ${injector.name} says: ${rangesText(injector)}`,
      fix: [
        `helm upgrade istiod istio/istiod -n ${shellWord(istioNamespace)} --reuse-values`,
        `--set-string ${shellWord(`global.proxy.includeIPRanges=${value(include)}`)}`,
        `--set-string ${shellWord(`global.proxy.excludeIPRanges=${value(exclude)}`)}, then restart the workloads`,
      ].join(" "),
    },
  ];
}

function ofPods(
  pods: readonly PodFact[],
  injectors: readonly InjectorRanges[],
  ranges: readonly string[],
): readonly Finding[] {
  const isDefault = ({ include, exclude }: Ranges) =>
    injectors.some((injector) => injector.include === include && injector.exclude === exclude);
  const [fallback = { include: "*", exclude: "" }] = injectors;
  const wrong = pods.flatMap((pod) => {
    if (!pod.hasSidecar || (pod.includeRanges === undefined && pod.excludeRanges === undefined)) return [];
    const own = { include: pod.includeRanges ?? fallback.include, exclude: pod.excludeRanges ?? fallback.exclude };
    const missed = ranges.filter((range) => !isTaken(range, own.include, own.exclude));
    // What the injector wrote is the injector's matter, and said there.
    return missed.length === 0 || isDefault(own) ? [] : [{ pod, own, missed }];
  });
  const byOwner = Map.groupBy(wrong, ({ pod }) => ownerText(pod));
  const found = [...byOwner].map(([owner, ones]): Finding => {
    const [first] = ones;
    const { own, missed } = first ?? { own: fallback, missed: [] };
    return {
      check,
      state: "problem",
      message: `${owner} does not capture traffic to ${missed.join(" and ")}: annotations of ${counted(ones.length, "pod")} say: ${rangesText(own)}`,
      fix: first === undefined ? "" : annotate(first.pod, annotations(repaired(own.include, own.exclude, missed))),
    };
  });
  if (found.length > 0) return found;
  const sidecars = pods.filter(({ hasSidecar }) => hasSidecar).length;
  return [
    {
      check,
      state: "fine",
      message: `no annotation excludes a VIP from capture in the ${counted(sidecars, "pod")} with a sidecar`,
    },
  ];
}

interface Ranges {
  readonly include: string;
  readonly exclude: string;
}

function rangesText({ include, exclude }: Ranges): string {
  const quoted = (list: string) => someOf(listedRanges(list).map((one) => JSON.stringify(one))) || "nothing";
  return exclude === "" ? `include ${quoted(include)}` : `include ${quoted(include)}, exclude ${quoted(exclude)}`;
}

/** An empty list includes nothing, `*` everything (istio.io/api annotation/annotations.yaml). */
function isTaken(range: string, include: string, exclude: string): boolean {
  const included = listedRanges(include);
  const isIncluded = included.includes("*") || coverTogether(included, range);
  return isIncluded && !listedRanges(exclude).some((one) => overlaps(one, range));
}

function repaired(include: string, exclude: string, ranges: readonly string[]): Ranges {
  const included = listedRanges(include);
  const missing = included.includes("*") ? [] : ranges.filter((range) => !coverTogether(included, range));
  const kept = listedRanges(exclude).filter((one) => !ranges.some((range) => overlaps(one, range)));
  return { include: [...included, ...missing].join(","), exclude: kept.join(",") };
}

function annotations({ include, exclude }: Ranges): Readonly<Record<string, string>> {
  return {
    "traffic.sidecar.istio.io/includeOutboundIPRanges": include,
    "traffic.sidecar.istio.io/excludeOutboundIPRanges": exclude,
  };
}
