import { listedRanges } from "../../istio/ranges.ts";
import type { ClusterFacts, Fact, PodFact } from "../../model/cluster-facts.ts";
import { annotate, ownerText } from "../annotate.ts";
import { attempt } from "../attempt.ts";
import { whenKnown } from "../check.ts";
import type { Finding } from "../finding.ts";
import type { InstallationFacts } from "../installation.ts";
import { type InjectorRanges, readInjectors } from "../mesh-config.ts";
import type { DoctorSettings } from "../settings.ts";
import { counted, shellWord, someOf } from "../text.ts";

const check = "capture";
const EXCLUDE_PORTS = "traffic.sidecar.istio.io/excludeOutboundPorts";

/** Ports that go past sidecars must not be those of entries: nothing else leads a VIP on. */
export function portFindings(
  { istio, pods, entries }: ClusterFacts,
  settings: DoctorSettings,
  installation: Fact<InstallationFacts>,
): readonly Finding[] {
  return whenKnown(check, { istio, pods, entries }, (known) =>
    attempt(check, () => {
      const planned = installation.known ? installation.value.ports : [];
      const used = new Set([...known.entries.flatMap(({ isOurs, ports }) => (isOurs ? ports : [])), ...planned]);
      const injectors = readInjectors(known.istio);
      const defaults = new Set(injectors.map(({ excludePorts }) => excludePorts));
      return [
        ...injectors.flatMap((injector) => ofInjector(injector, used, settings)),
        ...ofPods(known.pods, used, defaults),
      ];
    }),
  );
}

/** The listed ports that are used. */
function bypassing(list: string, used: ReadonlySet<number>): readonly string[] {
  return listedRanges(list).filter((port) => used.has(Number(port)));
}

function without(list: string, bypassed: readonly string[]): string {
  return listedRanges(list)
    .filter((port) => !bypassed.includes(port))
    .join(",");
}

function ofInjector(
  { name, excludePorts }: InjectorRanges,
  used: ReadonlySet<number>,
  { istioNamespace }: DoctorSettings,
): readonly Finding[] {
  const bypassed = bypassing(excludePorts, used);
  if (bypassed.length === 0) return [];
  const value = `global.proxy.excludeOutboundPorts=${without(excludePorts, bypassed).replaceAll(",", "\\,")}`;
  return [
    {
      check,
      state: "problem",
      message: `calls to port ${bypassed.join(" and ")} bypass sidecars because of ConfigMap ${name}, and entries have that port: calls to their VIPs fail`,
      fix: `helm upgrade istiod istio/istiod -n ${shellWord(istioNamespace)} --reuse-values --set-string ${shellWord(value)}, then restart the workloads`,
    },
  ];
}

function ofPods(
  pods: readonly PodFact[],
  used: ReadonlySet<number>,
  defaults: ReadonlySet<string>,
): readonly Finding[] {
  const wrong = pods.flatMap((pod) => {
    const list = pod.excludePorts;
    // What the injector wrote is the injector's matter.
    const isOwn = pod.hasSidecar && list !== undefined && !defaults.has(list);
    const bypassed = isOwn ? bypassing(list, used) : [];
    return bypassed.length === 0 ? [] : [{ pod, list: list ?? "", bypassed }];
  });
  return [...Map.groupBy(wrong, ({ pod }) => ownerText(pod))].flatMap(([owner, ones]): readonly Finding[] => {
    const [first] = ones;
    if (first === undefined) return [];
    const { pod, list, bypassed } = first;
    return [
      {
        check,
        state: "problem",
        message: `${owner} sends port ${bypassed.join(" and ")} around its sidecar, and entries have that port: calls to their VIPs fail from ${counted(ones.length, "pod")}: ${someOf(ones.map((one) => one.pod.name))}`,
        fix: annotate(pod, { [EXCLUDE_PORTS]: without(list, bypassed) }),
      },
    ];
  });
}
