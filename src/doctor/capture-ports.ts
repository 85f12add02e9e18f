import type { ClusterFacts, Fact, PodFact } from "../model/cluster-facts.ts";
import { annotate, ownerText } from "./annotate.ts";
import { attempt } from "./attempt.ts";
import {
  counted,
  type DoctorSettings,
  type EstateFacts,
  type Finding,
  shellWord,
  someOf,
  whenKnown,
} from "./finding.ts";
import { type InjectorRanges, readInjectors } from "./mesh-config.ts";
import { listedRanges } from "./ranges.ts";

const check = "capture";
const EXCLUDE_PORTS = "traffic.sidecar.istio.io/excludeOutboundPorts";

/** Ports that go past sidecars must not be those of entries: nothing else leads a VIP on. */
export function portFindings(
  { istio, pods, entries }: ClusterFacts,
  settings: DoctorSettings,
  estate: Fact<EstateFacts>,
): readonly Finding[] {
  return whenKnown(check, { istio, pods, entries }, (known) =>
    attempt(check, () => {
      const planned = estate.known ? estate.value.ports : [];
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
function lostOf(list: string, used: ReadonlySet<number>): readonly string[] {
  return listedRanges(list).filter((port) => used.has(Number(port)));
}

function without(list: string, lost: readonly string[]): string {
  return listedRanges(list)
    .filter((port) => !lost.includes(port))
    .join(",");
}

function ofInjector(
  { name, excludePorts }: InjectorRanges,
  used: ReadonlySet<number>,
  { istioNamespace }: DoctorSettings,
): readonly Finding[] {
  const lost = lostOf(excludePorts, used);
  if (lost.length === 0) return [];
  const value = `global.proxy.excludeOutboundPorts=${without(excludePorts, lost).replaceAll(",", "\\,")}`;
  return [
    {
      check,
      state: "problem",
      message: `calls to port ${lost.join(" and ")} go past sidecars by ConfigMap ${name}, and entries have that port: their VIPs lead nowhere`,
      mend: `helm upgrade istiod istio/istiod -n ${shellWord(istioNamespace)} --reuse-values --set-string ${shellWord(value)}, then restart the workloads`,
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
    const lost = isOwn ? lostOf(list, used) : [];
    return lost.length === 0 ? [] : [{ pod, list: list ?? "", lost }];
  });
  return [...Map.groupBy(wrong, ({ pod }) => ownerText(pod))].flatMap(([owner, ones]): readonly Finding[] => {
    const [first] = ones;
    if (first === undefined) return [];
    const { pod, list, lost } = first;
    return [
      {
        check,
        state: "problem",
        message: `${owner} sends port ${lost.join(" and ")} past its sidecar, and entries have that port: their VIPs lead nowhere from ${counted(ones.length, "pod")}: ${someOf(ones.map((one) => one.pod.name))}`,
        mend: annotate(pod, { [EXCLUDE_PORTS]: without(list, lost) }),
      },
    ];
  });
}
