import type { NamespaceFact } from "../../model/cluster-facts.ts";
import { attempt } from "../attempt.ts";
import { type Check, whenKnown } from "../check.ts";
import type { Finding } from "../finding.ts";
import { isSelected, readMeshConfigs } from "../mesh-config.ts";
import { aliasNamespaces, type DoctorSettings } from "../settings.ts";
import { shellWord } from "../text.ts";

const check = "namespaces";

/** The namespaces that are written to must be there, and be among those that istiod reads. */
export const namespaces: Check = (facts, settings) => [
  ...whenKnown(check, { namespaces: facts.namespaces }, (known) => presence(known.namespaces, settings)),
  ...whenKnown(check, { namespaces: facts.namespaces, istio: facts.istio }, (known) =>
    attempt(check, () =>
      readMeshConfigs(known.istio).flatMap(({ name, discoverySelectors }) =>
        visible(settings).flatMap((namespace): readonly Finding[] => {
          const labels = known.namespaces.get(namespace)?.labels;
          if (labels === undefined || isSelected(discoverySelectors, labels)) return [];
          return [
            {
              check,
              state: "problem",
              message: `discoverySelectors of the mesh configuration do not select namespace ${namespace}: istiod sees nothing in it`,
              fix: labelling(namespace, discoverySelectors[0]?.matchLabels, settings.istioNamespace, name),
            },
          ];
        }),
      ),
    ),
  ),
];

function presence(known: ReadonlyMap<string, NamespaceFact>, settings: DoctorSettings): readonly Finding[] {
  const needed = [...new Set([...visible(settings), settings.vips.ledgerNamespace])];
  const findings = needed.flatMap((namespace): readonly Finding[] => {
    const fact = known.get(namespace);
    if (fact === undefined)
      return [
        {
          check,
          state: "problem",
          message: `namespace ${namespace} does not exist`,
          fix: `kubectl create namespace ${shellWord(namespace)}`,
        },
      ];
    if (!fact.isTerminating) return [];
    return [
      {
        check,
        state: "problem",
        message: `namespace ${namespace} is being deleted`,
        fix: `kubectl wait --for=delete namespace/${namespace} --timeout=5m && kubectl create namespace ${shellWord(namespace)}`,
      },
    ];
  });
  if (findings.length > 0) return findings;
  return [{ check, state: "fine", message: `${needed.join(" and ")} ${needed.length === 1 ? "exists" : "exist"}` }];
}

/** Those with objects that istiod reads. */
function visible(settings: DoctorSettings): readonly string[] {
  return [...new Set([settings.target.namespace, ...aliasNamespaces(settings)])];
}

function labelling(
  namespace: string,
  matchLabels: Readonly<Record<string, string>> = {},
  istioNamespace: string,
  configMap: string,
): string {
  const labels = Object.entries(matchLabels).map(([key, value]) => shellWord(`${key}=${value}`));
  return labels.length > 0
    ? `kubectl label namespace ${shellWord(namespace)} ${labels.join(" ")}`
    : `kubectl edit configmap -n ${shellWord(istioNamespace)} ${shellWord(configMap)}, and let discoverySelectors select ${namespace}`;
}
