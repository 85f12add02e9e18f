import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import ipaddr from "ipaddr.js";
import { addressRange } from "../../src/istio/addresses.ts";
import { reverseZones } from "../../src/istio/reverse-zones.ts";

const cases: readonly (readonly [cidr: string, zones: readonly string[]])[] = [
  ["240.241.0.0/16", ["241.240.in-addr.arpa"]],
  ["10.0.0.0/8", ["10.in-addr.arpa"]],
  ["240.242.4.0/22", [4, 5, 6, 7].map((n) => `${n}.242.240.in-addr.arpa`)],
  ["192.0.2.8/30", [8, 9, 10, 11].map((n) => `${n}.2.0.192.in-addr.arpa`)],
  ["fd00:12::/64", ["0.0.0.0.0.0.0.0.2.1.0.0.0.0.d.f.ip6.arpa"]],
  ["fd00:8000::/34", [0, 1, 2, 3].map((n) => `${n}.0.0.0.8.0.0.d.f.ip6.arpa`)],
];
for (const [cidr, zones] of cases)
  test(`reverseZones() has those of ${cidr}`, () => assert.deepEqual(reverseZones(cidr), zones));

test("reverseZones() has the reverse name of every address of a range", () => {
  const v4 = fc.tuple(fc.ipV4(), fc.integer({ min: 8, max: 30 }));
  const v6 = fc.tuple(fc.ipV6(), fc.integer({ min: 64, max: 126 }));
  const nameOf = (address: string) => {
    const parsed = ipaddr.parse(address);
    const octets = parsed.toByteArray();
    if (parsed instanceof ipaddr.IPv4) return `${octets.reverse().join(".")}.in-addr.arpa`;
    return `${octets
      .flatMap((octet) => [octet >> 4, octet & 15])
      .reverse()
      .map((nibble) => nibble.toString(16))
      .join(".")}.ip6.arpa`;
  };
  fc.assert(
    fc.property(fc.oneof(v4, v6), fc.nat(), ([address, bits], index) => {
      const text = `${ipaddr.parse(address).toString()}/${bits}`;
      const network = (address.includes(":") ? ipaddr.IPv6 : ipaddr.IPv4).networkAddressFromCIDR(text).toString();
      const range = addressRange(`${network}/${bits}`);
      const zones = reverseZones(range.cidr);
      assert.ok(zones.length <= 128 && new Set(zones).size === zones.length);
      const inside = nameOf(range.at(index % range.size));
      assert.equal(zones.filter((zone) => inside.endsWith(`.${zone}`) || inside === zone).length, 1);
    }),
  );
});
