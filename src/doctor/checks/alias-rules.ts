import type { HostRuleFact } from "../../model/cluster-facts.ts";
import type { Check } from "../check.ts";
import type { Finding } from "../finding.ts";
import { shellWord } from "../text.ts";

const check = "names";
const MOST_SHOWN = 10;

/**
 * A rule for an alias's name has no effect: an ExternalName Service is a name in DNS, and calls by it go by the host that it leads to. Istio says
 * nothing of it.
 *
 * @see https://istio.io/latest/docs/setup/install/virtual-machine: rules are for hosts of the service registry
 */
export const aliasRules: Check = ({ hostRules }, { target }, installation) => {
  if (!installation.known) return [];
  const { aliasHosts } = installation.value;
  if (aliasHosts.size === 0) return [];
  if (!hostRules.known) return [{ check, state: "unchecked", message: `could not be checked: ${hostRules.why}` }];
  const found = hostRules.value.flatMap((rule) =>
    rule.hosts.flatMap((host): readonly Finding[] => {
      const alias = aliasOf(host, rule, target.clusterDomain);
      const led = alias === undefined ? undefined : aliasHosts.get(alias);
      return led === undefined ? [] : [finding(rule, host, led)];
    }),
  );
  return found.slice(0, MOST_SHOWN);
};

/** `namespace/name` of the Service that a rule's host means. */
function aliasOf(host: string, { namespace }: HostRuleFact, clusterDomain: string): string | undefined {
  const plain = host.replace(/\.$/, "");
  const short = plain.endsWith(`.svc.${clusterDomain}`)
    ? plain.slice(0, -`.svc.${clusterDomain}`.length)
    : plain.replace(/\.svc$/, "");
  const [name = "", place = namespace, ...more] = short.split(".");
  return more.length > 0 ? undefined : `${place}/${name}`;
}

function finding({ kind, namespace, name }: HostRuleFact, host: string, led: string): Finding {
  return {
    check,
    state: "warning",
    message: `${kind} ${namespace}/${name} is for ${host}, which is an alias: it has no effect on calls by it, which go by ${led}`,
    fix: `kubectl edit ${kind.toLowerCase()} -n ${shellWord(namespace)} ${shellWord(name)}, and write ${led} instead of ${host}`,
  };
}
