import assert from "node:assert/strict";
import { test } from "node:test";
import { specialNameFault } from "../../src/istio/special-names.ts";

const refused = [
  ...["localhost", "db.localhost", "x.invalid", "abc.onion", "x.alt", "printer.local", "local"],
  ...["1.0.0.127.in-addr.arpa", "8.e.f.ip6.arpa", "ipv4only.arpa", "arpa"],
  ...["wpad", "wpad.corp.example.com", "isatap.example.org", "*.wpad.corp.example.com", "*.x.localhost"],
];
const given = [
  ...["orders.corp.example.com", "orders.shop.svc.cluster.local", "orders.corp.local", "orders.test", "nas.home.arpa"],
  ...["localhost.corp.example.com", "a.wpad.example.com", "wpad2.example.com", "onion.example.com", "64001.65536"],
];
for (const name of refused)
  test(`specialNameFault() refuses ${name}`, () => assert.notEqual(specialNameFault(name), undefined));
for (const name of given)
  test(`specialNameFault() lets ${name} be given`, () => assert.equal(specialNameFault(name), undefined));
