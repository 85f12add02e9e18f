import ipaddr from "ipaddr.js";

type Verdicts<Item> = Map<string, { readonly item: Item | undefined }>;

type Range = readonly [ipaddr.IPv4 | ipaddr.IPv6, number];

/** Remembered verdicts; a resolver has few clients, and a sender who varies its address must not fill our memory. */
const MAX_REMEMBERED = 4096;

/**
 * Whether a client's address lies in one of `cidrs`. An IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2), as dual-stack sockets show
 * IPv4 clients, is the IPv4 address that it maps, on both sides.
 *
 * @throws {Error} When a range cannot be read.
 */
export function allowList(cidrs: readonly string[]): (address: string) => boolean {
  const find = firstMatch([{ clients: cidrs }]);
  return (address) => find(address) !== undefined;
}

/**
 * The first of `items` that has a client's address in its ranges.
 *
 * @param remembered verdicts by address, 4,096 at most
 * @throws {Error} When a range cannot be read.
 */
export function firstMatch<Item extends { readonly clients: readonly string[] }>(
  items: readonly Item[],
  remembered: Verdicts<Item> = new Map(),
): (address: string) => Item | undefined {
  if (items.length === 0) return () => undefined;
  const ranges = items.map((item) => ({ item, ranges: item.clients.map(readRange) }));
  let last: { readonly address: string; readonly item: Item | undefined } = { address: "", item: undefined };

  function find(address: string): Item | undefined {
    const known = remembered.get(address);
    if (known !== undefined) return known.item;
    const item = ranges.find((one) => isInside(address, one.ranges))?.item;
    if (remembered.size >= MAX_REMEMBERED) remembered.clear();
    remembered.set(address, { item });
    return item;
  }

  return (address) => {
    // Often it is one resolver that asks, and every packet brings its address as another string, which a map would have to hash.
    if (address !== last.address) last = { address, item: find(address) };
    return last.item;
  };
}

/** One text for one client: IPv4-mapped IPv6 addresses as IPv4. */
export function clientAddress(address: string): string {
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice("::ffff:".length) : address;
}

function isInside(text: string, ranges: readonly Range[]): boolean {
  if (!ipaddr.isValid(text)) return false;
  const address = ipaddr.process(text);
  return ranges.some(([network, bits]) => network.kind() === address.kind() && address.match(network, bits));
}

function readRange(cidr: string): Range {
  try {
    const [network, bits] = cidr.includes("/") ? ipaddr.parseCIDR(cidr) : wholeAddress(cidr);
    if (!(network instanceof ipaddr.IPv6) || !network.isIPv4MappedAddress() || bits < 96) return [network, bits];
    return [network.toIPv4Address(), bits - 96];
  } catch (cause) {
    throw new Error(`Cannot use "${cidr}" as a range of addresses`, { cause });
  }
}

function wholeAddress(text: string): Range {
  const address = ipaddr.parse(text);
  return [address, address.kind() === "ipv4" ? 32 : 128];
}
