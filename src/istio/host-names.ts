import { domainToASCII } from "node:url";
import type { ServiceEntrySpec } from "../model/objects.ts";
import { isInDomains } from "./domains.ts";

const MUST = "must be an IPv4 or IPv6 address, or a host name of two labels or more";
/** RFC 1123 §2.1, which Istio holds endpoints to: no `_`. */
const LABEL = /^(?=.{1,63}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const MAX_LENGTH = 253;

/**
 * The absolute form of a host name, `db-1.example.net.`, or what it must be. The dot at the end tells it from an address, and keeps the
 * search domains of a caller's resolver out of it.
 *
 * A name of one label means something else on each machine, and one whose last label is a number is taken for an IPv4 address by most
 * resolvers (WHATWG URL §3.5).
 */
export function parseHostName(
  text: string,
): { readonly address: string } | { readonly address?: never; readonly must: string } {
  const name = text.toLowerCase().replace(/\.$/, "");
  const labels = name.split(".");
  const isName = name.length <= MAX_LENGTH && labels.length > 1 && labels.every((label) => LABEL.test(label));
  if (!isName || /^(0x[0-9a-f]*|\d+)$/.test(labels.at(-1) ?? "")) return { must: MUST };
  return { address: `${name}.` };
}

/** Whether an endpoint's address is a host name, which the callers' proxies resolve. */
export function isHostName(address: string): boolean {
  return address.endsWith(".");
}

/** Whether a host name is this domain or below it. */
export function isBelow(hostName: string, domain: string): boolean {
  return isInDomains(new Set([domain]), hostName.replace(/\.$/, ""));
}

/** A spec with these endpoints and the resolution that they need: Istio takes host names with `DNS` only, and addresses with both. */
export function specWith<Spec extends ServiceEntrySpec>(
  spec: Spec,
  endpoints: NonNullable<ServiceEntrySpec["endpoints"]>,
): Spec {
  const resolution = endpoints.some(({ address }) => isHostName(address)) ? "DNS" : "STATIC";
  return { ...spec, resolution, endpoints };
}

/**
 * A DNS name with labels beyond ASCII in the form in which DNS carries them (RFC 5891, UTS #46): `bücher.example.com` is
 * `xn--bcher-kva.example.com`. What has only ASCII, or no such form, stays as it is.
 */
export function asciiName(text: string): string {
  return BEYOND_ASCII.test(text) ? domainToASCII(text) || text : text;
}

const BEYOND_ASCII = /[\u0080-\u{10ffff}]/u;
