import { createHash } from "node:crypto";
import { addressOfLabel } from "../../istio/addresses.ts";
import { asciiName } from "../../istio/host-names.ts";
import { lowerCase } from "../../istio/lower-case.ts";
import { specialNameFault } from "../../istio/special-names.ts";
import { type Service, type ServiceKey, serviceKey } from "../../model/service.ts";

/** What names are made of. */
export type Named = Pick<Service, "registry" | "namespace" | "name">;

export const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** How many hex digits of SHA-256 end a label that was altered. Fewer could be searched through for a name that gives a given host. */
const HASH_DIGITS = 16;
/** What is left of a label of 63 characters. */
const MOST_BEFORE_HASH = 63 - 1 - HASH_DIGITS;
/** A label that was altered, or one that could be taken for it. */
const ALTERED = new RegExp(`(^|-)[0-9a-f]{${HASH_DIGITS}}$`);

/**
 * The host that `template` gives a service: lower case; dots in a service name stay label separators; any other character
 * that a host cannot have becomes `-`, and its label then ends in `-` and 16 hex digits of SHA-256 of the service's key. So does a
 * first label that DNS would take for an endpoint of the host behind it (`192-0-2-11`).
 */
export function hostFromTemplate(service: Named, template: string): string {
  const key = serviceKey(service.registry, service.namespace, service.name);
  return filledLabels(service, template)
    .map((label, at) => hostLabel(label, key, at === 0))
    .join(".");
}

/** One label may be made of template text and values ({service}-{namespace}), so labels are judged after filling. */
function filledLabels(service: Named, template: string): readonly string[] {
  return lowerCase(fill(template, service)).split(".");
}

function hostLabel(label: string, key: ServiceKey, isFirst: boolean): string {
  if (DNS_LABEL.test(label) && !(isFirst && addressOfLabel(label) !== undefined)) return label;
  const hash = createHash("sha256").update(key).digest("hex").slice(0, HASH_DIGITS);
  const cut = label
    .replace(/[^a-z0-9-]/gu, "-")
    .replace(/^-+/, "")
    .slice(0, MOST_BEFORE_HASH)
    .replace(/-+$/, "");
  return cut === "" ? hash : `${cut}-${hash}`;
}

/**
 * Why a service may not have a host that nothing was altered in: it has the form of an altered one, so that whoever chooses
 * names could take the host of a service whose name a host cannot have. Labels of the template's own text do not count.
 */
export function imitationFault(service: Named, template: string): string | undefined {
  const literal = new Set(template.split(".").filter((label) => !label.includes("{")));
  const label = filledLabels(service, template).find(
    (one) => DNS_LABEL.test(one) && ALTERED.test(one) && !literal.has(one),
  );
  if (label === undefined) return undefined;
  return `"${label}" has the form of a label that was made of another name: it ends in ${HASH_DIGITS} hex digits`;
}

export function fill(template: string, service: Named): string {
  const values: Record<string, string> = {
    service: service.name,
    namespace: service.namespace,
    registry: service.registry,
  };
  return template.replace(/\{(service|namespace|registry)(\|dns)?\}/g, (_, name: string, filter?: string) => {
    const value = values[name] ?? "";
    return filter === undefined ? value : labelOf(value);
  });
}

/** A DNS label as people make one of a name: `redis_server` is `redis-server`. Two names may give the same; empty where nothing is left. */
function labelOf(text: string): string {
  return lowerCase(text)
    .replace(/[^a-z0-9]+/gu, "-")
    .replace(/^-/, "")
    .slice(0, 63)
    .replace(/-$/, "");
}

/** The legacy name that a template gives. */
export function fillLegacy(template: string, { registry, namespace, name }: Named) {
  return legacyName(fill(template, { registry, namespace, name: legacySid(name) }));
}

/** Lower case, without a trailing dot; an L5 sid as `modid.cmdid`. */
export function legacyName(raw: string): string {
  return lowerCase(legacySid(raw).replace(/\.$/, ""));
}

/**
 * A name as DNS carries it, of one that a person wrote: labels beyond ASCII in their `xn--` form (RFC 5891, UTS #46). A text that has no such
 * form stays as it is, and is then no DNS name.
 */
export function writtenName(raw: string): string {
  return legacyName(asciiName(raw));
}

/** Said of a name that is not asked for as it is written, or `undefined`; reads on from nothing. */
export function writtenNote(raw: string): string | undefined {
  const name = writtenName(raw);
  return asciiName(raw) === raw
    ? undefined
    : `legacy name ${JSON.stringify(raw)} is ${name} in DNS, and is answered by that`;
}

/** Why a text that a person wrote is no name but something around one, and what to write, or `undefined`; reads on from the name. */
export function writtenFormFault(raw: string): string | undefined {
  if (/^[a-z][-+.a-z0-9]*:\/\//i.test(raw)) {
    const host = URL.canParse(raw) ? new URL(raw).hostname : "";
    return `it is a URL, and has characters that a DNS name cannot have: write the host alone${host === "" ? "" : `, ${host}`}`;
  }
  const [, host, port] = /^([^:/]*[^:/\d][^:/]*):(\d+)$/.exec(raw) ?? [];
  if (host !== undefined && port !== undefined)
    return `it has a port: write the host alone, ${asciiName(host)}, which is answered for every port of the service`;
  const [, before = ""] = /^([^/?#]*)[/?#]/.exec(raw) ?? [];
  return before === "" ? undefined : `it has a path: write the host alone, ${asciiName(before)}`;
}

/** An L5 sid `modid:cmdid` as DNS can carry it; any other name as it is. */
export function legacySid(name: string): string {
  return name.replace(/^(\d+):(\d+)$/, "$1.$2");
}

export function hostFault(host: string): string | undefined {
  if (host.length > 253) return `its host would have ${host.length} characters, 253 are allowed`;
  if (!host.split(".").every((label) => DNS_LABEL.test(label))) return `its host "${host}" is not a DNS name`;
  if (/(^|\.)\d+$/.test(host)) return `its host "${host}" ends in a number, which Istio refuses`;
  return undefined;
}

/** Why DNS cannot carry a name (RFC 1035 §2.3.4, with `_` allowed, and `*` before two labels, RFC 4592), or `undefined`. */
export function dnsFault(name: string): string | undefined {
  if (name.length > 253) return `it has ${name.length} characters, 253 are allowed`;
  for (const label of name.replace(/^\*\.(?=.+\.)/, "").split(".")) {
    if (label === "") return "it has an empty label";
    if (label.length > 63) return `its label "${label}" has ${label.length} characters, 63 are allowed`;
    if (!/^[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?$/.test(label))
      return `its label ${JSON.stringify(label)} has characters that a DNS name cannot have`;
  }
  return undefined;
}

/** Whether the values that a template is filled with may have dots, and so become several labels. */
export interface FillRules {
  readonly dots: boolean;
}

/**
 * Why a registry's own words cannot fill a template of legacy names, or `undefined`. Each is one label, or several where the operator
 * says so, and an L5 sid is the two that L5 clients ask for; none begins with `_`, as the names of SRV records do.
 */
export function valueFault(template: string, service: Named, { dots }: FillRules): string | undefined {
  for (const [placeholder, value] of [
    ["{service}", service.name],
    ["{namespace}", service.namespace],
  ] as const) {
    if (!template.includes(placeholder)) continue;
    const isSid = legacySid(value) !== value;
    if (!dots && !isSid && value.includes("."))
      return `${JSON.stringify(value)} would be more than one label of it, which the registry's option dots has to allow`;
    if (value.split(".").some((label) => label.startsWith("_")))
      return `${JSON.stringify(value)} has a label that begins with _, as names of SRV records do`;
  }
  return undefined;
}

/** Why a name of one label is not given, where the registry does not allow it, or `undefined`: callers complete it in ways of their own. */
export function singleLabelFault(name: string, isAllowed: boolean): string | undefined {
  return name.includes(".") || isAllowed
    ? undefined
    : "it has one label, which the registry's option singleLabels has to allow";
}

/** Why a name that someone wrote down is not given, or `undefined`. */
export function writtenNameFault(name: string, isSingleAllowed: boolean): string | undefined {
  const special = specialNameFault(name);
  return special === undefined ? singleLabelFault(name, isSingleAllowed) : `it ${special}`;
}

/**
 * Why some callers never ask for a name, or `undefined`: it is numbers alone, as L5 sids are. Go's resolver takes it for no domain name
 * (net/dnsclient.go: isDomainName), and inet_aton(3), which C libraries try first, may take it for an address.
 */
export function unaskedNote(name: string): string | undefined {
  const numbers = name.split(".");
  if (!numbers.every((one) => /^\d+$/.test(one))) return undefined;
  const isAddress =
    numbers.length <= 4 &&
    numbers.slice(0, -1).every((one) => Number(one) <= 255) &&
    Number(numbers.at(-1)) < 256 ** (5 - numbers.length);
  const first = isAddress ? "C libraries take it for an IPv4 address, and " : "";
  return `${name} is numbers alone: ${first}Go's resolver refuses it; callers that use them need a name with a domain behind, such as ${name}.corp.example.com`;
}

/** Why a name is not to stand by itself, or `undefined`: DNS derives it from the name behind it. */
export function derivedFault(name: string): string | undefined {
  const [, behind] = /^(?:_[^.]+\.)?_(?:tcp|udp)\.(.+)$/.exec(name) ?? [];
  return behind === undefined ? undefined : `it is the name of SRV records, which follow from ${behind}`;
}

/** Why a registry's own words cannot make a name that DNS would take for an endpoint of the name behind it, or `undefined`. */
export function endpointFault(name: string): string | undefined {
  const [first = "", ...rest] = name.split(".");
  const address = rest.length === 0 ? undefined : addressOfLabel(first);
  return address === undefined ? undefined : `it is the name of endpoint ${address} of ${rest.join(".")}`;
}

/** Why a registry's own words cannot make a name in the cluster's domain, or a wildcard: the operator's template has to say so. */
export function templateFault(name: string, template: string, clusterDomain: string): string | undefined {
  const domain = `.${clusterDomain}`;
  if (name.endsWith(domain) && !template.toLowerCase().endsWith(domain))
    return `only a template that ends in ${clusterDomain} can give names in that domain`;
  return name.startsWith("*.") && !template.startsWith("*.")
    ? "only a template that begins with *. can give wildcards"
    : undefined;
}

/** Why Istio cannot carry a DNS name as a host, or `undefined`. */
export function carryFault(name: string): string | undefined {
  if (!name.includes(".")) return "Istio reads a name of one label as a Service of the VirtualService's namespace";
  if (/(^|\.)\d+$/.test(name)) return "its last label is a number";
  if (name.includes("_")) return "it has an underscore";
  if (name.startsWith("*.")) return "a wildcard is answered by DNS only";
  return undefined;
}
