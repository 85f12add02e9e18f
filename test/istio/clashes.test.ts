import assert from "node:assert/strict";
import { test } from "node:test";
import { clashes, MOST_OF_ONE } from "../../src/istio/clashes.ts";

const may = clashes({ domains: ["mesh.internal", "consul"], ranges: ["240.241.0.0/16", "fd00:1::/112"] });
const many = (count: number, text: (at: number) => string) => Array.from({ length: count }, (_, at) => text(at));

const hosts = [
  {
    name: "those in our domains first, in any letter case",
    all: ["b.example.org", "A.Mesh.Internal"],
    want: ["A.Mesh.Internal", "b.example.org"],
  },
  {
    name: "a domain itself, and a name that only ends in its letters",
    all: ["xconsul", "consul"],
    want: ["consul", "xconsul"],
  },
  { name: "each once", all: ["a.consul", "a.consul", "x.org", "x.org"], want: ["a.consul", "x.org"] },
  { name: "none that no DNS name can be", all: [`${"a.".repeat(130)}consul`], want: [] },
];
for (const { name, all, want } of hosts)
  test(`clashes() chooses of hosts ${name}`, () => assert.deepEqual(may.hosts(all), want));

test("clashes() never chooses more hosts than it may, and none of others in place of ours", () => {
  const chosen = may.hosts([
    ...many(40_000, (at) => `h${at}.example.org`),
    ...many(999, (at) => `h${at}.mesh.internal`),
  ]);
  assert.equal(chosen.length, MOST_OF_ONE);
  assert.equal(chosen.filter((host) => host.endsWith(".mesh.internal")).length, 999);
  assert.equal(may.hosts(many(40_000, (at) => `h${at}.consul`)).length, MOST_OF_ONE);
});

test("clashes() takes any name for one of ours where a template gives any", () => {
  assert.deepEqual(clashes({ domains: [""], ranges: [] }).hosts(["b.org", "a.org"]), ["b.org", "a.org"]);
});

const addresses = [
  {
    name: "those in the ranges, from first to last",
    all: ["240.240.255.255", "240.241.0.0", "240.241.255.255", "240.242.0.0"],
    want: ["240.241.0.0", "240.241.255.255"],
  },
  {
    name: "in canonical text, once",
    all: ["FD00:0001:0::9", "fd00:1::9/128", "240.241.0.9/32", "240.241.0.9"],
    want: ["fd00:1::9", "240.241.0.9"],
  },
  {
    name: "no ranges and nothing that is no address",
    all: ["240.241.0.0/24", "None", "240.241.0.1.nip.io", "", "240.241.00.1", "fd00:1::9%eth0"],
    want: [],
  },
];
for (const { name, all, want } of addresses)
  test(`clashes() chooses of addresses ${name}`, () => assert.deepEqual(may.addresses(all), want));

test("clashes() never chooses more addresses than it may", () => {
  const all = many(70_000, (at) => `240.241.${(at >> 8) & 255}.${at & 255}`);
  assert.equal(may.addresses(all).length, MOST_OF_ONE);
  assert.equal(clashes().addresses(all).length, MOST_OF_ONE);
  assert.deepEqual(clashes({ domains: [], ranges: [] }).addresses(all), []);
});
