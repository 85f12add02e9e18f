import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import { z } from "zod";
import { asciiName } from "../istio/host-names.ts";
import { specialNameFault } from "../istio/special-names.ts";
import type { SocketAddress } from "./config.ts";

/** A string read by `read`, whose error message becomes the problem. YAML reads `30` as a number: the message is then that for its text. */
export function textField<Value>(read: (text: string) => Value) {
  const unquoted = ({ input }: { readonly input?: unknown }) => {
    if (typeof input !== "number" && typeof input !== "boolean") return undefined;
    try {
      read(String(input));
      return `must be a string: write "${input}", in quotes`;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  };
  return z.string({ error: unquoted }).transform((text, context) => {
    try {
      return read(text);
    } catch (error) {
      context.addIssue({
        code: "custom",
        message: error instanceof Error ? error.message : String(error),
        input: text,
      });
      return z.NEVER;
    }
  });
}

const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Milliseconds of `500ms`, `30s`, `5m`, `1h` or `30d`. @throws When it is none of these. */
export function durationMs(text: string): number {
  const [, amount, unit] = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text) ?? [];
  if (amount === undefined || unit === undefined)
    throw new Error(`must be a duration such as 500ms, 30s, 5m, 1h or 30d, not "${text}"`);
  return Number(amount) * UNIT_MS[unit as keyof typeof UNIT_MS];
}

/** Canonical text of an IP address; an IPv4 address mapped into IPv6 becomes IPv4. @throws When it is none. */
export function ipAddress(text: string): string {
  if (isIP(text) === 0) throw new Error(`must be an IP address, not "${text}"`); // ipaddr.js alone also reads 0x7f.1 and 10.1
  return ipaddr.process(text).toString();
}

/** Read `10.0.0.2:53`, `[::1]:53` or, with a default port, a bare address. @throws When it is none of these. */
export function socketAddress(
  text: string,
  { defaultPort, minPort }: { defaultPort?: number; minPort: number },
): SocketAddress {
  const [, v6, v4, portText] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = v6 ?? v4 ?? (isIP(text) === 6 ? text : undefined);
  const port = portText === undefined ? defaultPort : Number(portText);
  if (host === undefined || isIP(host) === 0 || port === undefined || port < minPort || port > 65535) {
    const form =
      defaultPort === undefined
        ? `must be address:port, such as 127.0.0.1:5353 or [::1]:5353`
        : `must be an IP address with or without a port, such as 10.0.0.2 or 10.0.0.2:8600`;
    throw new Error(`${form}, not "${text}"`);
  }
  return { address: ipAddress(host), port };
}

/** Canonical text of a CIDR range; one of IPv4-mapped IPv6 addresses becomes IPv4. @throws When it is none, or has bits set behind its prefix. */
export function cidr(text: string): string {
  const [address = "", prefix = ""] = text.split("/");
  if (isIP(address) === 0 || !/^\d{1,3}$/.test(prefix) || !ipaddr.isValidCIDR(text))
    throw new Error(`must be a range such as 10.0.0.0/8 or fd00::/8, not "${text}"`);
  const network = (isIP(address) === 4 ? ipaddr.IPv4 : ipaddr.IPv6).networkAddressFromCIDR(text).toString();
  if (network !== ipaddr.parse(address).toString())
    throw new Error(`must be a network address, such as ${network}/${prefix}, not "${text}"`);
  const bits = Number(prefix);
  const plain = bits >= 96 ? ipaddr.process(network).toString() : network;
  return plain === network ? `${network}/${bits}` : `${plain}/${bits - 96}`;
}

const LABEL = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;

/** A DNS label (RFC 1123): a Kubernetes namespace, an owner, a registry's name. @throws When it is none. */
export function dnsLabel(text: string, maxLength = 63): string {
  if (!LABEL.test(text) || text.length > maxLength)
    throw new Error(`must be a DNS label (a-z, 0-9 and -, at most ${maxLength} characters), not "${text}"`);
  return text;
}

/** A DNS name in lower case without a trailing dot. @throws When it is none. */
export function dnsName(text: string): string {
  const name = asciiName(text).toLowerCase().replace(/\.$/, "");
  if (name.length > 253 || !name.split(".").every((label) => /^[a-z0-9_](?:[-a-z0-9_]{0,61}[a-z0-9_])?$/.test(label)))
    throw new Error(`must be a DNS name, not "${text}"`);
  return name;
}

/** Fill a name template's placeholders. @throws When it names an unknown placeholder. */
function probe(template: string): string {
  return template.replace(/\{([^}]*)\}/g, (_, name: string) => {
    if (PLACEHOLDERS.includes(name)) return "x";
    if (PLACEHOLDERS.includes(name.replace(/\|dns$/, "")))
      throw new Error(`takes {${name}} in aliases[].as only: names in DNS stay as old callers know them`);
    throw new Error(`knows {service}, {namespace} and {registry}, not "{${name}}"`);
  });
}

const PLACEHOLDERS: readonly string[] = ["service", "namespace", "registry"];

function needsService(template: string): void {
  if (!template.includes("{service}")) throw new Error(`must contain {service}, or all services would share one name`);
}

/** Labels of a template that have no placeholder, in the form in which DNS carries them. */
function asciiTemplate(template: string): string {
  return template
    .split(".")
    .map((label) => (label.includes("{") ? label : asciiName(label)))
    .join(".");
}

/** A template of further DNS names, `{service}.service.consul` or `*.{service}.example.org`. @throws When no service could make a DNS name of it. */
export function legacyNameTemplate(text: string): string {
  const template = asciiTemplate(text);
  dnsName(probe(template.replace(/^\*\.(?=.+\.)/, "")));
  needsService(template);
  if (template.endsWith(".")) throw new Error("must be written without the trailing dot");
  refuseSpecial(template);
  return template;
}

function refuseSpecial(template: string): void {
  const special = specialNameFault(probe(template).toLowerCase());
  if (special !== undefined) throw new Error(`must not give such names: ${JSON.stringify(template)} ${special}`);
}

/** A template of alias names, `{service}` or `{service|dns}`. @throws When no service could make a DNS label of it. */
export function aliasTemplate(template: string): string {
  if (!LABEL.test(probe(template.replace(/\|dns\}/g, "}")).toLowerCase()))
    throw new Error(`must give a DNS label (a-z, 0-9 and -), which "${template}" cannot`);
  return template;
}

/** A template of hosts; Istio takes DNS-1123 labels of which the last is not all digits. @throws When it cannot give one. */
export function hostTemplate(text: string): string {
  const template = asciiTemplate(text);
  if (
    !probe(template)
      .split(".")
      .every((label) => LABEL.test(label))
  )
    throw new Error(`must give DNS labels in lower case, which "${template}" cannot`);
  needsService(template);
  const suffix = literalSuffix(template);
  if (suffix === undefined) throw new Error(`must end with a fixed domain, such as {service}.mesh.internal`);
  if (/(^|\.)\d+$/.test(suffix)) throw new Error(`must not end with a label of digits: Istio refuses such a host`);
  refuseSpecial(template);
  return template;
}

/** The domain that all hosts of a template share: the labels behind the last placeholder. `undefined` when there are none. */
export function literalSuffix(template: string): string | undefined {
  const [, suffix] = /\}[^{}.]*\.([^{}]+)$/.exec(template) ?? [];
  return suffix;
}
