import type { ObjectKey } from "../../model/objects.ts";
import type { Hold } from "../../model/plan.ts";
import { DNS_LABEL } from "./dns-names.ts";
import { foreignText, notOurs } from "./foreign-names.ts";
import type { AliasName } from "./naming.ts";
import { hold, type Named, type NamingState } from "./naming-state.ts";

/** The aliases that a service has from now on. */
export function giveAliases(state: NamingState, named: Named): readonly AliasName[] {
  const { aliases, aliasKeys } = named.wishes;
  const given = aliases.filter((alias, at) => mayHaveAlias(state, named, alias, aliasKeys[at] ?? ""));
  const awaited = awaitedAliases(state, named);
  return awaited.length === 0 ? given : [...given, ...awaited];
}

function mayHaveAlias(state: NamingState, named: Named, alias: AliasName, object: ObjectKey): boolean {
  const { standing, holders, heldAliases, moves } = state;
  const { key, barred } = named;
  const holder = holders.aliases.get(object);
  const stood = standing.objects.get(object)?.service;
  const isOthers = stood !== undefined && stood !== key;
  const phase = standing.namespaces === undefined ? "active" : standing.namespaces.get(alias.namespace);
  const withhold = (reason: Hold["reason"], why: string, regarding?: ObjectKey) => {
    const subject = `${alias.namespace}/${alias.name}`;
    hold(state, named, { reason, subject, message: `alias ${subject} held: ${why}`, ...(regarding && { regarding }) });
    return false;
  };
  if (!DNS_LABEL.test(alias.name)) {
    state.neverAliases.push({ named, alias });
    return false;
  }
  if (holder !== undefined && holder !== key) return withhold("name", `it belongs to ${holder}`);
  if (standing.foreign.has(object)) return withhold("foreign", "a Service of that name exists and is not ours", object);
  if (barred === "unable" && isOthers) return false;
  holders.aliases.set(object, key);
  if (isOthers) moves.push({ kind: "alias", name: object, from: stood, to: key });
  if (phase === "active") return true;
  heldAliases.add(object);
  const why = phase === undefined ? "does not exist" : "is being deleted";
  return withhold("namespace", `namespace ${alias.namespace} ${why}`);
}

const MOST_NAMED = 5;

/**
 * One hold for all aliases of a registry in a namespace that can never be. Nobody has to decide: the services go on, and the rule may leave
 * their aliases out or rewrite them.
 */
export function holdNeverAliases({ neverAliases, holds }: NamingState): void {
  const rules = Map.groupBy(neverAliases, ({ named, alias }) => `${named.service.registry}/${alias.namespace}`);
  for (const all of rules.values()) {
    const [first] = all;
    if (first === undefined) continue;
    const { named, alias } = first;
    const { registry } = named.service;
    const shown = all.slice(0, MOST_NAMED).map((one) => JSON.stringify(one.alias.name));
    const more = all.length - shown.length;
    const names = `${shown.join(", ")}${more === 0 ? "" : ` and ${more} more`}`;
    const subject = `${alias.namespace}/${alias.name}`;
    const what =
      all.length === 1
        ? `alias ${subject} held: ${names} is not a DNS label`
        : `${all.length} aliases of registry ${registry} in ${alias.namespace} held: ${names} are not DNS labels`;
    holds.push({
      reason: "invalid",
      subject,
      registry,
      message: `${what}: the rule can rewrite such names, as: "{service|dns}", or exclude them`,
      isLasting: true,
      ...(all.length === 1
        ? { service: named.key }
        : { service: undefined, services: all.map((one) => one.named.key) }),
    });
  }
}

/** Aliases that stand, that no rule gives to their service any more, and that are to go to one which cannot take them yet. */
function awaitedAliases({ standing, holders, awaited }: NamingState, { key, wishes }: Named): readonly AliasName[] {
  if (awaited().size === 0) return [];
  return (standing.byService.get(key) ?? []).flatMap(({ key: object, manifest: { kind, metadata } }) => {
    const isAwaited = kind === "Service" && awaited().has(object) && !wishes.aliasKeys.includes(object);
    if (!isAwaited || (holders.aliases.get(object) ?? key) !== key) return [];
    holders.aliases.set(object, key);
    return [{ namespace: metadata.namespace, name: metadata.name }];
  });
}

/**
 * Say which of its aliases someone else's VirtualService or HTTPRoute routes. Istio leads an alias where it leads the host that it points to, so
 * that a route for the alias's own name counts for nobody.
 */
export function holdRouted(state: NamingState, named: Named, aliases: readonly AliasName[]): void {
  const { wide, narrow } = state.foreign.routes;
  if (wide.size + narrow.size === 0) return;
  for (const { namespace, name } of aliases) {
    const domain = `${name}.${namespace}.svc.${state.clusterDomain}`;
    const route = wide.get(domain) ?? narrow.get(domain);
    if (route === undefined || route.hosts.includes(named.host)) continue;
    const who = foreignText(route);
    const message = `${notOurs(who)}, routes ${domain}, which is an alias of ${named.host}: Istio routes by the host, so that it has no effect; its hosts must have ${named.host}`;
    hold(state, named, {
      reason: "foreign",
      subject: `${namespace}/${name}`,
      message,
      regarding: `${route.kind}/${route.namespace}/${route.name}`,
    });
  }
}
