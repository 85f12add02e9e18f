import { isIPv4 } from "node:net";
import ipaddr from "ipaddr.js";

/** The 4 or 16 octets of an address; undefined for a text that is none. */
export function addressOctets(address: string): readonly number[] | undefined {
  // ipaddr.js alone takes most of the time that 100,000 rows need.
  if (isIPv4(address)) return address.split(".").map(Number);
  return ipaddr.isValid(address) ? ipaddr.parse(address).toByteArray() : undefined;
}
