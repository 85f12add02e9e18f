import type { TlsRuleFact } from "../../model/cluster-facts.ts";
import { type Check, whenKnown } from "../check.ts";
import type { Finding } from "../finding.ts";
import type { DoctorSettings } from "../settings.ts";
import { shellWord } from "../text.ts";

const check = "tls";

/**
 * A DestinationRule that wants TLS to whatever host puts endpoints without a sidecar out of reach, until one for the entries'
 * hosts goes before it. Of those in the callers' namespace, then in the entries', then in Istio's own, the first that has one
 * decides, by its most specific host.
 *
 * @see istio/istio pilot/pkg/model/push_context.go: destinationRule
 */
export const tls: Check = (facts, settings) =>
  whenKnown(check, { tlsRules: facts.tlsRules }, ({ tlsRules }) => {
    const suffix = suffixOf(settings.hosts.template);
    const { namespace } = settings.target;
    const inNamespace = Map.groupBy(
      tlsRules.filter(({ host }) => covers(host, suffix)),
      (rule) => rule.namespace,
    );
    const decides = (place: string) => inNamespace.get(place)?.toSorted(bySpecific)[0];
    const forAll = (place: string) => (decides(place)?.isExported === true ? decides(place) : undefined);
    const callers = [...inNamespace.keys()].filter((place) => place !== namespace && place !== settings.istioNamespace);
    const found = [
      ...finding(forAll(namespace) ?? forAll(settings.istioNamespace), namespace, settings, suffix),
      ...callers.sort().flatMap((place) => finding(decides(place), place, settings, suffix)),
    ];
    if (found.length > 0) return found;
    return [{ check, state: "fine", message: `no DestinationRule requires TLS to endpoints without a sidecar` }];
  });

/** @param place where a rule of one's own would go before it */
function finding(
  rule: TlsRuleFact | undefined,
  place: string,
  { target }: DoctorSettings,
  suffix: string,
): readonly Finding[] {
  if (rule?.mode === undefined || rule.mode === "DISABLE") return [];
  const { namespace, name, host, mode } = rule;
  const from = place === target.namespace ? "" : ` from namespace ${place}`;
  const own = {
    apiVersion: "networking.istio.io/v1",
    kind: "DestinationRule",
    metadata: { name: host === `*.${suffix}` ? name : "by-endpoint", namespace: place },
    spec: { host: `*.${suffix}` },
  };
  return [
    {
      check,
      state: "problem",
      message: `DestinationRule ${namespace}/${name} says ${mode} for ${host}: endpoints without a sidecar are out of reach${from}`,
      fix: `echo ${shellWord(JSON.stringify(own))} | kubectl apply -f -`,
    },
  ];
}

/** The domain of all hosts of a template: `mesh.internal` of `{service}.{namespace}.mesh.internal`. */
function suffixOf(template: string): string {
  const end = template.slice(template.lastIndexOf("}") + 1);
  return end.slice(end.indexOf(".") + 1);
}

function covers(host: string, suffix: string): boolean {
  return host === "*" || `.${suffix}`.endsWith(host.slice(1));
}

function bySpecific(a: TlsRuleFact, b: TlsRuleFact): number {
  return b.host.length - a.host.length || (a.name < b.name ? -1 : 1);
}
