import type { Config } from "../../config/config.ts";
import { answer } from "../../dns/answer/answer.ts";
import { zoneOf, zonesByName } from "../../dns/answer/zones.ts";
import { CLASS_IN, rcodeName, TYPE } from "../../dns/wire/codes.ts";
import { addressAndPort } from "../../istio/address.ts";
import { canonical } from "../../istio/addresses.ts";
import type { NameTable } from "../../model/name-table.ts";
import type { Decision } from "../../plan/decision.ts";
import { nearestNames } from "../../plan/names/nearest.ts";

const MOST_HELD = 3;

/** What is known here besides services. */
export interface UnknownNameContext {
  readonly config: Pick<Config, "dns">;
  readonly decision: Pick<Decision, "catalog" | "plan">;
  readonly table: NameTable;
  /** Registries that could not be read now. */
  readonly unread: readonly string[];
}

/** Why a name leads nowhere: one sentence, and indented lines with its zone, what DNS says, who is held with it, and what is near. */
export function unknownName(name: string, { config, decision, table, unread }: UnknownNameContext): string {
  const lower = name.toLowerCase().replace(/\.$/, "");
  const held = decision.plan.hold.filter(({ subject, message }) => subject === lower || mentions(message, lower));
  const near = nearestNames(lower, [...table.names.keys(), ...services(decision)]);
  const rows: readonly (readonly [string, readonly string[]])[] = [
    ["DNS", /^[^/:]+\.[^/:]+$/.test(lower) && canonical(lower) === undefined ? [dnsText(lower, config, table)] : []],
    ["held", held.slice(0, MOST_HELD).map(({ message }) => message)],
    ["similar", near],
    ["not read", unread],
  ];
  return [
    `Cannot explain "${name}" as no service, host, legacy name, alias, VIP or endpoint of that name is known here`,
    ...rows.flatMap(([label, texts]) =>
      texts.length === 0 ? [] : [`  ${label.padEnd(9)} ${texts.join("\n            ")}`],
    ),
  ].join("\n");
}

/** Names of services, as people write them: with and without namespace and registry. */
function services({ catalog }: Pick<Decision, "catalog">): readonly string[] {
  return [...catalog.services].flatMap(([key, { namespace, name }]) => [key, `${namespace}/${name}`, name]);
}

function mentions(message: string, name: string): boolean {
  return name.includes(".") && message.split(/[\s"',:;]+/).includes(name);
}

/** What our server says to a question for the name's address, by the same rules. */
function dnsText(name: string, { dns }: Pick<Config, "dns">, table: NameTable): string {
  const byName = zonesByName(dns.zones);
  const zone = zoneOf(name, byName);
  const where =
    zone === undefined
      ? "in none of dns.zones"
      : `in zone ${zone.name}, ${zone.forward.length === 0 ? "which is X2Istio's own" : "of which the rest is someone else's"}`;
  const question = { name, type: TYPE.A, class: CLASS_IN };
  const said = answer(question, table, { byName, forward: dns.forward, ttlSeconds: dns.ttlSeconds, nowMs: Date.now() });
  if (said.kind === "forward")
    return `${where}: ${said.to.map((to) => addressAndPort(to.address, to.port)).join(" or ")} is asked`;
  return `${where}: ${said.kind === "reply" ? rcodeName(said.rcode) : "it is held"}`;
}
