import type { ClusterFacts } from "../model/cluster-facts.ts";
import { attempt } from "./attempt.ts";
import { counted, type DoctorSettings, type Finding, shellWord, someOf, valueOr, whenKnown } from "./finding.ts";
import { readMeshConfigs } from "./mesh-config.ts";

const check = "vips";

/** VIPs of IPv6 are of use to sidecars that have IPv6, and beside VIPs of IPv4 only with Istio's dual stack. */
export function familyFindings(facts: ClusterFacts, settings: DoctorSettings): readonly Finding[] {
  const { mode, ranges, families = ["v4"] } = settings.vips;
  const hasV6 = mode === "istio" ? families.includes("v6") : ranges.some((range) => range.includes(":"));
  const hasV4 = mode === "istio" ? families.includes("v4") : ranges.some((range) => !range.includes(":"));
  if (!hasV6) return [];
  return [...withoutV6(facts, settings), ...(hasV4 ? withoutDualStack(facts, settings) : [])];
}

function withoutV6({ pods }: ClusterFacts, { file, vips }: DoctorSettings): readonly Finding[] {
  const deaf = valueOr(pods, []).filter(
    ({ hasSidecar, addresses }) => hasSidecar && addresses.length > 0 && !addresses.some((one) => one.includes(":")),
  );
  if (deaf.length === 0) return [];
  const places = [...new Set(deaf.map(({ namespace }) => namespace))].sort();
  const kept = vips.ranges.filter((range) => !range.includes(":"));
  return [
    {
      check,
      state: "problem",
      message: `there are IPv6 VIPs, but ${counted(deaf.length, "pod")} with a sidecar ${deaf.length === 1 ? "has" : "have"} no IPv6 address, so that nothing takes calls to them there: in ${someOf(places)}`,
      mend:
        vips.mode === "istio"
          ? `in ${file} write vips: {mode: istio, families: [IPv4]}, or give the cluster both families`
          : `in ${file} write vips: {ranges: [${kept.join(", ") || "240.241.0.0/16"}]}, or give the cluster both families`,
    },
  ];
}

function withoutDualStack({ istio }: ClusterFacts, { istioNamespace }: DoctorSettings): readonly Finding[] {
  return whenKnown(check, { istio }, (known) =>
    attempt(check, () => {
      const single = readMeshConfigs(known.istio).filter(({ isDualStack }) => !isDualStack);
      if (single.length === 0) return [];
      return [
        {
          check,
          state: "problem",
          message: `there are VIPs of both families, but ISTIO_DUAL_STACK is not set for sidecars by ${someOf(single.map(({ name }) => `ConfigMap ${name}`))}: they take one family only`,
          mend: `helm upgrade istiod istio/istiod -n ${shellWord(istioNamespace)} --reuse-values --set-string env.ISTIO_DUAL_STACK=true --set-string meshConfig.defaultConfig.proxyMetadata.ISTIO_DUAL_STACK=true`,
        },
      ];
    }),
  );
}
