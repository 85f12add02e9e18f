import ipaddr from "ipaddr.js";

const V4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa$/;
const V6 = /^((?:[0-9a-f]\.){32})ip6\.arpa$/;

/** The address, in canonical text, that a reverse name stands for (RFC 1035 §3.5, RFC 3596 §2.5); undefined if it stands for none. */
export function reversedAddress(name: string): string | undefined {
  if (!name.endsWith(".arpa")) return undefined;
  const text = readV4(name) ?? readV6(name);
  return text !== undefined && ipaddr.isValid(text) ? ipaddr.parse(text).toString() : undefined;
}

function readV4(name: string): string | undefined {
  const octets = V4.exec(name)?.slice(1);
  // `07` is another name than `7`, which stands for no address.
  return octets?.every((octet) => String(Number(octet)) === octet) ? octets.reverse().join(".") : undefined;
}

function readV6(name: string): string | undefined {
  const digits = V6.exec(name)?.[1]?.replaceAll(".", "").split("").reverse().join("");
  return digits?.match(/.{4}/g)?.join(":");
}
