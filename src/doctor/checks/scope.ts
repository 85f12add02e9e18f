import type { SidecarFact } from "../../model/cluster-facts.ts";
import { type Check, whenKnown } from "../check.ts";
import type { Finding } from "../finding.ts";
import { aliasNamespaces } from "../settings.ts";
import { shellWord } from "../text.ts";

const check = "scope";

/**
 * A Sidecar resource that leaves out the entries' namespace leaves the pods behind it without routes to any of them; one that
 * imports hosts by their names, without routes by aliases.
 */
export const scope: Check = (facts, settings) =>
  whenKnown(check, { sidecars: facts.sidecars }, ({ sidecars }) => {
    const { namespace } = settings.target;
    const places = new Set([...aliasNamespaces(settings), settings.istioNamespace]);
    const found = sidecars
      .filter((sidecar) => places.has(sidecar.namespace))
      .flatMap((sidecar) => ofSidecar(sidecar, namespace));
    if (found.length > 0) return found;
    return [{ check, state: "fine", message: `no Sidecar resource hides ${namespace} from namespaces with aliases` }];
  });

function ofSidecar({ namespace, name, egressHosts }: SidecarFact, target: string): readonly Finding[] {
  const imported = egressHosts?.filter((host) => {
    const [place] = host.split("/");
    return place === "*" || place === target || (place === "." && namespace === target);
  });
  if (imported === undefined || imported.some((host) => host.includes("*", host.indexOf("/")))) return [];
  const value = `${target}/*`;
  return [
    {
      check,
      state: "problem",
      message:
        imported.length === 0
          ? `Sidecar ${namespace}/${name} imports nothing from ${target}: its pods have no route to any entry`
          : `Sidecar ${namespace}/${name} imports single hosts from ${target}: its pods have no route by an alias`,
      fix: `kubectl patch sidecars.networking.istio.io -n ${shellWord(namespace)} ${shellWord(name)} --type json -p ${shellWord(
        JSON.stringify([{ op: "add", path: "/spec/egress/0/hosts/-", value }]),
      )}`,
    },
  ];
}
