import assert from "node:assert/strict";
import { test } from "node:test";
import {
  addressRange,
  canonical,
  clientNetwork,
  familyOf,
  ledgerAddress,
  ledgerSpot,
} from "../../src/istio/addresses.ts";

const ranges = [
  { cidr: "240.241.0.0/16", family: "v4", size: 65_534, first: "240.241.0.1", last: "240.241.255.254" },
  { cidr: "10.9.0.0/24", family: "v4", size: 254, first: "10.9.0.1", last: "10.9.0.254" },
  { cidr: "10.9.0.128/29", family: "v4", size: 6, first: "10.9.0.129", last: "10.9.0.134" },
  { cidr: "10.9.0.4/30", family: "v4", size: 2, first: "10.9.0.5", last: "10.9.0.6" },
  { cidr: "10.0.0.0/8", family: "v4", size: 16_777_214, first: "10.0.0.1", last: "10.255.255.254" },
  { cidr: "fd00:241::/64", family: "v6", size: 65_534, first: "fd00:241::1", last: "fd00:241::fffe" },
  { cidr: "fd00:241::/112", family: "v6", size: 65_534, first: "fd00:241::1", last: "fd00:241::fffe" },
  { cidr: "fd00::ab00/120", family: "v6", size: 254, first: "fd00::ab01", last: "fd00::abfe" },
  { cidr: "fd00::4/126", family: "v6", size: 2, first: "fd00::5", last: "fd00::6" },
];
for (const { cidr, family, size, first, last } of ranges) {
  test(`addressRange() of ${cidr} leaves out its network and last address`, () => {
    const range = addressRange(cidr);
    assert.deepEqual(
      { family: range.family, size: range.size, first: range.at(0), last: range.at(range.size - 1) },
      { family, size, first, last },
    );
  });
}

test("addressRange() gives no address twice, over all byte borders", () => {
  for (const cidr of ["240.241.0.0/16", "fd00:241::/64"]) {
    const { size, at } = addressRange(cidr);
    assert.equal(new Set(Array.from({ length: size }, (_, index) => at(index))).size, size);
  }
  const { at } = addressRange("10.0.0.0/8");
  assert.deepEqual([65_534, 65_535, 16_777_213].map(at), ["10.0.255.255", "10.1.0.0", "10.255.255.254"]);
});

test("addressRange() carries over byte borders", () => {
  const range = addressRange("240.241.0.0/16");
  assert.deepEqual([254, 255, 256, 65_279].map(range.at), [
    "240.241.0.255",
    "240.241.1.0",
    "240.241.1.1",
    "240.241.255.0",
  ]);
});

const spots = [
  { address: "240.241.0.7", block: "x2istio-vips-240-241-0-0", key: "240-241-0-7" },
  { address: "240.241.15.255", block: "x2istio-vips-240-241-0-0", key: "240-241-15-255" },
  { address: "240.241.16.0", block: "x2istio-vips-240-241-16-0", key: "240-241-16-0" },
  { address: "240.241.255.254", block: "x2istio-vips-240-241-240-0", key: "240-241-255-254" },
  {
    address: "fd00:241::fff",
    block: "x2istio-vips-fd00-0241-0000-0000-0000-0000-0000-0000",
    key: "fd00-0241-0000-0000-0000-0000-0000-0fff",
  },
  {
    address: "fd00:241::1000",
    block: "x2istio-vips-fd00-0241-0000-0000-0000-0000-0000-1000",
    key: "fd00-0241-0000-0000-0000-0000-0000-1000",
  },
];
for (const { address, block, key } of spots) {
  test(`ledgerSpot() of ${address} is in ${block}`, () => {
    assert.deepEqual(ledgerSpot(address), { block, key });
    assert.equal(ledgerAddress(key), address);
    assert.match(block, /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/);
    assert.match(key, /^[-._a-zA-Z0-9]{1,253}$/);
  });
}

test("ledgerSpot() keeps 4,096 addresses in a block", () => {
  const { size, at } = addressRange("240.241.0.0/16");
  const blocks = Map.groupBy(
    Array.from({ length: size }, (_, index) => ledgerSpot(at(index)).block),
    (name) => name,
  );
  // The network's address and the last one are in no block.
  assert.deepEqual(
    [...blocks.values()].map(({ length }) => length),
    [4095, ...Array(14).fill(4096), 4095],
  );
});

for (const key of ["", "note", "240-241-0", "240-241-0-256", "fd00-zz", "10", "1-2-3-4-5"]) {
  test(`ledgerAddress() reads no address from "${key}"`, () => assert.equal(ledgerAddress(key), undefined));
}

const addresses = [
  { text: "192.0.2.1", want: "192.0.2.1" },
  { text: "2001:DB8:0:0:0:0:0:1", want: "2001:db8::1" },
  { text: "2001:db8::1", want: "2001:db8::1" },
  { text: "2001:0DB8::0001", want: "2001:db8::1" },
  { text: "fd00:0241:0:0:0:0:0:0", want: "fd00:241::" },
  { text: "10.1", want: undefined },
  { text: "0x7f.1", want: undefined },
  { text: "010.0.0.1", want: undefined },
  { text: "fe80::1%eth0", want: undefined },
  { text: "db.example.org", want: undefined },
  { text: "10.0.0.0/24", want: undefined },
  { text: "", want: undefined },
];
for (const { text, want } of addresses) {
  test(`canonical() of "${text}" is ${want}`, () => assert.equal(canonical(text), want));
}

test("familyOf() tells IPv6 by its colons", () => {
  assert.deepEqual(["192.0.2.1", "fd00::1"].map(familyOf), ["v4", "v6"]);
});

const networks: readonly (readonly [address: string, want: string])[] = [
  ["192.0.2.1", "192.0.2.1"],
  ["::ffff:192.0.2.1", "192.0.2.1"],
  ["::FFFF:c000:201", "192.0.2.1"],
  ["2001:db8::1", "2001:db8::/64"],
  ["2001:DB8:0:0:ffff::2", "2001:db8::/64"],
  ["2001:db8:0:1::1", "2001:db8:0:1::/64"],
  ["fe80::1%eth0", "fe80::/64"],
  ["::1", "::/64"],
  ["web-1", "web-1"],
  ["", ""],
];
for (const [address, want] of networks)
  test(`clientNetwork() of "${address}" is "${want}"`, () => assert.equal(clientNetwork(address), want));
