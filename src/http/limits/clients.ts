import { clientNetwork } from "../../istio/addresses.ts";

/** Whose share something counts to. A connection that has ended has no address any more. */
export function clientOf(address: string | undefined): string {
  return clientNetwork(address ?? "unknown");
}

/**
 * Whether a connection comes from a process on the same machine or in the same pod: from 127.0.0.1 or ::1, and from no other
 * loopback address. Sidecars hand on what strangers ask from those (Istio: 127.0.0.6).
 */
export function isThisMachine(address: string | undefined): boolean {
  const plain = (address ?? "").replace(/^::ffff:/i, "");
  return plain === "127.0.0.1" || plain === "::1";
}

/** What proxies add to say for whom they ask; standard (RFC 7239, RFC 8586, RFC 9110 §7.6.3) or usual: whatever names an address. */
const FORWARDING =
  /^(forwarded|via|x-forwarded(-.*)?|x-original-(.*-)?(for|host|uri|url)|x-envoy-.*|x-proxy.*|cdn-loop|(.*-)?(ip|addr|address|clientip))$/;

/** Whether a proxy has handed a request on. @param headers names in lower case */
export function isForwarded(headers: Readonly<Record<string, unknown>>): boolean {
  return Object.keys(headers).some((name) => FORWARDING.test(name));
}
