import type { ClusterFacts } from "../../model/cluster-facts.ts";
import { attempt } from "../attempt.ts";
import { valueOr, whenKnown } from "../check.ts";
import type { Finding } from "../finding.ts";
import { readMeshConfigs } from "../mesh-config.ts";
import type { DoctorSettings } from "../settings.ts";
import { counted, shellWord, someOf } from "../text.ts";

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
  const v4Only = valueOr(pods, []).filter(
    ({ hasSidecar, addresses }) => hasSidecar && addresses.length > 0 && !addresses.some((one) => one.includes(":")),
  );
  if (v4Only.length === 0) return [];
  const places = [...new Set(v4Only.map(({ namespace }) => namespace))].sort();
  const kept = vips.ranges.filter((range) => !range.includes(":"));
  return [
    {
      check,
      state: "problem",
      message: `there are IPv6 VIPs, but ${counted(v4Only.length, "pod")} with a sidecar ${v4Only.length === 1 ? "has" : "have"} no IPv6 address, so that calls to them are not captured there: in ${someOf(places)}`,
      fix:
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
          message: `there are VIPs of both families, but ISTIO_DUAL_STACK is not set for sidecars by ${someOf(single.map(({ name }) => `ConfigMap ${name}`))}: they handle one family only`,
          fix: `helm upgrade istiod istio/istiod -n ${shellWord(istioNamespace)} --reuse-values --set-string env.ISTIO_DUAL_STACK=true --set-string meshConfig.defaultConfig.proxyMetadata.ISTIO_DUAL_STACK=true`,
        },
      ];
    }),
  );
}
