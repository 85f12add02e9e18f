import type { EntryFact, SidecarFact } from "../../model/cluster-facts.ts";
import { attempt } from "../attempt.ts";
import { type Check, valueOr, whenKnown } from "../check.ts";
import type { Finding } from "../finding.ts";
import { readMeshConfigs } from "../mesh-config.ts";
import type { DoctorSettings } from "../settings.ts";
import { counted } from "../text.ts";

const check = "exports";
/** Each costs every sidecar memory and every change of it a push to all. */
const MOST_FOR_ALL = 2000;

/** Entries must be exported to where their aliases stand, and not too many of them to everyone. */
export const exported: Check = (facts, settings, installation) => [
  ...unseen(settings),
  ...whenKnown(check, { entries: facts.entries }, ({ entries }) =>
    attempt(check, () => {
      const meshes = facts.istio.known ? readMeshConfigs(facts.istio.value) : [];
      const defaults = meshes.flatMap(({ defaultExportTo }) => defaultExportTo);
      const isForAll = ({ exportTo }: EntryFact) =>
        exportTo.length > 0 ? exportTo.includes("*") : defaults.length === 0 || defaults.includes("*");
      const forAll = entries.filter(isForAll);
      const planned = installation.known ? installation.value.newForAll : 0;
      const scoped = valueOr(facts.sidecars, []).some((sidecar) => isForMesh(sidecar, settings.istioNamespace));
      return [ofCount(forAll, planned, scoped, settings)];
    }),
  ),
];

/** One in Istio's own namespace, without a selector, limits every sidecar that has no other. */
function isForMesh({ namespace, hasSelector, egressHosts }: SidecarFact, istioNamespace: string): boolean {
  return namespace === istioNamespace && !hasSelector && egressHosts?.every((host) => !host.startsWith("*/")) === true;
}

function ofCount(
  forAll: readonly EntryFact[],
  planned: number,
  isScoped: boolean,
  { file, target }: DoctorSettings,
): Finding {
  const all = forAll.length + planned;
  const ours = forAll.filter(({ isOurs }) => isOurs).length + planned;
  const message = `${counted(all, "entry")} ${all === 1 ? "is" : "are"} exported to everyone, ${ours} of them X2Istio's${planned > 0 ? ` (${planned} not yet written)` : ""}`;
  if (all <= MOST_FOR_ALL) return { check, state: "fine", message };
  if (isScoped)
    return { check, state: "fine", message: `${message}; a Sidecar resource of the whole mesh limits them` };
  return {
    check,
    state: "problem",
    message: `${message}: more than ${MOST_FOR_ALL} cost memory in every sidecar, and each change is pushed to all of them`,
    fix: `in ${file} give the registries exportTo: [<namespaces of their callers>], or limit callers by Sidecar resources that import ${target.namespace}/<host>`,
  };
}

/** Aliases that stand where their registry's entries cannot be seen. */
function unseen({ registries, aliases, target, file }: DoctorSettings): readonly Finding[] {
  return registries.flatMap(({ name, exportTo }) => {
    const isSeen = (place: string) =>
      exportTo.includes("*") || exportTo.includes(place) || (exportTo.includes(".") && place === target.namespace);
    const places = aliases.filter((rule) => rule.registry === name && !isSeen(rule.in)).map((rule) => rule.in);
    return [...new Set(places)].map(
      (place): Finding => ({
        check,
        state: "problem",
        message: `aliases of registry ${name} are in namespace ${place}, to which its entries are not exported: calls by them fail there`,
        fix: `in ${file} write exportTo: [${[...exportTo.filter((one) => one !== "~"), place].join(", ")}] for registry ${name}`,
      }),
    );
  });
}
