import ipaddr from "ipaddr.js";
import { isHostName, parseHostName } from "./host-names.ts";

/**
 * The canonical text of an address (IPv4-mapped IPv6 as IPv4, RFC 5952 otherwise), the absolute form of a host name, or what it must be. Whether an endpoint may be
 * there is for `admitEndpoints` to say.
 */
export function parseAddress(
  written: string,
): { readonly address: string } | { readonly address?: never; readonly must: string } {
  const text = written.replace(/^\[([^\]]*:[^\]]*)\]$/, "$1"); // as Spring's clients register IPv6
  if (text.includes("%")) return { must: "must be an IPv4 or IPv6 address without a zone" };
  // ipaddr.js alone would take "10.1" and "0x7f.1" as IPv4.
  if (!ipaddr.IPv4.isValidFourPartDecimal(text) && !ipaddr.IPv6.isValid(text)) return parseHostName(text);
  const ip = ipaddr.process(text);
  return { address: ip instanceof ipaddr.IPv6 ? ip.toRFC5952String() : ip.toString() };
}

/** `192.0.2.1:80`, `[2001:db8::1]:80`, `db-1.example.net:80` */
export function addressAndPort(address: string, port: number | string): string {
  if (address.startsWith("[")) return `${address}:${port}`;
  return address.includes(":") ? `[${address}]:${port}` : `${addressText(address)}:${port}`;
}

/** An endpoint's address as people write it: a host name without the dot at its end. */
export function addressText(address: string): string {
  return isHostName(address) ? address.slice(0, -1) : address;
}
