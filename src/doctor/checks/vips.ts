import { ISTIO_VIP_RANGES, overlaps, rangeOf, vipRangeDoubt, vipRanges } from "../../istio/ranges.ts";
import type {
  ClusterFacts,
  EntryFact,
  Fact,
  IstiodPod,
  NodeFact,
  PodFact,
  ServiceFact,
} from "../../model/cluster-facts.ts";
import { attempt } from "../attempt.ts";
import { type Check, valueOr, whenKnown } from "../check.ts";
import { isHeld } from "../elections.ts";
import type { Finding } from "../finding.ts";
import type { InstallationFacts } from "../installation.ts";
import { readMeshConfigs } from "../mesh-config.ts";
import type { DoctorSettings } from "../settings.ts";
import { counted, shellWord, someOf } from "../text.ts";
import { familyFindings } from "./families.ts";

const check = "vips";
const MOST_SHOWN = 10;
/** Variables of istiod's environment that set its ranges, and their defaults. */
const ISTIO_PREFIXES = {
  PILOT_IP_AUTOALLOCATE_IPV4_PREFIX: ISTIO_VIP_RANGES.v4,
  PILOT_IP_AUTOALLOCATE_IPV6_PREFIX: ISTIO_VIP_RANGES.v6,
};

/** VIPs must be nobody else's addresses; with `vips.mode: istio`, Istio must give some and callers be able to use them. */
export const vips: Check = (facts, settings, installation) => {
  const ofMode = settings.vips.mode === "istio" ? ofIstio(facts, settings) : ofOurs(facts, settings, installation);
  const ofFamilies = familyFindings(facts, settings);
  // What is fine is said only where nothing else is to be said.
  return ofFamilies.length > 0 ? [...ofMode.filter(({ state }) => state !== "fine"), ...ofFamilies] : ofMode;
};

/** Addresses that others have, and what they are: `Services get their addresses from`. */
interface Taken {
  readonly range: string;
  readonly what: string;
}

function ofOurs(
  facts: ClusterFacts,
  settings: DoctorSettings,
  installation: Fact<InstallationFacts>,
): readonly Finding[] {
  const sources = takenBy(facts);
  const taken = sources.flatMap((fact) => valueOr(fact, []));
  const unknown = sources.flatMap((fact) => whenKnown(check, { fact }, () => []));
  const found = [
    ...clashes(taken, facts, settings),
    ...doubtful(facts, settings),
    ...claimed(installation),
    ...unknown,
  ];
  if (found.length > 0) return found;
  const message = `${vipRanges(settings).join(" and ")} is outside the addresses of pods, nodes, Services, Istio and other entries`;
  return [{ check, state: "fine", message }];
}

/** Whole ranges first: they say more than the single address that happens to be in one. */
function takenBy(facts: ClusterFacts): readonly Fact<readonly Taken[]>[] {
  const { nodes, pods, services, serviceRanges, entries, istiodPods } = facts;
  return [
    mapKnown(serviceRanges, (known) => known.map(ofServices)),
    mapKnown(nodes, (known) => known.flatMap(ofNode)),
    mapKnown(istiodPods, (known) => known.flatMap(ofIstiod)),
    mapKnown(entries, (known) => known.flatMap(ofEntry)),
    mapKnown(services, (known) => known.flatMap(ofService)),
    mapKnown(pods, (known) => known.flatMap(ofPod)),
  ];
}

function mapKnown<From, To>(fact: Fact<From>, to: (value: From) => To): Fact<To> {
  return fact.known ? { known: true, value: to(fact.value) } : fact;
}

function clashes(taken: readonly Taken[], facts: ClusterFacts, settings: DoctorSettings): readonly Finding[] {
  return rangesOf(settings).flatMap(({ range, option, example }) => {
    const clashing = taken.filter((one) => overlaps(range, one.range));
    if (clashing.length === 0) return [];
    const [first] = clashing;
    const more = clashing.length > 1 ? ` (and ${clashing.length - 1} more)` : "";
    return [
      {
        check,
        state: "problem" as const,
        message: `${option} has ${range}, but ${first?.what} ${first?.range}${more}`,
        fix: rewriteIn(settings, example(freeRange(range, facts))),
      },
    ];
  });
}

/** Ranges whose addresses are somebody's, wherever they are. */
function doubtful(facts: ClusterFacts, settings: DoctorSettings): readonly Finding[] {
  return rangesOf(settings).flatMap(({ range, option, example }) => {
    const doubt = vipRangeDoubt(range, true);
    if (doubt === undefined) return [];
    const message = `${option} has ${range}, which ${doubt}`;
    return [{ check, state: "warning" as const, message, fix: rewriteIn(settings, example(freeRange(range, facts))) }];
  });
}

function rewriteIn({ file }: DoctorSettings, text: string): string {
  return `in ${file} write ${text}; VIPs that are already allocated stay`;
}

/** VIPs that stand and that someone else claims. */
function claimed(installation: Fact<InstallationFacts>): readonly Finding[] {
  const all = valueOr(
    mapKnown(installation, ({ vipClashes }) => vipClashes),
    [],
  );
  const found = all.slice(0, MOST_SHOWN).map(({ object, message }): Finding => {
    const [kind = "", namespace = "", name = ""] = object.split("/");
    const fix = `kubectl -n ${shellWord(namespace)} edit ${kind.toLowerCase()} ${shellWord(name)}`;
    return { check, state: "problem", message, fix };
  });
  const more = all.length - MOST_SHOWN;
  if (more <= 0) return found;
  const message = `${counted(more, "further object")} of others ${more === 1 ? "claims" : "claim"} VIPs of ours`;
  return [...found, { check, state: "problem", message, fix: "x2istio plan names them" }];
}

/** Where VIPs come from, and how to write another range there. */
function rangesOf({ vips: { ranges }, registries }: DoctorSettings): readonly {
  readonly range: string;
  readonly option: string;
  readonly example: (range: string) => string;
}[] {
  const shared = { option: "vips.ranges", example: (range: string) => `vips: {ranges: [${range}]}` };
  return [
    ...ranges.map((range) => ({ range, ...shared })),
    ...registries.flatMap(({ name, ranges: own = [] }) =>
      own.map((range) => ({
        range,
        option: `ranges of registry ${name}`,
        example: (other: string) => `ranges: [${other}] at registry ${name}`,
      })),
    ),
  ];
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

/** What the author of a Service only asks for is no reason to use another range. */
function ofService({ namespace, name, addresses, askedAddresses }: ServiceFact): readonly Taken[] {
  const asked = new Set(askedAddresses);
  return addresses
    .filter((address) => !asked.has(address))
    .map((range) => ({ range, what: `Service ${namespace}/${name} has` }));
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
  const all = [...takenBy(facts).flatMap((fact) => valueOr(fact, [])), ...ofIstiod({ name: "", env: {} })];
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
      const allocates = known.istio.elections.some((one) => one.name === "istio-ip-autoallocate" && isHeld(one, nowMs));
      // ztunnel captures DNS by itself.
      const hasSidecars = valueOr(pods, []).some(({ hasSidecar }) => hasSidecar);
      const withoutCapture = readMeshConfigs(known.istio).filter(({ capturesDns }) => hasSidecars && !capturesDns);
      const upgrade = `helm upgrade istiod istio/istiod -n ${shellWord(istioNamespace)} --reuse-values`;
      const found: Finding[] = [];
      if (!allocates)
        found.push({
          check,
          state: "problem",
          message: "vips.mode is istio, but no istiod gives addresses to ServiceEntries (1.25 and later do by default)",
          fix: `${upgrade} --set env.PILOT_ENABLE_IP_AUTOALLOCATE=true`,
        });
      if (withoutCapture.length > 0)
        found.push({
          check,
          state: "problem",
          message: `vips.mode is istio, but sidecars do not capture DNS by ${someOf(withoutCapture.map(({ name }) => `ConfigMap ${name}`))}: they cannot use Istio's own VIPs`,
          fix: `${upgrade} --set-string meshConfig.defaultConfig.proxyMetadata.ISTIO_META_DNS_CAPTURE=true`,
        });
      return found.length > 0
        ? found
        : [{ check, state: "fine", message: "istiod gives addresses to ServiceEntries, and sidecars capture DNS" }];
    }),
  );
}
