import type { PeerRule } from "../../model/claim.ts";

/** Where rules for the whole mesh stand, unless it was told another place. */
const ROOT = "istio-system";

/**
 * The rule by which workloads with these labels take mutual TLS only, on all their ports or on some; `undefined` when there is none.
 * The narrowest rule counts: for workloads, then for their namespace, then for the mesh. A selector with labels that are not
 * known of the workloads may mean them.
 *
 * @see istio/istio pilot/pkg/model/authentication.go
 */
export function strictRule(
  rules: readonly PeerRule[],
  namespace: string,
  labels: Readonly<Record<string, string>>,
): PeerRule | undefined {
  const own = rules.filter((rule) => rule.namespace === namespace);
  const narrow = own.filter((rule) => hasSelector(rule) && mayMean(rule, labels));
  const strict = narrow.find((rule) => rule.mode === "STRICT" || rule.hasStrictPort);
  if (strict !== undefined) return strict;
  const wide = [own, rules.filter((rule) => rule.namespace === ROOT)].map((some) =>
    some.find((rule) => !hasSelector(rule) && isSet(rule)),
  );
  const [first] = [...narrow.filter(isSet), ...wide].filter((rule) => rule !== undefined);
  return first?.mode === "STRICT" ? first : undefined;
}

function hasSelector({ matchLabels }: PeerRule): boolean {
  return Object.keys(matchLabels).length > 0;
}

function isSet({ mode }: PeerRule): boolean {
  return mode !== undefined && mode !== "UNSET";
}

function mayMean({ matchLabels }: PeerRule, labels: Readonly<Record<string, string>>): boolean {
  return Object.entries(matchLabels).every(([key, value]) => (labels[key] ?? value) === value);
}
