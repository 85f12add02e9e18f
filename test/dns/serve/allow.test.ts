import assert from "node:assert/strict";
import { test } from "node:test";
import { allowList, clientAddress, firstMatch } from "../../../src/dns/serve/allow.ts";

const cases: readonly (readonly [cidrs: readonly string[], address: string, want: boolean])[] = [
  [["10.0.0.0/8"], "10.1.2.3", true],
  [["10.0.0.0/8"], "11.0.0.1", false],
  [["10.0.0.0/8"], "::ffff:10.1.2.3", true],
  [["10.0.0.0/8"], "::ffff:11.1.2.3", false],
  [["::ffff:10.0.0.0/104"], "10.1.2.3", true],
  [["2001:db8::/32"], "2001:db8::1", true],
  [["2001:db8::/32"], "2001:db9::1", false],
  [["2001:db8::/32"], "10.0.0.1", false],
  [["fe80::/10"], "fe80::1%eth0", true],
  [["192.0.2.1"], "192.0.2.1", true],
  [["192.0.2.1"], "192.0.2.2", false],
  [["192.0.2.0/24", "::1/128"], "::1", true],
  [["0.0.0.0/0"], "2001:db8::1", false],
  [["::/0"], "10.0.0.1", false],
  [[], "127.0.0.1", false],
  [["10.0.0.0/8"], "nonsense", false],
];

for (const [cidrs, address, want] of cases) {
  test(`allowList() ${want ? "lets" : "keeps"} ${address} ${want ? "into" : "out of"} [${cidrs}]`, () => {
    const isAllowed = allowList(cidrs);
    assert.equal(isAllowed(address), want);
    assert.equal(isAllowed(address), want, "remembered");
  });
}

test("allowList() names a range that it cannot read", () => {
  assert.throws(() => allowList(["10.0.0.0/33"]), { message: 'Cannot use "10.0.0.0/33" as a range of addresses' });
});

test("allowList() stays right with more clients than it remembers", () => {
  const isAllowed = allowList(["10.0.0.0/16"]);
  for (let n = 0; n < 10_000; n++) assert.equal(isAllowed(`10.${n % 2}.${n >> 8}.${n & 255}`), n % 2 === 0);
});

test("firstMatch() remembers 4,096 of any number of forged addresses", () => {
  const remembered: Parameters<typeof firstMatch>[1] = new Map();
  const find = firstMatch([{ clients: ["10.0.0.0/16"] }], remembered);
  let most = 0;
  for (let n = 0; n < 10_000; n++) {
    assert.equal(find(`10.${n % 2}.${n >> 8}.${n & 255}`) !== undefined, n % 2 === 0);
    most = Math.max(most, remembered.size);
  }
  assert.equal(most, 4096);
  const items = [{ clients: ["10.0.0.0/8"] }, { clients: ["10.0.0.0/16", "2001:DB8:0:0::/64"] }];
  const first = firstMatch(items);
  for (const [address, want] of [
    ["10.0.0.1", items[0]],
    ["::ffff:10.0.0.1", items[0]],
    ["2001:db8::1", items[1]],
    ["2001:db8:0:1::1", undefined],
    ["10.0.0.1", items[0]],
  ] as const)
    assert.equal(first(address), want, address);
});

test("clientAddress() gives one text for one client", () => {
  assert.deepEqual(["::ffff:192.0.2.1", "192.0.2.1", "2001:db8::1"].map(clientAddress), [
    "192.0.2.1",
    "192.0.2.1",
    "2001:db8::1",
  ]);
});
