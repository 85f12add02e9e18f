import type { ClusterFacts, EntryFact, IstiodPod, NodeFact, PodFact, ServiceFact } from "../model/cluster-facts.ts";
import { attempt } from "./attempt.ts";
import { familyFindings } from "./families.ts";
import { type Check, type DoctorSettings, type Finding, shellWord, someOf, valueOr, whenKnown } from "./finding.ts";
import { readMeshConfigs } from "./mesh-config.ts";
import { overlaps, rangeOf } from "./ranges.ts";

const check = "vips";
/** Istio's own defaults: pilot/pkg/features/pilot.go. */
const ISTIO_PREFIXES = {
  PILOT_IP_AUTOALLOCATE_IPV4_PREFIX: "240.240.0.0/16",
  PILOT_IP_AUTOALLOCATE_IPV6_PREFIX: "2001:2::/48",
};

/** VIPs must be nobody else's addresses; with `vips.mode: istio`, Istio must give some and callers be able to use them. */
export const vips: Check = (facts, settings) => {
  const ofMode = settings.vips.mode === "istio" ? ofIstio(facts, settings) : ofOurs(facts, settings);
  const ofFamilies = familyFindings(facts, settings);
  // What is fine is said only where nothing else is to be said.
  return ofFamilies.length > 0 ? [...ofMode.filter(({ state }) => state !== "fine"), ...ofFamilies] : ofMode;
};

/** Addresses that others have, and what they are: `Services get their addresses from`. */
interface Taken {
  readonly range: string;
  readonly what: string;
}

function ofOurs(facts: ClusterFacts, settings: DoctorSettings): readonly Finding[] {
  const { nodes, pods, services, serviceRanges, entries, istiodPods } = facts;
  const { ranges } = settings.vips;
  const taken: Taken[] = [];
  const note = (more: readonly Taken[]): readonly Finding[] => {
    taken.push(...more.filter((one) => ranges.some((range) => overlaps(range, one.range))));
    return [];
  };
  // Whole ranges first: they say more than the single address that happens to be in one.
  const unknown = [
    whenKnown(check, { serviceRanges }, (known) => note(known.serviceRanges.map(ofServices))),
    whenKnown(check, { nodes }, (known) => note(known.nodes.flatMap(ofNode))),
    whenKnown(check, { istiodPods }, (known) => note(known.istiodPods.flatMap(ofIstiod))),
    whenKnown(check, { entries }, (known) => note(known.entries.flatMap(ofEntry))),
    whenKnown(check, { services }, (known) => note(known.services.flatMap(ofService))),
    whenKnown(check, { pods }, (known) => note(known.pods.flatMap(ofPod))),
  ].flat();
  const found = [...clashes(taken, facts, settings), ...unknown];
  if (found.length > 0) return found;
  const message = `${settings.vips.ranges.join(" and ")} is outside the addresses of pods, nodes, Services, Istio and other entries`;
  return [{ check, state: "fine", message }];
}

function clashes(taken: readonly Taken[], facts: ClusterFacts, settings: DoctorSettings): readonly Finding[] {
  return settings.vips.ranges.flatMap((range) => {
    const clashing = taken.filter((one) => overlaps(range, one.range));
    if (clashing.length === 0) return [];
    const [first] = clashing;
    const more = clashing.length > 1 ? ` (and ${clashing.length - 1} more)` : "";
    return [
      {
        check,
        state: "problem" as const,
        message: `vips.ranges has ${range}, but ${first?.what} ${first?.range}${more}`,
        mend: `in ${settings.file} write vips: {ranges: [${freeRange(range, facts)}]}; VIPs that were given out stay`,
      },
    ];
  });
}

function ofNode({ name, podRanges, addresses }: NodeFact): readonly Taken[] {
  return [
    ...podRanges.map((range) => ({ range, what: `the pods of node ${name} have` })),
    ...addresses.map((range) => ({ range, what: `node ${name} has` })),
  ];
}

function ofPod({ namespace, name, addresses }: PodFact): readonly Taken[] {
  return addresses.map((range) => ({ range, what: `pod ${namespace}/${name} has` }));
}

function ofService({ namespace, name, addresses }: ServiceFact): readonly Taken[] {
  return addresses.map((range) => ({ range, what: `Service ${namespace}/${name} has` }));
}

function ofServices(range: string): Taken {
  return { range, what: "Services get their addresses from" };
}

/** Single addresses of other entries are passed over when VIPs are given out; ranges are not. */
function ofEntry({ namespace, name, isOurs, addresses }: EntryFact): readonly Taken[] {
  const ranges = isOurs ? [] : addresses.filter((text) => text.includes("/") && !/\/(?:32|128)$/.test(text));
  return ranges.map((range) => ({ range, what: `ServiceEntry ${namespace}/${name} has` }));
}

function ofIstiod({ name, env }: Pick<IstiodPod, "name" | "env">): readonly Taken[] {
  return Object.entries(ISTIO_PREFIXES).map(([variable, range]) => ({
    range: env[variable] ?? range,
    what: `istiod (${name}) gives addresses from`,
  }));
}

/** A range of the same family that nothing known has an address in. */
function freeRange(range: string, facts: ClusterFacts): string {
  const all = [
    ...valueOr(facts.nodes, []).flatMap(ofNode),
    ...valueOr(facts.pods, []).flatMap(ofPod),
    ...valueOr(facts.services, []).flatMap(ofService),
    ...valueOr(facts.serviceRanges, []).map(ofServices),
    ...valueOr(facts.entries, []).flatMap(ofEntry),
    ...valueOr(facts.istiodPods, []).flatMap(ofIstiod),
    ...ofIstiod({ name: "", env: {} }),
  ];
  const isV6 = rangeOf(range)?.[0].kind() === "ipv6";
  const candidates = Array.from({ length: 15 }, (_, at) =>
    isV6 ? `fd00:${(241 + at).toString(10)}::/64` : `240.${241 + at}.0.0/16`,
  );
  return candidates.find((candidate) => !all.some((one) => overlaps(candidate, one.range))) ?? "a free range";
}

function ofIstio({ istio, pods, nowMs }: ClusterFacts, settings: DoctorSettings): readonly Finding[] {
  return whenKnown(check, { istio }, (known) =>
    attempt(check, () => {
      const { istioNamespace } = settings;
      const allocates = known.istio.elections.some(
        ({ name, renewedMs }) => name === "istio-ip-autoallocate" && nowMs - renewedMs < 90_000,
      );
      // ztunnel captures DNS by itself.
      const hasSidecars = valueOr(pods, []).some(({ hasSidecar }) => hasSidecar);
      const deaf = readMeshConfigs(known.istio).filter(({ capturesDns }) => hasSidecars && !capturesDns);
      const upgrade = `helm upgrade istiod istio/istiod -n ${shellWord(istioNamespace)} --reuse-values`;
      const found: Finding[] = [];
      if (!allocates)
        found.push({
          check,
          state: "problem",
          message:
            "vips.mode is istio, but no istiod gives addresses to ServiceEntries (1.25 or later does unless told not to)",
          mend: `${upgrade} --set env.PILOT_ENABLE_IP_AUTOALLOCATE=true`,
        });
      if (deaf.length > 0)
        found.push({
          check,
          state: "problem",
          message: `vips.mode is istio, but sidecars do not capture DNS by ${someOf(deaf.map(({ name }) => `ConfigMap ${name}`))}: Istio's own VIPs are of no use to them`,
          mend: `${upgrade} --set-string meshConfig.defaultConfig.proxyMetadata.ISTIO_META_DNS_CAPTURE=true`,
        });
      return found.length > 0
        ? found
        : [{ check, state: "fine", message: "istiod gives addresses to ServiceEntries, and sidecars capture DNS" }];
    }),
  );
}
